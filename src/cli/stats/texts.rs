//! The words of the page, in French and in English. `{name}` stands for a value.

use mailsplice::l10n::Language;
use serde::Serialize;

/// The texts of one language; the template knows them as `t`.
#[derive(Debug, Serialize)]
pub(super) struct ReportTexts {
    pub(super) lang: &'static str,
    pub(super) title: &'static str,
    pub(super) nothing: &'static str,
    pub(super) spared: &'static str,
    pub(super) files: &'static str,
    pub(super) messages: &'static str,
    pub(super) mailboxes: &'static str,
    pub(super) bytes: &'static str,
    /// `{files}`, `{messages}`, `{bytes}`, `{mailboxes}`, `{spared}`.
    pub(super) in_words: &'static str,
    /// Singular and plural: messages, files, recipients.
    pub(super) nouns: [[&'static str; 2]; 3],
    pub(super) by_month: &'static str,
    pub(super) by_direction: &'static str,
    pub(super) by_domain: &'static str,
    pub(super) month: &'static str,
    pub(super) direction: &'static str,
    pub(super) domain: &'static str,
    pub(super) total: &'static str,
    pub(super) outgoing: &'static str,
    pub(super) incoming: &'static str,
    /// `{least}` is a number of messages.
    pub(super) others: &'static str,
    /// `{month}` is the one that is not over.
    pub(super) not_over: &'static str,
    /// `{shown}` months of all.
    pub(super) chart_cut: &'static str,
    /// The chart as a screen reader tells it; `{month}` and `{size}` are of its highest bar.
    pub(super) chart_label: &'static str,
    pub(super) how: &'static str,
    /// Paragraphs; `{least}` as above.
    pub(super) counted: &'static [&'static str],
    /// `{date}` is the day on which the page was made.
    pub(super) made: &'static str,
    pub(super) months: [&'static str; 12],
    /// The sign between groups of three digits.
    pub(super) thousands: char,
}

pub(super) fn of(language: Language) -> &'static ReportTexts {
    match language {
        Language::Fr => &FR,
        Language::En => &EN,
    }
}

static FR: ReportTexts = ReportTexts {
    lang: "fr",
    title: "Ce que nos courriels n’ont pas recopié",
    nothing: "Aucune pièce jointe n’a été mise de côté pendant cette période.",
    spared: "non recopiés",
    files: "Fichiers",
    messages: "Messages",
    mailboxes: "Destinataires",
    bytes: "Taille des fichiers",
    in_words: "Les pièces jointes lourdes de {messages} ({files}, {bytes}) ont été déposées une seule \
        fois, pour une durée limitée, au lieu d’être copiées chez {mailboxes} : ce sont {spared} que \
        les boîtes de réception n’ont pas eu à accueillir, à conserver ni à sauvegarder.",
    nouns: [
        ["message", "messages"],
        ["fichier", "fichiers"],
        ["destinataire", "destinataires"],
    ],
    by_month: "Mois par mois",
    by_direction: "Dans quel sens",
    by_domain: "Domaine par domaine",
    month: "Mois",
    direction: "Sens",
    domain: "Domaine",
    total: "Total",
    outgoing: "Messages envoyés",
    incoming: "Messages reçus",
    others: "Autres (moins de {least} messages par mois)",
    not_over: "{month} n’est pas terminé.",
    chart_cut: "Le graphique montre les {shown} derniers mois ; le tableau les donne tous.",
    chart_label: "Volume non recopié par mois ; le plus élevé : {size} en {month}. \
        Le tableau ci-dessous donne les mêmes valeurs.",
    how: "Comment c’est compté",
    counted: &[
        "« Non recopiés » : la taille de chaque fichier mis de côté, multipliée par le nombre de \
            destinataires du message. C’est la taille du fichier lui-même ; dans un courriel, il \
            prendrait environ un tiers de place en plus, qui n’est pas compté ici.",
        "Une liste de diffusion compte pour un seul destinataire, même si elle a cent abonnés. La \
            copie que garde l’expéditeur dans ses messages envoyés n’est pas comptée.",
        "Ce n’est pas un bilan d’énergie ou de carbone. Les fichiers ont occupé de la place dans le \
            dépôt jusqu’à leur expiration, et qui en télécharge un en a de nouveau une copie : rien \
            de cela n’est déduit.",
        "Les messages envoyés sont comptés au domaine de l’expéditeur, les messages reçus à celui des \
            destinataires ; un message reçu par plusieurs domaines est compté une fois, au domaine \
            qui a le plus de destinataires. Les mois sont ceux du temps universel (UTC).",
        "Ces chiffres sont des sommes : ils ne contiennent ni adresse, ni nom de fichier, ni contenu. \
            Un domaine qui compte moins de {least} messages dans un mois n’est pas nommé, car il peut \
            être celui d’une seule personne.",
    ],
    made: "Établi le {date} par depollueur.",
    months: [
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
        "déc.",
    ],
    thousands: '\u{202f}',
};

static EN: ReportTexts = ReportTexts {
    lang: "en",
    title: "What our mail did not copy",
    nothing: "No attachment was set aside in this time.",
    spared: "not copied",
    files: "Files",
    messages: "Messages",
    mailboxes: "Recipients",
    bytes: "Size of the files",
    in_words: "The heavy attachments of {messages} ({files}, {bytes}) were stored just once, for a \
        limited time, instead of being copied to {mailboxes}: {spared} that mailboxes did not have \
        to receive, keep and back up.",
    nouns: [
        ["message", "messages"],
        ["file", "files"],
        ["recipient", "recipients"],
    ],
    by_month: "Month by month",
    by_direction: "Which way",
    by_domain: "Domain by domain",
    month: "Month",
    direction: "Direction",
    domain: "Domain",
    total: "Total",
    outgoing: "Messages sent",
    incoming: "Messages received",
    others: "Others (fewer than {least} messages a month)",
    not_over: "{month} is not over.",
    chart_cut: "The chart shows the last {shown} months; the table has all of them.",
    chart_label: "Volume not copied, by month; the highest is {size} in {month}. \
        The table below has the same values.",
    how: "How this was counted",
    counted: &[
        "“Not copied” is the size of each file that was set aside, times the number of recipients of \
            its message. It is the size of the file itself; inside a mail it would take about a third \
            more, which is not counted here.",
        "A mailing list counts as one recipient, even if it has a hundred subscribers. The copy that a \
            sender keeps among the sent messages is not counted.",
        "This is no account of energy or carbon. The files took room in the file drop until they \
            expired, and whoever downloads one has a copy again: none of that is deducted.",
        "Messages sent count to the domain of the sender, messages received to that of the recipients; \
            a message received by several domains counts once, to the domain with the most \
            recipients. Months are those of universal time (UTC).",
        "These figures are sums: there is no address, no file name and no content in them. A domain \
            with fewer than {least} messages in a month is not named, since it may be that of a \
            single person.",
    ],
    made: "Made on {date} by depollueur.",
    months: [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ],
    thousands: ',',
};
