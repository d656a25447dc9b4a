//! The leaf whose body is coming in, and the facts that are kept of its header.

use std::{borrow::Cow, mem};

use mailsplice::{
    mime::{self, Decoder, Field, Head, PartId, TransferEncoding, tnef},
    names,
};

use super::{container::Container, forwarded::Forwarded, reading::BodyText, words::Role};
use crate::{
    policy::{Fate, PartFacts, Source, readable},
    rules::Why,
};

/// The longest name that is kept for a file, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest media type that is kept for a file, in bytes (RFC 6838, section 4.2: 127 for each
/// half).
const TYPE_BYTES_MAX: usize = 255;

/// Decoded bytes of a part that are looked at to know its type: a ZIP says late what it holds.
const CONTENT_BYTES: usize = 8 << 10;

/// Decoded bytes of a message that are looked at to find its subject, behind the fields above it.
const SUBJECT_BYTES: usize = 32 << 10;

/// The longest name that is made of a subject, in characters.
const SUBJECT_CHARS_MAX: usize = 100;

/// The leaf whose body is coming in.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) part: PartId,
    pub(super) file: FileHead,
    pub(super) bytes: u64,
    /// The files found in it, if it is a container.
    pub(super) container: Option<Box<Container>>,
    /// The forwarded message in it, if it is one.
    pub(super) forwarded: Option<Box<Forwarded>>,
    /// True if the last byte is a CR: MIME-tools takes it for a part of the line end behind it.
    pub(super) ends_in_cr: bool,
    pub(super) work: LeafWork,
    /// The key of the `Content-ID` by which an HTML body may show it.
    pub(super) shown_by: Option<u64>,
    /// True if it is HTML that may show others, though it may go itself.
    pub(super) shows: bool,
    pub(super) role: Role,
    /// The multipart around it, if its parts are one file.
    pub(super) pair: Option<PartId>,
    /// True if nothing but blanks came of it.
    pub(super) is_blank: bool,
    pub(super) text: Option<Box<BodyText>>,
    /// The decision of the policy.
    pub(super) fate: Fate,
    /// The facts by which the policy decides, as long as it has not done so.
    pub(super) asked: Option<Box<LeafFacts>>,
}

/// The facts that the policy asks for about a leaf.
#[derive(Debug)]
pub(super) struct LeafFacts {
    pub(super) facts: PartFacts,
    /// The first decoded bytes, as long as its type is not known.
    first: Vec<u8>,
}

/// The work on a leaf's body.
#[derive(Debug)]
pub(super) enum LeafWork {
    /// It stays.
    Stays(Why),
    /// It stays, and is decoded to see that it can be, or to find the parts that it shows.
    Checked(Why, Decoder),
    /// It is an HTML body, decoded to find the parts that it shows.
    Html(Decoder),
    /// A candidate: spooled like a part that stays, while its decoded bytes are counted.
    Counting(Decoder),
    /// It goes: decoded into the drop (in dry-run nowhere), kept nowhere else.
    Detaching(Decoder),
    /// It was going, and is not what its transfer encoding says.
    Spoiled,
}

/// The facts that are kept of a leaf's header.
#[derive(Clone, Debug)]
pub(super) struct FileHead {
    /// Its name; one that is made from its type is made when it is asked for, since most parts' names
    /// never are.
    declared: Option<String>,
    /// The first decoded bytes, as long as they are needed to tell the name.
    first: Option<Vec<u8>>,
    pub(super) media_type: Cow<'static, str>,
    pub(super) encoding: TransferEncoding,
    /// True if readers may show it inline.
    pub(super) is_inline: bool,
}

impl Leaf {
    /// Makes a leaf of which only the header came, and about which nobody was asked.
    pub(super) fn new(part: PartId, head: &Head, work: LeafWork) -> Self {
        Self {
            part,
            file: FileHead::new(head),
            bytes: 0,
            container: None,
            forwarded: None,
            ends_in_cr: false,
            work,
            shown_by: None,
            shows: false,
            role: Role::Other,
            pair: None,
            is_blank: true,
            text: None,
            fate: Fate::Open,
            asked: None,
        }
    }

