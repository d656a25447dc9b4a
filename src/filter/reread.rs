//! A last check of a new body: it is read as readers will read it.

use mailsplice::mime::{Ambiguity, Event, Scanner};

use super::{
    FilterError, Message, Reason,
    rewritten::{PIECE_BYTES_MAX, Piece},
};

/// Reads the new body as readers will: it must have the parts that were kept and those that were
/// added, no more and no less. A file's name stands in the notice, and the sender who chose it may
/// have put a delimiter into it.
pub(super) async fn reread(
    message: &Message,
    pieces: &[Piece],
    added: usize,
) -> Result<Result<(), Reason>, FilterError> {
    let mut reader = match PartCounter::new(message) {
        Ok(reader) => reader,
        Err(why) => return Ok(Err(Reason::Ambiguous(why))),
    };

    for piece in pieces {
        let mut at = match piece {
            Piece::Insert(bytes) => {
                reader.read(bytes);
                continue;
            }
            Piece::Keep(range) => range.clone(),
        };
        while !at.is_empty() {
            let end = at.end.min(at.start + PIECE_BYTES_MAX);
            reader.read(&message.reading().spool().read(at.start..end).await?);
            at.start = end;
        }
    }
    Ok(reader.finish(message.reading().parts().kept() + added))
}

/// Counts the parts of a body.
struct PartCounter {
    scanner: Scanner,
    parts: usize,
    doubt: Option<Ambiguity>,
}

impl PartCounter {
    fn new(message: &Message) -> Result<Self, Ambiguity> {
        Ok(Self {
            scanner: Scanner::new(
                &message.reading().top().root,
                message.config().limits.structure(),
            )?,
            parts: 1,
            doubt: None,
        })
    }

    fn read(&mut self, bytes: &[u8]) {
        while let Some(event) = self.scanner.next(bytes) {
            match event {
                Event::Begin { .. } => self.parts += 1,
                Event::Ambiguous(why) => self.doubt = Some(why),
                _ => {}
            }
        }
    }

    fn finish(mut self, parts: usize) -> Result<(), Reason> {
        self.scanner.end();
        self.read(b"");
        match self.doubt {
            // The one limit that a new part can pass; everything else is of our making.
            Some(why @ Ambiguity::Parts) => Err(Reason::Ambiguous(why)),
            None if self.parts == parts => Ok(()),
            _ => Err(Reason::Reread),
        }
    }
}
