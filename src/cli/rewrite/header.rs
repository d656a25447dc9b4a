//! The header block of a message file: keeps every byte, and makes edits with the file's line endings.

use std::io::{self, BufRead, Write};

use mailsplice::{mime::Field, rewrite::Eol};

use crate::envelope::HeaderEdit;

/// Maximum size of a header block, in bytes; a longer one is not read.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// The header block of a message, as raw lines.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct HeaderBlock {
    fields: Vec<RawField>,
    /// The line that ends the header, verbatim.
    end: Vec<u8>,
}

/// A field with all its bytes, including line endings.
#[derive(Debug, PartialEq, Eq)]
struct RawField {
    raw: Vec<u8>,
    /// The index of the colon.
    colon: usize,
}

impl HeaderBlock {
    /// Reads a header block and its blank line. Returns `None` if there is none that all readers
    /// would see in the same way: a line without a colon, no blank line, or too many bytes.
    ///
    /// # Errors
    /// Fails if the input cannot be read.
    pub(in crate::cli) fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut block = Self {
            fields: Vec::new(),
            end: Vec::new(),
        };
        let mut bytes = 0;

        loop {
            let mut line = Vec::new();
            let rest = (HEADER_BYTES_MAX - bytes) as u64;
            bytes += io::Read::take(&mut *input, rest).read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                return Ok(None);
            }
            if line == b"\n" || line == b"\r\n" {
                block.end = line;
                return Ok(Some(block));
            }
            if !block.take(line) {
                return Ok(None);
            }
        }
    }

    /// Returns its size in bytes, including the line that ends it.
    pub(in crate::cli) fn len(&self) -> u64 {
        let fields = self.fields.iter().map(|field| field.raw.len());
        (fields.sum::<usize>() + self.end.len()) as u64
    }

    /// Returns its kind of line ending; CRLF if it has both, since an edit must not add a bare LF.
    pub(in crate::cli) fn eol(&self) -> Eol {
        let has_crlf = |field: &RawField| field.raw.windows(2).any(|pair| pair == b"\r\n");
        if self.end.starts_with(b"\r\n") || self.fields.iter().any(has_crlf) {
            Eol::CrLf
        } else {
            Eol::Lf
        }
    }

    /// Returns the fields for the filter.
    pub(in crate::cli) fn fields(&self) -> Vec<Field> {
        let field = |field: &RawField| Field {
            name: field.name().to_vec(),
            value: without_line_end(&field.raw[field.colon + 1..]).to_vec(),
        };
        self.fields.iter().map(field).collect()
    }

    /// Applies the edits in order; added text gets these line endings.
    pub(super) fn edit(&mut self, edits: &[HeaderEdit], eol: Eol) {
        let eol = eol.as_bytes();
        for edit in edits {
            match edit {
                HeaderEdit::Replace { name, value } => self.replace(name, value, eol),
                HeaderEdit::Remove { name } => self.fields.retain(|field| !field.is(name)),
                HeaderEdit::Append { name, value } => {
                    self.append(name, with_line_ends(value.as_bytes(), eol));
                }
                HeaderEdit::Change { name, index, value } => {
                    self.change(name, *index, value.as_deref(), eol);
                }
            }
        }
    }

    /// Writes the block, including the line that ends it.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for field in &self.fields {
            out.write_all(&field.raw)?;
        }
        out.write_all(&self.end)
    }

    /// Adds a line; returns false if it is not a line of a header.
    fn take(&mut self, line: Vec<u8>) -> bool {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return self
                .fields
                .last_mut()
                .map(|field| field.raw.extend(&line))
                .is_some();
        }
        RawField::parse(line)
            .map(|field| self.fields.push(field))
            .is_some()
    }

    /// Replaces the field; like Postfix, adds it if there is none of this name.
    fn replace(&mut self, name: &str, value: &str, eol: &[u8]) {
        match self.fields.iter_mut().find(|field| field.is(name)) {
            Some(field) => {
                field.raw.truncate(field.colon + 1);
                field.raw.extend(with_line_ends(value.as_bytes(), eol));
            }
            None => self.append(name, with_line_ends(value.as_bytes(), eol)),
        }
    }

    fn change(&mut self, name: &str, index: u32, value: Option<&[u8]>, eol: &[u8]) {
        let named = (0..self.fields.len()).filter(|&at| self.fields[at].is(name));
        let Some(at) = (1..).zip(named).find(|(count, _)| *count == index) else {
            return;
        };
        match value {
            None => drop(self.fields.remove(at.1)),
            Some(value) => {
                let field = &mut self.fields[at.1];
                field.raw.truncate(field.colon + 1);
                field.raw.extend(with_line_ends(value, eol));
            }
        }
    }

    fn append(&mut self, name: &str, value: Vec<u8>) {
        let mut raw = format!("{name}:").into_bytes();
        raw.extend(value);
        self.fields.push(RawField {
            raw,
            colon: name.len(),
        });
    }
}

