//! Every sentence of the pages, in French and in English.
//!
//! `{name}` stands for a value, see [`fill`].

mod en;
mod fr;

use mailsplice::l10n::Language;
use serde::Serialize;

/// The texts of one language; the templates know them as `t`.
#[derive(Debug, Serialize)]
pub(super) struct Texts {
    pub(super) lang: &'static str,
    pub(super) other_lang: &'static str,
    pub(super) other_language: &'static str,
    pub(super) languages: &'static str,
    pub(super) skip: &'static str,
    pub(super) footer: &'static str,

    // The landing page: files, sender, expiry.
    pub(super) one_file_sent: &'static str,
    pub(super) many_files_sent: &'static str,
    pub(super) one_file: &'static str,
    pub(super) many_files: &'static str,
    pub(super) within: &'static str,
    pub(super) message_sent: &'static str,
    pub(super) message_received: &'static str,
    pub(super) message_dated: &'static str,
    /// Shown if nothing is certain of the sender.
    pub(super) message_unverified: &'static str,
    pub(super) until: &'static str,
    pub(super) days_left: &'static str,
    pub(super) until_tomorrow: &'static str,
    pub(super) until_today: &'static str,
    pub(super) files: &'static str,
    /// Shown if there are too many files for one page.
    pub(super) files_shown: &'static str,
    pub(super) pages: &'static str,
    pub(super) previous_page: &'static str,
    pub(super) next_page: &'static str,
    pub(super) download: &'static str,
    /// Shown if somebody else keeps the files: the button leads to a page of theirs.
    pub(super) to_download: &'static str,
    pub(super) download_all: &'static str,
    pub(super) fingerprint: &'static str,
    pub(super) fingerprint_use: &'static str,
    pub(super) fingerprints: &'static str,
    /// With `{size}`: that of several files together.
    pub(super) in_all: &'static str,
    pub(super) one_more_file: &'static str,
    pub(super) more_files: &'static str,
    pub(super) program_caution: &'static str,

    // More time.
    pub(super) extend_why: &'static str,
    pub(super) extend: &'static str,
    pub(super) extended: &'static str,
    pub(super) extended_no: &'static str,

    // A package that browsers unlock.
    pub(super) unlock_no_script: &'static str,
    pub(super) unlock_working: &'static str,
    pub(super) unlock_insecure: &'static str,
    pub(super) unlock_old: &'static str,
    pub(super) unlock_no_key: &'static str,
    pub(super) unlock_wrong_key: &'static str,
    pub(super) unlock_damaged: &'static str,
    pub(super) unlock_offline: &'static str,
    pub(super) unlock_busy: &'static str,
    pub(super) unlock_ended: &'static str,
    pub(super) unlock_too_large: &'static str,
    pub(super) unlock_no_room: &'static str,
    pub(super) unlock_failed: &'static str,
    pub(super) unlock_progress: &'static str,
    pub(super) unlock_saved: &'static str,
    pub(super) unlock_cancelled: &'static str,
    pub(super) unlock_cancel: &'static str,
    pub(super) unlock_why: &'static str,
    pub(super) unlock_caution: &'static str,

    // The explanation.
    pub(super) why: &'static str,
    pub(super) why_outgoing: &'static str,
    pub(super) why_incoming: &'static str,
    pub(super) privacy: &'static str,
    /// Shown in its place if somebody else keeps the files, before the host's name and behind it.
    pub(super) elsewhere: &'static str,
    pub(super) privacy_elsewhere: &'static str,
    pub(super) caution: &'static str,
    pub(super) learn_more: &'static str,

    // The footer.
    pub(super) report: &'static str,
    pub(super) about: &'static str,
    pub(super) legal: &'static str,
    pub(super) contact: &'static str,

    // A package that ended.
    pub(super) gone: &'static str,
    pub(super) gone_within: &'static str,
    pub(super) gone_until: &'static str,
    pub(super) gone_restore: &'static str,
    pub(super) restore: &'static str,
    pub(super) gone_what: &'static str,
    pub(super) gone_ask: &'static str,
    pub(super) gone_ask_sender: &'static str,
    pub(super) gone_operator: &'static str,
    pub(super) revoked: &'static str,
    pub(super) revoked_why: &'static str,
    pub(super) revoked_ask: &'static str,
    pub(super) revoked_operator: &'static str,

