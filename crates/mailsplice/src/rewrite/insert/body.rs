//! A part's body, decoded and encoded again.

use super::super::{CannotTake, Eol, qp};
use crate::mime::TransferEncoding;

/// A body and its decoded text.
pub(super) enum Body<'a> {
    Identity(&'a [u8]),
    QuotedPrintable(qp::Decoded<'a>),
    Base64 { text: Vec<u8>, raw: &'a [u8] },
}

impl<'a> Body<'a> {
    pub(super) fn decode(raw: &'a [u8], encoding: TransferEncoding) -> Result<Self, CannotTake> {
        match encoding {
            TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
                Ok(Self::Identity(raw))
            }
            TransferEncoding::QuotedPrintable => Ok(Self::QuotedPrintable(qp::Decoded::new(raw))),
            TransferEncoding::Base64 => {
                let text = decode_base64(raw).ok_or(CannotTake("base64"))?;
                Ok(Self::Base64 { text, raw })
            }
            TransferEncoding::Unknown => Err(CannotTake("encoding")),
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        match self {
            Self::Identity(text) => text,
            Self::QuotedPrintable(decoded) => &decoded.text,
            Self::Base64 { text, .. } => text,
        }
    }
}

/// Refuses text that no part with our notice should have in it.
pub(super) fn check(text: &[u8]) -> Result<(), CannotTake> {
    if memchr::memmem::find(text, b"-----BEGIN PGP").is_some() {
        return Err(CannotTake("pgp"));
    }
    if memchr::memchr(0, text).is_some() {
        return Err(CannotTake("nul"));
    }
    if text.ends_with(b"\r") || has_pair(text, |first, next| first == b'\r' && next != b'\n') {
        return Err(CannotTake("bare cr"));
    }
    Ok(())
}

/// Returns true if `is_such` is true for two bytes that follow each other. All are looked at, many
/// at a time, so that it does not matter how often one of them occurs.
pub(super) fn has_pair(text: &[u8], is_such: impl Fn(u8, u8) -> bool) -> bool {
    let next = text.get(1..).unwrap_or_default();
    let pairs = text.iter().zip(next);
    pairs.fold(false, |found, (&first, &next)| found | is_such(first, next))
}

pub(super) fn spliced(text: &[u8], at: usize, added: &[u8]) -> Vec<u8> {
    [&text[..at], added, &text[at..]].concat()
}

/// Decodes base64; `None` if anything but line ends and blanks is between its digits, or its
/// padding is not at its end.
fn decode_base64(raw: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = raw
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    encodify::base64::STANDARD.decode(digits).ok()
}

/// Encodes in lines of 76; there is a last line end where the old body had one.
pub(super) fn encode_base64(text: &[u8], old: &[u8], eol: Eol) -> Vec<u8> {
    let ending = match eol {
        Eol::CrLf => encodify::base64::LineEnding::CrLf,
        Eol::Lf => encodify::base64::LineEnding::Lf,
    };
    let encoded = encodify::base64::STANDARD.wrapped(76, ending).encode(text);
    let mut encoded = encoded.trim_ascii_end().to_owned();
    if old.ends_with(b"\n") {
        encoded.push_str(eol.as_str());
    }
    encoded.into_bytes()
}
