//! Numbers of bytes.

use super::{Codec, Written, spoken};

/// A number of bytes.
pub(in crate::config) struct Size;

impl Codec for Size {
    type Value = u64;

    fn parse(written: &Written) -> Option<u64> {
        parse_size(&written.text()?)
    }

    fn print(value: &u64) -> Written {
        print_size(*value)
    }

    fn allowed() -> String {
        r#"a size such as 500000 (bytes), "500 kB" or "1.5 MiB""#.into()
    }
}

/// A number of bytes, or `off`.
pub(in crate::config) struct OptionalSize;

impl Codec for OptionalSize {
    type Value = Option<u64>;

    fn parse(written: &Written) -> Option<Option<u64>> {
        match written.text()?.as_str() {
            "off" => Some(None),
            size => parse_size(size).map(Some),
        }
    }

    fn print(value: &Option<u64>) -> Written {
        value.map_or_else(|| Written::Text("off".into()), print_size)
    }

    fn allowed() -> String {
        format!(r#""off" or {}"#, Size::allowed())
    }
}

/// A number of bytes in memory, within bounds.
pub(in crate::config) struct Sizes<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Codec for Sizes<MIN, MAX> {
    type Value = usize;

    fn parse(written: &Written) -> Option<usize> {
        let size = parse_size(&written.text()?)?;
        (MIN..=MAX)
            .contains(&size)
            .then_some(usize::try_from(size).ok()?)
    }

    fn print(value: &usize) -> Written {
        print_size(*value as u64)
    }

    fn allowed() -> String {
        let bound = |size| Size::print(&size).text().unwrap_or_default();
        format!(
            r#"a size such as "64 KiB", from {} to {}"#,
            bound(MIN),
            bound(MAX)
        )
    }
}

/// The units of sizes, in lower case; French admins write octets.
const UNITS: &[(&[&str], u64)] = &[
    (&["", "b", "o", "byte", "bytes", "octet", "octets"], 1),
    (&["kb", "ko"], 1_000),
    (&["mb", "mo"], 1_000_000),
    (&["gb", "go"], 1_000_000_000),
    (&["tb", "to"], 1_000_000_000_000),
    (&["kib", "kio"], 1 << 10),
    (&["mib", "mio"], 1 << 20),
    (&["gib", "gio"], 1 << 30),
    (&["tib", "tio"], 1 << 40),
];

/// Parses a size such as `500 kB`, exactly: the value must be a whole number of bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !c.is_whitespace() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let is_french = unit.ends_with('o') || unit.starts_with("octet");
    let number = &spoken::number(number, is_french)?;

    let (_, factor) = UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit.as_str()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }

    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = u128::from(whole.parse::<u64>().ok()?)
        .checked_mul(scale)?
        .checked_add(fraction.parse().ok()?)?
        .checked_mul(u128::from(*factor))?;
    // TOML's integers end at i64::MAX, and so do the offsets of a file.
    let bytes = scaled.checked_div(scale).filter(|_| scaled % scale == 0)?;
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// Prints a size in the largest unit that gives a whole number.
fn print_size(bytes: u64) -> Written {
    const PRINTED: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];
    let unit = PRINTED
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => Written::Text(format!("{} {name}", bytes / factor)),
        None => Written::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("500000", 500_000),
            ("500 kB", 500_000),
            ("500kb", 500_000),
            ("1 MiB", 1_048_576),
            ("25MB", 25_000_000),
            ("1.5 MiB", 1_572_864),
            ("0.5 kB", 500),
            ("2 Go", 2_000_000_000),
            ("12 bytes", 12),
            ("1 Mo", 1_000_000),
            ("1,5 Mo", 1_500_000),
            ("1 500 ko", 1_500_000),
            ("1\u{202f}500\u{a0}Ko", 1_500_000),
            ("12 octets", 12),
            ("0.000000001 GB", 1),
            ("1.000000001 GB", 1_000_000_001),
            ("9223372036854775807", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_of_bytes_is_no_size() {
        for text in [
            "",
            "kB",
            "lots",
            "-1",
            "1.5",
            "0.0001 kB",
            "1 XB",
            "1,5 MB",
            ".5 kB",
            "1. kB",
            "1.0000000000 GB",
            "1e3",
            "1.2.3 kB",
            "1 50 ko",
            "1,5,0 Mo",
            "9223372036854775808",
            "99999999999999999999 TB",
            "9999999 TiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn printed_sizes_parse_to_themselves() {
        for bytes in [
            0,
            1,
            999,
            1_000,
            1_024,
            65_536,
            262_144,
            500_000,
            1 << 40,
            123_456_789,
        ] {
            assert_eq!(Size::parse(&print_size(bytes)), Some(bytes));
        }
        assert_eq!(print_size(262_144), Written::Text("256 KiB".into()));
        assert_eq!(print_size(500_000), Written::Text("500 kB".into()));
    }
}
