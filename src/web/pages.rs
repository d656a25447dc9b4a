//! The pages: what they say is decided here, how it is said in [`texts`](super::texts), how it
//! looks in the templates.

use std::fmt;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use minijinja::{
    AutoEscape, Environment, Error, Output, State, Value, context, escape_formatter, value::Serde,
};
use serde::Serialize;
use tracing::error;

use super::{
    Gone, WebState,
    kind::{icon, kind},
    texts::{Texts, fill, texts},
    well_known::STYLE,
};
use crate::{
    config::{Language, WebConfig},
    drop::{FileEntry, Origin, Package},
    filter::Direction,
    names, words,
};

/// All pages, in both languages.
pub(super) struct Pages {
    templates: Environment<'static>,
    site: SiteView,
    public_url: String,
    zone: TimeZone,
}

/// What all pages show.
#[derive(Clone, Debug, Serialize)]
struct SiteView {
    operator: String,
    contact: Option<Contact>,
    /// The path of the public address, with its slashes.
    base: String,
    style: String,
}

/// Whom to ask.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Contact {
    pub(super) href: String,
    text: String,
}

/// A moment, ready to be shown.
#[derive(Serialize)]
struct MomentView {
    machine: String,
    text: String,
    zone: String,
}

#[derive(Serialize)]
struct LandingView {
    title: String,
    from: String,
    expires: MomentView,
    left: String,
    why: &'static str,
    files: Vec<FileView>,
    archive: Option<ArchiveView>,
    report: Option<String>,
}

#[derive(Serialize)]
struct FileView {
    href: String,
    icon: String,
    name: String,
    kind: &'static str,
    size: String,
    sha256: String,
}

#[derive(Serialize)]
struct ArchiveView {
    href: String,
    size: String,
}

impl Pages {
    /// Reads the templates, which are part of the program.
    pub(super) fn new(state: &WebState) -> Self {
        let mut templates = Environment::new();
        templates.set_formatter(escape);
        for (name, source) in [
            ("layout.html", include_str!("templates/layout.html")),
            ("landing.html", include_str!("templates/landing.html")),
            ("gone.html", include_str!("templates/gone.html")),
            ("message.html", include_str!("templates/message.html")),
        ] {
            templates
                .add_template(name, source)
                .expect("the embedded templates are well-formed");
        }
        Self {
            templates,
            site: SiteView::new(&state.config),
            public_url: state.config.public_url.clone(),
            zone: state.zone.clone(),
        }
    }

    /// The path under which readers see the site.
    pub(super) fn base(&self) -> &str {
        &self.site.base
    }

    /// Whom to ask, if the admin named somebody.
    pub(super) fn contact(&self) -> Option<&Contact> {
        self.site.contact.as_ref()
    }

    /// What a live package holds.
    pub(super) fn landing(
        &self,
        language: Language,
        token: &str,
        package: &Package,
        now: Timestamp,
    ) -> Response {
        let page = self.landing_view(language, token, package, now);
        self.show(StatusCode::OK, "landing.html", language, page)
    }

    /// What a package was that is no longer here.
    pub(super) fn gone(&self, language: Language, gone: &Gone) -> Response {
        let t = texts(language);
        let expired = self.moment(gone.expired, language);
        let from = self.from(&gone.origin, gone.created, language);
        let page = context! {
            title => t.gone,
            from => fill(t.gone_within, &[("message", &from)]),
            until => fill(t.gone_until, &[("moment", &expired.text), ("zone", &expired.zone)]),
            ask_operator => fill(t.gone_operator, &[("operator", &self.site.operator)]),
        };
        self.show(StatusCode::GONE, "gone.html", language, page)
    }

    /// The one answer to everything that leads nowhere.
    pub(super) fn not_found(&self, language: Language) -> Response {
        let t = texts(language);
        let page = message(t.not_found, t.not_found_why, t.not_found_what);
        self.show(StatusCode::NOT_FOUND, "message.html", language, page)
    }

