//! The pages of a package: live, ended, reported.

use std::mem;

use axum::{http::StatusCode, response::Response};
use jiff::{Timestamp, Zoned};
use mailsplice::{
    l10n::{Language, units},
    names,
};

use super::{
    PageAsked, Pages,
    paging::{FILES_UNFOLDED, ListPage},
};
use crate::{
    config::ShowSender,
    drop::{Ending, FileEntry, Package, SealedPackage},
    envelope::{Direction, Origin},
    sender,
    web::{
        EndedPackage,
        forms::{self, ReportReason},
        key::PackageKey,
        kind::{FileKind, icon, kind, programs},
        language::Wanted,
        texts::{Texts, fill, texts},
        views::{
            ArchiveView, FileView, GoneView, LandingView, LinkView, MessageView, MomentView,
            ReasonView, ReportView, SealedFileView, UnlockView,
        },
    },
};

/// The outcome of a reader's request for more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Extended {
    Done,
    Limit,
}

/// The input of the form that reports a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct ReportForm {
    pub(in crate::web) reason: Option<ReportReason>,
    pub(in crate::web) text: String,
    pub(in crate::web) contact: String,
    pub(in crate::web) share: bool,
}

impl Pages {
    /// The landing page of a live package.
    pub(in crate::web) fn landing(
        &self,
        wanted: Wanted,
        token: &str,
        package: &Package,
        now: Timestamp,
        asked: PageAsked,
    ) -> Response {
        let t = texts(wanted.language);
        let expires = self.moment(package.expires, wanted.language);
        let note = asked.extended.map(|extended| note(extended, &expires, t));
        let leaf = asked.leaf(package.files.len(), self.theme.landing_is_paged());

        let page = LandingView {
            elsewhere: keeper(&package.files),
            title: self.title(&package.origin, package.files.len(), t),
            from: self.within(&package.origin, package.created, wanted.language),
            sum: sum(package.files.iter().map(|file| file.size), wanted.language),
            expires,
            left: self.left(package.expires, now, t),
            note,
            files: self.files(wanted.language, token, &package.files, leaf),
            unfolded: FILES_UNFOLDED,
            folded: leaf.folded(t),
            pages: leaf.view(wanted, t),
            archive: (package.files.len() > 1 && !package.is_elsewhere())
                .then(|| self.archive(wanted.language, token, package)),
            extend: self.extend(package.extendable, wanted, token, t.extend),
            why: why(&package.origin, t),
            report: self.link(token, "/report", wanted),
        };

        self.show(StatusCode::OK, "landing.html", wanted, page)
    }

    /// The page of a live package that browsers unlock, with what the server knows of it.
    pub(in crate::web) fn unlock(
        &self,
        wanted: Wanted,
        package: &SealedPackage,
        now: Timestamp,
        asked: PageAsked,
    ) -> Response {
        let t = texts(wanted.language);
        let path = PackageKey::Id(package.id).path();
        let expires = self.moment(package.expires, wanted.language);
        let note = asked.extended.map(|extended| note(extended, &expires, t));
        let leaf = asked.leaf(package.files.len(), self.theme.unlock_is_paged());

        let sizes = package.files.iter().map(|file| file.size);
        let total = sizes.fold(0, u64::saturating_add);

        let page = UnlockView {
            title: self.title(&package.origin, package.files.len(), t),
            from: self.within(&package.origin, package.created, wanted.language),
            sum: sum(package.files.iter().map(|file| file.size), wanted.language),
            expires,
            left: self.left(package.expires, now, t),
            note,
            files: self.sealed_files(wanted.language, &path, package, leaf),
            unfolded: FILES_UNFOLDED,
            folded: leaf.folded(t),
            pages: leaf.view(wanted, t),
            count: package.files.len(),
            before: leaf.before(),
            size: units::size(total, wanted.language),
            archive: self.archive_name(&package.origin, package.created),
            extend: self.extend(package.extendable, wanted, &path, t.extend),
            why: why(&package.origin, t),
            report: self.link(&path, "/report", wanted),
            id: package.id.to_string(),
            manifest: format!("{}{path}/manifest", self.site.base),
            programs: programs(),
            script: self.script.clone(),
        };

        self.show(StatusCode::OK, "unlock.html", wanted, page)
    }

