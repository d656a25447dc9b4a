//! Saved mail: finds messages in files, and reads the envelope from their headers.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use mailsplice::mime::Field;

/// Maximum number of recipients taken from a header.
const RECIPIENTS_MAX: usize = 1000;

/// Maximum number of bytes of a line read at a time.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Returns all files below a path, in order, without those that IMAP servers and mail programs keep
/// beside mail. Directories that cannot be read count as empty.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![path.to_owned()];

    while let Some(path) = todo.pop() {
        // A symbolic link inside a directory could lead in a circle.
        let Ok(kind) = fs::symlink_metadata(&path) else {
            continue;
        };
        if kind.is_dir() || (found.is_empty() && path.is_dir()) {
            let mut inside: Vec<PathBuf> = fs::read_dir(&path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| !is_beside(path))
                .collect();
            inside.sort_unstable_by(|left, right| right.cmp(left));
            todo.append(&mut inside);
        } else if path.is_file() {
            found.push(path);
        }
    }

    found
}

/// Returns true for indexes, control files, and mail that is being delivered.
fn is_beside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_control = |name: &str| {
        let starts = ["dovecot", "maildir", "courier", "subscriptions", "cyrus."];
        starts.iter().any(|start| name.starts_with(start))
    };
    name == "tmp" && path.is_dir() || is_control(&name) || name.ends_with(".msf")
}

/// Returns the byte ranges of a file's messages: the whole file, or those of an mbox.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn messages(path: &Path) -> io::Result<Vec<Range<u64>>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut input = BufReader::new(file);
    if !input.fill_buf()?.starts_with(b"From ") {
        return Ok(std::iter::once(0..len).collect());
    }

    let mut starts: Vec<(u64, u64)> = Vec::new();
    // `begins` holds at the start of a line, since longer ones come in pieces; `blank` holds after an
    // empty line.
    let (mut at, mut blank, mut begins) = (0, true, true);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        if begins && blank && line.starts_with(b"From ") {
            starts.push((at, at + read));
        }
        at += read;
        blank = begins && matches!(line.as_slice(), b"\n" | b"\r\n");
        begins = line.ends_with(b"\n");
    }

    let ends = starts.iter().skip(1).map(|(from, _)| *from).chain([at]);
    let range = |((_, start), end): (&(u64, u64), u64)| *start..end.max(*start);
    Ok(starts.iter().zip(ends).map(range).collect())
}

/// Returns the sender of a message: `Return-Path`, else `From`.
pub(super) fn sender(fields: &[Field]) -> String {
    let of = |name| addresses(fields, name).next();
    let is_null =
        |field: &&Field| is_named(field, "Return-Path") && field.value.trim_ascii() == b"<>";
    if fields.iter().find(is_null).is_some() {
        return String::new();
    }
    of("Return-Path").or_else(|| of("From")).unwrap_or_default()
}

/// Returns the recipients of a message: `Delivered-To`, `X-Original-To`, else `To` and `Cc`.
pub(super) fn recipients(fields: &[Field]) -> Vec<String> {
    let all = |names: &[&'static str]| -> Vec<String> {
        let each = names.iter().flat_map(|name| addresses(fields, name));
        each.take(RECIPIENTS_MAX).collect()
    };
    let delivered = all(&["Delivered-To"]).into_iter().take(1).collect();
    let ways = [delivered, all(&["X-Original-To"]), all(&["To", "Cc"])];
    let known = ways.into_iter().find(|way| !way.is_empty());
    known.unwrap_or_default()
}

fn is_named(field: &Field, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name.as_bytes())
}

fn addresses<'a>(fields: &'a [Field], name: &'static str) -> impl Iterator<Item = String> + 'a {
    fields
        .iter()
        .filter(move |field| is_named(field, name))
        .flat_map(|field| mailboxes(&String::from_utf8_lossy(&field.value)))
}

/// Returns the addresses of a list: each word that looks like one, outside quotes and comments.
fn mailboxes(value: &str) -> Vec<String> {
    let mut plain = String::new();
    let (mut quoted, mut depth) = (false, 0_u32);
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }

    let is_end = |c: char| c.is_whitespace() || "<>,;:".contains(c);
    let is_address = |word: &&str| {
        let halves = word.split_once('@');
        halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
    };

    plain
        .split(is_end)
        .filter(is_address)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
        let field = |(name, value): &(&str, &str)| Field {
            name: (*name).into(),
            value: (*value).into(),
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn addresses_are_found_among_names_and_comments() {
        assert_eq!(
            mailboxes(" \"Zoe, <x@y>\" <zoe@example.org>, b@x.org (c@d), team: e@f;"),
            ["zoe@example.org", "b@x.org", "e@f"]
        );
        assert_eq!(mailboxes("undisclosed-recipients:;"), Vec::<String>::new());
    }

    #[test]
    fn the_envelope_is_read_where_delivery_left_it() {
        let delivered = fields(&[
            ("Return-Path", " <s@x>"),
            ("Delivered-To", " r@x"),
            ("From", " f@x"),
            ("To", " a@x, b@x"),
        ]);
        assert_eq!(sender(&delivered), "s@x");
        assert_eq!(recipients(&delivered), ["r@x"]);
        let written = fields(&[("From", " F <f@x>"), ("To", " a@x"), ("Cc", " b@x")]);
        assert_eq!(sender(&written), "f@x");
        assert_eq!(recipients(&written), ["a@x", "b@x"]);
        assert_eq!(
            sender(&fields(&[("Return-Path", " <>"), ("From", " m@x")])),
            ""
        );
    }

    #[test]
    fn an_mbox_is_cut_at_its_from_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "From a Mon\nA: 1\n\nbody\nFrom here on\n\nFrom b Tue\nB: 2\n\nend\n";
        fs::write(file.path(), text).unwrap();
        let messages: Vec<&str> = messages(file.path())
            .unwrap()
            .into_iter()
            .map(|range| &text[range.start as usize..range.end as usize])
            .collect();
        assert_eq!(
            messages,
            ["A: 1\n\nbody\nFrom here on\n\n", "B: 2\n\nend\n"]
        );
    }

    #[test]
    fn a_file_that_is_no_mbox_is_one_message() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "A: 1\n\nFrom x\n").unwrap();
        let messages = messages(file.path()).unwrap();
        assert_eq!((messages.len(), &messages[0]), (1, &(0..13)));
    }

    #[test]
    fn a_maildir_is_walked_without_what_stands_beside_mail() {
        let home = tempfile::tempdir().unwrap();
        for name in [
            "cur/1:2,S",
            "new/2",
            "tmp/3",
            ".Sent/cur/4",
            "dovecot.index",
            "subscriptions",
        ] {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let names: Vec<String> = files(home.path())
            .iter()
            .map(|path| {
                path.strip_prefix(home.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(names, [".Sent/cur/4", "cur/1:2,S", "new/2"]);
    }
}