    /// The drop could not be read; the log says why, the reader need not know.
    pub(super) fn failed(&self, language: Language) -> Response {
        let t = texts(language);
        let page = message(t.failed, t.failed_what, "");
        self.show(
            StatusCode::SERVICE_UNAVAILABLE,
            "message.html",
            language,
            page,
        )
    }

    /// What this server is.
    pub(super) fn home(&self, language: Language) -> Response {
        let t = texts(language);
        let what = fill(t.home_what, &[("operator", &self.site.operator)]);
        let page = message(t.home, &what, t.home_how);
        self.show(StatusCode::OK, "message.html", language, page)
    }

    fn show(
        &self,
        status: StatusCode,
        template: &str,
        language: Language,
        page: impl Serialize,
    ) -> Response {
        let t = texts(language);
        let context = context! { t => Serde(t), site => Serde(&self.site), page => Serde(page) };
        let rendered = self
            .templates
            .get_template(template)
            .and_then(|found| found.render(context));
        match rendered {
            Ok(html) => page_response(status, t, html),
            Err(err) => {
                error!("could not render the template {template:?}: {err:#}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    fn landing_view(
        &self,
        language: Language,
        token: &str,
        package: &Package,
        now: Timestamp,
    ) -> LandingView {
        let t = texts(language);
        let from = self.from(&package.origin, package.created, language);
        LandingView {
            title: title(package.files.len(), t),
            from: fill(t.within, &[("message", &from)]),
            expires: self.moment(package.expires, language),
            left: self.left(package.expires, now, t),
            why: match package.origin.direction {
                Direction::Outgoing => t.why_outgoing,
                Direction::Incoming => t.why_incoming,
            },
            files: self.files(language, token, &package.files),
            archive: (package.files.len() > 1).then(|| self.archive(language, token, package)),
            report: self.report(token, t),
        }
    }

    fn files(&self, language: Language, token: &str, files: &[FileEntry]) -> Vec<FileView> {
        let view = |(index, file): (usize, &FileEntry)| {
            let name = names::display(&file.name);
            let kind = kind(&name, &file.media_type);
            FileView {
                href: format!("{}{token}/{}", self.site.base, index + 1),
                icon: icon(&name, kind),
                name,
                kind: kind.noun(language),
                size: words::size(file.size, language),
                sha256: data_encoding::HEXLOWER.encode(&file.sha256),
            }
        };
        files.iter().enumerate().map(view).collect()
    }

    /// The size is that of the files: the archive's headers are less than is shown of it.
    fn archive(&self, language: Language, token: &str, package: &Package) -> ArchiveView {
        let total = package
            .files
            .iter()
            .fold(0_u64, |sum, file| sum.saturating_add(file.size));
        ArchiveView {
            href: format!("{}{token}/all.zip", self.site.base),
            size: words::size(total, language),
        }
    }

    /// The message: from whom, and when. Never the address, and of incoming mail no more than it claims.
    fn from(&self, origin: &Origin, created: Timestamp, language: Language) -> String {
        let t = texts(language);
        let date = words::date(created.to_zoned(self.zone.clone()).date(), language);
        match (sender_domain(origin), origin.direction) {
            (None, _) => fill(t.from_unknown, &[("date", &date)]),
            (Some(domain), direction) => {
                let text = match direction {
                    Direction::Outgoing => t.from_outgoing,
                    Direction::Incoming => t.from_incoming,
                };
                fill(text, &[("domain", &domain), ("date", &date)])
            }
        }
    }

    fn moment(&self, at: Timestamp, language: Language) -> MomentView {
        let zoned = at.to_zoned(self.zone.clone());
        MomentView {
            machine: at.to_string(),
            text: words::moment(&zoned, language),
            zone: words::zone(&zoned, language),
        }
    }

    /// How long there is time, in days of the calendar, as people count.
    fn left(&self, expires: Timestamp, now: Timestamp, t: &Texts) -> String {
        let day = |at: Timestamp| Zoned::new(at, self.zone.clone()).date();
        match (day(expires) - day(now)).get_days() {
            ..1 => t.until_today.to_owned(),
            1 => t.until_tomorrow.to_owned(),
            days => fill(t.days_left, &[("count", &days.to_string())]),
        }
    }

    /// A mail to the contact with the link in it, which is what the admin needs to look.
    fn report(&self, token: &str, t: &Texts) -> Option<String> {
        let contact = self.site.contact.as_ref()?;
        if !contact.href.starts_with("mailto:") {
            return Some(contact.href.clone());
        }
        let subject = mail_encoded(t.report_subject);
        let link = mail_encoded(&format!("{}{token}", self.public_url));
        Some(format!("{}?subject={subject}&body={link}", contact.href))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl SiteView {
    fn new(config: &WebConfig) -> Self {
        let (host, path) = host_and_path(&config.public_url);
        let operator = if config.operator.is_empty() {
            host
        } else {
            &config.operator
        };
        Self {
            operator: operator.to_owned(),
            contact: Contact::new(&config.contact),
            base: format!("{}/", path.trim_end_matches('/')),
            style: format!("{:08x}", crc32fast::hash(STYLE.as_bytes())),
        }
    }
}

impl Contact {
    /// A web address stays one; everything else is a mail address.
    fn new(contact: &str) -> Option<Self> {
        if contact.is_empty() {
            return None;
        }
        let text = contact
            .strip_prefix("mailto:")
            .unwrap_or(contact)
            .to_owned();
        let is_web = ["https://", "http://"]
            .iter()
            .any(|scheme| contact.starts_with(scheme));
        let href = if is_web {
            text.clone()
        } else {
            format!("mailto:{}", mail_encoded(&text))
        };
        Some(Self { href, text })
    }
}

/// The domain of a sender, safe to show; `None` for bounces and addresses without one.
pub(super) fn sender_domain(origin: &Origin) -> Option<String> {
    let (_, domain) = origin.sender.rsplit_once('@')?;
    (!domain.is_empty()).then(|| names::display(domain))
}

/// The host, with its port, and the path of a URL.
fn host_and_path(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/')
        .map_or((rest, ""), |slash| rest.split_at(slash))
}

fn title(count: usize, t: &Texts) -> String {
    match count {
        1 => t.one_file.to_owned(),
        count => fill(t.many_files, &[("count", &count.to_string())]),
    }
}

fn message(title: &str, first: &str, second: &str) -> Value {
    context! { title, first, second }
}

/// Percent-encoding for `mailto:` (RFC 6068, section 2).
fn mail_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:/+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Escapes for text and quoted attributes. The default would write `/` as a reference too, which
/// protects nothing here and makes links hard to read in the source.
fn escape(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_safe() || !matches!(state.auto_escape(), AutoEscape::Html) {
        return escape_formatter(out, state, value);
    }
    let text = if value.is_undefined() || value.is_none() {
        String::new()
    } else {
        value.to_string()
    };
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    Ok(out.write_str(rest)?)
}

fn page_response(status: StatusCode, t: &Texts, html: String) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(t.lang));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("120"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_is_the_path_of_the_public_address() {
        for (url, expected) in [
            ("https://drop.example.org/", ("drop.example.org", "/")),
            (
                "https://example.org:8443/drop/",
                ("example.org:8443", "/drop/"),
            ),
            ("http://[::1]:8080", ("[::1]:8080", "")),
        ] {
            assert_eq!(host_and_path(url), expected);
        }
    }

    #[test]
    fn contact_is_a_web_or_a_mail_address_and_never_a_script() {
        for (contact, href) in [
            ("abuse@example.org", "mailto:abuse@example.org"),
            ("mailto:abuse@example.org", "mailto:abuse@example.org"),
            ("https://example.org/abuse", "https://example.org/abuse"),
            ("javascript:alert(1)", "mailto:javascript:alert%281%29"),
        ] {
            assert_eq!(Contact::new(contact).unwrap().href, href);
        }
        assert!(Contact::new("").is_none());
    }
}
