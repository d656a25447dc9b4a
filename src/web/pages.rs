//! The pages. Their content is decided here; the wording is in [`texts`](super::texts), the look in
//! the templates.

mod package;
mod paging;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use jiff::tz::TimeZone;
use minijinja::{context, value::Serde};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tracing::error;

pub(super) use self::{
    package::{Extended, ReportForm},
    paging::PageAsked,
};
use super::{
    WebState,
    language::Wanted,
    shelf::Shelf,
    texts::{Texts, fill, texts},
    theme::Theme,
    views::{AboutView, HomeView, LinkView, MessageView, SectionView, SiteView},
    well_known::SCRIPT,
};
use crate::{
    budget::Spent,
    config::{ShowSender, WebConfig},
};

/// Time after which a page that could not be shown may be asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(120);

/// Time after which a page for which there was no memory may be asked for again.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(10);

/// All pages, in both languages.
pub(super) struct Pages {
    theme: Theme,
    shelf: Arc<Shelf>,
    site: SiteView,
    public_url: String,
    legal: Legal,
    zone: TimeZone,
    show_sender: ShowSender,
    /// True if somebody is told of reports.
    has_receiver: bool,
    /// The address of the script.
    script: String,
}

/// The legal notice.
enum Legal {
    None,
    Elsewhere(String),
    Paragraphs(Vec<String>),
}

/// An error, as the reader meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPage {
    NotFound,
    BadForm,
    Foreign,
    Method,
    /// The form took too long to arrive.
    Slow,
    TooLarge,
    NoForm,
    TooMany(Duration),
    /// Too many read at the moment: there is no memory, or no place, for one more.
    Crowded,
    Failed,
}

impl Pages {
    /// Makes the pages. The memory that they hold until they are sent is taken from this shelf.
    pub(super) fn new(state: &WebState, shelf: Arc<Shelf>) -> Self {
        let site = SiteView::new(&state.config, &state.theme);
        Self {
            theme: state.theme.clone(),
            shelf,
            script: versioned(&site.base, "unlock.js", SCRIPT.as_bytes()),
            site,
            public_url: state.config.public_url.to_string(),
            legal: Legal::new(&state.config.legal),
            zone: state.zone.clone(),
            show_sender: state.config.show_sender,
            has_receiver: state.config.has_receiver(),
        }
    }

    /// The path under which readers see the site.
    pub(super) fn base(&self) -> &str {
        &self.site.base
    }

    /// The contact for questions, if the admin named one.
    pub(super) fn contact(&self) -> Option<&LinkView> {
        self.site.contact.as_ref()
    }

