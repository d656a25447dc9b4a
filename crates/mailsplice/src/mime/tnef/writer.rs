//! Streams for tests, here and where messages with them are filtered.

/// Writes a TNEF stream, as in [MS-OXTNEF], section 2.1.
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        let signature = 0x223e_9f78_u32.to_le_bytes();
        Self([&signature[..], &[0x31, 0x07]].concat()).attribute(1, 0x0008_9006, &[0, 0, 1, 0])
    }

    pub(crate) fn attribute(mut self, level: u8, tag: u32, value: &[u8]) -> Self {
        let sum: u32 = value.iter().copied().map(u32::from).sum();
        self.0.push(level);
        self.0.extend_from_slice(&tag.to_le_bytes());
        self.0
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(&(sum as u16).to_le_bytes());
        self
    }

    /// Begins an attachment: 1 is a file, 2 an OLE object.
    pub(crate) fn rendering(self, kind: u8, flags: u8) -> Self {
        let value = [kind, 0, 255, 255, 255, 255, 0, 0, 0, 0, flags, 0, 0, 0];
        self.attribute(2, 0x0006_9002, &value)
    }

    pub(crate) fn title(self, title: &[u8]) -> Self {
        self.attribute(2, 0x0001_8010, &[title, b"\0"].concat())
    }

    pub(crate) fn data(self, data: &[u8]) -> Self {
        self.attribute(2, 0x0006_800f, data)
    }
}
