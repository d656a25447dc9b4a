//! The scanner: every byte once and in order, one tree however the bytes are cut, bounded memory.

use mailsplice::{
    Limits,
    mime::{Ambiguity, Event, Events, Field, Head, MediaType, PartId, Scanner},
};

use super::{byte, cut, line};

/// Low limits, so that they are met.
const LIMITS: Limits = Limits {
    depth_max: 6,
    parts_max: 40,
    header_bytes_max: 1024,
};

/// Length of the longest delimiter line with its line ends, cut before its last byte.
const HELD_BYTES_MAX: usize = 2 + 2 + 200 + 2 + 128 + 1;

/// One event; runs of bytes of one kind are merged.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Structure(Vec<u8>),
    Delimiter(Vec<u8>, usize),
    Body(Vec<u8>),
    Begin(PartId, PartId),
    Head(String),
    End(PartId),
    Ambiguous(Ambiguity),
}

/// Checks an input: a byte for the cuts; the message's own `Content-Type` on a line; the body.
pub fn scan(input: &[u8]) {
    let mut body = input;
    let seed = byte(&mut body);
    let field = Field {
        name: b"Content-Type".to_vec(),
        value: line(&mut body).to_vec(),
    };
    let Ok(root) = Head::read(&[field], MediaType::new("text", "plain")) else {
        return;
    };
    if Scanner::new(&root, LIMITS).is_err() {
        return;
    }

    let whole = events(&root, &[body]);
    check_bytes(&whole, body);
    check_nesting(&whole);

    let single: Vec<&[u8]> = body.chunks(1).collect();
    for chunks in [cut(body, seed), single] {
        let seen = events(&root, &chunks);
        check_bytes(&seen, body);
        assert!(
            is_same(&whole, &seen),
            "whole: {whole:?}\ncut:   {seen:?}\n{chunks:?}"
        );
    }
}

/// Checks that the events are the same for the body cut in two at every place. It takes long: for tests.
#[cfg(test)]
pub(super) fn everywhere(input: &[u8]) {
    let mut body = input.get(1..).unwrap_or_default();
    let field = Field {
        name: b"Content-Type".to_vec(),
        value: line(&mut body).to_vec(),
    };
    let Ok(root) = Head::read(&[field], MediaType::new("text", "plain")) else {
        return;
    };
    if Scanner::new(&root, LIMITS).is_err() {
        return;
    }

    let whole = events(&root, &[body]);
    for at in 1..body.len() {
        let seen = events(&root, &[&body[..at], &body[at..]]);
        check_bytes(&seen, body);
        assert!(is_same(&whole, &seen), "cut at {at}: {whole:?} {seen:?}");
    }
}

fn events(root: &Head, chunks: &[&[u8]]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let Ok(mut scanner) = Scanner::new(root, LIMITS) else {
        return seen;
    };
    for chunk in chunks {
        note_all(scanner.scan(chunk), &mut seen);
        assert!(scanner.held_bytes() <= HELD_BYTES_MAX);
    }
    note_all(scanner.end(), &mut seen);
    seen
}

fn note_all(mut events: Events<'_>, seen: &mut Vec<Seen>) {
    while let Some(event) = events.next() {
        note(event, seen);
    }
}

fn note(event: Event<'_>, seen: &mut Vec<Seen>) {
    let next = match event {
        Event::Structure(bytes) => Seen::Structure(bytes.to_vec()),
        Event::Body(bytes) => Seen::Body(bytes.to_vec()),
        Event::Delimiter { line, eol } => Seen::Delimiter(line.to_vec(), eol),
        Event::Begin { part, parent } => Seen::Begin(part, parent),
        Event::Head(head) => Seen::Head(format!("{head:?}")),
        Event::End { part } => Seen::End(part),
        Event::Ambiguous(why) => Seen::Ambiguous(why),
    };
    match (seen.last_mut(), &next) {
        (Some(Seen::Structure(bytes)), Seen::Structure(more))
        | (Some(Seen::Body(bytes)), Seen::Body(more)) => bytes.extend_from_slice(more),
        _ => seen.push(next),
    }
}

/// Compares events; before an ambiguity, bytes need not have been given out equally far.
fn is_same(whole: &[Seen], cut: &[Seen]) -> bool {
    if !matches!(whole.last(), Some(Seen::Ambiguous(_))) {
        return whole == cut;
    }
    let is_mark = |seen: &&Seen| !matches!(seen, Seen::Structure(_) | Seen::Body(_));
    whole.iter().filter(is_mark).eq(cut.iter().filter(is_mark))
}

/// Checks that the bytes of the events are those that came in; before an ambiguity, the first of them.
fn check_bytes(seen: &[Seen], body: &[u8]) {
    let mut bytes = Vec::with_capacity(body.len());
    for seen in seen {
        if let Seen::Structure(run) | Seen::Body(run) | Seen::Delimiter(run, _) = seen {
            bytes.extend_from_slice(run);
        }
    }
    match seen.last() {
        Some(Seen::Ambiguous(_)) => assert!(body.starts_with(&bytes)),
        _ => assert_eq!(bytes, body),
    }
}

/// Checks that parts begin inside their parents in the order of their numbers, have one head, and
/// end in the reverse order of their beginnings.
fn check_nesting(seen: &[Seen]) {
    let mut open = vec![0];
    let mut next = 1;
    let mut headless = false;

    for (at, event) in seen.iter().enumerate() {
        match event {
            Seen::Begin(part, parent) => {
                assert!(!headless && *part == next && open.last() == Some(parent));
                (next, headless) = (next + 1, true);
                open.push(*part);
            }
            Seen::Head(_) => {
                assert!(headless);
                headless = false;
            }
            Seen::Body(_) | Seen::Delimiter(..) => assert!(!headless),
            Seen::End(part) => {
                assert!(!headless);
                assert_eq!(open.pop().as_ref(), Some(part));
            }
            Seen::Ambiguous(_) => return assert_eq!(at + 1, seen.len()),
            Seen::Structure(_) => {}
        }
    }

    assert!(open.is_empty());
}
