//! Every sentence of the pages, in French and in English, side by side.
//!
//! `{name}` stands for a value, see [`fill`].

use serde::Serialize;

use crate::config::Language;

/// The texts of one language; the templates know them as `t`.
#[derive(Debug, Serialize)]
pub(super) struct Texts {
    pub(super) lang: &'static str,
    pub(super) other_lang: &'static str,
    pub(super) other_language: &'static str,
    pub(super) languages: &'static str,

    pub(super) one_file: &'static str,
    pub(super) many_files: &'static str,
    pub(super) within: &'static str,
    pub(super) from_outgoing: &'static str,
    pub(super) from_incoming: &'static str,
    pub(super) from_unknown: &'static str,
    pub(super) until: &'static str,
    pub(super) days_left: &'static str,
    pub(super) until_tomorrow: &'static str,
    pub(super) until_today: &'static str,
    pub(super) files: &'static str,
    pub(super) download: &'static str,
    pub(super) download_all: &'static str,
    pub(super) fingerprint: &'static str,
    pub(super) fingerprint_use: &'static str,
    pub(super) why: &'static str,
    pub(super) why_outgoing: &'static str,
    pub(super) why_incoming: &'static str,
    pub(super) privacy: &'static str,
    pub(super) caution: &'static str,
    pub(super) report: &'static str,
    pub(super) report_subject: &'static str,

    pub(super) gone: &'static str,
    pub(super) gone_within: &'static str,
    pub(super) gone_until: &'static str,
    pub(super) gone_what: &'static str,
    pub(super) gone_ask: &'static str,
    pub(super) gone_operator: &'static str,

    pub(super) not_found: &'static str,
    pub(super) not_found_why: &'static str,
    pub(super) not_found_what: &'static str,

    pub(super) failed: &'static str,
    pub(super) failed_what: &'static str,

    pub(super) home: &'static str,
    pub(super) home_what: &'static str,
    pub(super) home_how: &'static str,
    pub(super) contact: &'static str,
}

/// The texts of a language.
pub(super) fn texts(language: Language) -> &'static Texts {
    match language {
        Language::Fr => &FR,
        Language::En => &EN,
    }
}

/// Puts values in the place of `{name}`.
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

static FR: Texts = Texts {
    lang: "fr",
    other_lang: "en",
    other_language: "English",
    languages: "Langue",

    one_file: "1 fichier joint",
    many_files: "{count} fichiers joints",
    within: "dans {message}",
    from_outgoing: "un message envoyé depuis {domain} le {date}",
    from_incoming: "un message reçu le {date} d’une adresse en @{domain}",
    from_unknown: "un message du {date}",
    until: "À télécharger jusqu’au",
    days_left: "encore {count} jours",
    until_tomorrow: "c’est-à-dire demain",
    until_today: "c’est-à-dire aujourd’hui",
    files: "Fichiers",
    download: "Télécharger",
    download_all: "Tout télécharger",
    fingerprint: "Empreinte du fichier",
    fingerprint_use: "SHA-256, pour vérifier qu’il est arrivé intact\u{a0}:",
    why: "Pourquoi cette page\u{a0}?",
    why_outgoing: "Le serveur de courrier de l’expéditeur retire les pièces jointes lourdes des \
                   messages et les garde ici une seule fois, au lieu d’en envoyer une copie dans \
                   chaque boîte.",
    why_incoming: "Le serveur de courrier qui a reçu ce message en retire les pièces jointes \
                   lourdes et les garde ici une seule fois, au lieu d’en déposer une copie dans \
                   chaque boîte.",
    privacy: "Elles sont chiffrées\u{a0}: sans le lien du message, personne ne peut les lire, pas même \
              l’hébergeur\u{a0}; qui a le lien peut les télécharger. Rien à installer, aucun compte, \
              aucun traceur.",
    caution: "Les fichiers sont tels que l’expéditeur les a joints\u{a0}: n’ouvrez que ceux que vous \
              attendez.",
    report: "Signaler un contenu",
    report_subject: "Signalement d’un fichier",

    gone: "Ces fichiers ne sont plus disponibles",
    gone_within: "Ils étaient joints à {message}.",
    gone_until: "Ils pouvaient être téléchargés jusqu’au {moment} ({zone}).",
    gone_what: "Que faire\u{a0}?",
    gone_ask: "Demandez à la personne qui vous a écrit de vous les envoyer de nouveau.",
    gone_operator: "Si ce n’est pas possible, écrivez à {operator} en joignant l’adresse complète \
                    de cette page\u{a0}: un fichier expiré depuis peu peut parfois être rétabli.",

    not_found: "Il n’y a rien à cette adresse",
    not_found_why: "Si vous venez d’un lien reçu par courriel, il est sans doute incomplet\u{a0}: un \
                    lien coupé en fin de ligne est la cause la plus fréquente.",
    not_found_what: "Ouvrez-le de nouveau depuis le message, ou copiez-le en entier dans la barre \
                     d’adresse.",

    failed: "Un problème de notre côté",
    failed_what: "Cette page ne peut pas être affichée pour le moment. Réessayez dans quelques \
                  minutes.",

    home: "Un dépôt de pièces jointes",
    home_what: "{operator} garde ici pour un temps les pièces jointes lourdes de son courrier, \
                chiffrées, au lieu d’en laisser une copie dans chaque boîte.",
    home_how: "On y accède par le lien qui se trouve dans le message\u{a0}; il n’y a rien d’autre à \
               voir ici, ni rien à y déposer.",
    contact: "Une question, un contenu à signaler\u{a0}:",
};

