//! The data given to templates. depollueur.toml(5) documents each name: change both together.

use serde::Serialize;

/// The data that all pages show, as `site`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SiteView {
    pub(super) operator: String,
    pub(super) host: String,
    pub(super) contact: Option<LinkView>,
    pub(super) legal: Option<LinkView>,
    /// The logo's address.
    pub(super) logo: Option<String>,
    /// The path of the public address, with its slashes.
    pub(super) base: String,
    /// The style sheet's address.
    pub(super) style: String,
}

/// A link to follow, or a button to press.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LinkView {
    pub(super) href: String,
    pub(super) text: String,
}

/// A moment, ready to be shown.
#[derive(Debug, Serialize)]
pub(super) struct MomentView {
    pub(super) machine: String,
    pub(super) text: String,
    pub(super) zone: String,
}

/// `landing.html`
#[derive(Debug, Serialize)]
pub(super) struct LandingView {
    /// The host that keeps the files, if they are not here: buttons lead to its pages.
    pub(super) elsewhere: Option<String>,
    pub(super) title: String,
    pub(super) from: String,
    /// The size of all files together, if there are several.
    pub(super) sum: Option<String>,
    pub(super) expires: MomentView,
    pub(super) left: String,
    pub(super) note: Option<String>,
    pub(super) files: Vec<FileView>,
    /// The number of files that are seen at once, and the words behind which the others are.
    pub(super) unfolded: usize,
    pub(super) folded: Option<String>,
    pub(super) pages: Option<PagesView>,
    pub(super) archive: Option<ArchiveView>,
    pub(super) extend: Option<LinkView>,
    pub(super) why: String,
    pub(super) report: String,
}

/// `unlock.html`
#[derive(Debug, Serialize)]
pub(super) struct UnlockView {
    pub(super) title: String,
    pub(super) from: String,
    /// The size of all files together, if there are several.
    pub(super) sum: Option<String>,
    pub(super) expires: MomentView,
    pub(super) left: String,
    pub(super) note: Option<String>,
    pub(super) files: Vec<SealedFileView>,
    /// The number of files that are seen at once, and the words behind which the others are.
    pub(super) unfolded: usize,
    pub(super) folded: Option<String>,
    pub(super) pages: Option<PagesView>,
    /// The number of all files, and of those before the ones on this page.
    pub(super) count: usize,
    pub(super) before: usize,
    /// The size of all files together.
    pub(super) size: String,
    /// The file name of the archive of all files.
    pub(super) archive: String,
    pub(super) extend: Option<LinkView>,
    pub(super) why: String,
    pub(super) report: String,
    /// The record's id.
    pub(super) id: String,
    /// The address of the encrypted manifest.
    pub(super) manifest: String,
    /// The extensions of programs, separated by spaces.
    pub(super) programs: &'static str,
    /// The address of the script.
    pub(super) script: String,
}

/// A file of `unlock.html`; only the browser knows its name.
#[derive(Debug, Serialize)]
pub(super) struct SealedFileView {
    pub(super) href: String,
    pub(super) size: String,
    pub(super) bytes: u64,
}

/// A file of `landing.html`.
#[derive(Debug, Serialize)]
pub(super) struct FileView {
    pub(super) href: String,
    pub(super) glyph: &'static str,
    pub(super) letters: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) program: bool,
    pub(super) size: String,
    pub(super) sha256: String,
}

/// The links to the other pages of a package of many files.
#[derive(Debug, Serialize)]
pub(super) struct PagesView {
    /// The number of this page, from 1.
    pub(super) number: usize,
    /// The range of files that it shows, and their total number.
    pub(super) text: String,
    /// The addresses of the previous and the next page.
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    /// Links to the first, the last, and the pages near this one.
    pub(super) links: Vec<PageLinkView>,
}

/// A link to one of the pages.
#[derive(Debug, Serialize)]
pub(super) struct PageLinkView {
    pub(super) href: String,
    pub(super) text: String,
    pub(super) is_this: bool,
}

/// The archive of all files.
#[derive(Debug, Serialize)]
pub(super) struct ArchiveView {
    pub(super) href: String,
    pub(super) size: String,
}

/// `gone.html`
#[derive(Debug, Serialize)]
pub(super) struct GoneView {
    pub(super) title: String,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) extend: Option<LinkView>,
    pub(super) ask: String,
    pub(super) ask_operator: String,
    pub(super) report: String,
}

/// `report.html`
#[derive(Debug, Serialize)]
pub(super) struct ReportView {
    pub(super) title: String,
    pub(super) what: String,
    /// The fate of the report.
    pub(super) then: String,
    pub(super) action: String,
    pub(super) back: String,
    pub(super) error: Option<String>,
    /// The input so far.
    pub(super) text: String,
    pub(super) contact: String,
    pub(super) reasons: Vec<ReasonView>,
    /// True if the link can be shared: some the server does not know in full.
    pub(super) shareable: bool,
    pub(super) text_max: usize,
    pub(super) contact_max: usize,
}

/// A reason to choose from.
#[derive(Debug, Serialize)]
pub(super) struct ReasonView {
    pub(super) value: &'static str,
    pub(super) text: &'static str,
    pub(super) chosen: bool,
}

/// `message.html`: a title and a few paragraphs.
#[derive(Debug, Serialize)]
pub(super) struct MessageView {
    pub(super) title: String,
    pub(super) paragraphs: Vec<String>,
    pub(super) link: Option<LinkView>,
}

/// `home.html`
#[derive(Debug, Serialize)]
pub(super) struct HomeView {
    pub(super) title: String,
    pub(super) what: String,
}

/// `about.html`
#[derive(Debug, Serialize)]
pub(super) struct AboutView {
    pub(super) title: String,
    pub(super) sections: Vec<SectionView>,
    /// The paragraphs of the legal notice, if it is a text.
    pub(super) legal: Vec<String>,
}

/// A section of `about.html`.
#[derive(Debug, Serialize)]
pub(super) struct SectionView {
    pub(super) title: &'static str,
    pub(super) text: String,
}