impl RawField {
    fn parse(raw: Vec<u8>) -> Option<Self> {
        let colon = memchr::memchr(b':', &raw)?;
        // Blanks before the colon (RFC 5322, section 4.5) end the header for some readers.
        let printable = raw[..colon].iter().all(u8::is_ascii_graphic);
        (printable && colon > 0).then_some(Self { raw, colon })
    }

    fn name(&self) -> &[u8] {
        &self.raw[..self.colon]
    }

    fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }
}

fn without_line_end(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// Returns a value as milters give it (folded with bare LF), with the line endings of the file.
fn with_line_ends(value: &[u8], eol: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(value.len() + eol.len());
    for line in value.split(|&byte| byte == b'\n') {
        raw.extend(line.strip_suffix(b"\r").unwrap_or(line));
        raw.extend(eol);
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut text: &[u8]) -> Option<HeaderBlock> {
        HeaderBlock::read(&mut text).unwrap()
    }

    fn written(block: &HeaderBlock) -> String {
        let mut out = Vec::new();
        block.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_is_kept_and_the_body_is_left() {
        let header = "Subject: x\n\ty\nTo:\nX-8: \u{e9}\n\n";
        let text = format!("{header}body");
        let mut input = text.as_bytes();
        let block = HeaderBlock::read(&mut input).unwrap().unwrap();
        assert_eq!(written(&block), header);
        assert_eq!(input, b"body");
    }

    #[test]
    fn fields_have_their_folds_but_no_line_end() {
        let block = read(b"Subject: x\r\n\ty\r\nTo:\r\n\r\n").unwrap();
        let fields = block.fields();
        assert_eq!(fields[0].name, b"Subject");
        assert_eq!(fields[0].value, b" x\r\n\ty");
        assert_eq!(fields[1].value, b"");
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        for text in [
            &b""[..],
            b"Subject: no blank line\n",
            b"Subject: cut",
            b"no colon\n\n",
            b" continuation of nothing\n\n",
            b": no name\n\n",
            b"two words: x\n\n",
            b"blank before the colon : x\n\n",
            b"Subject : x\n\n",
            b"From a@b Mon\nSubject: x\n\n",
        ] {
            assert_eq!(read(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_message_without_fields_has_an_empty_block() {
        assert_eq!(read(b"\nbody").unwrap().fields(), []);
    }

    #[test]
    fn the_header_is_bounded() {
        let text = |length: usize| {
            let mut text = b"A:".to_vec();
            text.resize(length - 2, b'x');
            text.extend(b"\n\n");
            text
        };
        assert!(read(&text(HEADER_BYTES_MAX)).is_some());
        assert_eq!(read(&text(HEADER_BYTES_MAX + 1)), None);
    }

    #[test]
    fn edits_touch_their_fields_only_and_have_the_files_line_ends() {
        for (eol, other) in [("\n", "\r\n"), ("\r\n", "\n")] {
            let text = "A: 1\nCONTENT-type: x;\n y\nB: 2\nMIME-Version: 1.0\n\n".replace('\n', eol);
            let mut block = read(text.as_bytes()).unwrap();
            let edits = [
                HeaderEdit::Replace {
                    name: "Content-Type".into(),
                    value: " p;\n\tq".into(),
                },
                HeaderEdit::Remove {
                    name: "mime-version".into(),
                },
                HeaderEdit::Append {
                    name: "X-New".into(),
                    value: " v".into(),
                },
                HeaderEdit::Replace {
                    name: "Missing".into(),
                    value: " m".into(),
                },
            ];
            block.edit(&edits, block.eol());
            let expected = "A: 1\nCONTENT-type: p;\n\tq\nB: 2\nX-New: v\nMissing: m\n\n";
            assert_eq!(
                written(&block),
                expected.replace('\n', eol),
                "not {other:?}"
            );
        }
    }
}
