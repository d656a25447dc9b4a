//! The end of a message: the notice, the splices, the commit.

mod late;
mod splice;

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use mailsplice::{
    mime::{PartId, TransferEncoding},
    names,
    notice::{FILES_MAX, Notice, NoticeFile, Own},
    rewrite::{
        MEASURES, Position,
        insert::{self, Addition, NewPart, TextKind, TextPart},
    },
};

use self::splice::{Change, pieces};
use super::{
    FilterError, HeaderEdit, Message, Reason, Rewritten, Verdict, copies::CopyTurn,
    language::language, mark, parts::PartSlot, reading::BodyText, reread::reread, rewritten::Piece,
    shipping::Detached,
};
use crate::{config::Fallback, drop, policy::Source, sender, store::OpenPackage};

/// Stands in place of a token in links that lead nowhere.
const NO_TOKEN: &str = "dry-run-dry-run-dry-run";

/// Ends a message about which everything is known.
pub(super) async fn finish(message: &mut Message) -> Verdict {
    match rewrite(message).await {
        Ok(verdict) => verdict,
        Err(error) => Verdict::Fail(error),
    }
}

async fn rewrite(message: &mut Message) -> Result<Verdict, FilterError> {
    let mut package = message.shipping_mut().take_package();
    if message.shipping().detached().is_empty() {
        return Ok(Verdict::Pass(message.accounting().untouched()));
    }

    message.shipping_mut().sort();
    message.reading_mut().remove_emptied();

    let created = Timestamp::now();
    let mut expires = expires(message, created);
    let known = package.as_ref().and_then(|package| package.link());
    let mut link = known.map(str::to_owned);
    let turn = turn(message, package.as_deref(), created, expires).await;
    if let Some(package) = &package {
        expires = package.expires(expires);
    }
    let shared = turn.as_ref().and_then(CopyTurn::shared).cloned();
    let is_copy = shared.is_some();
    if let Some(shared) = shared {
        // The files deposited for a package of its own are given up.
        (link, expires, package) = (Some(shared.link), shared.expires, None);
    }

    let languages = language(message).await?;
    let own = own(message).await;
    let mut notice = notice(message, languages, link, expires, own);
    if let Err(why) = notice.rehearse() {
        let queue_id = &message.envelope().queue_id;
        tracing::warn!(queue_id, %why, "the built-in notice stands in for a template that failed");
        notice.own = None;
    }

    let (mut pieces, mut header_edits) = match body(message, &notice).await? {
        Ok(body) => body,
        Err(why) => return Ok(Verdict::Pass(why)),
    };

    // Nothing was deposited: the message is only counted as one that would have been changed.
    if package.is_none() && !is_copy && !message.filter().preview {
        let (parts, bytes) = sum(message.shipping().detached());
        message.accounting_mut().would_detach(parts, bytes);
        return Ok(Verdict::Pass(Reason::DryRun));
    }

    let stored = message.shipping_mut().take_files();
    if let Some(package) = package {
        let link = match package.commit(stored, created, expires).await {
            Ok(link) => link,
            Err(error) => {
                let reason = Reason::of_refusal(&error).ok_or(error)?;
                message.accounting_mut().note_refusal(reason);
                return Ok(Verdict::Pass(reason));
            }
        };
        if link != notice.link {
            match late::body(message, &mut notice, link).await? {
                Ok(body) => (pieces, header_edits) = body,
                Err(why) => return Ok(Verdict::Pass(why)),
            }
        }
        if let Some(turn) = turn {
            turn.share(&notice.link, expires);
        }
    }

    let (detached, detached_bytes) = sum(message.shipping().detached());
    let foreign_marks = message.accounting().foreign_marks();
    let marks = mark::removals(foreign_marks).chain([mark::ours(detached, detached_bytes)]);
    let header_edits = header_edits.into_iter().chain(marks).collect();
    let empty = message.filter().spools.spool();
    Ok(Verdict::Rewrite(Rewritten {
        header_edits,
        detached,
        detached_bytes,
        link: notice.link,
        is_copy,
        foreign_marks,
        eol: message.reading().eol(),
        spool: message.reading_mut().replace_spool(empty),
        pieces: pieces.into_iter(),
        rest: None,
    }))
}

