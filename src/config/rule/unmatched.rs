//! Detects patterns that no attachment can match, and suggests what was meant.
//!
//! Only certain cases are reported: a regular expression never is.

use std::borrow::Cow;

/// Top-level media types (RFC 6838, section 4.2).
const TOP_LEVEL_TYPES: [&str; 10] = [
    "application",
    "audio",
    "font",
    "haptics",
    "image",
    "message",
    "model",
    "multipart",
    "text",
    "video",
];

/// Media types of files that people know by their extension.
const BY_EXTENSION: [(&str, &str); 22] = [
    ("7z", "application/x-7z-compressed"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eml", "message/rfc822"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("tif", "image/tiff"),
    ("txt", "text/plain"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("zip", "application/zip"),
];

/// Returns advice for a pattern that nothing can match; `None` if something can.
pub(super) fn meant(key: &str, pattern: &str) -> Option<String> {
    if pattern.starts_with('/') {
        return None;
    }
    match key {
        "type" => media_type(pattern),
        "content" => media_type(pattern).or_else(|| content(pattern)),
        "extension" => extension(pattern),
        "list" => flag(pattern),
        _ => None,
    }
}

fn media_type(pattern: &str) -> Option<String> {
    if let Some((name, _)) = pattern.split_once(';') {
        let name = name.trim();
        return Some(format!(
            "has a parameter, and is compared without: write \"{name}\""
        ));
    }

    if pattern.contains(['/', '*', '?', '[', '\\']) {
        return None;
    }

    let word = pattern.trim_start_matches('.').to_lowercase();
    let meant = BY_EXTENSION.iter().find(|(known, _)| *known == word);
    let write: Cow<'_, str> = if let Some((_, name)) = meant {
        format!("write \"{name}\", or extension = \"{word}\"").into()
    } else if TOP_LEVEL_TYPES.contains(&word.as_str()) {
        format!("write \"{word}/*\"").into()
    } else {
        "write one such as \"application/pdf\", or extension = \"pdf\"".into()
    };

    Some(format!("is no media type, which has a slash: {write}"))
}

/// Detects a type that the first bytes of no file show.
fn content(pattern: &str) -> Option<String> {
    let word = pattern.to_lowercase();
    let is_known = word == "application/octet-stream" || infer::is_mime_supported(&word);
    let is_exact = !pattern.contains(['*', '?', '[', '{', '\\']);
    (is_exact && !is_known).then(|| {
        format!(
            "is no type that first bytes show: write type = \"{word}\" for what the mail says of it"
        )
    })
}

fn extension(pattern: &str) -> Option<String> {
    if pattern.contains('/') {
        return Some(format!("is a media type: write type = \"{pattern}\""));
    }

    if pattern.contains(['[', '\\']) {
        return None;
    }

    if pattern.contains([',', ';']) && !pattern.contains('{') {
        let words = pattern
            .split([',', ';', ' '])
            .filter(|word| !word.is_empty());
        let listed: Vec<String> = words
            .map(|word| format!("\"{}\"", word.rsplit('.').next().unwrap_or(word)))
            .collect();
        return Some(format!("must be a list: [{}]", listed.join(", ")));
    }

    let (stem, last) = pattern.rsplit_once('.')?;
    if stem.contains('{') {
        return None;
    }

    let whole = if stem.trim_matches('*').is_empty() {
        String::new()
    } else {
        format!(
            ", or file_name = \"*.{}\"",
            pattern.trim_start_matches(['*', '.'])
        )
    };

    Some(format!(
        "has a dot, and an extension is what follows the last one: write \"{last}\"{whole}"
    ))
}

/// Detects a boolean in quotes, which would be the name of a list.
fn flag(pattern: &str) -> Option<String> {
    match pattern.to_lowercase().as_str() {
        "true" | "yes" | "oui" => Some("is a name between its quotes: write list = true".into()),
        "false" | "no" | "non" => Some("is a name between its quotes: write list = false".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_can_match_is_told_with_what_was_meant() {
        for (key, pattern, write) in [
            (
                "type",
                "pdf",
                "write \"application/pdf\", or extension = \"pdf\"",
            ),
            (
                "type",
                ".PDF",
                "write \"application/pdf\", or extension = \"pdf\"",
            ),
            ("type", "image", "write \"image/*\""),
            ("type", "{pdf,zip}", "write one such as \"application/pdf\""),
            ("type", "text/plain; charset=utf-8", "write \"text/plain\""),
            ("content", "zip", "write \"application/zip\""),
            ("content", "text/plain", "write type = \"text/plain\""),
            ("extension", "*.pdf", "write \"pdf\""),
            (
                "extension",
                "tar.gz",
                "write \"gz\", or file_name = \"*.tar.gz\"",
            ),
            ("extension", "*.tar.gz", "or file_name = \"*.tar.gz\""),
            (
                "extension",
                "pdf, .doc",
                "must be a list: [\"pdf\", \"doc\"]",
            ),
            (
                "extension",
                "application/pdf",
                "write type = \"application/pdf\"",
            ),
            ("list", "True", "write list = true"),
            ("list", "no", "write list = false"),
        ] {
            let said = meant(key, pattern).unwrap_or_default();
            assert!(said.contains(write), "{key} = {pattern}: {said}");
        }
    }

    #[test]
    fn what_something_can_match_is_left_alone() {
        for (key, pattern) in [
            ("type", "application/pdf"),
            ("type", "image*"),
            ("type", "*pdf"),
            ("type", "/pdf$/"),
            ("content", "image/png"),
            ("content", "application/octet-stream"),
            ("content", "text/*"),
            ("extension", "pdf"),
            ("extension", "{pdf,doc}"),
            ("extension", "do?"),
            ("extension", "/^7z/"),
            ("file_name", "*.pdf"),
            ("list", "users.lists.example.org"),
            ("daemon", "true"),
        ] {
            assert_eq!(meant(key, pattern), None, "{key} = {pattern}");
        }
    }
}