    /// The page that explains why there is no answer, or not the one that was asked for.
    pub(super) fn problem(&self, wanted: Wanted, problem: ErrorPage) -> Response {
        let t = texts(wanted.language);
        let [title, why, what] = problem.words(t);
        let page = MessageView {
            title: title.to_owned(),
            paragraphs: [why, what]
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect(),
            link: None,
        };

        let rendered = self.render("message.html", wanted, page);
        // Not counted: it is small, and is also the page that says that no memory is left.
        let mut response = match rendered {
            Ok(html) => page_response(problem.status(), t, html.into()),
            Err(response) => response,
        };

        if let Some(wait) = problem.retry_after() {
            let seconds = wait.as_secs().max(1);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The page that says what this server is.
    pub(super) fn home(&self, wanted: Wanted) -> Response {
        let t = texts(wanted.language);
        let page = HomeView {
            title: t.home.to_owned(),
            what: fill(t.home_what, &[("operator", &self.site.operator)]),
        };
        self.show(StatusCode::OK, "home.html", wanted, page)
    }

    /// The page about this server, for people who answer for a network.
    pub(super) fn about(&self, wanted: Wanted) -> Response {
        let t = texts(wanted.language);
        let page = AboutView {
            title: t.about.to_owned(),
            sections: self.sections(t),
            legal: match &self.legal {
                Legal::Paragraphs(paragraphs) => paragraphs.clone(),
                Legal::None | Legal::Elsewhere(_) => Vec::new(),
            },
        };
        self.show(StatusCode::OK, "about.html", wanted, page)
    }

    fn sections(&self, t: &Texts) -> Vec<SectionView> {
        let values = [
            ("operator", self.site.operator.as_str()),
            ("url", &self.public_url),
            ("host", &self.site.host),
        ];

        [
            (t.about_what, t.about_what_text),
            (t.about_mail, t.about_mail_text),
            (t.about_link, t.about_link_text),
            (t.about_files, t.about_files_text),
            (t.about_sealed, t.about_sealed_text),
            (t.about_log, t.about_log_text),
            (t.about_abuse, t.about_abuse_text),
        ]
        .map(|(title, text)| SectionView {
            title,
            text: fill(text, &values),
        })
        .into()
    }

    fn show(
        &self,
        status: StatusCode,
        template: &str,
        wanted: Wanted,
        page: impl Serialize,
    ) -> Response {
        let html = match self.render(template, wanted, page) {
            Ok(html) => html,
            Err(response) => return response,
        };
        match self.shelf.hold(html.into_bytes()) {
            Ok(html) => page_response(status, texts(wanted.language), html),
            Err(Spent) => self.problem(wanted, ErrorPage::Crowded),
        }
    }

    /// Renders a page; if its template fails, the error is an answer of its own.
    #[allow(clippy::result_large_err, reason = "an error is the answer, and rare")]
    fn render(
        &self,
        template: &str,
        wanted: Wanted,
        page: impl Serialize,
    ) -> Result<String, Response> {
        let t = texts(wanted.language);
        let site = self.site(wanted, t);
        let context = context! {
            t => Serde(t), site => Serde(site), page => Serde(page), query => wanted.query()
        };
        let found = self.theme.templates().get_template(template);
        let rendered = found.and_then(|found| found.render(context));
        rendered.map_err(|err| {
            error!("could not render the template {template:?}: {err:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, Html(last_resort(t))).into_response()
        })
    }

    /// The data that all pages show, for this reader.
    fn site(&self, wanted: Wanted, t: &Texts) -> SiteView {
        let href = match &self.legal {
            Legal::None => None,
            Legal::Elsewhere(url) => Some(url.clone()),
            Legal::Paragraphs(_) => {
                Some(format!("{}about{}#legal", self.site.base, wanted.query()))
            }
        };
        SiteView {
            legal: href.map(|href| LinkView {
                href,
                text: t.legal.to_owned(),
            }),
            ..self.site.clone()
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl ErrorPage {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded | Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Its title, its cause, and the advice to the reader.
    fn words(self, t: &Texts) -> [&'static str; 3] {
        match self {
            Self::NotFound => [t.not_found, t.not_found_why, t.not_found_what],
            Self::BadForm | Self::Slow | Self::NoForm => {
                [t.bad_form, t.bad_form_why, t.bad_form_what]
            }
            Self::Foreign => [t.foreign, t.foreign_why, t.foreign_what],
            Self::Method => [t.method, t.method_why, ""],
            Self::TooLarge => [t.too_large, t.too_large_why, t.too_large_what],
            Self::TooMany(_) => [t.too_many, t.too_many_why, t.too_many_what],
            Self::Crowded => [t.crowded, t.crowded_why, t.crowded_what],
            Self::Failed => [t.failed, t.failed_what, ""],
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooMany(wait) => Some(wait + Duration::from_millis(999)),
            Self::Crowded => Some(CROWDED_RETRY_AFTER),
            Self::Failed => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

impl SiteView {
    fn new(config: &WebConfig, theme: &Theme) -> Self {
        let base = config.public_url.base().to_owned();
        let versioned = |name: &str, bytes: &[u8]| versioned(&base, name, bytes);
        Self {
            operator: config.operator_or_host().to_owned(),
            host: config.host().to_owned(),
            contact: LinkView::contact(&config.contact),
            legal: None,
            logo: theme.logo().map(|logo| versioned("logo", &logo.bytes)),
            style: versioned("style.css", &theme.style()),
            base,
        }
    }
}

impl LinkView {
    /// Makes a link to the contact. A web address stays one; everything else is a mail address.
    fn contact(contact: &str) -> Option<Self> {
        if contact.is_empty() {
            return None;
        }
        let text = contact
            .strip_prefix("mailto:")
            .unwrap_or(contact)
            .to_owned();
        let href = if is_web(contact) {
            text.clone()
        } else {
            format!("mailto:{}", mail_encoded(&text))
        };
        Some(Self { href, text })
    }
}

impl Legal {
    fn new(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            Self::None
        } else if is_web(text) && !text.contains(char::is_whitespace) {
            Self::Elsewhere(text.to_owned())
        } else {
            let paragraphs = text.split("\n\n").map(str::trim);
            Self::Paragraphs(
                paragraphs
                    .filter(|paragraph| !paragraph.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )
        }
    }
}

/// The address of a fixed file; it changes with the file's contents.
fn versioned(base: &str, name: &str, bytes: &[u8]) -> String {
    let version = crc32fast::hash(bytes);
    format!("{base}{name}?v={version:08x}")
}

/// Returns true if a text, which may be prose, is an address of the web.
fn is_web(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Percent-encodes an address for `mailto:` (RFC 6068, section 2).
fn mail_encoded(text: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'@')
        .remove(b':')
        .remove(b'/')
        .remove(b'+');
    utf8_percent_encode(text, ENCODED).to_string()
}

fn page_response(status: StatusCode, t: &Texts, html: Bytes) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(t.lang));
    response
}

/// The page for a template that fails in spite of its rehearsal.
fn last_resort(t: &Texts) -> String {
    format!(
        "<!doctype html><html lang=\"{}\"><meta charset=\"utf-8\"><title>{1}</title><h1>{1}</h1><p>{2}</p></html>",
        t.lang, t.failed, t.failed_what
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_is_a_web_or_a_mail_address_and_never_a_script() {
        for (contact, href) in [
            ("abuse@example.org", "mailto:abuse@example.org"),
            ("mailto:abuse@example.org", "mailto:abuse@example.org"),
            ("https://example.org/abuse", "https://example.org/abuse"),
            ("javascript:alert(1)", "mailto:javascript:alert%281%29"),
        ] {
            assert_eq!(LinkView::contact(contact).unwrap().href, href);
        }
        assert!(LinkView::contact("").is_none());
    }

    #[test]
    fn legal_notice_is_a_link_or_paragraphs() {
        assert!(matches!(Legal::new(" \n"), Legal::None));
        assert!(matches!(
            Legal::new("https://example.org/legal"),
            Legal::Elsewhere(_)
        ));
        match Legal::new("Éditeur : X\nLyon\n\n\n\nHébergeur : Y") {
            Legal::Paragraphs(paragraphs) => {
                assert_eq!(paragraphs, ["Éditeur : X\nLyon", "Hébergeur : Y"]);
            }
            _ => panic!("a text is a text"),
        }
    }
}
