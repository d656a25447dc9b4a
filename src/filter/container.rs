//! A look into a container (TNEF) while it is counted: whether its files can be put beside it. Pure.

use mailsplice::mime::{
    Tnef,
    tnef::{Event, Malformed},
};

/// The most files of a container that are put beside it. Each costs the disk more than its bytes do.
pub(super) const OPENED_MAX: u8 = 100;

/// A container that is counted.
#[derive(Debug, Default)]
pub(super) struct Container {
    /// The reader.
    tnef: Tnef,
    events: Vec<Event>,
    files: u8,
    /// True once it is known that it cannot be opened.
    is_closed: bool,
}

impl Container {
    /// Takes decoded bytes.
    pub(super) fn push(&mut self, decoded: &[u8]) {
        if !self.is_closed {
            let read = self.tnef.push(decoded, &mut self.events);
            self.count(read);
        }
    }

    /// Ends it: returns the number of its files, 0 if they cannot be put beside it.
    pub(super) fn finish(&mut self) -> u8 {
        if !self.tnef.is_note() {
            return 0;
        }
        let read = std::mem::take(&mut self.tnef).finish(&mut self.events);
        self.count(read);
        if self.is_closed { 0 } else { self.files }
    }

    fn count(&mut self, read: Result<(), Malformed>) {
        for event in self.events.drain(..) {
            match event {
                Event::End(_) => self.files = self.files.saturating_add(1),
                Event::Other => self.is_closed = true,
                Event::Begin | Event::Data(_) => {}
            }
        }
        self.is_closed |= read.is_err() || self.files > OPENED_MAX;
    }
}
