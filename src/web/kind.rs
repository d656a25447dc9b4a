//! The kind of a file, as a word and as the letters of its icon.
//!
//! The extension decides first, since the reader's system goes by it: `invoice.pdf.exe` is a
//! program, whatever the mail declared.

use mailsplice::l10n::Language;

/// The kind of a file in a reader's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Pdf,
    Text,
    Document,
    Spreadsheet,
    Presentation,
    Image,
    Video,
    Audio,
    Archive,
    Message,
    Calendar,
    Contacts,
    Program,
    WebPage,
    File,
}

/// The kind of a file from its name (made safe) and the media type that the mail declared.
pub(super) fn kind(name: &str, media_type: &str) -> FileKind {
    let extension = extension(name).unwrap_or_default();
    BY_EXTENSION
        .iter()
        .find(|(extensions, _)| extensions.split(' ').any(|known| known == extension))
        .map_or_else(|| by_media_type(media_type), |(_, kind)| *kind)
}

/// The letters of a file's icon: its extension, if that fits.
pub(super) fn icon(name: &str, kind: FileKind) -> String {
    let fits = |extension: &String| (1..=4).contains(&extension.len());
    extension(name).filter(fits).map_or_else(
        || kind.letters().to_owned(),
        |extension| extension.to_ascii_uppercase(),
    )
}

/// The extensions of programs, separated by spaces.
pub(super) fn programs() -> &'static str {
    let programs = BY_EXTENSION
        .iter()
        .find(|(_, kind)| *kind == FileKind::Program);
    programs.map_or("", |(extensions, _)| extensions)
}

/// The extension in lower case, if it is one: ASCII letters and digits after the last dot.
fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let plain = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain && !stem.is_empty()).then(|| extension.to_ascii_lowercase())
}

fn by_media_type(media_type: &str) -> FileKind {
    let media_type = media_type.to_ascii_lowercase();
    match media_type.split_once('/').unwrap_or((&media_type, "")) {
        ("image", _) => FileKind::Image,
        ("video", _) => FileKind::Video,
        ("audio", _) => FileKind::Audio,
        ("message", _) => FileKind::Message,
        ("text", "html") => FileKind::WebPage,
        ("text", "calendar") => FileKind::Calendar,
        ("text", "vcard" | "x-vcard") => FileKind::Contacts,
        ("text", _) => FileKind::Text,
        ("application", "pdf") => FileKind::Pdf,
        ("application", "zip" | "gzip" | "x-tar" | "x-7z-compressed") => FileKind::Archive,
        _ => FileKind::File,
    }
}

const BY_EXTENSION: [(&str, FileKind); 14] = [
    ("pdf", FileKind::Pdf),
    ("txt md log csv tsv json xml", FileKind::Text),
    (
        "doc docx docm odt ott rtf pages tex epub",
        FileKind::Document,
    ),
    ("xls xlsx xlsm xlsb ods ots numbers", FileKind::Spreadsheet),
    ("ppt pptx pptm pps ppsx odp otp key", FileKind::Presentation),
    (
        "jpg jpeg png gif webp avif heic heif tif tiff bmp svg psd xcf ai eps raw dng",
        FileKind::Image,
    ),
    ("mp4 m4v mov avi mkv webm mpg mpeg wmv 3gp", FileKind::Video),
    ("mp3 m4a aac ogg oga opus flac wav wma mid", FileKind::Audio),
    (
        "zip 7z rar tar gz tgz bz2 xz zst iso img dmg cab",
        FileKind::Archive,
    ),
    ("eml msg mbox", FileKind::Message),
    ("ics", FileKind::Calendar),
    ("vcf", FileKind::Contacts),
    (
        "exe msi msix com scr pif bat cmd ps1 vbs vbe js jse wsf hta lnk jar reg sh run deb rpm \
         apk app appimage cpl dll",
        FileKind::Program,
    ),
    ("htm html xhtml shtml mht mhtml", FileKind::WebPage),
];

impl FileKind {
    /// The kind as a noun.
    pub(super) fn noun(self, language: Language) -> &'static str {
        let (french, english) = match self {
            Self::Pdf => ("Document PDF", "PDF document"),
            Self::Text => ("Texte", "Text"),
            Self::Document => ("Document", "Document"),
            Self::Spreadsheet => ("Feuille de calcul", "Spreadsheet"),
            Self::Presentation => ("Présentation", "Presentation"),
            Self::Image => ("Image", "Image"),
            Self::Video => ("Vidéo", "Video"),
            Self::Audio => ("Son", "Audio"),
            Self::Archive => ("Archive", "Archive"),
            Self::Message => ("Courriel", "Mail message"),
            Self::Calendar => ("Agenda", "Calendar"),
            Self::Contacts => ("Contacts", "Contacts"),
            Self::Program => ("Programme", "Program"),
            Self::WebPage => ("Page web", "Web page"),
            Self::File => ("Fichier", "File"),
        };
        match language {
            Language::Fr => french,
            Language::En => english,
        }
    }

    /// The name of its drawing in `icons.html`.
    pub(super) fn glyph(self) -> &'static str {
        match self {
            Self::Pdf | Self::Text | Self::Document => "document",
            Self::Spreadsheet => "spreadsheet",
            Self::Presentation => "presentation",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Archive => "archive",
            Self::Message => "message",
            Self::Calendar => "calendar",
            Self::Contacts => "contacts",
            Self::Program => "program",
            Self::WebPage => "webpage",
            Self::File => "file",
        }
    }

    fn letters(self) -> &'static str {
        match self {
            Self::Pdf => "PDF",
            Self::Text | Self::Document => "TXT",
            Self::Spreadsheet => "XLS",
            Self::Presentation => "PPT",
            Self::Image => "IMG",
            Self::Video => "VID",
            Self::Audio => "SON",
            Self::Archive => "ZIP",
            Self::Message => "@",
            Self::Calendar => "ICS",
            Self::Contacts => "VCF",
            Self::Program => "EXE",
            Self::WebPage => "WEB",
            Self::File => "•",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_speaks_before_the_declared_type() {
        for (name, media_type, expected, letters) in [
            ("a.PDF", "application/octet-stream", FileKind::Pdf, "PDF"),
            (
                "facture.pdf.exe",
                "application/pdf",
                FileKind::Program,
                "EXE",
            ),
            ("scan", "Image/PNG", FileKind::Image, "IMG"),
            ("x.unknown", "application/zip", FileKind::Archive, "ZIP"),
            ("x.dwg", "application/octet-stream", FileKind::File, "DWG"),
            (".htaccess", "application/octet-stream", FileKind::File, "•"),
            ("a.b c", "", FileKind::File, "•"),
            ("photo.jpeg", "", FileKind::Image, "JPEG"),
        ] {
            let found = kind(name, media_type);
            assert_eq!(
                (found, icon(name, found).as_str()),
                (expected, letters),
                "{name}"
            );
        }
    }
}