    /// The number of bytes that count: of a message, those of its files.
    pub(super) fn weight(&self) -> u64 {
        let forwarded = self.forwarded.as_ref();
        let weight = forwarded.and_then(|forwarded| forwarded.weight());
        weight.unwrap_or(self.bytes)
    }

    /// Takes the policy's decision on a candidate that is counted.
    pub(super) fn decide(&mut self, fate: Fate) {
        if !matches!(fate, Fate::Open) {
            self.asked = None;
        }
        if let Fate::Stays(source) = fate
            && let LeafWork::Counting(decoder) = &mut self.work
        {
            let (why, decoder) = (why_kept(source), mem::take(decoder));
            self.work = if self.shows {
                LeafWork::Checked(why, decoder)
            } else {
                LeafWork::keeping(why, decoder)
            };
        }
        self.fate = fate;
    }
}

impl LeafFacts {
    pub(super) fn new(facts: PartFacts) -> Self {
        Self {
            facts,
            first: Vec::new(),
        }
    }

    /// Takes decoded bytes, until there are enough of them to know the type.
    pub(super) fn see(&mut self, decoded: &[u8], is_whole: bool) {
        if self.facts.content.is_some() {
            return;
        }
        let wanted = CONTENT_BYTES - self.first.len();
        let more = &decoded[..decoded.len().min(wanted)];
        self.first.extend_from_slice(more);
        if is_whole || self.first.len() == CONTENT_BYTES {
            self.facts.content = Some(content_type(&mem::take(&mut self.first)));
        }
    }
}

impl LeafWork {
    /// Work on a leaf that stays; base64 is decoded all the same, to see that it can be.
    pub(super) fn keeping(why: Why, decoder: Decoder) -> Self {
        match decoder {
            Decoder::Base64(_) => Self::Checked(why, decoder),
            _ => Self::Stays(why),
        }
    }

    pub(super) fn decoder(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::Stays(_) | Self::Spoiled => None,
            Self::Checked(_, decoder)
            | Self::Html(decoder)
            | Self::Counting(decoder)
            | Self::Detaching(decoder) => Some(decoder),
        }
    }
}

impl FileHead {
    pub(super) fn new(head: &Head) -> Self {
        let mut media_type = head.media.clone().into_text();
        if media_type.len() > TYPE_BYTES_MAX {
            media_type = "application/octet-stream".into();
        }

        let declared = match &head.file_name {
            Some(name) if name.len() > NAME_BYTES_MAX => {
                Some(bounded(names::or_from_type(Some(name), &media_type)))
            }
            name => name.clone(),
        };

        let mut file = Self {
            declared,
            first: None,
            media_type,
            encoding: head.encoding,
            is_inline: head.disposition == mime::Disposition::Inline,
        };

        let is_told = file.is_nameless_message()
            || names::lacks_extension(file.declared.as_deref(), &file.media_type);
        file.first = is_told.then(Vec::new);
        file
    }

    /// The name as the mail has it, or one made from the type: the name about which rules are asked.
    pub(super) fn given_name(&self) -> String {
        names::or_from_type(self.declared.as_deref(), &self.media_type)
    }

    /// The name, or one made from the type, with an extension where the type has one; not made safe.
    pub(super) fn name(&self) -> String {
        names::complete(self.declared.as_deref(), &self.media_type, None)
    }

    /// Returns true if the name is final.
    pub(super) fn is_named(&self) -> bool {
        self.first.is_none()
    }

    fn is_nameless_message(&self) -> bool {
        let is_message = matches!(&*self.media_type, "message/rfc822" | "message/global");
        let name = self.declared.as_deref();
        is_message && name.is_none_or(|name| names::display(name) == names::display(""))
    }