    fn sealed_files(
        &self,
        language: Language,
        path: &str,
        package: &SealedPackage,
        leaf: ListPage,
    ) -> Vec<SealedFileView> {
        leaf.of(&package.files)
            .map(|(number, file)| SealedFileView {
                href: format!("{}{path}/{number}", self.site.base),
                size: units::size(file.size, language),
                bytes: file.size,
            })
            .collect()
    }

    /// The page of a package that can no longer be fetched.
    pub(in crate::web) fn gone(
        &self,
        wanted: Wanted,
        token: &str,
        gone: &EndedPackage,
    ) -> Response {
        let t = texts(wanted.language);
        let operator = [("operator", self.site.operator.as_str())];
        let expired = self.moment(gone.expired, wanted.language);
        let message = self.message(&gone.origin, gone.created, wanted.language);

        // Withdrawn content may be dangerous: nobody is told to ask for it again.
        let ask = match (gone.why, self.sender(&gone.origin)) {
            (Ending::Revoked, _) => t.revoked_ask.to_owned(),
            (Ending::Expired, Some(sender)) => fill(t.gone_ask_sender, &[("sender", &sender)]),
            (Ending::Expired, None) => t.gone_ask.to_owned(),
        };

        let (title, until, ask_operator) = match gone.why {
            Ending::Expired => {
                let values = [("moment", &*expired.text), ("zone", &expired.zone)];
                (t.gone, fill(t.gone_until, &values), t.gone_operator)
            }
            Ending::Revoked => (
                t.revoked,
                fill(t.revoked_why, &operator),
                t.revoked_operator,
            ),
        };

        let page = GoneView {
            title: title.to_owned(),
            from: fill(t.gone_within, &[("message", &message)]),
            until,
            extend: self.extend(gone.extendable, wanted, token, t.restore),
            ask,
            ask_operator: fill(ask_operator, &operator),
            report: self.link(token, "/report", wanted),
        };
        self.show(StatusCode::GONE, "gone.html", wanted, page)
    }

    /// The form that reports a package, with its input so far; `complete` is false if it was sent
    /// and is not complete.
    pub(in crate::web) fn report_form(
        &self,
        wanted: Wanted,
        key: &PackageKey,
        about: (&Origin, Timestamp),
        form: &ReportForm,
        complete: bool,
    ) -> Response {
        let t = texts(wanted.language);
        let path = key.path();
        let message = self.message(about.0, about.1, wanted.language);
        let values = [
            ("operator", self.site.operator.as_str()),
            ("message", &message),
        ];

        let page = ReportView {
            title: t.report_title.to_owned(),
            what: fill(t.report_what, &values),
            then: self.promised(t.report_then, t.report_kept).to_owned(),
            action: self.link(&path, "/report", wanted),
            back: self.link(&path, "", wanted),
            error: (!complete).then(|| t.report_empty.to_owned()),
            text: form.text.clone(),
            contact: form.contact.clone(),
            reasons: reasons(form.reason, t),
            shareable: matches!(key, PackageKey::Token(_)),
            text_max: forms::TEXT_CHARS_MAX,
            contact_max: forms::CONTACT_CHARS_MAX,
        };

        let status = if complete {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        self.show(status, "report.html", wanted, page)
    }

    /// The page of thanks for a report.
    pub(in crate::web) fn reported(
        &self,
        wanted: Wanted,
        token: &str,
        reference: &str,
    ) -> Response {
        let t = texts(wanted.language);
        let values = [
            ("operator", self.site.operator.as_str()),
            ("reference", reference),
        ];
        let what = self.promised(t.reported_what, t.reported_kept);
        let page = MessageView {
            title: t.reported.to_owned(),
            paragraphs: vec![fill(what, &values)],
            link: Some(LinkView {
                href: self.link(token, "", wanted),
                text: t.report_back.to_owned(),
            }),
        };
        self.show(StatusCode::OK, "message.html", wanted, page)
    }

    /// Chooses the text that promises to read a report only if somebody is told of it.
    fn promised(&self, read: &'static str, kept: &'static str) -> &'static str {
        if self.has_receiver { read } else { kept }
    }

