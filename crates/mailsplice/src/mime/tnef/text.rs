//! Strings in TNEF: in the code page of the sender's Windows, or in UTF-16.

use encoding_rs::{self as rs, Encoding};

/// Returns the encoding of a Windows code page; that of Western Europe for one that nobody here knows.
pub(super) fn encoding(code_page: u32) -> &'static Encoding {
    match code_page {
        866 => rs::IBM866,
        874 => rs::WINDOWS_874,
        932 => rs::SHIFT_JIS,
        936 => rs::GBK,
        949 => rs::EUC_KR,
        950 => rs::BIG5,
        1250 => rs::WINDOWS_1250,
        1251 => rs::WINDOWS_1251,
        1253 => rs::WINDOWS_1253,
        1254 | 28599 => rs::WINDOWS_1254,
        1255 => rs::WINDOWS_1255,
        1256 => rs::WINDOWS_1256,
        1257 => rs::WINDOWS_1257,
        1258 => rs::WINDOWS_1258,
        20866 => rs::KOI8_R,
        21866 => rs::KOI8_U,
        28592 => rs::ISO_8859_2,
        28595 => rs::ISO_8859_5,
        28597 => rs::ISO_8859_7,
        28605 => rs::ISO_8859_15,
        51932 => rs::EUC_JP,
        54936 => rs::GB18030,
        65001 => rs::UTF_8,
        _ => rs::WINDOWS_1252,
    }
}

/// Decodes a string that ends at its first NUL; `None` for an empty one.
pub(super) fn narrow(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let (text, _) = encoding.decode_without_bom_handling(&bytes[..end]);
    (!text.is_empty()).then(|| text.into_owned())
}

/// Decodes a string in UTF-16LE that ends at its first NUL; `None` for an empty one.
pub(super) fn wide(bytes: &[u8]) -> Option<String> {
    let units = bytes
        .as_chunks()
        .0
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    (!text.is_empty()).then_some(text)
}
