//! The properties of an attachment that have no attribute of their own, in attAttachment ([MS-OXTNEF],
//! section 2.1.3.4): a count, then for each a type, a number, and a value padded to 4 bytes.
//!
//! [MS-OXTNEF]: https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxtnef

use super::{Held, Malformed, keep, take, take_counted};

/// A property that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    /// PidTagAttachLongFilename
    LongName,
    /// PidTagAttachFilename
    ShortName,
    /// PidTagDisplayName
    DisplayName,
    /// PidTagAttachMimeTag
    MediaType,
}

/// The outcome of reading.
#[derive(Debug)]
pub(super) enum Item {
    /// The bytes of the file begin (PidTagAttachDataBinary).
    Begin,
    /// As many of the bytes just taken are the file's.
    Data(usize),
    /// A string.
    Text {
        property: Property,
        /// True for UTF-16LE.
        is_wide: bool,
        bytes: Vec<u8>,
    },
}

/// Reads one attAttachment, chunk by chunk.
#[derive(Debug)]
pub(super) struct Properties {
    state: State,
    /// Number of properties to come.
    left: u32,
    kind: Kind,
    /// Number of values to come of the property that is read.
    values_left: u32,
}

/// The element that is read next.
#[derive(Debug)]
enum State {
    Count(Held<4>),
    /// Type and number of a property.
    Tag(Held<4>),
    /// The GUID and the kind of name of a named property.
    Name(Held<20>),
    NameLen(Held<4>),
    ValueCount(Held<4>),
    ValueLen(Held<4>),
    Value {
        value: Value,
        left: u32,
        padding: u8,
    },
    Skip {
        left: u64,
        next: Next,
    },
    Done,
}

/// The use made of a value of variable length.
#[derive(Debug)]
enum Value {
    Skipped,
    File,
    Text(Property, Vec<u8>),
}

/// The element that follows bytes that are passed over.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The value of the property whose name was passed over.
    Contents,
    /// The next value, or the next property.
    Value,
}

/// Type and number of a property.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    type_: u16,
    number: u16,
}

const STRING8: u16 = 0x1e;
const UNICODE: u16 = 0x1f;
const OBJECT: u16 = 0x0d;
const BINARY: u16 = 0x102;
/// The flag of a property with several values.
const MULTIPLE: u16 = 0x1000;

impl Kind {
    /// Length in bytes of a value, with its padding; `None` if it varies.
    fn fixed_len(self) -> Result<Option<u8>, Malformed> {
        Ok(match self.type_ & !MULTIPLE {
            // PtypUnspecified, PtypNull
            0x00 | 0x01 => Some(0),
            // PtypInteger16, PtypInteger32, PtypFloating32, PtypErrorCode, PtypBoolean
            0x02 | 0x03 | 0x04 | 0x0a | 0x0b => Some(4),
            // PtypFloating64, PtypCurrency, PtypFloatingTime, PtypInteger64, PtypTime
            0x05 | 0x06 | 0x07 | 0x14 | 0x40 => Some(8),
            // PtypGuid
            0x48 => Some(16),
            OBJECT | STRING8 | UNICODE | BINARY => None,
            _ => return Err(Malformed),
        })
    }

    fn has_name(self) -> bool {
        self.number >= 0x8000
    }

    fn is_multiple(self) -> bool {
        self.type_ & MULTIPLE != 0
    }

    /// Decides what becomes of a value of variable length.
    fn value(self) -> Value {
        let text = |property| Value::Text(property, Vec::new());
        match (self.number, self.type_) {
            (0x3701, BINARY) => Value::File,
            (0x3707, STRING8 | UNICODE) => text(Property::LongName),
            (0x3704, STRING8 | UNICODE) => text(Property::ShortName),
            (0x3001, STRING8 | UNICODE) => text(Property::DisplayName),
            (0x370e, STRING8 | UNICODE) => text(Property::MediaType),
            _ => Value::Skipped,
        }
    }
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            state: State::Count(Held::default()),
            left: 0,
            kind: Kind::default(),
            values_left: 0,
        }
    }
}

