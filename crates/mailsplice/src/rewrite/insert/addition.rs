//! An addition to a text, as text and as HTML.

use crate::notice::{self, Notice, Setting};

/// An addition to a text.
#[derive(Clone, Copy, Debug)]
pub struct Addition<'a> {
    /// The names of the files that readers showed in line between this text and the next one. They
    /// are left out where the text goes on behind the notice.
    pub between: &'a [String],
    /// The notice.
    pub notice: Option<&'a Notice>,
}

impl<'a> From<&'a Notice> for Addition<'a> {
    fn from(notice: &'a Notice) -> Self {
        Self {
            between: &[],
            notice: Some(notice),
        }
    }
}

impl Addition<'_> {
    /// Returns the addition without the files between texts.
    pub(super) fn without_files(self) -> Self {
        Self {
            between: &[],
            ..self
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.between.is_empty() && self.notice.is_none()
    }

    /// Returns the lines as HTML, without line ends, in ASCII.
    pub(super) fn html(&self) -> Vec<String> {
        let names = self.between.iter().map(|name| notice::place_html(name));
        names
            .chain(self.notice.iter().flat_map(|notice| notice.html()))
            .collect()
    }

    /// Returns the lines as text, without line ends.
    pub(super) fn text_in(&self, setting: &Setting<'_>) -> Vec<String> {
        let names = self.between.iter();
        let mut lines: Vec<String> = names
            .map(|name| notice::place_text(name, setting))
            .collect();
        if let Some(notice) = self.notice {
            // A blank line stands between them.
            lines.extend((!lines.is_empty()).then(String::new));
            lines.extend(notice.text_in(setting));
        }
        lines
    }
}