static EN: Texts = Texts {
    lang: "en",
    other_lang: "fr",
    other_language: "Français",
    languages: "Language",

    one_file: "1 attached file",
    many_files: "{count} attached files",
    within: "in {message}",
    from_outgoing: "a message sent from {domain} on {date}",
    from_incoming: "a message received on {date} from an address at {domain}",
    from_unknown: "a message of {date}",
    until: "Available until",
    days_left: "{count} days left",
    until_tomorrow: "that is tomorrow",
    until_today: "that is today",
    files: "Files",
    download: "Download",
    download_all: "Download all",
    fingerprint: "File fingerprint",
    fingerprint_use: "SHA-256, to check that it arrived intact:",
    why: "Why this page?",
    why_outgoing: "The sender’s mail server takes heavy attachments out of messages and keeps \
                   them here once, instead of putting a copy into every mailbox.",
    why_incoming: "The mail server that received this message takes heavy attachments out and \
                   keeps them here once, instead of putting a copy into every mailbox.",
    privacy: "They are encrypted: without the link in the message nobody can read them, not even \
              the host; whoever has the link can download them. Nothing to install, no account, \
              no trackers.",
    caution: "The files are just as the sender attached them: open only those that you expect.",
    report: "Report content",
    report_subject: "Report of a file",

    gone: "These files are no longer available",
    gone_within: "They were attached to {message}.",
    gone_until: "They could be downloaded until {moment} ({zone}).",
    gone_what: "What can I do?",
    gone_ask: "Ask the person who wrote to you to send them again.",
    gone_operator: "If that is not possible, write to {operator} and include the full address of \
                    this page: a file that expired a short time ago can sometimes be restored.",

    not_found: "There is nothing at this address",
    not_found_why: "If you followed a link from a message, it is probably incomplete: a link cut \
                    at the end of a line is the most common cause.",
    not_found_what: "Open it again from the message, or copy all of it into the address bar.",

    failed: "A problem on our side",
    failed_what: "This page cannot be shown at the moment. Please try again in a few minutes.",

    home: "A drop for mail attachments",
    home_what: "{operator} keeps the heavy attachments of its mail here for a while, encrypted, \
                instead of leaving a copy in every mailbox.",
    home_how: "They are reached through the link in the message; there is nothing else to see \
               here, and nothing can be uploaded.",
    contact: "A question, or content to report:",
};

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
        assert_eq!(places(&FR), places(&EN));
    }

    #[test]
    fn values_are_put_once_and_never_looked_into() {
        assert_eq!(
            fill("a {x} b {y}", &[("x", "{y}"), ("y", "2")]),
            "a {y} b 2"
        );
    }
}