impl Properties {
    /// Reads on from the front of `rest`, up to the next thing that is found; `None` when `rest` is used up.
    pub(super) fn step(&mut self, rest: &mut &[u8]) -> Result<Option<Item>, Malformed> {
        loop {
            match &mut self.state {
                State::Done => *rest = &[],
                State::Value { .. } => {
                    if let Some(item) = self.read_value(rest)? {
                        return Ok(Some(item));
                    }
                }
                State::Skip { left, next } => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX);
                    *left -= take(rest, len).len() as u64;
                    if *left == 0 {
                        match next {
                            Next::Contents => self.begin_contents()?,
                            Next::Value => self.next_value(),
                        }
                        continue;
                    }
                }
                _ => {
                    let item = self.read_field(rest)?;
                    if item.is_some() {
                        return Ok(item);
                    }
                }
            }
            if rest.is_empty() && !self.can_go_on() {
                return Ok(None);
            }
        }
    }

    /// Ends the attribute. Bytes behind the last property are passed over.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        match self.state {
            State::Done => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// Returns true if what is read next needs no more bytes.
    fn can_go_on(&self) -> bool {
        match self.state {
            State::Value { left, .. } => left == 0,
            State::Skip { left, .. } => left == 0,
            _ => false,
        }
    }

    /// Reads a field of fixed length.
    fn read_field(&mut self, rest: &mut &[u8]) -> Result<Option<Item>, Malformed> {
        match &mut self.state {
            State::Count(held) => {
                if let Some(count) = held.fill(rest) {
                    self.left = u32::from_le_bytes(count);
                    self.next_property();
                }
            }
            State::Tag(held) => {
                if let Some([a, b, c, d]) = held.fill(rest) {
                    self.kind = Kind {
                        type_: u16::from_le_bytes([a, b]),
                        number: u16::from_le_bytes([c, d]),
                    };
                    if self.kind.has_name() {
                        self.state = State::Name(Held::default());
                    } else {
                        self.begin_contents()?;
                    }
                }
            }
            State::Name(held) => {
                if let Some([.., a, b, c, d]) = held.fill(rest) {
                    self.state = match u32::from_le_bytes([a, b, c, d]) {
                        0 => State::Skip {
                            left: 4,
                            next: Next::Contents,
                        },
                        1 => State::NameLen(Held::default()),
                        _ => return Err(Malformed),
                    };
                }
            }
            State::NameLen(held) => {
                if let Some(len) = held.fill(rest) {
                    let left = u64::from(u32::from_le_bytes(len)).next_multiple_of(4);
                    let next = Next::Contents;
                    self.state = State::Skip { left, next };
                }
            }
            State::ValueCount(held) => {
                if let Some(count) = held.fill(rest) {
                    self.begin_values(u32::from_le_bytes(count))?;
                }
            }
            State::ValueLen(held) => {
                if let Some(len) = held.fill(rest) {
                    return Ok(self.begin_value(u32::from_le_bytes(len)));
                }
            }
            State::Value { .. } | State::Skip { .. } | State::Done => {}
        }
        Ok(None)
    }

    /// Begins what stands behind a property's tag and name.
    fn begin_contents(&mut self) -> Result<(), Malformed> {
        self.values_left = 0;
        self.state = match self.kind.fixed_len()? {
            Some(len) if !self.kind.is_multiple() => State::Skip {
                left: len.into(),
                next: Next::Value,
            },
            _ => State::ValueCount(Held::default()),
        };
        Ok(())
    }

    /// Begins the values of a property that has a count of them.
    fn begin_values(&mut self, count: u32) -> Result<(), Malformed> {
        if let Some(len) = self.kind.fixed_len()? {
            let left = u64::from(count) * u64::from(len);
            let next = Next::Value;
            self.state = State::Skip { left, next };
            return Ok(());
        }
        // Only one is meant where the type is not that of several; readers differ about more.
        if count > 1 && !self.kind.is_multiple() {
            return Err(Malformed);
        }
        self.values_left = count;
        self.next_value();
        Ok(())
    }

    fn begin_value(&mut self, len: u32) -> Option<Item> {
        let value = self.kind.value();
        let begins = matches!(value, Value::File);
        self.values_left = self.values_left.saturating_sub(1);
        self.state = State::Value {
            value,
            left: len,
            padding: (len.wrapping_neg() & 3) as u8,
        };
        begins.then_some(Item::Begin)
    }

    /// Reads on in a value of variable length.
    fn read_value(&mut self, rest: &mut &[u8]) -> Result<Option<Item>, Malformed> {
        let State::Value {
            value,
            left,
            padding,
        } = &mut self.state
        else {
            return Ok(None);
        };

        let taken = take_counted(rest, left);
        if let Value::Text(_, kept) = value {
            keep(kept, taken)?;
        }
        if *left > 0 {
            let is_data = matches!(value, Value::File) && !taken.is_empty();
            return Ok(is_data.then_some(Item::Data(taken.len())));
        }

        let item = match std::mem::replace(value, Value::Skipped) {
            Value::Text(property, bytes) => Some(Item::Text {
                property,
                is_wide: self.kind.type_ == UNICODE,
                bytes,
            }),
            Value::File if !taken.is_empty() => Some(Item::Data(taken.len())),
            Value::File | Value::Skipped => None,
        };
        let left = u64::from(*padding);
        if self.left == 0 && self.values_left == 0 {
            self.state = State::Done;
        } else {
            let next = Next::Value;
            self.state = State::Skip { left, next };
        }
        Ok(item)
    }

    fn next_value(&mut self) {
        if self.values_left > 0 {
            self.state = State::ValueLen(Held::default());
        } else {
            self.next_property();
        }
    }

    fn next_property(&mut self) {
        self.state = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                State::Tag(Held::default())
            }
            None => State::Done,
        };
    }
}
