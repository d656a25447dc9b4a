//! The packet that says who connects, made readable.
//!
//! It has the client's name, a letter for the family of its address, the port, and the address as
//! text. indymilter drops the session, and with it all mail of that client, when it cannot read
//! one of them; libmilter is more patient, and so are mail servers. Postfix says family `4` with the
//! address `unknown` after `XCLIENT ADDR=[UNAVAILABLE]`, Sendmail writes `IPv6:` before an address.

use std::net::{IpAddr, Ipv6Addr};

/// The family of an address that is not known.
const UNKNOWN: u8 = b'U';

/// Makes the content of a packet readable, in as many bytes: a valid address is written as indymilter
/// reads it, any other becomes no address. A packet of fewer than two bytes is left as it is: there
/// is no room for a name and a family.
pub(super) fn readable(packet: &mut [u8]) {
    let Some(name_end) = packet.iter().position(|byte| *byte == 0) else {
        cut_name(packet);
        return;
    };
    match packet.get(name_end + 1) {
        None => cut_name(packet),
        Some(&UNKNOWN) => {}
        Some(b'L') if is_path(&packet[name_end + 2..]) => {}
        Some(_) => write_address(&mut packet[name_end + 1..]),
    }
}

/// Shortens a name that leaves no room for a family.
fn cut_name(packet: &mut [u8]) {
    if let [.., end, family] = packet {
        (*end, *family) = (0, UNKNOWN);
    }
}

/// Returns true if this is a port, which says nothing, and a path.
fn is_path(rest: &[u8]) -> bool {
    rest.len() > 2 && rest.ends_with(&[0])
}

/// Writes family, port and address anew.
fn write_address(rest: &mut [u8]) {
    let address = rest.get(3..).and_then(address);
    let text = address.map(|address| address.to_string());
    match (address, text) {
        (Some(address), Some(text)) if text.len() < rest.len() - 3 => {
            rest[0] = if address.is_ipv4() { b'4' } else { b'6' };
            rest[3..].fill(0);
            rest[3..3 + text.len()].copy_from_slice(text.as_bytes());
        }
        _ => rest[0] = UNKNOWN,
    }
}

/// The address in a text that ends with NUL; `IPv6:` and a zone (RFC 4007, section 11) are none of it.
fn address(text: &[u8]) -> Option<IpAddr> {
    let end = text.iter().position(|byte| *byte == 0)?;
    let text = str::from_utf8(&text[..end]).ok()?;
    let (text, tagged) = match text.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => (rest, true),
        _ => (text, false),
    };
    match text.split_once('%') {
        Some((text, _zone)) => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None if tagged => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_one_is_read_and_any_other_is_none() {
        for (packet, expected) in [
            (
                &b"c\x004\x09\xc4192.0.2.1\0"[..],
                &b"c\x004\x09\xc4192.0.2.1\0"[..],
            ),
            (b"c\x006\0\x192001:db8::1\0", b"c\x006\0\x192001:db8::1\0"),
            (
                b"c\x006\0\x19IPv6:2001:db8::1\0",
                b"c\x006\0\x192001:db8::1\0\0\0\0\0\0",
            ),
            (b"c\x006\0\x19ipv6:::1\0", b"c\x006\0\x19::1\0\0\0\0\0\0"),
            (
                b"c\x006\0\x19fe80::1%eth0\0",
                b"c\x006\0\x19fe80::1\0\0\0\0\0\0",
            ),
            (
                b"c\x006\0\x19IPv6:fe80::1%2\0",
                b"c\x006\0\x19fe80::1\0\0\0\0\0\0\0\0",
            ),
            (b"c\x004\0\x19::1\0", b"c\x006\0\x19::1\0"),
            (b"c\x006\0\x19192.0.2.1\0", b"c\x004\0\x19192.0.2.1\0"),
            (b"unknown\0U", b"unknown\0U"),
            (b"unknown\0U\0\0what\0", b"unknown\0U\0\0what\0"),
            (b"c\0L\0\0/run/socket\0", b"c\0L\0\0/run/socket\0"),
            (b"c\0L\0\0\0", b"c\0L\0\0\0"),
            (b"unknown\x004\0\0unknown\0", b"unknown\0U\0\0unknown\0"),
            (b"c\x004\0\x19\0", b"c\0U\0\x19\0"),
            (b"c\x004\0\x19192.0.2.1", b"c\0U\0\x19192.0.2.1"),
            (b"c\x004\0\x19192.0.2.300\0", b"c\0U\0\x19192.0.2.300\0"),
            (
                b"c\x004\0\x19192.0.2.1%eth0\0",
                b"c\0U\0\x19192.0.2.1%eth0\0",
            ),
            (
                b"c\x006\0\x19IPv6:192.0.2.1\0",
                b"c\0U\0\x19IPv6:192.0.2.1\0",
            ),
            (b"c\x006\0\x19\xff\xfe\0", b"c\0U\0\x19\xff\xfe\0"),
            (b"c\x006\0", b"c\0U\0"),
            (b"c\x006", b"c\0U"),
            (b"c\0L", b"c\0U"),
            (b"c\0L\0\0/run", b"c\0U\0\0/run"),
            (b"c\0X\0\x19AppleTalk\0", b"c\0U\0\x19AppleTalk\0"),
            (b"\x004\0\x19192.0.2.1\0", b"\x004\0\x19192.0.2.1\0"),
            (b"client\0", b"clien\0U"),
            (b"client", b"clie\0U"),
            (b"\0\0", b"\0U"),
            (b"\0", b"\0"),
            (b"c", b"c"),
            (b"", b""),
        ] {
            let mut written = packet.to_vec();
            readable(&mut written);
            assert_eq!(
                written.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{}",
                packet.escape_ascii()
            );
        }
    }

    #[test]
    fn a_long_way_to_write_an_address_fits_and_a_mapped_one_that_would_not_is_none() {
        let mut packet = b"c\x006\0\x19::0:7f00:1\0".to_vec();
        readable(&mut packet);
        assert!(packet.starts_with(b"c\x006\0\x19::7f00:1\0"), "{packet:?}");
        let mut packet = b"c\x006\0\x19::ffff:1:2\0".to_vec();
        readable(&mut packet);
        assert!(packet.starts_with(b"c\0U"), "{packet:?}");
    }
}
