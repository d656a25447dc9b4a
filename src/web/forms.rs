//! The forms for readers: ask for more time, report content.
//!
//! Both are plain forms, and both answer with a redirect to a page that shows what was done, so
//! that going back or reloading sends nothing twice. The link alone gives the right to use either;
//! there is no cookie that another site could exploit. Requests must come from our own pages all
//! the same: it keeps pages that know a link from acting behind a reader's back.

use axum::{
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use mailsplice::names;
use tokio::time::timeout;

use super::{
    PackageRefusal, Site, SiteState, Visitor,
    key::{PackageKey, RequestedKey},
    language::Wanted,
    pages::{ErrorPage, Extended, ReportForm},
    report::Complaint,
};
use crate::{config::PublicUrl, drop::Extension as Outcome, untrusted::Untrusted};

/// Maximum length of a report's text: percent-encoded, it fits into the body in any script.
pub(super) const TEXT_CHARS_MAX: usize = 1500;
/// Maximum length of a reporter's contact.
pub(super) const CONTACT_CHARS_MAX: usize = 100;

/// Maximum size of a form, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Number of bytes after which an oversized form is no longer read; until then its rest is thrown
/// away, so that the client gets to read the refusal.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

/// The subject of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportReason {
    Malware,
    Fraud,
    Illegal,
    Privacy,
    Other,
}

impl ReportReason {
    pub(super) const ALL: [Self; 5] = [
        Self::Malware,
        Self::Fraud,
        Self::Illegal,
        Self::Privacy,
        Self::Other,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Malware => "malware",
            Self::Fraud => "fraud",
            Self::Illegal => "illegal",
            Self::Privacy => "privacy",
            Self::Other => "other",
        }
    }
}

/// `GET /{token}/extend`: a browser comes here when it reloads the page of a `POST`, or switches
/// its language.
pub(super) async fn extend_page(
    State(site): SiteState,
    wanted: Wanted,
    asked: RequestedKey,
) -> Response {
    if asked.is_key {
        site.redirect(wanted, &asked.key.path(), None)
    } else {
        site.pages.problem(wanted, ErrorPage::NotFound)
    }
}

/// `POST /{token}/extend`
pub(super) async fn extend(
    State(site): SiteState,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    headers: HeaderMap,
    asked: RequestedKey,
    body: Body,
) -> Response {
    if let Err(problem) = site.form(&headers, body).await {
        return site.pages.problem(wanted, problem);
    }
    let (now, client) = (Timestamp::now(), visitor.client());
    let extended = site.state.drop.extend(asked.key.door(), now, &client);

    let done = match extended.await {
        Ok(Outcome::Unknown) => return site.pages.problem(wanted, ErrorPage::NotFound),
        Ok(_) if !asked.is_key => return site.pages.problem(wanted, ErrorPage::NotFound),
        Ok(Outcome::Until(_)) => Some(Extended::Done.word()),
        Ok(Outcome::Limit) => Some(Extended::Limit.word()),
        Ok(Outcome::Gone) => None,
        Err(err) => return site.refuse(PackageRefusal::failed(&err), wanted, ""),
    };

    site.redirect(wanted, &asked.key.path(), done)
}

/// `GET /{token}/report`: the form, or thanks.
pub(super) async fn report_page(
    State(site): SiteState,
    wanted: Wanted,
    uri: Uri,
    asked: RequestedKey,
) -> Response {
    let about = match site.origin(&asked).await {
        Ok(known) => known,
        Err(refusal) => return site.refuse(refusal, wanted, ""),
    };

    let form = ReportForm::default();
    match reference(uri.query().unwrap_or_default()) {
        Some(reference) => site.pages.reported(wanted, &asked.key.path(), reference),
        None => site
            .pages
            .report_form(wanted, &asked.key, (&about.0, about.1), &form, true),
    }
}

/// `POST /{token}/report`
pub(super) async fn report(
    State(site): SiteState,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    headers: HeaderMap,
    asked: RequestedKey,
    body: Body,
) -> Response {
    let form = match site.form(&headers, body).await {
        Ok(bytes) => ReportForm::parse(&bytes),
        Err(problem) => return site.pages.problem(wanted, problem),
    };

    let about = match site.origin(&asked).await {
        Ok(about) => about,
        Err(refusal) => return site.refuse(refusal, wanted, ""),
    };

    match form.reason.filter(|_| !form.text.is_empty()) {
        Some(reason) => {
            site.record(wanted, &asked.key, reason, form, &visitor)
                .await
        }
        None => site
            .pages
            .report_form(wanted, &asked.key, (&about.0, about.1), &form, false),
    }
}

impl Site {
    /// Records a report in the audit log, and hands it to the admin's command.
    async fn record(
        &self,
        wanted: Wanted,
        key: &PackageKey,
        reason: ReportReason,
        form: ReportForm,
        visitor: &Visitor,
    ) -> Response {
        let text = format!("{}: {}", reason.word(), form.text);
        let client = visitor.client();
        let now = Timestamp::now();

        let recorded = self
            .state
            .drop
            .report(key.door(), now, &client, &text, &form.contact);
        let report = match recorded.await {
            Ok(Some(report)) => report,
            Ok(None) => return self.pages.problem(wanted, ErrorPage::NotFound),
            Err(err) => return self.refuse(PackageRefusal::failed(&err), wanted, ""),
        };

        let complaint = Complaint {
            reference: report.id.to_string(),
            queue_id: Untrusted(report.queue_id),
            sender: Untrusted(report.sender),
            deposited: report.created,
            reported: now,
            reason: reason.word(),
            text: Untrusted(form.text),
            contact: Untrusted(form.contact),
            link: self.shared_link(key, form.share),
        };

        let done = complaint.reference.clone();
        self.reporter.hand_on(complaint).await;
        self.redirect(wanted, &format!("{}/report", key.path()), Some(&done))
    }