/// The number of parts that go, and their bytes: what was read out of them is no part.
fn sum(detached: &[Detached]) -> (usize, u64) {
    let parts = || detached.iter().filter(|file| !file.is_opened);
    (parts().count(), parts().map(|part| part.bytes).sum())
}

/// A new body, and the edits of the header that go with it.
type Body = (Vec<Piece>, Vec<HeaderEdit>);

/// Makes the new body with the notice, and reads it as readers will.
async fn body(message: &Message, notice: &Notice) -> Result<Result<Body, Reason>, FilterError> {
    let Some((changes, header_edits)) = plan(message, notice).await? else {
        return Ok(Err(Reason::NoPlace));
    };

    let added = changes.iter().filter(|change| change.is_part).count();
    let pieces = pieces(message.reading().spool().len(), changes);
    let is_read = if is_whole(message) {
        Ok(())
    } else {
        reread(message, &pieces, added).await?
    };
    Ok(is_read.map(|()| (pieces, header_edits)))
}

/// Waits for the message's turn among its copies; `None` where none are to share its package.
async fn turn(
    message: &Message,
    package: Option<&dyn OpenPackage>,
    created: Timestamp,
    expires: Timestamp,
) -> Option<CopyTurn> {
    let shares = message.config().detach.share_copies;
    CopyTurn::wait(message, package.filter(|_| shares)?, created, expires).await
}

/// The time until which the package can be fetched: as long as the longest of its files' rules says.
fn expires(message: &Message, created: Timestamp) -> Timestamp {
    let end = |detached: &Detached| drop::expires_at(created, &detached.going.retention);
    let last = message.shipping().detached().iter().map(end).max();
    last.unwrap_or(Timestamp::MAX)
}

/// Makes the notice. In dry-run its link leads nowhere.
fn notice(
    message: &Message,
    languages: Fallback,
    link: Option<String>,
    expires: Timestamp,
    own: Option<Own>,
) -> Notice {
    let nowhere = || format!("{}{NO_TOKEN}", message.config().web.public_url);
    let link = link.unwrap_or_else(nowhere);
    let config = message.config();
    Notice {
        language: languages.first(),
        also: languages.second(),
        files: files(message.shipping().detached()),
        expires: expires.to_zoned(config.notice.time_zone.clone()),
        operator: config.web.operator_or_host_of(&link).to_owned(),
        is_encrypted: message.shipping().is_encrypted(config),
        own,
        link,
    }
}

/// The files as the notice names them: files of one name are told apart as in the ZIP of all.
fn files(detached: &[Detached]) -> Vec<NoticeFile> {
    let named = names::display_all(detached.iter().map(|file| &*file.name));
    let files = named.into_iter().zip(detached);
    files
        .map(|(name, file)| NoticeFile {
            name,
            bytes: file.bytes,
        })
        .collect()
}

/// The facts that only the admin's templates tell; `None` without such templates.
async fn own(message: &mut Message) -> Option<Own> {
    let templates = message.templates()?;
    let verified = message.verified().await;
    let config = message.config();
    let contact = config.web.contact.trim_start_matches("mailto:");
    Some(Own {
        templates: Some(templates),
        direction: message.envelope().direction.as_str(),
        contact: (!contact.is_empty()).then(|| contact.to_owned()),
        sender: sender::shown(verified.as_deref(), config.web.show_sender),
    })
}

/// The source of the decision about the first file.
pub(super) fn source(message: &Message) -> Source {
    let first = message.shipping().detached().first();
    first.map_or(Source::Default, |detached| detached.going.source)
}

