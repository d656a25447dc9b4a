//! The files in TNEF, Outlook's `winmail.dat`, in a stream ([MS-OXTNEF]).
//!
//! A TNEF stream is a signature, a key, and attributes of the message and then of its attachments.
//! An attribute is a level, a tag, a length, a value and the sum of its bytes. What a file is called
//! may stand before or behind its bytes, so it is told with its end.
//!
//! Own code: the crates that read TNEF want it whole in memory. Nothing is kept here but short values.
//!
//! Embedded messages, OLE objects and files in MacBinary are passed over: nothing but Outlook opens
//! them.
//!
//! [MS-OXTNEF]: https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxtnef

mod properties;
mod text;

use std::ops::Range;

use encoding_rs::Encoding;

use self::properties::{Item, Properties, Property};

/// The longest value that is kept, in bytes: names, media types, and what is shorter. A longer one is
/// an error.
const KEPT_BYTES_MAX: usize = 2048;

/// The classes of plain messages: the usual one, and as TNEF writes it.
const NOTES: [&str; 2] = ["IPM.Note", "IPM.Microsoft Mail.Note"];

const SIGNATURE: [u8; 4] = 0x223e_9f78_u32.to_le_bytes();

/// A stream that is cut, whose sums are wrong, or that is not TNEF at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed TNEF")]
pub struct Malformed;

/// A step in the files of a stream. Files do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file begins.
    Begin,
    /// The next bytes of the file: a range of the chunk.
    Data(Range<usize>),
    /// The file is complete.
    End(File),
    /// An attachment is no file: an embedded message, an OLE object, a file in MacBinary, or nothing at all.
    Other,
}

/// The file as its stream describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The name as the sender's program wrote it, not made safe.
    pub name: Option<String>,
    /// The media type as it is written, in lower case.
    pub media_type: Option<String>,
    /// Length in bytes.
    pub size: u64,
}

/// Reads one stream, chunk by chunk.
#[derive(Debug)]
pub struct Tnef {
    state: State,
    /// Sum of the bytes of the value that is read.
    sum: u16,
    /// The charset of names that are not Unicode.
    encoding: &'static Encoding,
    /// True if it is a note, false if it is another kind of message; `None` while nothing says so.
    is_note: Option<bool>,
    attachment: Option<Attachment>,
}

/// The element that is read next.
#[derive(Debug)]
enum State {
    /// The signature and the key.
    Signature(Held<6>),
    /// Level, tag and length of an attribute.
    Header(Held<9>),
    Value {
        value: Value,
        left: u32,
    },
    Sum(Held<2>),
}

/// The use made of an attribute's value.
#[derive(Debug)]
enum Value {
    Skipped,
    Kept(Kept, Vec<u8>),
    File,
    Properties(Properties),
}

/// A short value.
#[derive(Clone, Copy, Debug)]
enum Kept {
    CodePage,
    Class,
    Rendering,
    Title,
}

/// The attachment that is read.
#[derive(Debug, Default)]
struct Attachment {
    /// False for OLE objects and MacBinary.
    is_file: bool,
    has_begun: bool,
    size: u64,
    title: Option<String>,
    long_name: Option<String>,
    short_name: Option<String>,
    display_name: Option<String>,
    media_type: Option<String>,
}

/// The bytes of a field of `N` bytes, as far as they have come.
#[derive(Debug)]
struct Held<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Held<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Held<N> {
    /// Takes what is missing from the front of `rest`; returns the field when it is complete.
    fn fill(&mut self, rest: &mut &[u8]) -> Option<[u8; N]> {
        let taken = take(rest, N - self.len);
        self.bytes[self.len..self.len + taken.len()].copy_from_slice(taken);
        self.len += taken.len();
        (self.len == N).then_some(self.bytes)
    }
}

/// Takes up to `len` bytes from the front of `rest`.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, tail) = rest.split_at(len.min(rest.len()));
    *rest = tail;
    taken
}

/// Takes up to `left` bytes from the front of `rest`, and counts them down.
fn take_counted<'a>(rest: &mut &'a [u8], left: &mut u32) -> &'a [u8] {
    let taken = take(rest, usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= u32::try_from(taken.len()).unwrap_or(*left);
    taken
}

impl Default for Tnef {
    fn default() -> Self {
        Self {
            state: State::Signature(Held::default()),
            sum: 0,
            encoding: encoding_rs::WINDOWS_1252,
            is_note: None,
            attachment: None,
        }
    }
}

