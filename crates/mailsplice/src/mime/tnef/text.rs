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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_page_has_its_encoding() {
        // One byte, or two, and what they are in each.
        for (code_pages, bytes, text) in [
            (&[866][..], &b"\xa0\xe0"[..], "ар"),
            (&[874], b"\xa1", "ก"),
            (&[932], b"\x93\xfa", "日"),
            (&[936], b"\xc8\xd5", "日"),
            (&[949], b"\xc0\xcf", "일"),
            (&[950], b"\xa4\xe9", "日"),
            (&[1250], b"\x9c\xb3", "śł"),
            (&[28592], b"\xb6\xb3", "śł"),
            (&[1251], b"\xff\xb8", "яё"),
            (&[28595], b"\xef\xf1", "яё"),
            (&[20866], b"\xd1\xa3", "яё"),
            (&[21866], b"\xd1\xa4", "яє"),
            (&[1253], b"\xa2\xe1", "Άα"),
            (&[28597], b"\xb6\xe1", "Άα"),
            (&[1254, 28599], b"\xfe\xf0", "şğ"),
            (&[1255], b"\xe0", "א"),
            (&[1256], b"\xc7\x81", "اپ"),
            (&[1257], b"\xf0", "š"),
            (&[1258], b"\xf5\xfe", "ơ₫"),
            (&[28605], b"\xa4\xbd", "€œ"),
            (&[51932], b"\xc6\xfc", "日"),
            (&[54936], b"\x81\x30\x81\x30", "\u{80}"),
            (&[65001], "日é".as_bytes(), "日é"),
            (&[1252, 0, 28591, u32::MAX], b"\x80\xe9", "€é"),
        ] {
            for &code_page in code_pages {
                let found = narrow(bytes, encoding(code_page));
                assert_eq!(found.as_deref(), Some(text), "{code_page}");
            }
        }
    }
}