/// The changes to the body and to the top-level header; `None` where the notice has no place.
async fn plan(
    message: &Message,
    notice: &Notice,
) -> Result<Option<(Vec<Change>, Vec<HeaderEdit>)>, FilterError> {
    if is_whole(message) {
        return Ok(Some(whole(message, notice)));
    }
    let Some(places) = places(message, notice).await? else {
        return Ok(None);
    };

    let removed = message
        .reading()
        .parts()
        .removed(message.reading().spool().len());
    let removed = removed.into_iter().map(|removed| Change {
        at: removed.at,
        with: if removed.closes {
            [b"--", message.reading().eol().as_bytes()].concat().into()
        } else {
            Bytes::new()
        },
        is_part: false,
    });

    let part = Bytes::from(new_part(message, notice));
    let stand_ins = message
        .reading()
        .parts()
        .emptied()
        .into_iter()
        .map(|at| Change {
            at: at..at,
            with: part.clone(),
            is_part: true,
        });

    let mut changes: Vec<Change> = places.into_iter().chain(removed).chain(stand_ins).collect();
    // An insertion comes before a removal that starts at the same place.
    changes.sort_by_key(|change| (change.at.start, change.at.end));
    Ok(Some((changes, measures(message))))
}

/// Removes the fields that state measures of the body's bytes.
fn measures(message: &Message) -> Vec<HeaderEdit> {
    let is_measure = |name: &&String| {
        let same = |measure: &&str| name.eq_ignore_ascii_case(measure);
        MEASURES.iter().any(same)
    };
    let fields = message.reading().top().fields.iter().filter(is_measure);
    fields
        .map(|name| HeaderEdit::Remove { name: name.clone() })
        .collect()
}

/// Replaces a message that was the attachment itself by a text with the notice.
fn whole(message: &Message, notice: &Notice) -> (Vec<Change>, Vec<HeaderEdit>) {
    let part = insert::new_part(notice, message.reading().eol());
    let has = |name: &str| {
        message
            .reading()
            .top()
            .fields
            .iter()
            .find(|f| f.eq_ignore_ascii_case(name))
    };

    let set = |name: &str, value: String| match has(name) {
        Some(name) => HeaderEdit::Replace {
            name: name.clone(),
            value,
        },
        None => HeaderEdit::Append {
            name: name.to_owned(),
            value,
        },
    };

    let mut edits = vec![
        set("Content-Type", part.content_type),
        set("Content-Transfer-Encoding", part.encoding),
    ];

    if has("MIME-Version").is_none() {
        // A reader may take a message without it for plain ASCII (RFC 2045, section 4).
        edits.push(set("MIME-Version", " 1.0".to_owned()));
    }

    // These described the file. Content-ID and the like name the message's content and stay.
    let described =
        has("Content-Disposition").map(|name| HeaderEdit::Remove { name: name.clone() });
    edits.extend(described.into_iter().chain(measures(message)));

    let body = Change {
        at: 0..message.reading().spool().len(),
        with: part.body.into(),
        is_part: false,
    };
    (vec![body], edits)
}

