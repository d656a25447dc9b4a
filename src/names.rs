//! File names from mail are hostile: made safe to show, to send in a header, to write to a disk.

/// A name safe to show in text, HTML (after escaping), a log or a terminal: no control, no bidi
/// character, one line, bounded length with the extension kept; never empty.
pub fn display(_name: &str) -> String {
    unimplemented!()
}

/// A name safe as a file name of its own in a folder or an archive, on every common system.
pub fn file(_name: &str) -> String {
    unimplemented!()
}

/// Safe file names, made unique among each other without regard to case: `a.pdf`, `a (2).pdf`.
pub fn unique_files<'a>(_names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    unimplemented!()
}