impl Tnef {
    /// Reads a chunk; appends what it holds to `events`.
    ///
    /// # Errors
    /// The stream is malformed. The reader must not be used any further.
    pub fn push(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut rest = chunk;
        while !rest.is_empty() {
            self.step(chunk.len(), &mut rest, events)?;
        }
        Ok(())
    }

    /// Returns true if what came so far says that it is of a plain message: of no meeting request, task,
    /// report, or signed or encrypted message.
    pub fn is_note(&self) -> bool {
        self.is_note == Some(true)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// The stream is cut.
    pub fn finish(mut self, events: &mut Vec<Event>) -> Result<(), Malformed> {
        match &self.state {
            State::Header(held) if held.len == 0 => self.end_attachment(events),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn step(
        &mut self,
        chunk_len: usize,
        rest: &mut &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), Malformed> {
        match &mut self.state {
            State::Signature(held) => {
                let Some(field) = held.fill(rest) else {
                    return Ok(());
                };
                if !field.starts_with(&SIGNATURE) {
                    return Err(Malformed);
                }
                self.state = State::Header(Held::default());
            }
            State::Header(held) => {
                if let Some(field) = held.fill(rest) {
                    self.begin_value(field, events)?;
                }
            }
            State::Value { value, left } => {
                let taken = take_counted(rest, left);
                self.sum = taken
                    .iter()
                    .fold(self.sum, |sum, &byte| sum.wrapping_add(u16::from(byte)));
                let is_last = *left == 0;
                let start = chunk_len - rest.len() - taken.len();
                let at = self.attachment.as_mut();
                value.push(taken, start, at, self.encoding, events)?;
                if is_last {
                    self.end_value()?;
                }
            }
            State::Sum(held) => {
                if let Some(field) = held.fill(rest) {
                    if u16::from_le_bytes(field) != self.sum {
                        return Err(Malformed);
                    }
                    self.state = State::Header(Held::default());
                }
            }
        }
        Ok(())
    }

    /// Reads an attribute's header, and decides what becomes of its value.
    fn begin_value(&mut self, header: [u8; 9], events: &mut Vec<Event>) -> Result<(), Malformed> {
        let [level, id_low, id_high, _, _, length @ ..] = header;
        let length = u32::from_le_bytes(length);
        let id = u16::from_le_bytes([id_low, id_high]);

        let value = match (level, id) {
            (1, 0x9007) => Value::kept(Kept::CodePage),
            (1, 0x8008) => Value::kept(Kept::Class),
            (1, _) => Value::Skipped,
            (2, 0x9002) => {
                self.end_attachment(events);
                self.attachment = Some(Attachment::default());
                Value::kept(Kept::Rendering)
            }
            (2, _) => {
                // attAttachRenddata comes first of an attachment's (section 2.1.3.3).
                let attachment = self.attachment.as_mut().ok_or(Malformed)?;
                match id {
                    0x8010 => Value::kept(Kept::Title),
                    0x800f if attachment.is_file => {
                        attachment.begin(events)?;
                        Value::File
                    }
                    0x9005 => Value::Properties(Properties::default()),
                    _ => Value::Skipped,
                }
            }
            _ => return Err(Malformed),
        };

        self.sum = 0;
        self.state = State::Value {
            value,
            left: length,
        };
        if length == 0 {
            self.end_value()
        } else {
            Ok(())
        }
    }

    /// Makes use of a value that is complete.
    fn end_value(&mut self) -> Result<(), Malformed> {
        let next = State::Sum(Held::default());
        let State::Value { value, .. } = std::mem::replace(&mut self.state, next) else {
            return Ok(());
        };
        match value {
            Value::Skipped | Value::File => Ok(()),
            Value::Properties(properties) => properties.finish(),
            Value::Kept(kept, bytes) => self.use_kept(kept, &bytes),
        }
    }

    fn use_kept(&mut self, kept: Kept, bytes: &[u8]) -> Result<(), Malformed> {
        match (kept, self.attachment.as_mut()) {
            (Kept::CodePage, _) => {
                let page = bytes.first_chunk().ok_or(Malformed)?;
                self.encoding = text::encoding(u32::from_le_bytes(*page));
            }
            (Kept::Class, _) => {
                let class = text::narrow(bytes, self.encoding).unwrap_or_default();
                let is = |note: &&str| class.eq_ignore_ascii_case(note);
                // Readers may take the one class or the other.
                self.is_note = Some(self.is_note.is_none() && NOTES.iter().any(is));
            }
            (Kept::Rendering, Some(attachment)) => {
                // AttachType, AttachPosition, RenderWidth, RenderHeight, DataFlags
                let [low, high, _, _, _, _, _, _, _, _, flags, ..] =
                    bytes.first_chunk::<14>().ok_or(Malformed)?;
                let is_ole = u16::from_le_bytes([*low, *high]) == 2;
                let is_mac_binary = flags & 1 != 0;
                attachment.is_file = !is_ole && !is_mac_binary;
            }
            (Kept::Title, Some(attachment)) => {
                attachment.title = text::narrow(bytes, self.encoding);
            }
            (_, None) => return Err(Malformed),
        }
        Ok(())
    }

    fn end_attachment(&mut self, events: &mut Vec<Event>) {
        let Some(attachment) = self.attachment.take() else {
            return;
        };
        events.push(if attachment.has_begun {
            Event::End(attachment.into())
        } else {
            Event::Other
        });
    }
}

impl Value {
    fn kept(kept: Kept) -> Self {
        Self::Kept(kept, Vec::new())
    }

    /// Reads the next bytes of a value, which stand in the chunk at `start`.
    fn push(
        &mut self,
        bytes: &[u8],
        start: usize,
        attachment: Option<&mut Attachment>,
        encoding: &'static Encoding,
        events: &mut Vec<Event>,
    ) -> Result<(), Malformed> {
        match (self, attachment) {
            (Self::Skipped, _) => Ok(()),
            (Self::Kept(_, kept), _) => keep(kept, bytes),
            (Self::File, Some(attachment)) => {
                attachment.data(start..start + bytes.len(), events);
                Ok(())
            }
            (Self::Properties(properties), Some(attachment)) => {
                let mut rest = bytes;
                while let Some(item) = properties.step(&mut rest)? {
                    let end = start + bytes.len() - rest.len();
                    attachment.item(item, end, encoding, events)?;
                }
                Ok(())
            }
            (_, None) => Err(Malformed),
        }
    }
}

/// Appends bytes to a value that is kept.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Malformed> {
    if kept.len() + bytes.len() > KEPT_BYTES_MAX {
        return Err(Malformed);
    }
    kept.extend_from_slice(bytes);
    Ok(())
}

impl Attachment {
    /// Begins the file. Two bodies of one attachment are an error: nobody knows which one is meant.
    fn begin(&mut self, events: &mut Vec<Event>) -> Result<(), Malformed> {
        if self.has_begun {
            return Err(Malformed);
        }
        self.has_begun = true;
        events.push(Event::Begin);
        Ok(())
    }

    fn data(&mut self, range: Range<usize>, events: &mut Vec<Event>) {
        if !range.is_empty() {
            self.size += range.len() as u64;
            events.push(Event::Data(range));
        }
    }

    /// Takes over what the properties hold; `end` is where the bytes read end in the chunk.
    fn item(
        &mut self,
        item: Item,
        end: usize,
        encoding: &'static Encoding,
        events: &mut Vec<Event>,
    ) -> Result<(), Malformed> {
        match item {
            Item::Begin if self.is_file => self.begin(events)?,
            Item::Data(len) if self.is_file => self.data(end - len..end, events),
            Item::Begin | Item::Data(_) => {}
            Item::Text {
                property,
                is_wide,
                bytes,
            } => {
                let text = if is_wide {
                    text::wide(&bytes)
                } else {
                    text::narrow(&bytes, encoding)
                };
                let place = match property {
                    Property::LongName => &mut self.long_name,
                    Property::ShortName => &mut self.short_name,
                    Property::DisplayName => &mut self.display_name,
                    Property::MediaType => &mut self.media_type,
                };
                *place = text;
            }
        }
        Ok(())
    }
}

impl From<Attachment> for File {
    fn from(attachment: Attachment) -> Self {
        let names = [
            attachment.long_name,
            attachment.title,
            attachment.short_name,
            attachment.display_name,
        ];
        Self {
            name: names.into_iter().flatten().next(),
            media_type: attachment
                .media_type
                .map(|media_type| media_type.to_ascii_lowercase()),
            size: attachment.size,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer;