    /// Takes decoded bytes, as long as they are to tell the name.
    pub(super) fn see(&mut self, decoded: &[u8], is_whole: bool) {
        let wanted = if self.is_nameless_message() {
            SUBJECT_BYTES
        } else {
            CONTENT_BYTES
        };
        let Some(first) = &mut self.first else {
            return;
        };
        let more = decoded.len().min(wanted - first.len());
        first.extend_from_slice(&decoded[..more]);
        if is_whole || first.len() == wanted {
            let first = self.first.take().unwrap_or_default();
            self.learn(&first);
        }
    }

    fn learn(&mut self, first: &[u8]) {
        if self.is_nameless_message() {
            self.declared = subject_of(first).map(|subject| bounded(format!("{subject}.eml")));
            return;
        }
        let found = infer::get(first).map(|found| found.extension());
        let name = names::complete(self.declared.as_deref(), &self.media_type, found);
        self.declared = Some(bounded(name));
    }
}

/// The name and the media type of a file that was read out of a container.
pub(super) fn opened(file: tnef::File) -> (String, Cow<'static, str>) {
    let is_token = |text: &str| {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(is_in)
    };
    let is_type = |text: &String| {
        let halves = text.split_once('/');
        text.len() <= TYPE_BYTES_MAX
            && halves.is_some_and(|(main, sub)| is_token(main) && is_token(sub))
    };
    let media_type = file
        .media_type
        .filter(is_type)
        .map_or(Cow::Borrowed("application/octet-stream"), Cow::Owned);
    let name = names::complete(file.name.as_deref(), &media_type, None);
    (bounded(name), media_type)
}

/// Shortens a name that is too long, and keeps its end.
fn bounded(name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        names::file(&name)
    } else {
        name
    }
}

/// The subject of a message that begins with these bytes, fit to be a name.
fn subject_of(first: &[u8]) -> Option<String> {
    let is_end = |pair: &[u8]| pair[0] == b'\n' && matches!(pair[1], b'\n' | b'\r');
    let end = first.windows(2).position(is_end);
    let last_line = || memchr::memrchr(b'\n', first);
    let header = &first[..end.or_else(last_line)? + 1];
    let fields = mime::head::split(header).ok()?;
    let is_subject = |field: &&Field| field.name.eq_ignore_ascii_case(b"subject");
    let value = &fields.iter().find(is_subject)?.value;
    let unfolded: Vec<u8> = value
        .iter()
        .copied()
        .filter(|b| !b"\r\n".contains(b))
        .collect();
    let in_one = readable(&unfolded).replace(['/', '\\'], "-");
    let subject: String = in_one.chars().take(SUBJECT_CHARS_MAX).collect();
    let subject = subject.trim();
    (!subject.is_empty()).then(|| subject.to_owned())
}

/// The reason why a leaf stays because of somebody's decision.
fn why_kept(source: Source) -> Why {
    match source {
        Source::Default | Source::Rule(_) => Why::Rule,
        Source::Wish(_) => Why::Wish,
        Source::Users => Why::Users,
    }
}

/// The media type that the first bytes of a file show.
fn content_type(first: &[u8]) -> &'static str {
    infer::get(first).map_or("application/octet-stream", |found| found.mime_type())
}

#[cfg(test)]
mod tests {
    use mailsplice::mime::MediaType;

    use super::*;

    fn file(content_type: &str) -> FileHead {
        let field = Field {
            name: b"Content-Type".to_vec(),
            value: content_type.into(),
        };
        FileHead::new(&Head::read(&[field], MediaType::new("text", "plain")).unwrap())
    }

