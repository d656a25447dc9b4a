//! Hostile file names from mail, made safe to show, to send in a header, to write to a disk.
//!
//! Three dangers: characters that change how the rest of the line reads (bidi overrides, line ends,
//! escape sequences), names that mean something to a file system (`..`, `CON`, `-rf`), and names
//! that agree once case or composition is ignored. It is not for this module to judge what a file
//! *is*: the true extension stays, and stays visible.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;

/// The longest name that is shown, in characters.
pub const DISPLAY_CHARS_MAX: usize = 120;

/// The longest name that is written to a disk, in bytes of UTF-8: all common file systems take 255,
/// and the rest is left to whatever others append.
pub const FILE_BYTES_MAX: usize = 200;

/// Stands for a name of which nothing is left.
const NAMELESS: &str = "attachment";

/// Number of characters of a long name's end that are shown; its extension is among them.
const DISPLAY_TAIL_CHARS: usize = 40;

/// The longest ending that counts as an extension, in bytes, without the dot.
const EXTENSION_BYTES_MAX: usize = 32;

/// Length of ` (4294967295)`.
const NUMBER_BYTES_MAX: usize = 13;

/// Makes a name safe to show in text, HTML (after escaping), a log or a terminal: no control, no
/// bidi character, one line, bounded length with the extension kept; never empty.
///
/// Only the last component of a path is shown. A name of more than [`DISPLAY_CHARS_MAX`]
/// characters is shortened in its middle, where it has an ellipsis.
pub fn display(name: &str) -> String {
    let name = clean(name);
    if name.chars().all(|c| c == '.') {
        return NAMELESS.into();
    }
    let chars = name.chars().count();
    if chars <= DISPLAY_CHARS_MAX {
        return name;
    }
    let head: String = name
        .chars()
        .take(DISPLAY_CHARS_MAX - DISPLAY_TAIL_CHARS - 1)
        .collect();
    let tail: String = name.chars().skip(chars - DISPLAY_TAIL_CHARS).collect();
    format!("{}…{}", head.trim_end(), tail.trim_start())
}

/// Makes a name safe as a file name of its own in a folder or an archive, on every common system.
///
/// At most [`FILE_BYTES_MAX`] bytes, the extension kept. No path, no leading dot or dash, none of
/// the characters and device names that Windows forbids ("Naming Files, Paths, and Namespaces").
pub fn file(name: &str) -> String {
    let name: String = clean(name)
        .chars()
        .map(|c| {
            if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') {
                '_'
            } else {
                c
            }
        })
        .collect();

    let name = name
        .trim_start_matches(['.', '-', ' '])
        .trim_end_matches(['.', ' ']);

    let name = match name {
        "" => NAMELESS.to_owned(),
        name if is_device(name) => format!("_{name}"),
        name => name.to_owned(),
    };

    let (stem, extension) = split(&name);
    format!("{}{extension}", cut(stem, FILE_BYTES_MAX - extension.len()))
}

/// Makes safe file names, unique among each other without regard to case: `a.pdf`, `a (2).pdf`.
///
/// Returns one for each of `names`, in their order.
pub fn unique_files<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut numbers = HashMap::new();
    names
        .into_iter()
        .map(|name| unique_file(file(name), &mut taken, &mut numbers))
        .collect()
}

/// Makes names safe to show, those that look alike told apart as [`unique_files`] tells them.
///
/// Returns one for each of `names`, in their order.
pub fn display_all<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let shown: Vec<String> = names.clone().map(display).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in &shown {
        *counts.entry(name).or_default() += 1;
    }
    if counts.len() == shown.len() {
        return shown;
    }

    let apart = shown
        .iter()
        .zip(unique_files(names))
        .map(|(name, unique)| match counts[&**name] {
            1 => name.clone(),
            _ => display(&unique),
        });
    apart.collect()
}