/// The changes that place the notice: into the message's own text and HTML; into a new part behind
/// those that cannot take it; into one in front where there are none. `None` where it has no place.
async fn places(message: &Message, notice: &Notice) -> Result<Option<Vec<Change>>, FilterError> {
    let (mut insertions, mut failed) = (Vec::new(), Vec::new());
    let mut between = between(message);
    for text in targets(message) {
        let addition = Addition {
            between: &between.remove(&text.part).unwrap_or_default(),
            notice: Some(notice),
        };

        match insertion(message, text, &addition).await? {
            Some(insertion) => insertions.push((text.part, insertion)),
            None => failed.push(text.part),
        }
    }

    if insertions.is_empty() && failed.is_empty() {
        let Some(mut changes) = in_front(message, notice) else {
            return Ok(None);
        };
        changes.extend(attached(message, notice).await?);
        return Ok(Some(changes));
    }

    let mut taking: Vec<PartId> = insertions.iter().map(|(part, _)| *part).collect();
    let Some(slots) = message.reading().parts().slots(&mut taking, &failed) else {
        return Ok(None);
    };
    insertions.retain(|(part, _)| taking.contains(part));

    let mut changes: Vec<Change> = insertions.into_iter().flat_map(|(_, made)| made).collect();
    for text in message.reading().texts() {
        let addition = Addition {
            between: &between.remove(&text.part).unwrap_or_default(),
            notice: None,
        };
        if !addition.between.is_empty() {
            changes.extend(
                insertion(message, text, &addition)
                    .await?
                    .into_iter()
                    .flatten(),
            );
        }
    }

    let part = insert::new_part(notice, message.reading().eol());
    for slot in slots {
        changes.push(filled(message, slot, &part).await?);
    }
    changes.extend(attached(message, notice).await?);
    Ok(Some(changes))
}

/// The change that adds an attached text with the words of the notice, where the admin wants one.
async fn attached(message: &Message, notice: &Notice) -> Result<Option<Change>, FilterError> {
    let is_wanted = message.config().notice.part;
    let slot = message
        .reading()
        .parts()
        .slot_at_end()
        .filter(|_| is_wanted);
    let Some(slot) = slot else {
        return Ok(None);
    };
    let part = insert::new_attachment(notice, message.reading().eol());
    filled(message, slot, &part).await.map(Some)
}

/// The change that puts a part in a slot.
async fn filled(message: &Message, slot: PartSlot, part: &NewPart) -> Result<Change, FilterError> {
    let delimiter = message.reading().spool().read(slot.delimiter).await?;
    Ok(Change {
        at: slot.at..slot.at,
        with: [
            &delimiter,
            message.reading().eol().as_bytes(),
            &written(message, part),
        ]
        .concat()
        .into(),
        is_part: true,
    })
}

/// The names of files that readers showed inline between two texts, by the text before them.
fn between(message: &Message) -> HashMap<PartId, Vec<String>> {
    let is_text = |part: PartId| {
        message
            .reading()
            .texts()
            .iter()
            .any(|text| text.part == part)
    };

    let mut names: HashMap<PartId, Vec<String>> = HashMap::new();
    for file in message
        .shipping()
        .detached()
        .iter()
        .filter(|file| file.is_inline)
    {
        if let Some((before, behind)) = message.reading().parts().neighbours(file.part)
            && is_text(before)
            && is_text(behind)
        {
            names.entry(before).or_default().push(file.name.clone());
        }
    }

    for names in names.values_mut() {
        names.truncate(FILES_MAX);
    }
    names
}

/// The texts that take the notice: the first HTML, and the first plain text unless it is a list's
/// footer behind the HTML; no HTML that is one of several choices, where the plain text is shown
/// above all of them. Then the first text of each choice that a reader may be shown in place of one
/// of these: whichever he is shown, he must see the link.
fn targets(message: &Message) -> Vec<&BodyText> {
    let parts = message.reading().parts();
    let first = |kind: TextKind| {
        message
            .reading()
            .texts()
            .iter()
            .find(|text| text.kind == kind)
    };
    let (plain, html) = (first(TextKind::Plain), first(TextKind::Html));
    let is_body = |plain: &&BodyText| html.is_none_or(|html| plain.part < html.part);
    let plain = plain.filter(is_body);
    let is_above = |html: &&BodyText, plain: &BodyText| {
        let mut choices = parts.choices(html.part);
        choices.any(|(around, _)| !parts.is_in(plain.part, around))
    };
    let html = html.filter(|html| !plain.is_some_and(|plain| is_above(html, plain)));

    let mut chosen: Vec<&BodyText> = plain.into_iter().chain(html).collect();
    for text in message.reading().texts() {
        let is_in = |around| chosen.iter().any(|other| parts.is_in(other.part, around));
        let is_left_out = |(around, choice)| is_in(around) && !is_in(choice);
        if parts.choices(text.part).any(is_left_out) {
            chosen.push(text);
        }
    }

    chosen
}

