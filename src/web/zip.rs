//! The layout of a ZIP archive whose entries are stored, not compressed.
//!
//! Sizes and CRC-32 are known beforehand, so every byte of the archive has its place before the
//! first is read: the length is exact and any range can be served. No crate offers that. The format
//! follows APPNOTE.TXT 6.3.10 (PKWARE); section numbers below are its own. The module is pure: it
//! makes the headers and knows where the contents go, but never sees them.

use std::ops::Range;

use bytes::Bytes;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// In a 32-bit field: "see the zip64 extra field" (4.4.8).
const SEE_ZIP64: u32 = u32::MAX;
/// Names are UTF-8 (4.4.4, bit 11).
const FLAG_UTF8: u16 = 1 << 11;
/// Version 2.0, and 4.5 for entries that need zip64 (4.4.3).
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Made on Unix (4.4.2), where the upper half of the external attributes is the file's mode.
const MADE_ON_UNIX: u16 = 3 << 8;
const REGULAR_FILE_0644: u32 = 0o100_644 << 16;

/// Number of entries of the central directory that are made at once: some ten kilobytes.
const DIRECTORY_ENTRIES_MAX: usize = 64;

/// A file to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ZipEntry {
    /// Its name in the archive: safe, and different from all others.
    pub(super) name: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// CRC-32 (IEEE) of its contents.
    pub(super) crc32: u32,
}

/// The source of each byte of an archive. It holds names and places; headers are made when they are
/// sent.
#[derive(Clone, Debug)]
pub(super) struct ZipLayout {
    entries: Vec<Placed>,
    times: Times,
    /// The beginnings of the central directory and of the records behind it.
    directory: Range<u64>,
    total_len: u64,
}

/// A run of bytes of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ArchivePiece {
    /// Headers, ready to be sent.
    Bytes(Bytes),
    /// A range of the contents of an entry.
    File {
        /// The index of the entry, from 0.
        index: usize,
        /// The range of its bytes.
        range: Range<u64>,
    },
}

/// An entry and its place.
#[derive(Clone, Debug)]
struct Placed {
    entry: ZipEntry,
    /// The beginnings of its local header and of its contents.
    local: u64,
    contents: u64,
    /// The beginning of its central header.
    central: u64,
}