    /// The name of the archive of all files, like `asso.example 2026-11-22.zip`.
    pub(in crate::web) fn archive_name(&self, origin: &Origin, created: Timestamp) -> String {
        let date = created.to_zoned(self.zone.clone()).date();
        let domain = match self.show_sender {
            ShowSender::None => None,
            _ => sender::shown(origin.verified.as_deref(), ShowSender::Domain),
        };
        match domain {
            Some(domain) => names::file(&format!("{domain} {date}.zip")),
            None => format!("{date}.zip"),
        }
    }

    fn link(&self, token: &str, rest: &str, wanted: Wanted) -> String {
        format!("{}{token}{rest}{}", self.site.base, wanted.query())
    }

    fn extend(
        &self,
        until: Option<Timestamp>,
        wanted: Wanted,
        token: &str,
        text: &str,
    ) -> Option<LinkView> {
        let day = until?.to_zoned(self.zone.clone()).date();
        let date = units::date(day, wanted.language);
        Some(LinkView {
            href: self.link(token, "/extend", wanted),
            text: fill(text, &[("date", &date)]),
        })
    }

    fn files(
        &self,
        language: Language,
        token: &str,
        files: &[FileEntry],
        leaf: ListPage,
    ) -> Vec<FileView> {
        // Of all files, also those on other pages: names that look alike are told apart by numbers,
        // the same as in the archive.
        let mut names = names::display_all(files.iter().map(|file| file.name.as_str()));
        let view = |(number, file): (usize, &FileEntry)| {
            let name = mem::take(&mut names[number - 1]);
            let kind = kind(&name, &file.media_type);
            FileView {
                href: match &file.page {
                    Some(page) => page.clone(),
                    None => format!("{}{token}/{number}", self.site.base),
                },
                glyph: kind.glyph(),
                letters: icon(&name, kind),
                name,
                kind: kind.noun(language),
                program: kind == FileKind::Program,
                size: units::size(file.size, language),
                sha256: data_encoding::HEXLOWER.encode(&file.sha256),
            }
        };
        leaf.of(files).map(view).collect()
    }

    /// The archive of all files. Its size is shown as that of the files: the archive's headers are
    /// smaller than the precision shown.
    fn archive(&self, language: Language, token: &str, package: &Package) -> ArchiveView {
        let sizes = package.files.iter().map(|file| file.size);
        let total = sizes.fold(0, u64::saturating_add);
        ArchiveView {
            href: format!("{}{token}/all.zip", self.site.base),
            size: units::size(total, language),
        }
    }

    /// The number of files, and their sender if it is certain.
    fn title(&self, origin: &Origin, count: usize, t: &Texts) -> String {
        let sender = self
            .sender(origin)
            .filter(|_| origin.direction == Direction::Outgoing);
        let text = match (&sender, count) {
            (Some(_), 1) => t.one_file_sent,
            (Some(_), _) => t.many_files_sent,
            (None, 1) => t.one_file,
            (None, _) => t.many_files,
        };
        let sender = sender.unwrap_or_default();
        fill(text, &[("count", &count.to_string()), ("sender", &sender)])
    }

    /// The message that the files came in. The title of outgoing mail already names its sender.
    fn within(&self, origin: &Origin, created: Timestamp, language: Language) -> String {
        let t = texts(language);
        let message = match (origin.direction, self.sender(origin)) {
            (Direction::Outgoing, Some(_)) => {
                let date = self.date(created, language);
                fill(t.message_dated, &[("date", &date)])
            }
            _ => self.message(origin, created, language),
        };
        fill(t.within, &[("message", &message)])
    }

