//! Packets of the milter protocol, as they pass by.
//!
//! Each is four bytes of length (big-endian), one byte for its kind, and the rest of its length.

/// Finds packets in a stream of bytes. Keeps five bytes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 5],
    /// The number of bytes of the head that are there.
    have: usize,
    /// The number of bytes of the packet that are still to come, once its head is there.
    left: usize,
}

/// A piece of the stream that passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// A packet begins: its kind, and the number of bytes that follow; `None` for a length of zero,
    /// in which there is no room for a kind.
    Begin(u8, Option<usize>),
    /// Bytes of it.
    Bytes(&'a [u8]),
    /// It ends.
    End(u8),
}

impl Frames {
    /// Takes the next piece off the bytes; `None` when there is nothing more in them.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Seen<'a>> {
        while self.have < self.head.len() {
            self.head[self.have] = *bytes.split_off_first()?;
            self.have += 1;
            if self.have == self.head.len() {
                return Some(self.begin());
            }
        }
        if self.left == 0 {
            self.have = 0;
            return Some(Seen::End(self.kind()));
        }
        let taken = bytes.split_off(..bytes.len().min(self.left))?;
        self.left -= taken.len();
        (!taken.is_empty()).then_some(Seen::Bytes(taken))
    }

    /// Returns true if a packet has begun and has not ended.
    pub(super) fn is_within(&self) -> bool {
        self.have > 0
    }

    fn begin(&mut self) -> Seen<'static> {
        let [a, b, c, d, kind] = self.head;
        let length = u32::from_be_bytes([a, b, c, d]).checked_sub(1);
        self.left = length.unwrap_or_default() as usize;
        Seen::Begin(kind, length.map(|length| length as usize))
    }

    /// The kind of the packet that has begun.
    pub(super) fn kind(&self) -> u8 {
        self.head[4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen in pieces of so many bytes: what begins, its bytes together, what ends.
    fn seen(bytes: &[u8], piece: usize) -> String {
        let (mut frames, mut seen) = (Frames::default(), String::new());
        for mut piece in bytes.chunks(piece) {
            while let Some(next) = frames.next(&mut piece) {
                match next {
                    Seen::Begin(kind, length) => {
                        seen += &format!("{}{length:?}:", char::from(kind));
                    }
                    Seen::Bytes(bytes) => seen += str::from_utf8(bytes).unwrap(),
                    Seen::End(kind) => seen += &format!("{}.", char::from(kind)),
                }
            }
        }
        seen + if frames.is_within() { "…" } else { "" }
    }

    #[test]
    fn packets_are_found_however_their_bytes_come() {
        let bytes = b"\0\0\0\x04Babc\0\0\0\x01E\0\0\0\0A\0\0\0\x03Bx";
        for piece in 1..=bytes.len() {
            assert_eq!(
                seen(bytes, piece),
                "BSome(3):abcB.ESome(0):E.ANone:A.BSome(2):x…"
            );
        }
        assert_eq!(seen(b"\0\0", 2), "…");
        assert_eq!(seen(b"", 1), "");
    }

    #[test]
    fn the_longest_length_is_no_more_than_a_number() {
        assert_eq!(seen(b"\xff\xff\xff\xffB", 5), "BSome(4294967294):…");
    }
}