impl ZipLayout {
    /// Lays out an archive of `entries`, all with the time `modified`; `zone` is that of the local
    /// times that old readers show (4.4.6 knows no zone).
    pub(super) fn new(entries: Vec<ZipEntry>, modified: Timestamp, zone: &TimeZone) -> Self {
        let times = Times::new(modified, zone);
        let mut at = 0_u64;
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let contents = at.saturating_add(local_header(&entry, &times).len() as u64);
                let local = std::mem::replace(&mut at, contents.saturating_add(entry.size));
                Placed {
                    entry,
                    local,
                    contents,
                    central: 0,
                }
            })
            .collect();

        let begin = at;
        let mut header = Vec::new();
        for placed in &mut entries {
            placed.central = at;
            header.clear();
            central_header(&mut header, placed, &times);
            at = at.saturating_add(header.len() as u64);
        }

        let mut layout = Self {
            entries,
            times,
            directory: begin..at,
            total_len: 0,
        };
        layout.total_len = at.saturating_add(layout.end_records().len() as u64);
        layout
    }

    /// The archive's length in bytes.
    pub(super) fn total_len(&self) -> u64 {
        self.total_len
    }

    /// The name of an entry that it has.
    pub(super) fn name(&self, index: usize) -> &str {
        &self.entries[index].entry.name
    }

    /// The pieces that make up `range` of the archive, in order; none is empty.
    pub(super) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = ArchivePiece> {
        let mut left = range;
        std::iter::from_fn(move || self.next_piece(&mut left))
    }

    /// Takes the next piece from the front of the rest of a range; `None` if nothing is left. A
    /// piece is headers of a few kilobytes, or contents of any length.
    pub(super) fn next_piece(&self, left: &mut Range<u64>) -> Option<ArchivePiece> {
        if left.start >= left.end.min(self.total_len) {
            return None;
        }
        let (begin, piece) = if left.start < self.directory.start {
            self.local_piece(left.start)
        } else if left.start < self.directory.end {
            self.directory_piece(left.start)
        } else {
            (
                self.directory.end,
                ArchivePiece::Bytes(self.end_records().into()),
            )
        };
        let end = begin.saturating_add(piece.len()).min(left.end);
        let cut = piece.slice(left.start - begin..end - begin);
        left.start = end;
        Some(cut)
    }

    /// The local header or the contents in which a place before the directory lies, and the
    /// beginning of that piece.
    fn local_piece(&self, at: u64) -> (u64, ArchivePiece) {
        let behind = self.entries.partition_point(|placed| placed.local <= at);
        // The last one that begins there: earlier ones that begin at the same place are empty,
        // which happens only in archives that no disk can hold.
        let index = behind.saturating_sub(1);
        let placed = &self.entries[index];
        if at < placed.contents {
            let header = local_header(&placed.entry, &self.times);
            return (placed.local, ArchivePiece::Bytes(header.into()));
        }
        let range = 0..placed.entry.size;
        (placed.contents, ArchivePiece::File { index, range })
    }

    /// The central headers from the one in which a place in the directory lies, and the beginning
    /// of the first.
    fn directory_piece(&self, at: u64) -> (u64, ArchivePiece) {
        let behind = self.entries.partition_point(|placed| placed.central <= at);
        let from = behind.saturating_sub(1);
        let mut headers = Vec::new();
        for placed in self.entries[from..].iter().take(DIRECTORY_ENTRIES_MAX) {
            central_header(&mut headers, placed, &self.times);
        }
        (
            self.entries[from].central,
            ArchivePiece::Bytes(headers.into()),
        )
    }

    fn end_records(&self) -> Vec<u8> {
        let Range { start, end } = self.directory;
        end_records(self.entries.len(), end.saturating_sub(start), start)
    }
}

impl ArchivePiece {
    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { range, .. } => range.end.saturating_sub(range.start),
        }
    }
}

impl ArchivePiece {
    fn slice(&self, part: Range<u64>) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(part.start as usize..part.end as usize)),
            Self::File { index, range } => Self::File {
                index: *index,
                range: range.start + part.start..range.start + part.end,
            },
        }
    }
}

/// The time of all entries, in the forms that ZIP knows.
#[derive(Clone, Debug)]
struct Times {
    date: u16,
    time: u16,
    /// The extended timestamp extra field of Info-ZIP ("UT"): UTC, in seconds.
    extra: Vec<u8>,
}