    #[test]
    fn a_name_gets_the_extension_of_its_type_or_of_its_first_bytes() {
        const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        for (content_type, first, name) in [
            ("application/pdf; name=scan", &b"%PDF-1.7"[..], "scan.pdf"),
            ("application/pdf; name=scan.pdf", b"%PDF-1.7", "scan.pdf"),
            (
                "application/octet-stream; name=scan",
                b"%PDF-1.7",
                "scan.pdf",
            ),
            (
                "application/octet-stream; name=\"v 1.2\"",
                b"%PDF-1.7",
                "v 1.2.pdf",
            ),
            ("image/heic; name=IMG_0418", HEIC, "IMG_0418.heic"),
            (
                "application/octet-stream; name=IMG_0418",
                HEIC,
                "IMG_0418.heif",
            ),
            ("application/octet-stream; name=a.HEIC", HEIC, "a.HEIC"),
            ("application/octet-stream; name=what", b"what", "what"),
            ("application/octet-stream", b"%PDF-1.7", "attachment.pdf"),
            ("application/octet-stream", b"what", "attachment.bin"),
            ("text/plain; name=LISEZMOI", b"Lis", "LISEZMOI.txt"),
            ("text/plain; name=main.zig", b"Lis", "main.zig"),
            (
                "application/octet-stream; name=rapport.pages",
                b"PK\x03\x04",
                "rapport.pages",
            ),
            ("application/zip; name=plan.qgz", b"PK\x03\x04", "plan.qgz"),
            ("application/zip; name=plans", b"PK\x03\x04", "plans.zip"),
            (
                "application/octet-stream; name=a.tar.zst",
                b"\x28\xb5\x2f\xfd",
                "a.tar.zst",
            ),
            (
                "application/octet-stream; name=a.7z.001",
                b"7z\xbc\xaf\x27\x1c",
                "a.7z.001",
            ),
            ("application/pdf; name=scan.v2", b"%PDF-1.7", "scan.v2.pdf"),
            (
                "message/rfc822; name=\"RE: Dossier\"",
                b"A: b\n\n",
                "RE: Dossier.eml",
            ),
            (
                "message/rfc822",
                b"A: b\nSubject: Offre 12/26\n\n",
                "Offre 12-26.eml",
            ),
            (
                "message/rfc822",
                b"Subject: =?utf-8?q?=C3=A9t=C3=A9?=\r\n =?utf-8?q?_26?=\r\n\r\nSubject: no",
                "\u{e9}t\u{e9} 26.eml",
            ),
            ("message/rfc822", b"A: b\r\n\r\nSubject: no", "message.eml"),
            ("application/applefile; name=a.pdf", b"", "a.pdf.applefile"),
        ] {
            for step in [1, 3, 1000] {
                let mut file = file(content_type);
                for part in first.chunks(step) {
                    file.see(part, false);
                }
                file.see(b"", true);
                assert!(file.is_named());
                assert_eq!(file.name(), name, "{content_type}");
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_candidate_is_bounded() {
        for (len, kept) in [(245, 255), (246, 24)] {
            let value = format!("attached/y{}; name={}", "x".repeat(len), "z".repeat(4000));
            let field = Field {
                name: b"Content-Type".to_vec(),
                value: value.into_bytes(),
            };
            let head = Head::read(&[field], MediaType::new("text", "plain")).unwrap();
            let file = FileHead::new(&head);
            assert_eq!(file.media_type.len(), kept);
            assert!(file.name().len() <= NAME_BYTES_MAX);
        }
        let mut forwarded = file("message/rfc822");
        let subject = "😀".repeat(SUBJECT_CHARS_MAX);
        forwarded.see(format!("Subject: {subject}\r\n\r\n").as_bytes(), true);
        let name = forwarded.declared.unwrap();
        assert!(
            name.len() <= NAME_BYTES_MAX && name.ends_with("😀.eml"),
            "{name}"
        );
    }

    #[test]
    fn the_type_is_known_once_enough_bytes_came_or_all() {
        let mut asked = LeafFacts::new(PartFacts::new("", ""));
        asked.see(b"%PDF", false);
        asked.see(b"-1.7", false);
        assert_eq!(asked.facts.content, None);
        asked.see(b"", true);
        assert_eq!(asked.facts.content, Some("application/pdf"));

        let mut asked = LeafFacts::new(PartFacts::new("", ""));
        for _ in 0..3 {
            asked.see(&[0; CONTENT_BYTES / 2 + 1], false);
        }
        assert_eq!(asked.facts.content, Some("application/octet-stream"));
        assert!(asked.first.is_empty());
    }
}