    // The report form.
    pub(super) report_title: &'static str,
    pub(super) report_what: &'static str,
    pub(super) report_then: &'static str,
    /// Shown if nobody is told of reports.
    pub(super) report_kept: &'static str,
    pub(super) report_reason: &'static str,
    pub(super) reason_malware: &'static str,
    pub(super) reason_fraud: &'static str,
    pub(super) reason_illegal: &'static str,
    pub(super) reason_privacy: &'static str,
    pub(super) reason_other: &'static str,
    pub(super) report_text: &'static str,
    pub(super) report_text_hint: &'static str,
    pub(super) report_contact: &'static str,
    pub(super) report_optional: &'static str,
    pub(super) report_share: &'static str,
    pub(super) report_sealed: &'static str,
    pub(super) report_send: &'static str,
    pub(super) report_back: &'static str,
    pub(super) report_empty: &'static str,
    pub(super) reported: &'static str,
    pub(super) reported_what: &'static str,
    pub(super) reported_kept: &'static str,

    // Errors.
    pub(super) not_found: &'static str,
    pub(super) not_found_why: &'static str,
    pub(super) not_found_what: &'static str,
    pub(super) bad_form: &'static str,
    pub(super) bad_form_why: &'static str,
    pub(super) bad_form_what: &'static str,
    pub(super) foreign: &'static str,
    pub(super) foreign_why: &'static str,
    pub(super) foreign_what: &'static str,
    pub(super) method: &'static str,
    pub(super) method_why: &'static str,
    pub(super) too_large: &'static str,
    pub(super) too_large_why: &'static str,
    pub(super) too_large_what: &'static str,
    pub(super) too_many: &'static str,
    pub(super) too_many_why: &'static str,
    pub(super) too_many_what: &'static str,
    pub(super) crowded: &'static str,
    pub(super) crowded_why: &'static str,
    pub(super) crowded_what: &'static str,
    pub(super) failed: &'static str,
    pub(super) failed_what: &'static str,

    // The start page.
    pub(super) home: &'static str,
    pub(super) home_what: &'static str,
    pub(super) home_how: &'static str,
    pub(super) home_lost: &'static str,

    // The page for the people who answer for a network.
    pub(super) about_intro: &'static str,
    pub(super) about_what: &'static str,
    pub(super) about_what_text: &'static str,
    pub(super) about_mail: &'static str,
    pub(super) about_mail_text: &'static str,
    pub(super) about_link: &'static str,
    pub(super) about_link_text: &'static str,
    pub(super) about_files: &'static str,
    pub(super) about_files_text: &'static str,
    pub(super) about_sealed: &'static str,
    pub(super) about_sealed_text: &'static str,
    pub(super) about_log: &'static str,
    pub(super) about_log_text: &'static str,
    pub(super) about_abuse: &'static str,
    pub(super) about_abuse_text: &'static str,
}

/// The texts of a language.
pub(super) fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Fr => &fr::FR,
        Language::En => &en::EN,
    }
}

/// Replaces each `{name}` with its value.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_place(rest) {
        out.push_str(before);
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(value.expect("every place in the texts has its value").1);
        rest = after;
    }
    out + rest
}

fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the places in every text.
    fn places(texts: &Texts) -> Vec<(String, Vec<String>)> {
        let value = serde_json::to_value(texts).unwrap();
        let fields = value.as_object().unwrap().iter();
        fields
            .map(|(field, text)| {
                let mut names = Vec::new();
                let mut rest = text.as_str().unwrap();
                while let Some((_, name, after)) = next_place(rest) {
                    names.push(name.to_owned());
                    rest = after;
                }
                names.sort();
                (field.clone(), names)
            })
            .collect()
    }

    #[test]
    fn both_languages_use_the_same_values() {
        assert_eq!(places(&fr::FR), places(&en::EN));
    }

    #[test]
    fn values_are_put_once_and_never_looked_into() {
        assert_eq!(
            fill("a {x} b {y}", &[("x", "{y}"), ("y", "2")]),
            "a {y} b 2"
        );
    }
}
