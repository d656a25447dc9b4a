//! A last check of a new body: it is read as readers will read it.

use mailsplice::mime::{Ambiguity, Event, Events, Scanner};

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
    found: FoundParts,
}

impl PartCounter {
    fn new(message: &Message) -> Result<Self, Ambiguity> {
        Ok(Self {
            scanner: Scanner::new(
                &message.reading().top().root,
                message.config().limits.structure(),
            )?,
            found: FoundParts {
                parts: 1,
                doubt: None,
            },
        })
    }

    fn read(&mut self, bytes: &[u8]) {
        self.found.count(self.scanner.scan(bytes));
    }

    fn finish(mut self, parts: usize) -> Result<(), Reason> {
        self.found.count(self.scanner.end());
        match self.found.doubt {
            // The one limit that a new part can pass; everything else is of our making.
            Some(why @ Ambiguity::Parts) => Err(Reason::Ambiguous(why)),
            None if self.found.parts == parts => Ok(()),
            _ => Err(Reason::Reread),
        }
    }
}

/// The parts of a body that were found.
struct FoundParts {
    parts: usize,
    doubt: Option<Ambiguity>,
}

impl FoundParts {
    fn count(&mut self, mut events: Events<'_>) {
        while let Some(event) = events.next() {
            match event {
                Event::Begin { .. } => self.parts += 1,
                Event::Ambiguous(why) => self.doubt = Some(why),
                _ => {}
            }
        }
    }
}