/// Returns the name, or a sensible one made from the media type where there is none to be seen.
///
/// A given name is returned as it is, not made safe.
pub fn or_from_type(name: Option<&str>, media_type: &str) -> String {
    match name {
        Some(name) if !clean(name).is_empty() => name.to_owned(),
        _ => from_type(&media_type.trim().to_ascii_lowercase()),
    }
}

/// Returns the name, or one made from the media type, with an extension where it ends in no known
/// one: that of the type, else the one that was `found` in the content.
///
/// A given name is otherwise returned as it is, not made safe.
pub fn complete(name: Option<&str>, media_type: &str, found: Option<&str>) -> String {
    let media_type = media_type.trim().to_ascii_lowercase();
    if let Some(name) = name.filter(|name| is_complete(name, &media_type)) {
        return name.to_owned();
    }

    let nameless = name.is_none_or(|name| clean(name).is_empty());
    let name = or_from_type(name, &media_type);

    if media_type == APPLEFILE && !nameless {
        return format!("{name}.applefile");
    }

    let extension = of_type(&media_type);
    // A container by its type or by its first bytes may be more to the program that made it.
    let is_vague = extension.is_none() || CONTAINERS.contains(&media_type.as_str());
    match extension.as_deref().or(found) {
        Some(found) if nameless && extension.is_none() => format!("{NAMELESS}.{found}"),
        Some(extension) if !has_extension(&name, &media_type, is_vague) => {
            format!("{}.{extension}", name.trim_end_matches(['.', ' ']))
        }
        _ => name,
    }
}

/// Returns true if only the content can tell how the name should end.
pub fn lacks_extension(name: Option<&str>, media_type: &str) -> bool {
    if name.is_some_and(|name| is_complete(name, media_type)) {
        return false;
    }
    let media_type = media_type.trim().to_ascii_lowercase();
    let has = |name: &str| !clean(name).is_empty() && has_extension(name, &media_type, true);
    media_type != APPLEFILE && of_type(&media_type).is_none() && !name.is_some_and(has)
}

/// The half of a Macintosh file that no other system can use (RFC 1740); it bears the other half's name.
const APPLEFILE: &str = "application/applefile";

/// Returns true if a name ends in a known extension and is so plain, as most are, that it need not
/// be made safe to see that.
fn is_complete(name: &str, media_type: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric();
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    stem.bytes().any(is_plain)
        && extension.bytes().all(is_plain)
        && !mime_guess::from_ext(extension).is_empty()
        && !media_type.trim().eq_ignore_ascii_case(APPLEFILE)
}

/// Returns the usual extension of a type, if it has one.
fn of_type(media_type: &str) -> Option<String> {
    let name = from_type(media_type);
    let (stem, extension) = name.rsplit_once('.')?;
    (stem != NAMELESS).then(|| extension.to_owned())
}

/// Types of files that hold files of other types: only the name tells which.
const CONTAINERS: [&str; 6] = [
    "application/gzip",
    "application/json",
    "application/x-gzip",
    "application/x-zip-compressed",
    "application/xml",
    "application/zip",
];

/// The longest ending that may be an unknown extension, in bytes.
const UNKNOWN_BYTES_MAX: usize = 8;

/// Returns true if a name ends in a known extension. Among texts, whose kinds nobody counts, and
/// where the type `is_vague`, an ending that looks like an extension is enough: `.001` is one of a
/// split archive.
fn has_extension(name: &str, media_type: &str, is_vague: bool) -> bool {
    let name = clean(name);
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let has_letter = extension.bytes().any(|b| b.is_ascii_alphabetic());
    let is_short = extension.len() <= UNKNOWN_BYTES_MAX;
    let is_plain = extension.bytes().all(|b| b.is_ascii_alphanumeric());
    let looks = is_plain && is_short && (has_letter || extension.len() == 3);
    let is_known = !mime_guess::from_ext(extension).is_empty();
    let may_look = is_vague || media_type.starts_with("text/");
    !stem.is_empty() && (is_known || may_look && looks)
}