impl Times {
    fn new(modified: Timestamp, zone: &TimeZone) -> Self {
        let (date, time) = dos_time(modified.to_zoned(zone.clone()).datetime());
        Self {
            date,
            time,
            extra: extended_timestamp(modified),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put16(out, self.time);
        put16(out, self.date);
    }
}

/// Makes MS-DOS date and time: from 1980 to 2107, in steps of two seconds.
fn dos_time(at: DateTime) -> (u16, u16) {
    let clamped = at.clamp(
        jiff::civil::date(1980, 1, 1).at(0, 0, 0, 0),
        jiff::civil::date(2107, 12, 31).at(23, 59, 58, 0),
    );
    let year = clamped.year() as u16 - 1980;
    let [month, day] = [clamped.month(), clamped.day()].map(|n| n as u16);
    let [hour, minute, second] =
        [clamped.hour(), clamped.minute(), clamped.second()].map(|n| n as u16);
    (
        (year << 9) | (month << 5) | day,
        (hour << 11) | (minute << 5) | (second / 2),
    )
}

fn extended_timestamp(at: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    if let Ok(seconds) = i32::try_from(at.as_second()) {
        put16(&mut out, 0x5455);
        put16(&mut out, 5);
        out.push(1);
        out.extend_from_slice(&seconds.to_le_bytes());
    }
    out
}

/// Makes a local header (4.3.7).
fn local_header(entry: &ZipEntry, times: &Times) -> Vec<u8> {
    let mut zip64 = Vec::new();
    if needs_zip64(entry.size) {
        // Both sizes must stand in a local header (4.5.3).
        zip64_extra(&mut zip64, &[entry.size, entry.size]);
    }

    let mut out = Vec::new();
    put32(&mut out, 0x0403_4b50);
    put16(
        &mut out,
        if zip64.is_empty() {
            VERSION
        } else {
            VERSION_ZIP64
        },
    );
    common_header(&mut out, entry, times, zip64.len());
    out.extend_from_slice(name(entry));
    out.extend_from_slice(&zip64);
    out.extend_from_slice(&times.extra);
    out
}

/// Makes a central header (4.3.12).
fn central_header(out: &mut Vec<u8>, placed: &Placed, times: &Times) {
    let (entry, offset) = (&placed.entry, placed.local);
    let mut large = Vec::new();
    if needs_zip64(entry.size) {
        large.extend([entry.size, entry.size]);
    }
    if needs_zip64(offset) {
        large.push(offset);
    }
    let mut zip64 = Vec::new();
    zip64_extra(&mut zip64, &large);
    let version = if large.is_empty() {
        VERSION
    } else {
        VERSION_ZIP64
    };

    put32(out, 0x0201_4b50);
    put16(out, MADE_ON_UNIX | version);
    put16(out, version);
    common_header(out, entry, times, zip64.len());
    put16(out, 0); // comment
    put16(out, 0); // disk
    put16(out, 0); // internal attributes
    put32(out, REGULAR_FILE_0644);
    put32(out, field32(offset));

    out.extend_from_slice(name(entry));
    out.extend_from_slice(&zip64);
    out.extend_from_slice(&times.extra);
}

/// Writes the fields that both headers share, from the flags to the length of the extra fields.
fn common_header(out: &mut Vec<u8>, entry: &ZipEntry, times: &Times, zip64_len: usize) {
    put16(out, FLAG_UTF8);
    put16(out, 0); // stored
    times.put(out);
    put32(out, entry.crc32);
    put32(out, field32(entry.size));
    put32(out, field32(entry.size));
    put16(out, name(entry).len() as u16);
    put16(out, (zip64_len + times.extra.len()) as u16);
}

/// Writes the zip64 extra field (4.5.3): only the values whose 32-bit field is full, in their
/// order.
fn zip64_extra(out: &mut Vec<u8>, values: &[u64]) {
    if values.is_empty() {
        return;
    }
    put16(out, 0x0001);
    put16(out, 8 * values.len() as u16);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Makes the records that follow the central directory (4.3.14 to 4.3.16).
fn end_records(entries: usize, directory_len: u64, directory_start: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let many = entries >= usize::from(u16::MAX);
    if many || needs_zip64(directory_len) || needs_zip64(directory_start) {
        end_records_zip64(&mut out, entries as u64, directory_len, directory_start);
    }
    let count = u16::try_from(entries).unwrap_or(u16::MAX);
    put32(&mut out, 0x0605_4b50);
    put32(&mut out, 0); // disks
    put16(&mut out, count);
    put16(&mut out, count);
    put32(&mut out, field32(directory_len));
    put32(&mut out, field32(directory_start));
    put16(&mut out, 0); // comment
    out
}

fn end_records_zip64(out: &mut Vec<u8>, entries: u64, directory_len: u64, directory_start: u64) {
    put32(out, 0x0606_4b50);
    put64(out, 44); // what follows of this record
    put16(out, MADE_ON_UNIX | VERSION_ZIP64);
    put16(out, VERSION_ZIP64);
    put64(out, 0); // disks
    put64(out, entries);
    put64(out, entries);
    put64(out, directory_len);
    put64(out, directory_start);
    // The locator (4.3.15).
    put32(out, 0x0706_4b50);
    put32(out, 0);
    put64(out, directory_start.saturating_add(directory_len));
    put32(out, 1);
}

fn needs_zip64(value: u64) -> bool {
    value >= u64::from(SEE_ZIP64)
}

fn field32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(SEE_ZIP64)
}

/// The name, cut to the maximum of its 16-bit length; names made safe are far shorter.
fn name(entry: &ZipEntry) -> &[u8] {
    let end = entry.name.floor_char_boundary(usize::from(u16::MAX));
    &entry.name.as_bytes()[..end]
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Command};

