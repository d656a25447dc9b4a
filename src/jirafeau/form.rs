//! The bodies of requests: `multipart/form-data` (RFC 7578), with its length, which PHP wants to know.

use aws_lc_rs::rand;
use bytes::Bytes;
use data_encoding::HEXLOWER;

/// Number of random bytes in a boundary: no contents have them.
const BOUNDARY_BYTES: usize = 24;

/// A form being filled in.
pub(super) struct MultipartForm {
    boundary: String,
    head: Vec<u8>,
    contents: Bytes,
    tail: Vec<u8>,
}

impl MultipartForm {
    pub(super) fn new() -> Self {
        let mut random = [0; BOUNDARY_BYTES];
        rand::fill(&mut random).expect("the system gives random bytes");
        let boundary = HEXLOWER.encode(&random);
        let tail = format!("--{boundary}--\r\n").into_bytes();
        Self {
            boundary,
            head: Vec::new(),
            contents: Bytes::new(),
            tail,
        }
    }

    /// Adds a field.
    pub(super) fn field(mut self, name: &str, value: &str) -> Self {
        let boundary = &self.boundary;
        let part = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        self.head.extend_from_slice(part.as_bytes());
        self
    }

    /// Adds the file, which is the last part. Neither its name nor its media type may have quotes or control
    /// characters.
    pub(super) fn file(
        mut self,
        name: &str,
        (file_name, media_type): (&str, &str),
        contents: Bytes,
    ) -> Self {
        let boundary = &self.boundary;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: {media_type}\r\n\r\n"
        );
        self.head.extend_from_slice(head.as_bytes());
        self.contents = contents;
        self.tail.splice(..0, *b"\r\n");
        self
    }

    /// Returns the value of `Content-Type`.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns the length of the body in bytes.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.contents.len() + self.tail.len()
    }

    /// Returns the body, in pieces of at most `piece_bytes_max` bytes. The contents are not copied.
    pub(super) fn pieces(self, piece_bytes_max: usize) -> impl Iterator<Item = Bytes> {
        let parts = [self.head.into(), self.contents, self.tail.into()];
        parts.into_iter().flat_map(move |mut part: Bytes| {
            std::iter::from_fn(move || {
                let piece = part.split_to(part.len().min(piece_bytes_max));
                (!piece.is_empty()).then_some(piece)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_long_as_it_says_and_has_its_parts_in_order() {
        let form = MultipartForm::new().field("time", "month").file(
            "file",
            ("été.pdf", "application/pdf"),
            Bytes::from_static(b"12345"),
        );
        let (boundary, length) = (form.boundary.clone(), form.length());
        let pieces: Vec<_> = form.pieces(3).collect();
        assert!(pieces.iter().all(|piece| (1..=3).contains(&piece.len())));
        let body = pieces.concat();
        assert_eq!(body.len(), length);
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"time\"\r\n\r\nmonth\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"été.pdf\"\r\n\
             Content-Type: application/pdf\r\n\r\n12345\r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