/// Takes the name, or the next free one with a number.
fn unique_file(
    name: String,
    taken: &mut HashSet<String>,
    numbers: &mut HashMap<String, u32>,
) -> String {
    if taken.insert(fold(&name)) {
        return name;
    }

    // Names that agree once they are cut share a counter, so that no number is tried twice.
    let (stem, extension) = split(&name);
    let stem = cut(stem, FILE_BYTES_MAX - extension.len() - NUMBER_BYTES_MAX).trim_end();
    let number = numbers
        .entry(fold(&format!("{stem}{extension}")))
        .or_insert(1);
    loop {
        *number += 1;
        let candidate = format!("{stem} ({number}){extension}");
        if taken.insert(fold(&candidate)) {
            return candidate;
        }
    }
}

/// Returns a key that is equal for names which a file system may take for equal.
fn fold(name: &str) -> String {
    composed(name.to_uppercase().to_lowercase())
}

/// Splits a name into stem and extension; the extension has its dot, or is empty.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot - 1 <= EXTENSION_BYTES_MAX => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Returns the first `bytes_max` bytes, up to a character's boundary, without dots and blanks at their end.
fn cut(stem: &str, bytes_max: usize) -> &str {
    if stem.len() <= bytes_max {
        return stem;
    }
    stem[..stem.floor_char_boundary(bytes_max)].trim_end_matches(['.', ' '])
}

