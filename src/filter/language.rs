//! The language of the notice of a message.
//!
//! In this order: the rule of the first file, the recipients' domains, `notice.language`; where
//! that is `auto`, what the message declares, what its author wrote, `notice.fallback`.

use encoding_rs::{Encoding, UTF_8};
use mailsplice::{
    l10n::{Declared, Language, declared, detect},
    mime::{Decoder, Field},
    rewrite::{self, insert::TextKind},
};

use super::{FilterError, Message, finish::source, reading::BodyText};
use crate::{
    config::{Config, Fallback, NoticeLanguage, Rule, RuleAction},
    policy::readable,
};

/// Bytes of a text that are read back, as they stand in the message: HTML begins with styles.
const TEXT_BYTES: u64 = 8 << 10;
const HTML_BYTES: u64 = 32 << 10;

/// Bytes of the subject that are kept.
const SUBJECT_BYTES_MAX: usize = 256;

/// The header's hints at the language.
#[derive(Debug)]
pub(super) struct Speech {
    declared: Declared,
    /// The subject: short mails hardly have another text.
    subject: String,
}

impl Speech {
    /// Reads a header, if anything may depend on it.
    pub(super) fn read(config: &Config, header: &[Field]) -> Option<Box<Self>> {
        let of_rule = |rule: &Rule| match &rule.action {
            RuleAction::Detach(terms) => terms.language,
            _ => None,
        };

        let mut asked = config.rule.iter().filter_map(of_rule);
        let is_auto = config.notice.language == NoticeLanguage::Auto
            || asked.any(|language| language == NoticeLanguage::Auto);

        let is_subject = |field: &&Field| field.name.eq_ignore_ascii_case(b"subject");
        is_auto.then(|| {
            let subject = header.iter().find(is_subject);
            let mut subject = subject.map_or(String::new(), |field| readable(&field.value));
            while subject.len() > SUBJECT_BYTES_MAX {
                subject.pop();
            }
            Box::new(Self {
                declared: declared(header),
                subject,
            })
        })
    }
}

/// Finds the language of the notice, or both of its languages.
///
/// # Errors
/// The spool could not be read back.
pub(super) async fn language(message: &Message) -> Result<Fallback, FilterError> {
    let config = message.config();
    let notice = &config.notice;
    let of_rule = source(message).language(config);
    if let Some(NoticeLanguage::One(language)) = of_rule {
        return Ok(Fallback::One(language));
    }

    let recipients = message.envelope().recipients.iter().map(String::as_str);
    if let Some(language) = notice.languages.of_all(recipients) {
        return Ok(Fallback::One(language));
    }

    match (
        of_rule.unwrap_or(notice.language),
        &message.reading().top().speech,
    ) {
        (NoticeLanguage::One(language), _) => Ok(Fallback::One(language)),
        (NoticeLanguage::Auto, None) => Ok(notice.fallback),
        (NoticeLanguage::Auto, Some(speech)) => {
            let own = spoken(message, speech).await?;
            Ok(own.map_or(notice.fallback, Fallback::One))
        }
    }
}

/// The language of the message.
async fn spoken(message: &Message, speech: &Speech) -> Result<Option<Language>, FilterError> {
    match speech.declared {
        Declared::One(language) => return Ok(Some(language)),
        Declared::Other => return Ok(None),
        Declared::Nothing => {}
    }

    let first = |kind: TextKind| {
        message
            .reading()
            .texts()
            .iter()
            .find(|text| text.kind == kind)
    };

    for text in [first(TextKind::Plain), first(TextKind::Html)]
        .into_iter()
        .flatten()
    {
        let written = format!("{}\n{}", author(message, text).await?, speech.subject);
        if let Some(language) = detect(&written) {
            return Ok(Some(language));
        }
    }

    Ok(detect(&speech.subject))
}

/// Reads back the words of the author himself at the start of a text.
async fn author(message: &Message, text: &BodyText) -> Result<String, FilterError> {
    let bytes = match text.kind {
        TextKind::Plain => TEXT_BYTES,
        TextKind::Html => HTML_BYTES,
    };
    let end = text.end.min(text.body + bytes);
    let raw = message.reading().spool().read(text.body..end).await?;
    let mut decoded = Vec::with_capacity(raw.len());
    if let Some(mut decoder) = Decoder::new(text.encoding) {
        // Malformed text is still good for a guess.
        let _ = decoder.push(&raw, &mut decoded);
    }
    let label = text.charset.as_deref().unwrap_or_default();
    let charset = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let (readable, _) = charset.decode_without_bom_handling(&decoded);
    Ok(rewrite::author(&readable, text.kind))
}
