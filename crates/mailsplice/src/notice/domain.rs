//! The dots in a file name that could make a mail client see a domain, and a link that nobody wrote.

/// Extensions that are no top-level domain, so that no client makes a link of `x.pdf`. Such names
/// need no help and are left alone; one that is missing here costs an invisible character.
const NO_DOMAINS: &[&str] = &[
    "7z", "avi", "bin", "bmp", "csv", "dat", "doc", "docm", "docx", "dwg", "eml", "epub", "exe",
    "flac", "gif", "gz", "heic", "htm", "html", "ics", "iso", "jpeg", "jpg", "json", "log", "m4a",
    "mkv", "mp3", "mp4", "mpeg", "mpg", "msg", "odp", "ods", "odt", "ogg", "pdf", "png", "ppt",
    "pptx", "psd", "rar", "raw", "rtf", "svg", "tar", "tgz", "tif", "tiff", "txt", "vcf", "wav",
    "webm", "webp", "wmv", "xls", "xlsm", "xlsx", "xml", "xz",
];

/// Returns true if the dot at `dot` could make a client see a domain: `evil.zip`, `www.x`, `a.com (1)`.
pub(super) fn starts_domain(name: &str, dot: usize) -> bool {
    let (before, after) = name.split_at(dot);
    let Some(after) = after.strip_prefix('.') else {
        return false;
    };
    let label = after
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .next()
        .unwrap_or_default();
    before.ends_with(|c: char| c.is_alphanumeric() || c == '-')
        && label.chars().nth(1).is_some()
        && label.chars().any(char::is_alphabetic)
        && !NO_DOMAINS.contains(&&*label.to_ascii_lowercase())
        || before.to_ascii_lowercase().ends_with("www")
}