/// Makes a name one line without invisible characters and directories, in Unicode's composed form.
fn clean(name: &str) -> String {
    if is_clean(name) {
        return name.to_owned();
    }
    let visible: String = name
        .chars()
        .filter(|&c| !is_invisible(c))
        .map(|c| if is_blank(c) { ' ' } else { c })
        .collect();
    let visible = composed(visible);
    let name = visible.trim_matches(|c| matches!(c, ' ' | '/' | '\\'));
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    name.split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns true for most names that are clean as they are: a quick look, which costs less than cleaning.
fn is_clean(name: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\');
    name.bytes().all(is_plain)
        && !name.starts_with(' ')
        && !name.ends_with(' ')
        && !name.contains("  ")
}

/// Converts a name to Unicode's composed form; ASCII, as most names are, is that already.
fn composed(name: String) -> String {
    if name.is_ascii() {
        name
    } else {
        name.nfc().collect()
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Returns true for controls, format characters (Unicode's category Cf), fillers and noncharacters:
/// everything that takes no room itself and may change how the rest reads. Line ends count as blanks.
pub fn is_invisible(c: char) -> bool {
    if is_blank(c) {
        return false;
    }
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns true for the names that Windows keeps for devices, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_uppercase();

    if matches!(
        &*stem,
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }

    let port = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|digit| {
        let mut chars = digit.chars();
        matches!(chars.next(), Some('0'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
    })
}

/// Returns a name for a part that has none.
fn from_type(media_type: &str) -> String {
    let known = match media_type {
        "application/pdf" => "document.pdf",
        "application/msword" => "document.doc",
        "application/rtf" | "text/rtf" => "document.rtf",
        "application/vnd.oasis.opendocument.text" => "document.odt",
        "application/vnd.oasis.opendocument.spreadsheet" => "table.ods",
        "application/vnd.oasis.opendocument.presentation" => "slides.odp",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => {
            "document.docx"
        }
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "table.xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => {
            "slides.pptx"
        }
        "application/vnd.ms-excel" => "table.xls",
        "application/vnd.ms-powerpoint" => "slides.ppt",
        "application/zip" | "application/x-zip-compressed" => "archive.zip",
        "application/gzip" | "application/x-gzip" => "archive.gz",
        "application/json" => "data.json",
        "audio/mpeg" => "audio.mp3",
        "audio/mp4" | "audio/x-m4a" => "audio.m4a",
        "audio/wav" | "audio/x-wav" | "audio/vnd.wave" => "audio.wav",
        "image/jpeg" | "image/jpg" | "image/pjpeg" => "image.jpg",
        "image/svg+xml" => "image.svg",
        "image/tiff" => "image.tif",
        "message/rfc822" | "message/global" => "message.eml",
        "text/calendar" => "event.ics",
        "text/csv" => "table.csv",
        "text/html" => "page.html",
        "text/plain" => "text.txt",
        "text/vcard" | "text/x-vcard" => "contact.vcf",
        "text/xml" | "application/xml" => "data.xml",
        "video/quicktime" => "video.mov",
        "video/x-msvideo" => "video.avi",
        _ => return from_main_type(media_type),
    };

    known.to_owned()
}

/// Turns `image/png` into `image.png`: in these families a short subtype is the usual extension.
fn from_main_type(media_type: &str) -> String {
    match media_type.split_once('/') {
        Some((main @ ("audio" | "image" | "video"), sub))
            if (2..=5).contains(&sub.len()) && sub.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            format!("{main}.{sub}")
        }
        _ => format!("{NAMELESS}.bin"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shown_names_are_one_harmless_line() {
        for (name, shown) in [
            ("facture.pdf", "facture.pdf"),
            ("dos\u{202e}fdp.exe", "dosfdp.exe"),
            ("a\r\nBcc: x", "a Bcc: x"),
            ("\u{1b}[31mred\u{7}.pdf", "[31mred.pdf"),
            ("  a \t\u{2028} b .pdf ", "a b .pdf"),
            ("x.pdf                .exe", "x.pdf .exe"),
            ("x.pdf\u{3164}\u{3164}\u{2800}\u{2800}.exe", "x.pdf .exe"),
            ("re\u{0301}sume\u{0301}.pdf", "résumé.pdf"),
            ("e\u{200d}\u{0301}", "é"),
            ("/etc/passwd", "passwd"),
            (r"C:\Users\x\photo.jpg", "photo.jpg"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("dir/", "dir"),
            ("", "attachment"),
            ("\u{200b}\u{202e}", "attachment"),
            ("..", "attachment"),
            ("..\\..", "attachment"),
        ] {
            assert_eq!(display(name), shown, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension_in_sight() {
        let shown = display(&format!("{}.exe", "é".repeat(500)));
        assert_eq!(shown.chars().count(), DISPLAY_CHARS_MAX);
        assert!(shown.contains('…') && shown.ends_with("é.exe"));
    }

    #[test]
    fn names_at_the_limit_are_not_shortened() {
        assert_eq!(
            display(&"x".repeat(DISPLAY_CHARS_MAX)),
            "x".repeat(DISPLAY_CHARS_MAX)
        );
        assert!(display(&"x".repeat(DISPLAY_CHARS_MAX + 1)).contains('…'));
        assert_eq!(
            file(&"x".repeat(FILE_BYTES_MAX)),
            "x".repeat(FILE_BYTES_MAX)
        );
        assert_eq!(
            file(&"x".repeat(FILE_BYTES_MAX + 1)),
            "x".repeat(FILE_BYTES_MAX)
        );
    }

    #[test]
    fn what_is_cut_is_cut_to_the_limit() {
        let ending = |bytes: usize| format!(".{}", "e".repeat(bytes));
        let long = "x".repeat(FILE_BYTES_MAX);
        // The longest that counts as an extension is kept whole; one more, and it is text.
        let (kept, text) = (ending(EXTENSION_BYTES_MAX), ending(EXTENSION_BYTES_MAX + 1));
        let stem = &long[..FILE_BYTES_MAX - kept.len()];
        assert_eq!(file(&format!("{long}{kept}")), format!("{stem}{kept}"));
        assert_eq!(file(&format!("{long}{text}")), long);
        // A shown name keeps both ends.
        let name = format!("{}{}", "a".repeat(100), "z".repeat(100));
        let head = "a".repeat(DISPLAY_CHARS_MAX - DISPLAY_TAIL_CHARS - 1);
        let tail = "z".repeat(DISPLAY_TAIL_CHARS);
        assert_eq!(display(&name), format!("{head}…{tail}"));
        // A number has room left for it.
        let stem = &long[..FILE_BYTES_MAX - NUMBER_BYTES_MAX];
        let unique = unique_files([&*long, &long]);
        assert_eq!(unique, [long.clone(), format!("{stem} (2)")]);
    }

    #[test]
    fn file_names_suit_every_system() {
        for (name, safe) in [
            ("a<b>:c\"|?*.pdf", "a_b__c____.pdf"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1 .txt", "_com1 .txt"),
            ("LPT².pdf", "_LPT².pdf"),
            ("COM10", "COM10"),
            ("console.log", "console.log"),
            (".htaccess", "htaccess"),
            ("-rf", "rf"),
            ("- .-x", "x"),
            ("report. . .", "report"),
            ("..", "attachment"),
            ("...", "attachment"),
            ("../x", "x"),
            ("a/../..", "attachment"),
            ("\0", "attachment"),
        ] {
            assert_eq!(file(name), safe, "{name:?}");
        }
    }

    #[test]
    fn equal_names_are_numbered_whatever_their_case() {
        let names = [
            "a.pdf",
            "A.PDF",
            "a (2).pdf",
            "a.pdf",
            "b",
            "B",
            "Straße",
            "STRASSE",
        ];
        assert_eq!(
            unique_files(names),
            [
                "a.pdf",
                "A (2).PDF",
                "a (2) (2).pdf",
                "a (3).pdf",
                "b",
                "B (2)",
                "Straße",
                "STRASSE (2)"
            ]
        );
    }

    #[test]
    fn ten_thousand_equal_names_are_numbered_in_one_go() {
        let names = unique_files(vec!["a.pdf"; 10_000]);
        assert_eq!(names[9_999], "a (10000).pdf");
    }

    #[test]
    fn names_that_agree_once_cut_share_their_numbers() {
        let long = |i: usize| format!("{}{:04}.pdf", "x".repeat(FILE_BYTES_MAX - 8), i / 2);
        let names: Vec<String> = (0..4_000).map(long).collect();
        let unique = unique_files(names.iter().map(String::as_str));
        assert!(unique[3_999].ends_with(" (2001).pdf"), "{}", unique[3_999]);
    }

    #[test]
    fn a_part_without_a_name_is_called_after_its_type() {
        for (name, media_type, called) in [
            (Some("x.y"), "image/png", "x.y"),
            (Some("\u{202e} "), "image/png", "image.png"),
            (None, "image/png", "image.png"),
            (None, "IMAGE/JPEG", "image.jpg"),
            (None, "message/rfc822", "message.eml"),
            (None, "application/pdf", "document.pdf"),
            (None, "application/octet-stream", "attachment.bin"),
            (None, "image/x/../../y", "attachment.bin"),
            (None, "", "attachment.bin"),
        ] {
            assert_eq!(or_from_type(name, media_type), called);
        }
    }

    #[test]
    fn each_type_that_is_known_has_its_name() {
        for (media_types, called) in [
            ("application/pdf", "document.pdf"),
            ("application/msword", "document.doc"),
            ("application/rtf text/rtf", "document.rtf"),
            ("application/vnd.oasis.opendocument.text", "document.odt"),
            (
                "application/vnd.oasis.opendocument.spreadsheet",
                "table.ods",
            ),
            (
                "application/vnd.oasis.opendocument.presentation",
                "slides.odp",
            ),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "document.docx",
            ),
            (
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "table.xlsx",
            ),
            (
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
                "slides.pptx",
            ),
            ("application/vnd.ms-excel", "table.xls"),
            ("application/vnd.ms-powerpoint", "slides.ppt"),
            (
                "application/zip application/x-zip-compressed",
                "archive.zip",
            ),
            ("application/gzip application/x-gzip", "archive.gz"),
            ("application/json", "data.json"),
            ("audio/mpeg", "audio.mp3"),
            ("audio/mp4 audio/x-m4a", "audio.m4a"),
            ("audio/wav audio/x-wav audio/vnd.wave", "audio.wav"),
            ("image/jpeg image/jpg image/pjpeg", "image.jpg"),
            ("image/svg+xml", "image.svg"),
            ("image/tiff", "image.tif"),
            ("message/rfc822 message/global", "message.eml"),
            ("text/calendar", "event.ics"),
            ("text/csv", "table.csv"),
            ("text/html", "page.html"),
            ("text/plain", "text.txt"),
            ("text/vcard text/x-vcard", "contact.vcf"),
            ("text/xml application/xml", "data.xml"),
            ("video/quicktime", "video.mov"),
            ("video/x-msvideo", "video.avi"),
            ("video/mp4", "video.mp4"),
            ("image/vnd.adobe.photoshop", "attachment.bin"),
        ] {
            for media_type in media_types.split(' ') {
                assert_eq!(or_from_type(None, media_type), called, "{media_type}");
            }
        }
    }

    #[test]
    fn the_content_is_asked_only_where_neither_name_nor_type_ends_a_name() {
        for (name, media_type, lacks) in [
            (None, "application/octet-stream", true),
            (Some("scan"), "application/octet-stream", true),
            (Some("\u{202e} "), "application/octet-stream", true),
            (Some("RE: Dossier"), "", true),
            (Some("scan.pdf"), "application/octet-stream", false),
            (Some("Été 2026.pdf"), "application/octet-stream", false),
            (Some("archive.001"), "application/octet-stream", false),
            (None, "application/pdf", false),
            (Some("scan"), " Application/PDF ", false),
            (Some("scan"), APPLEFILE, false),
        ] {
            assert_eq!(
                lacks_extension(name, media_type),
                lacks,
                "{name:?} {media_type}"
            );
        }
    }

    /// Names made of everything that hurts.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                ".",
                "..",
                "/",
                "\\",
                "-",
                " ",
                "CON",
                "nul",
                "\r\n",
                "\u{202e}",
                "e\u{301}",
                "é",
                ".pdf",
                ".exe",
                ":",
                "\u{200b}",
                "日本",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "(2)",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_comes_is_shown_as_one_bounded_line(name in hostile()) {
            let shown = display(&name);
            prop_assert!(!shown.is_empty());
            prop_assert!(shown.chars().count() <= DISPLAY_CHARS_MAX);
            prop_assert!(!shown.chars().any(is_invisible));
            let forbidden = ['/', '\\', '\n', '\r', '\t', '\u{2028}'];
            prop_assert!(!shown.contains(forbidden));
            prop_assert!(!shown.contains("  ") && shown.trim() == shown);
            prop_assert_eq!(display(&shown), shown);
        }

        #[test]
        fn whatever_comes_is_a_file_name(name in hostile()) {
            let safe = file(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= FILE_BYTES_MAX);
            prop_assert!(!safe.starts_with(['.', '-', ' ']) && !safe.ends_with(['.', ' ']));
            prop_assert!(!safe.contains(['/', '\\', '<', '>', ':', '"', '|', '?', '*', '\0']));
            prop_assert!(!is_device(&safe));
            prop_assert_eq!(file(&safe), safe);
        }

        #[test]
        fn whatever_comes_is_made_unique(names in prop::collection::vec(hostile(), 0..20)) {
            let doubled: Vec<&str> = names.iter().chain(&names).map(String::as_str).collect();
            let unique = unique_files(doubled.iter().copied());
            prop_assert_eq!(unique.len(), doubled.len());
            let mut keys: Vec<String> = unique.iter().map(|name| name.to_lowercase()).collect();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), unique.len());
            for name in &unique {
                prop_assert!(name.len() <= FILE_BYTES_MAX);
                prop_assert_eq!(&file(name), name);
            }
        }
    }
}