    /// The link, if there is one and the reader wants to share it.
    fn shared_link(&self, key: &PackageKey, share: bool) -> Option<String> {
        match key {
            PackageKey::Token(token) if share => {
                Some(format!("{}{token}", self.state.config.public_url))
            }
            PackageKey::Token(_) | PackageKey::Id(_) => None,
        }
    }

    /// Reads a form sent from one of our pages.
    async fn form(&self, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, ErrorPage> {
        let limit = self.state.config.timeout;
        let read = timeout(limit, read(body)).await;
        if !is_own(headers, &self.state.config.public_url) {
            return Err(ErrorPage::Foreign);
        }
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case(FORM) {
            return Err(ErrorPage::NoForm);
        }
        read.unwrap_or(Err(ErrorPage::Slow))
    }

    /// Redirects with 303: the browser shows the page by a `GET` of its own (RFC 9110, section
    /// 15.4.4).
    fn redirect(&self, wanted: Wanted, path: &str, done: Option<&str>) -> Response {
        let mut query: Vec<String> = Vec::new();
        if let Some(lang) = wanted.query().strip_prefix('?') {
            query.push(lang.to_owned());
        }
        query.extend(done.map(|done| format!("done={done}")));
        let question = if query.is_empty() { "" } else { "?" };
        let place = format!("{}{path}{question}{}", self.pages.base(), query.join("&"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
    }
}

impl ReportForm {
    fn parse(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "reason" => form.reason = ReportReason::ALL.into_iter().find(|r| r.word() == value),
                "text" => form.text = prose(&value, TEXT_CHARS_MAX),
                "contact" => form.contact = line(&value, CONTACT_CHARS_MAX),
                "share" => form.share = value == "yes",
                _ => {}
            }
        }
        form
    }
}

/// A person's text as lines, without other control characters.
fn prose(text: &str, chars_max: usize) -> String {
    let lines: Vec<String> = text.lines().map(|text| line(text, chars_max)).collect();
    let joined = lines.join("\n");
    joined.trim().chars().take(chars_max).collect()
}

/// A text as one line, without control characters or characters that change how the rest of it
/// reads.
fn line(text: &str, chars_max: usize) -> String {
    let visible = text.chars().filter(|c| !names::is_invisible(*c));
    let plain = visible.map(|c| if c.is_whitespace() { ' ' } else { c });
    let cut: String = plain.take(chars_max).collect();
    cut.trim().to_owned()
}

/// The reference of a recorded report: 32 hexadecimal digits.
fn reference(query: &str) -> Option<&str> {
    let word = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("done="))?;
    let is_one = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then_some(word)
}

/// Returns true if a request comes from our own pages, as far as the browser tells (Fetch Metadata,
/// `Sec-Fetch-Site`; Fetch, `Origin`). Our pages send no referrer, which makes some browsers send
/// `null` as their origin; clients other than browsers send neither field.
fn is_own(headers: &HeaderMap, public_url: &PublicUrl) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) if origin == "null" => true,
        Some(origin) => origin
            .to_str()
            .is_ok_and(|origin| origin.eq_ignore_ascii_case(&public_url.origin())),
    }
}

async fn read(body: Body) -> Result<Vec<u8>, ErrorPage> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut len = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ErrorPage::BadForm)?;
        len += chunk.len();
        if len > DRAINED_BYTES_MAX {
            break;
        }
        if len <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        }
    }
    if len > BODY_BYTES_MAX {
        return Err(ErrorPage::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://drop.example.org:8443/files/";

    fn own(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        is_own(&headers, &URL.parse().unwrap())
    }

    #[test]
    fn only_our_own_pages_may_send_forms() {
        for (fields, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://drop.example.org:8443"),
                ],
                false,
            ),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "null")],
                true,
            ),
            (&[("origin", "https://drop.example.org:8443")], true),
            (&[("origin", "https://DROP.example.org:8443")], true),
            (&[("origin", "https://drop.example.org")], false),
            (&[("origin", "http://drop.example.org:8443")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], true),
        ] {
            assert_eq!(own(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn reports_are_read_without_what_could_mislead() {
        let form = ReportForm::parse(
            b"reason=fraud&text=+a%0D%0Ab%1B%5B2J%E2%80%AEc+&contact=me%40x.org%0ABcc:+y&share=yes&x=y",
        );
        assert_eq!(form.reason, Some(ReportReason::Fraud));
        assert_eq!(form.text, "a\nb[2Jc");
        assert_eq!(form.contact, "me@x.org Bcc: y");
        assert!(form.share);
        let none = ReportForm::parse(b"reason=nothing&&=&%&text=%ff");
        assert_eq!((none.reason, none.share), (None, false));
        assert_eq!(none.text, "\u{fffd}");
    }

    #[test]
    fn the_longest_text_fits_into_the_body_in_any_script() {
        // Two UTF-16 units, which is what a browser counts, take four bytes, one takes at most three;
        // each byte is percent-encoded to three.
        const { assert!(TEXT_CHARS_MAX * 9 + CONTACT_CHARS_MAX * 9 + 100 < BODY_BYTES_MAX) };
        let text = "é".repeat(TEXT_CHARS_MAX + 9);
        assert_eq!(prose(&text, TEXT_CHARS_MAX).chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn references_are_hexadecimal_or_none() {
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(reference(&format!("lang=en&done={good}")), Some(good));
        for query in ["", "done=", "done=<b>", &format!("done={good}0")] {
            assert_eq!(reference(query), None);
        }
    }
}