/// The changes that put an addition into a text part; `None` if it cannot take it.
async fn insertion(
    message: &Message,
    text: &BodyText,
    addition: &Addition<'_>,
) -> Result<Option<Vec<Change>>, FilterError> {
    if text.is_fixed {
        return Ok(None);
    }

    // Quoted-printable may take three bytes for one, base64 takes four for three and line ends.
    let raw_per_byte = match text.encoding {
        TransferEncoding::QuotedPrintable => 3,
        TransferEncoding::Base64 => 2,
        _ => 1,
    };
    let raw_max = message.config().limits.text_bytes_max as u64 * raw_per_byte;
    if text.end - text.body > raw_max {
        return Ok(None);
    }

    let raw = message
        .reading()
        .spool()
        .read(text.header..text.end)
        .await?;
    let part = TextPart {
        raw: &raw,
        body_start: (text.body - text.header) as usize,
        kind: text.kind,
        charset: text.charset.as_deref(),
        encoding: text.encoding,
    };

    let position = match source(message).position(message.config()) {
        _ if addition.notice.is_none() => Position::End,
        // A newsletter ends with text that nobody reads.
        Position::BeforeQuote if message.reading().top().is_newsletter => Position::Start,
        position => position,
    };

    let mut splices = match insert::insert(&part, *addition, position, message.reading().eol()) {
        Ok(splices) => splices,
        Err(reason) => {
            let (queue_id, kind) = (&message.envelope().queue_id, text.kind);
            tracing::debug!(queue_id, ?kind, %reason, "a text cannot take the notice");
            return Ok(None);
        }
    };

    // An empty body may be followed by its delimiter at once, without even a line end between.
    if let Some(last) = splices.last_mut().filter(|_| text.body == text.end) {
        last.with
            .extend_from_slice(message.reading().eol().as_bytes());
    }

    let at = |offset: usize| text.header + offset as u64;
    let change = |splice: mailsplice::rewrite::Splice| Change {
        at: at(splice.at.start)..at(splice.at.end),
        with: splice.with.into(),
        is_part: false,
    };
    Ok(Some(splices.into_iter().map(change).collect()))
}

/// The change that puts a new first part with the notice in front.
fn in_front(message: &Message, notice: &Notice) -> Option<Vec<Change>> {
    let front = message.reading().parts().front()?;
    let boundary = message.reading().top().root.boundary.as_deref()?;
    let with = [
        b"--",
        boundary,
        message.reading().eol().as_bytes(),
        &new_part(message, notice),
    ]
    .concat();
    Some(vec![Change {
        at: front..front,
        with: with.into(),
        is_part: true,
    }])
}

/// Writes a part that is all notice, from its header to its last line end.
fn new_part(message: &Message, notice: &Notice) -> Vec<u8> {
    written(message, &insert::new_part(notice, message.reading().eol()))
}

/// Writes a part as it stands in the message, behind its delimiter line.
fn written(message: &Message, part: &NewPart) -> Vec<u8> {
    let eol = message.reading().eol().as_bytes();
    let field = |name: &str, value: &str| [name.as_bytes(), b":", value.as_bytes(), eol].concat();
    let content_type = field("Content-Type", &part.content_type);
    let encoding = field("Content-Transfer-Encoding", &part.encoding);
    let disposition = part.disposition.as_deref();
    let disposition =
        disposition.map_or_else(Vec::new, |value| field("Content-Disposition", value));
    [&content_type, &encoding, &disposition, eol, &part.body].concat()
}

/// Returns true if the message itself was detached.
fn is_whole(message: &Message) -> bool {
    let first = message.shipping().detached().first();
    first.is_some_and(|detached| detached.part == 0)
}
