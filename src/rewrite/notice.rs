//! The notice: what the reader of the mail is told, as text and as HTML.

use jiff::Zoned;

use crate::config::Language;

/// What the notice says.
#[derive(Clone, Debug)]
pub struct Notice {
    /// In which language.
    pub language: Language,
    /// The files, in the order of the message.
    pub files: Vec<NoticeFile>,
    /// The link to the landing page.
    pub link: String,
    /// Until when the files can be fetched, in the zone in which the date is shown.
    pub expires: Zoned,
    /// Who keeps the files: the operator's name or host.
    pub operator: String,
}

/// A file in the notice.
#[derive(Clone, Debug)]
pub struct NoticeFile {
    /// Its name, made safe to show: no control or bidi characters, of bounded length.
    pub name: String,
    /// Its decoded size in bytes.
    pub bytes: u64,
}