    /// The message: its sender, if certain, and its date.
    fn message(&self, origin: &Origin, created: Timestamp, language: Language) -> String {
        let t = texts(language);
        let date = self.date(created, language);
        let Some(sender) = self.sender(origin) else {
            let claims = !origin.sender.is_empty() && self.show_sender != ShowSender::None;
            let text = if claims {
                t.message_unverified
            } else {
                t.message_dated
            };
            return fill(text, &[("date", &date)]);
        };

        let text = match origin.direction {
            Direction::Outgoing => t.message_sent,
            Direction::Incoming => t.message_received,
        };
        fill(text, &[("sender", &sender), ("date", &date)])
    }

    /// The sender as shown: only the part that is certain.
    fn sender(&self, origin: &Origin) -> Option<String> {
        sender::shown(origin.verified.as_deref(), self.show_sender)
    }

    fn date(&self, at: Timestamp, language: Language) -> String {
        units::date(at.to_zoned(self.zone.clone()).date(), language)
    }

    fn moment(&self, at: Timestamp, language: Language) -> MomentView {
        let zoned = at.to_zoned(self.zone.clone());
        MomentView {
            machine: at.to_string(),
            text: units::moment(&zoned, language),
            zone: units::zone(&zoned, language),
        }
    }

    /// The time left, in calendar days, as people count.
    fn left(&self, expires: Timestamp, now: Timestamp, t: &Texts) -> String {
        let day = |at: Timestamp| Zoned::new(at, self.zone.clone()).date();
        match (day(expires) - day(now)).get_days() {
            ..1 => t.until_today.to_owned(),
            1 => t.until_tomorrow.to_owned(),
            days => fill(t.days_left, &[("count", &days.to_string())]),
        }
    }
}

impl Extended {
    const WORDS: [(&'static str, Self); 2] = [("extended", Self::Done), ("limit", Self::Limit)];

    /// The outcome that the query of the landing page names.
    pub(in crate::web) fn of(query: &str) -> Option<Self> {
        let word = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("done="))?;
        let known = Self::WORDS.into_iter().find(|(known, _)| *known == word);
        known.map(|(_, extended)| extended)
    }

    pub(in crate::web) fn word(self) -> &'static str {
        match self {
            Self::Done => "extended",
            Self::Limit => "limit",
        }
    }
}

/// The size of several files together; `None` of one.
fn sum(sizes: impl ExactSizeIterator<Item = u64>, language: Language) -> Option<String> {
    (sizes.len() > 1).then(|| {
        let size = units::size(sizes.fold(0, u64::saturating_add), language);
        fill(texts(language).in_all, &[("size", &size)])
    })
}

/// The note about a reader's request for more time.
fn note(extended: Extended, expires: &MomentView, t: &Texts) -> String {
    let text = match extended {
        Extended::Done => t.extended,
        Extended::Limit => t.extended_no,
    };
    fill(text, &[("moment", &expires.text), ("zone", &expires.zone)])
}

/// The host that keeps files which are not here.
fn keeper(files: &[FileEntry]) -> Option<String> {
    let page = files.iter().find_map(|file| file.page.as_deref())?;
    let url = url::Url::parse(page).ok()?;
    Some(url.host_str().unwrap_or_default().to_owned())
}

fn why(origin: &Origin, t: &Texts) -> String {
    match origin.direction {
        Direction::Outgoing => t.why_outgoing.to_owned(),
        Direction::Incoming => t.why_incoming.to_owned(),
    }
}

fn reasons(chosen: Option<ReportReason>, t: &Texts) -> Vec<ReasonView> {
    ReportReason::ALL
        .into_iter()
        .map(|reason| ReasonView {
            value: reason.word(),
            text: match reason {
                ReportReason::Malware => t.reason_malware,
                ReportReason::Fraud => t.reason_fraud,
                ReportReason::Illegal => t.reason_illegal,
                ReportReason::Privacy => t.reason_privacy,
                ReportReason::Other => t.reason_other,
            },
            chosen: chosen == Some(reason),
        })
        .collect()
}