    use proptest::prelude::*;

    use super::*;

    fn at() -> Timestamp {
        "2026-11-22T09:04:06Z".parse().unwrap()
    }

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").unwrap()
    }

    fn entry(name: &str, contents: &[u8]) -> ZipEntry {
        let crc32 = crc32fast::hash(contents);
        ZipEntry {
            name: name.to_owned(),
            size: contents.len() as u64,
            crc32,
        }
    }

    fn layout(files: &[(&str, &[u8])]) -> ZipLayout {
        let entries: Vec<_> = files
            .iter()
            .map(|(name, bytes)| entry(name, bytes))
            .collect();
        ZipLayout::new(entries, at(), &paris())
    }

    fn fill(layout: &ZipLayout, range: Range<u64>, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in layout.pieces(range) {
            match piece {
                ArchivePiece::Bytes(bytes) => out.extend_from_slice(&bytes),
                ArchivePiece::File { index, range } => {
                    out.extend_from_slice(&files[index].1[range.start as usize..range.end as usize])
                }
            }
        }
        out
    }

    fn written(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let layout = layout(files);
        let mut file = tempfile::Builder::new().suffix(".zip").tempfile().unwrap();
        file.write_all(&fill(&layout, 0..layout.total_len(), files))
            .unwrap();
        file
    }

    fn stdout(command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    const FILES: &[(&str, &[u8])] = &[
        ("été 2026.txt", b"bonjour\r\n"),
        ("empty", b""),
        ("b.bin", &[0, 255, 10, 13]),
    ];

    #[test]
    fn python_reads_back_names_contents_and_times() {
        let file = written(FILES);
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is \
                      None\nfor i in z.infolist(): print(ascii(i.filename), z.read(i).hex(), \
                      i.date_time, oct(i.external_attr >> 16))";
        let said = stdout(
            Command::new("python3")
                .args(["-c", script])
                .arg(file.path()),
        );
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "'\\xe9t\\xe9 2026.txt' 626f6e6a6f75720d0a (2026, 11, 22, 10, 4, 6) 0o100644",
                "'empty'  (2026, 11, 22, 10, 4, 6) 0o100644",
                "'b.bin' 00ff0a0d (2026, 11, 22, 10, 4, 6) 0o100644",
            ]
        );
    }

    #[test]
    fn info_zip_finds_no_error() {
        // It is not installed everywhere; Python's reader is.
        let Ok(output) = Command::new("unzip")
            .arg("-t")
            .arg(written(FILES).path())
            .output()
        else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("No errors detected"), "{said}");
    }

    #[test]
    fn archive_of_nothing_is_its_end_record() {
        assert_eq!(ZipLayout::new(Vec::new(), at(), &paris()).total_len(), 22);
    }

    #[test]
    fn sizes_one_below_the_limit_need_no_zip64() {
        let small = ZipEntry {
            name: "a".to_owned(),
            size: 0xffff_fffe,
            crc32: 0,
        };
        let header = local_header(&small, &Times::new(at(), &paris()));
        assert_eq!(header[4..6], VERSION.to_le_bytes());
        assert_eq!(header[18..22], 0xffff_fffe_u32.to_le_bytes());
        assert_eq!(header[28..30], 9_u16.to_le_bytes());
    }

    #[test]
    fn sizes_at_the_limit_stand_in_a_zip64_field() {
        let large = ZipEntry {
            name: "a".to_owned(),
            size: 0xffff_ffff,
            crc32: 0,
        };
        let header = local_header(&large, &Times::new(at(), &paris()));
        assert_eq!(header[4..6], VERSION_ZIP64.to_le_bytes());
        assert_eq!(header[18..26], [0xff; 8]);
        assert_eq!(header[31..35], [1, 0, 16, 0]);
        assert_eq!(header[35..43], 0xffff_ffff_u64.to_le_bytes());
    }

    /// Python's reader looks only at the end of the file, so contents of zero bytes on a
    /// sparse file stand for 5 GiB.
    #[test]
    fn python_reads_the_directory_of_an_archive_past_four_gibibytes() {
        let entries: Vec<_> = [("large", 5 << 30), ("behind", 3)]
            .map(|(name, size)| ZipEntry {
                name: name.to_owned(),
                size,
                crc32: 7,
            })
            .to_vec();
        let layout = ZipLayout::new(entries, at(), &paris());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write_sparse(&mut file, &layout);
        let script = "import sys, zipfile\nfor i in zipfile.ZipFile(sys.argv[1]).infolist(): \
                      print(i.filename, i.file_size, i.compress_size, i.header_offset)";
        let said = stdout(
            Command::new("python3")
                .args(["-c", script])
                .arg(file.path()),
        );
        let behind = layout.entries[1].local;
        assert!(behind > 5 << 30);
        assert_eq!(
            said,
            format!("large {0} {0} 0\nbehind 3 3 {behind}\n", 5_u64 << 30)
        );
    }

    fn write_sparse(file: &mut tempfile::NamedTempFile, layout: &ZipLayout) {
        use std::io::{Seek, SeekFrom};
        let mut left = 0..layout.total_len();
        while let Some(piece) = layout.next_piece(&mut left) {
            if let ArchivePiece::Bytes(bytes) = piece {
                file.seek(SeekFrom::Start(left.start - bytes.len() as u64))
                    .unwrap();
                file.write_all(&bytes).unwrap();
            }
        }
    }

    #[test]
    fn the_directory_comes_in_pieces_of_a_bounded_size() {
        let names: Vec<String> = (0..1000).map(|n| format!("file number {n}")).collect();
        let files: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (name.as_str(), &b"x"[..]))
            .collect();
        let layout = layout(&files);
        let largest = layout
            .pieces(0..layout.total_len())
            .map(|piece| piece.len())
            .max();
        assert!(largest < Some(10_000), "{largest:?}");
    }

    #[test]
    fn python_counts_more_entries_than_sixteen_bits_hold() {
        let names: Vec<String> = (0..65_537).map(|n| n.to_string()).collect();
        let files: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (name.as_str(), &b"x"[..]))
            .collect();
        let file = written(&files);
        let script = "import sys, zipfile; print(len(zipfile.ZipFile(sys.argv[1]).infolist()))";
        assert_eq!(
            stdout(
                Command::new("python3")
                    .args(["-c", script])
                    .arg(file.path())
            ),
            "65537\n"
        );
    }

    #[test]
    fn sizes_that_no_disk_holds_do_not_overflow() {
        let entries = vec![
            ZipEntry {
                name: "a".to_owned(),
                size: u64::MAX,
                crc32: 0
            };
            2
        ];
        let layout = ZipLayout::new(entries, at(), &paris());
        assert_eq!(layout.total_len(), u64::MAX);
        let taken = layout.pieces(0..u64::MAX).take(9).count();
        assert!(taken < 9);
    }

    proptest! {
        #[test]
        fn any_range_is_the_slice_of_the_whole(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
            from in 0_u64..900,
            len in 0_u64..900,
        ) {
            let names: Vec<String> = (0..contents.len()).map(|n| format!("f{n}")).collect();
            let files: Vec<(&str, &[u8])> = names
                .iter()
                .zip(&contents)
                .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
                .collect();
            let layout = layout(&files);
            let whole = fill(&layout, 0..layout.total_len(), &files);
            prop_assert_eq!(whole.len() as u64, layout.total_len());
            let (from, to) = (from.min(layout.total_len()), (from + len).min(layout.total_len()));
            prop_assert!(layout.pieces(from..to).all(|piece| piece.len() > 0));
            prop_assert_eq!(fill(&layout, from..to, &files), &whole[from as usize..to as usize]);
        }

        #[test]
        fn times_never_panic(second in -377_705_023_201_i64..253_402_207_200) {
            let at = Timestamp::from_second(second).unwrap();
            Times::new(at, &TimeZone::UTC);
        }
    }
}
