//! The place of the notice in plain text.
//!
//! It works on bytes, because all it looks for is ASCII once all letters with accents are taken for
//! the same. A mail is text by its author, then perhaps a signature, a quoted or forwarded
//! mail, in this order (top posting), or the quoted mail first with the author's text in and
//! below it. The notice follows the author's text and never cuts an answer from its question.

mod lotus;

use super::Position;

/// Maximum number of lines of an attribution (`On …, Jane wrote:`).
const ATTRIBUTION_LINES_MAX: usize = 3;

/// Number of bytes at the end of a text in which the last line of an attribution is looked for.
const ATTRIBUTION_BYTES_MAX: usize = 1_000;

/// Number of lines after the first that may hold the rest of a quoted header.
const QUOTED_HEADER_LINES: usize = 6;

/// The longest label of a field of a quoted header, with its colon, in bytes.
const LABEL_BYTES_MAX: usize = 24;

/// Number of columns at which mail programs break lines.
const COLUMNS: usize = 72;

/// A field of a quoted header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuotedField {
    From,
    Sent,
    Subject,
    /// Recipients, and a bare date.
    Other,
}

/// Length of the author's own text, in characters, above which the notice stands before it and not after it.
const OWN_CHARS_MAX: usize = 2_000;

/// The shortest line of underscores that separates something from the author's text.
const UNDERSCORES_MIN: usize = 20;

/// Returns the offset of the notice: the start of a line, or the end of the text but for its last blanks.
pub(crate) fn place(text: &[u8], position: Position) -> usize {
    let start = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    match position {
        Position::Start => start,
        Position::End => end(text, start),
        Position::BeforeQuote => {
            let lines = TextLines::new(text, start);
            let place = before_quote(&lines);
            if lines.is_long_above(place) {
                return start;
            }
            place.map_or_else(|| end(text, start), |line| lines.starts[line])
        }
    }
}

/// Returns true if a reader may not get as far as this line, or the end: the author wrote too much above.
pub(crate) fn is_long_above(text: &[u8], line: Option<usize>) -> bool {
    text.len() > OWN_CHARS_MAX && TextLines::new(text, 0).is_long_above(line)
}

/// Returns the text before the quote or the signature, without quoted lines.
pub(crate) fn author(text: &str) -> String {
    let end = place(text.as_bytes(), Position::BeforeQuote);
    let before = text.get(..end).unwrap_or(text).lines();
    let own = before.filter(|line| !line.trim_start().starts_with('>'));
    own.collect::<Vec<_>>().join("\n")
}

/// Returns the end of the text. Blanks at the end of an unfinished last line stay behind the notice: a line
/// end of ours after them would make them disappear for many readers, signatures included.
fn end(text: &[u8], start: usize) -> usize {
    let blanks = text
        .iter()
        .rev()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    (text.len() - blanks).max(start)
}

/// A text in lines.
struct TextLines<'a> {
    text: &'a [u8],
    starts: Vec<usize>,
}

/// The kind of lines that follow a quote's first line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// Lines that start with `>`; others are the author's.
    Marked,
    /// Lines without a mark: the rest of the text.
    Rest,
}

/// Returns the line of a text before which the notice goes, `None` for the end.
///
/// * Nothing is quoted: before the signature.
/// * The author wrote above the quote: before the signature that is there, else before the quote
///   and its introduction.
/// * The author wrote in the quote or below it: after the author's last line, so that no answer is
///   cut from its question, and no rest of the quote that nobody answered is in between.
pub(crate) fn line_before_quote(text: &[u8]) -> Option<usize> {
    before_quote(&TextLines::new(text, 0))
}

fn before_quote(lines: &TextLines<'_>) -> Option<usize> {
    let Some((at, quote)) = (0..lines.len()).find_map(|i| lines.quote(i)) else {
        return lines.signature(0..lines.len());
    };
    match quote {
        Quote::Marked if let Some(last) = lines.last_answer(at) => lines.filled(last + 1),
        _ => Some(lines.signature(0..at).unwrap_or(at)),
    }
}

impl<'a> TextLines<'a> {
    fn new(text: &'a [u8], start: usize) -> Self {
        let ends = memchr::memchr_iter(b'\n', &text[start..]).map(|lf| start + lf + 1);
        let starts = std::iter::once(start)
            .chain(ends)
            .filter(|&at| at < text.len())
            .collect();
        Self { text, starts }
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns a line without its line end; empty past the last.
    fn get(&self, i: usize) -> &'a [u8] {
        let Some(&start) = self.starts.get(i) else {
            return b"";
        };
        let end = self.starts.get(i + 1).copied().unwrap_or(self.text.len());
        let line = &self.text[start..end];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Returns true if more than [`OWN_CHARS_MAX`] characters above `line`, or in all, are the author's own.
    fn is_long_above(&self, line: Option<usize>) -> bool {
        let mut lines = (0..line.unwrap_or(self.len())).filter(|&i| !self.is_marked(i));
        // The bytes that continue a character of UTF-8 count with its first one.
        let begins = |b: &&u8| !matches!(b, 0x80..0xc0) && !b.is_ascii_whitespace();
        let mut chars = 0;
        lines.any(|i| {
            chars += self.get(i).iter().filter(begins).count();
            chars > OWN_CHARS_MAX
        })
    }

    fn is_blank(&self, i: usize) -> bool {
        self.get(i).trim_ascii().is_empty()
    }

    fn filled(&self, i: usize) -> Option<usize> {
        (i..self.len()).find(|&i| !self.is_blank(i))
    }

    fn next_filled(&self, i: usize) -> Option<usize> {
        (i..self.len().min(i + 4)).find(|&i| !self.is_blank(i))
    }

    /// Recognizes a quote that starts with this line; returns the line of its introduction, if
    /// there is one, or its first, and its kind.
    fn quote(&self, i: usize) -> Option<(usize, Quote)> {
        let first = *self.get(i).first()?;
        if self.is_marked(i) {
            return Some((self.attribution_above(i).unwrap_or(i), Quote::Marked));
        }

        if let Some(last) = self.attribution(i) {
            let marked = self
                .next_filled(last + 1)
                .is_some_and(|next| self.is_marked(next));
            return Some((i, if marked { Quote::Marked } else { Quote::Rest }));
        }

        let separates = match first {
            b'-' if has_letters(self.get(i)) => is_forward_separator(&folded(self.get(i))),
            b'_' if is_underscores(self.get(i)) => self
                .next_filled(i + 1)
                .is_some_and(|next| self.is_quoted_header(next)),
            b'A' | b'B' | b'D' | b'I' | b'M' | b'P' | b'S' | b'V'
                if is_forward_line(&folded(self.get(i))) =>
            {
                true
            }
            _ => self.is_quoted_header(i) || lotus::begins(self, i),
        };
        separates.then_some((i, Quote::Rest))
    }

    /// Returns true for a `>` line; `>From` is what mailboxes make of `From`.
    fn is_marked(&self, i: usize) -> bool {
        let line = self.get(i);
        line.starts_with(b">") && !line.starts_with(b">From ")
    }

    /// Returns the last line of an attribution that starts here, on up to three lines. Gmail breaks
    /// them anywhere, `a écrit :` included.
    fn attribution(&self, i: usize) -> Option<usize> {
        if !opens_attribution(self.get(i)) {
            return None;
        }
        let mut text = Vec::new();
        (i..i + ATTRIBUTION_LINES_MAX)
            .take_while(|&line| !self.is_blank(line))
            .find(|&line| {
                text.extend_from_slice(self.get(line).trim_ascii());
                let closes = closes_attribution(&text);
                text.push(b' ');
                closes
            })
    }

    /// Returns the first line of an attribution, in whatever language, above this quoted line.
    fn attribution_above(&self, quoted: usize) -> Option<usize> {
        let last = (quoted.saturating_sub(2)..quoted)
            .rev()
            .find(|&i| !self.is_blank(i))?;
        let line = self.get(last).trim_ascii();
        let names = |b: &u8| b.is_ascii_digit() || matches!(b, b'@' | b'<');
        if !line.ends_with(b":") || !(line.iter().any(names) || closes_attribution(line)) {
            return None;
        }
        let first = (last.saturating_sub(ATTRIBUTION_LINES_MAX - 1)..last)
            .rev()
            .take_while(|&i| !self.is_blank(i))
            .find(|&i| opens_attribution(self.get(i)));
        Some(first.unwrap_or(last))
    }

    /// Returns true for the sender and at least two more fields of a quoted header, as Outlook
    /// writes it. Travellers, too, go from and to, on a date; but a mail also has a subject, or was
    /// sent, or is from an address.
    fn is_quoted_header(&self, i: usize) -> bool {
        let first = field(self.get(i));
        if !matches!(first, Some(QuotedField::From | QuotedField::Sent)) {
            return false;
        }

        let (mut from, mut is_mail, mut others) = (None, false, 0);
        for line in i..=i + QUOTED_HEADER_LINES {
            match field(self.get(line)) {
                // There is one sender.
                Some(QuotedField::From) if from.is_some() => return false,
                Some(QuotedField::From) => from = Some(line),
                Some(field) => {
                    is_mail |= field != QuotedField::Other;
                    others += 1;
                }
                None => {}
            }
        }

        let has_address = |from: usize| self.get(from).contains(&b'@');
        others > 1 && from.is_some_and(|from| is_mail || has_address(from))
    }

    /// Returns the author's last line in or below the quote that starts here, up to the signature
    /// or to a quote whose lines nothing marks.
    fn last_answer(&self, quote: usize) -> Option<usize> {
        let mut answer = None;
        let mut i = quote;

        while i < self.len() {
            if self.is_blank(i) || self.is_marked(i) {
                // Nothing of the author's own.
            } else if is_signature(self.get(i)) || is_underscores(self.get(i)) {
                break;
            } else if !has_letters(self.get(i)) || self.is_wrapped(i) {
                // Nor here.
            } else if is_footer(&folded(self.get(i))) {
                break;
            } else if let Some(last) = self.attribution(i).or_else(|| self.attributes_next(i)) {
                let next = self.next_filled(last + 1);
                if !next.is_some_and(|next| self.is_marked(next)) {
                    break;
                }
                i = last;
            } else if self.quote(i).is_some() {
                break;
            } else {
                answer = Some(i);
            }
            i += 1;
        }

        answer
    }

    /// Returns true for a line that an old mail program broke off the quoted line above it.
    fn is_wrapped(&self, i: usize) -> bool {
        let above = self.get(i.saturating_sub(1));
        let word = self.get(i).split(|&b| b == b' ').next().unwrap_or_default();
        self.is_marked(i + 1)
            && above.starts_with(b">")
            && above.len() + 1 + word.len() > COLUMNS
            && word.first().is_some_and(|b| !b.is_ascii_uppercase())
    }

    /// Returns this line if it is part of the attribution of a quote that follows.
    fn attributes_next(&self, i: usize) -> Option<usize> {
        let quoted = (i + 1..i + 3).find(|&next| self.is_marked(next))?;
        let first = self.attribution_above(quoted)?;
        (first..quoted).contains(&i).then_some(i)
    }

    /// Returns the first signature among these lines: `-- `, or else the last that lost its blank.
    fn signature(&self, range: std::ops::Range<usize>) -> Option<usize> {
        let mut last = None;
        for i in range {
            match self.get(i) {
                b"-- " => return Some(i),
                b"--" => last = Some(i),
                _ => {}
            }
        }
        last
    }
}

fn is_signature(line: &[u8]) -> bool {
    matches!(line, b"-- " | b"--")
}

fn is_underscores(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.len() >= UNDERSCORES_MIN && line.iter().all(|&b| b == b'_')
}

/// Returns true for the start of an attribution, `On 21 Nov …` or `Le 21/11/2026 …`: the day or the
/// year is a number. Zimbra has dashes before it.
fn opens_attribution(line: &[u8]) -> bool {
    let dashes = line.iter().take_while(|&&b| b == b'-').count();
    let line = line[dashes..].trim_ascii_start();
    let opens = ["On ", "Le ", "Am ", "El ", "Em ", "Il ", "Op "];
    opens.iter().any(|start| line.starts_with(start.as_bytes()))
        && line.iter().any(u8::is_ascii_digit)
}

/// Returns true if the last line of a text ends an attribution.
pub(crate) fn ends_attribution(text: &[u8]) -> bool {
    let text = &text[text.len().saturating_sub(ATTRIBUTION_BYTES_MAX)..];
    let text = text.trim_ascii_end();
    let line = &text[memchr::memrchr(b'\n', text).map_or(0, |lf| lf + 1)..];
    !line.starts_with(b">") && closes_attribution(line)
}

/// Returns true for the end of an attribution: `… wrote:`, `… a écrit :`, `… schrieb Jane:`.
fn closes_attribution(line: &[u8]) -> bool {
    if !line.trim_ascii_end().ends_with(b":") {
        return false;
    }

    let line = folded(line);
    let line = line.trim_end_matches([':', ' ', '?']);
    let ends = [
        "wrote",
        "a ?crit",
        "a e?crit",
        "a ecrit",
        "escribi",
        "escreveu",
        "ha scritto",
    ];

    ends.iter().any(|end| line.ends_with(end))
        || line.contains(" schrieb ")
        || line.contains(" schreef ")
}

/// Recognizes a field of a quoted header by its label, as Outlook, Lotus and webmails write it: in English,
/// French, German, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian, Polish.
fn field(line: &[u8]) -> Option<QuotedField> {
    let start = &line[..line.len().min(LABEL_BYTES_MAX)];
    let label = folded(&start[..memchr::memchr(b':', start)?]);
    Some(match label.trim_end_matches([' ', '?']) {
        "from" | "de" | "von" | "da" | "van" | "fr?n" | "fra" | "od" => QuotedField::From,
        "sent" | "envoy" | "envoye" | "gesendet" | "enviado" | "enviado el" | "enviado em"
        | "enviada em" | "inviato" | "verzonden" | "skickat" | "sendt" | "wys?ano"
        | "date d'envoi" | "date d?envoi" => QuotedField::Sent,
        "subject" | "objet" | "sujet" | "betreff" | "asunto" | "assunto" | "oggetto"
        | "onderwerp" | "?mne" | "emne" | "temat" => QuotedField::Subject,
        "to" | "a" | "an" | "para" | "pour" | "aan" | "till" | "til" | "do" | "cc" | "kopie"
        | "kopia" | "copie" | "date" | "datum" | "fecha" | "data" | "dato" => QuotedField::Other,
        // An `À` is folded into a `?`, which was trimmed.
        "" if !label.is_empty() => QuotedField::Other,
        _ => return None,
    })
}

/// Returns true for what gateways and phones write below everything: how it was sent, what it must
/// not be used for.
fn is_footer(line: &str) -> bool {
    let starts = [
        "envoy? de",
        "envoy? ? partir de",
        "envoye de mon",
        "sent from ",
        "sent via ",
        "get outlook for",
        "t?l?charger outlook",
        "von meinem ",
        "gesendet von ",
        "enviado desde ",
        "inviato da ",
        "virus-free",
    ];
    let openings = [
        "ce message",
        "ce mail",
        "ce courriel",
        "cet e-mail",
        "cet email",
        "les informations",
        "this message",
        "this e-mail",
        "this email",
        "the information",
        "diese e-mail",
        "diese nachricht",
        "este mensaje",
        "l'absence",
        "l?absence",
    ];
    let subjects = [
        "confiden",
        "destinat",
        "intended",
        "recipient",
        "virus",
        "vertraulich",
    ];

    starts.iter().any(|start| line.starts_with(start))
        || openings.iter().any(|start| line.starts_with(start))
            && subjects.iter().any(|subject| line.contains(subject))
}

/// Returns true for `-----Original Message-----` and its like.
fn is_forward_separator(line: &str) -> bool {
    line.starts_with("--")
        && line.ends_with('-')
        && is_forward_title(line.trim_matches(['-', ' ', '?']))
}

/// Returns true if a line is more than a rule.
fn has_letters(line: &[u8]) -> bool {
    line.iter()
        .any(|b| b.is_ascii_alphanumeric() || !b.is_ascii())
}

/// Returns true for `Begin forwarded message:` and its like, without dashes.
fn is_forward_line(line: &str) -> bool {
    matches!(
        line.trim_end_matches([':', ' ', '?']),
        "begin forwarded message"
            | "d?but du message r?exp?di?"
            | "d?but du message transf?r"
            | "d?but du message r?exp?di"
            | "anfang der weitergeleiteten nachricht"
            | "inicio del mensaje reenviado"
            | "inizio messaggio inoltrato"
            | "in?cio da mensagem encaminhada"
            | "in?cio da mensagem reencaminhada"
            | "mensagem encaminhada"
            | "mensagem reencaminhada"
            | "inici del missatge reenviat"
            | "start p? videresendt besked"
            | "start p? den videresendte besked"
            | "videresendt melding"
            | "vidarebefordrat brev"
            | "pocz?tek przekazywanej wiadomo?ci"
            | "pocz?tek przekazanej wiadomo?ci"
            | "begin doorgestuurd bericht"
    )
}

/// Returns true for the title of a quoted or forwarded mail.
fn is_forward_title(title: &str) -> bool {
    let starts = [
        "original message",
        "message d",
        "message original",
        "mail original",
        "original appointment",
        "urspr?ngliche nachricht",
        "mensaje original",
        "mensagem original",
        "messaggio original",
        "oorspronkelijk bericht",
    ];
    let forwards = [
        "forwarded message",
        "message transf",
        "mail transf",
        "message r?exp",
        "message forward",
        "weitergeleitete nachricht",
        "mensaje reenviado",
        "mensagem encaminhada",
        "messaggio inoltrato",
        "doorgestuurd bericht",
    ];

    starts
        .iter()
        .any(|start| title.starts_with(start) && (title.len() < 24 || !start.ends_with(" d")))
        || forwards.iter().any(|part| title.contains(part))
}

/// Folds a line: lower case, emphasis and outer blanks dropped, one `?` for each run of other than ASCII.
fn folded(line: &[u8]) -> String {
    let line = line.trim_ascii();
    // As most lines are.
    if line.is_ascii() && memchr::memchr(b'*', line).is_none() {
        return String::from_utf8_lossy(line).to_ascii_lowercase();
    }

    let mut text = String::with_capacity(line.len());
    for &b in line {
        match b {
            b'*' => {}
            b if b.is_ascii() => text.push(char::from(b.to_ascii_lowercase())),
            _ if text.ends_with('?') => {}
            _ => text.push('?'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the notice goes to the place of `@@` in the text.
    fn check(marked: &[u8]) {
        let at = marked.windows(2).position(|w| w == b"@@").unwrap();
        let text = [&marked[..at], &marked[at + 2..]].concat();
        let placed = place(&text, Position::BeforeQuote);
        let got = [&text[..placed], b"@@", &text[placed..]].concat();
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(marked)
        );
    }

    #[test]
    fn the_notice_follows_the_authors_text() {
        for marked in [
            "@@",
            "Hello\n@@",
            "Hello@@",
            "Hello\n\n@@-- \nJane\n",
            "Hello\n\n@@--\nJane\n",
            "a\n--\nb\n@@--\nJane\n",
            "Yes\n\n@@Le 21/11/2026 à 18:02, Yann a écrit :\n> Non ?\n",
            "Yes\n\n@@Le 21/11/2026 à 18:02, Yann a écrit\u{a0}:\n> Non ?\n\n-- \nJane\n",
            "Yes\n\n@@Le 21 nov. 2026 à 18:02, Yann <y@x.example> a écrit :\n\n> Non ?\n",
            "Yes\n\n@@Le sam. 21 nov. 2026 à 18:02, Yann Le Grand <\ny@x.example> a écrit :\n\n> N\n",
            "Yes\n\n@@On Sat, Nov 21, 2026 at 6:02 PM Yann <y@x.example>\nwrote:\n\n> No?\n",
            "Yes\n\n@@Le sam. 21 nov. 2026 à 18:02, Yann Le Grand <y@x.example> a\nécrit :\n> N\n",
            "Yes\n\n@@Le 21 nov. 2026 à 18:02, Yann <y@x.example> a e\u{301}crit\u{202f}:\n\n> N\n",
            "Yes\n\n@@----- Le 21 Nov 26, à 18:02, Yann y@x.example a écrit :\n\nNon ?\n",
            "Yes\n\n@@----- Mail original -----\nDe: \"Yann\" <y@x.example>\n",
            "Yes\n\n@@De : x\nA : z\nEnvoye : y\n",
            "Yes\n\n@@On 21.11.26 18:02, Yann wrote:\nNo?\n",
            "Yes\n\n@@Am 21.11.2026 schrieb Yann:\n> Nein?\n",
            "Yes\n@@> No?\n",
            "@@On 21.11.26, Yann wrote:\n> No?\n",
            "@@21.11.2026, Yann kirjoitti:\n> Ei?\n",
            "@@21.11.2026, Yann kirjoitti:\n\n> Ei?\n",
            "Yes\n\n@@-----Original Message-----\nFrom: x\n",
            "Yes\n\n@@-----Message d'origine-----\nDe : x\n",
            "Yes\n\n@@-----Message d\u{2019}origine-----\nDe : x\n",
            "Yes\n\n@@-------- Message transféré --------\nSujet : x\n",
            "Yes\n\n@@---------- Forwarded message ---------\nFrom: x\n",
            "@@Begin forwarded message:\n\nFrom: x\n",
            "@@Début du message réexpédié :\n\nDe: x\n",
            "Yes\n\n@@________________________________\nFrom: x\nSent: y\nTo: z\n",
            "Yes\n\n@@De : x\nEnvoyé : y\nÀ : z\nObjet : t\n",
            "Yes\n\n@@*From:* x\n*Sent:* y\n*To:* z\n",
            "Ja\n\n@@Von: x\nGesendet: y\nAn: z\nBetreff: t\n",
            "Ja\n\n@@Gesendet: y\nVon: x\nAn: z\nBetreff: t\n\nb\n-- \nYann\n",
            "Ja\n\n@@Von:    Jean/PARIS\nAn:     Marie\nDatum:  1\nBetreff: t\n",
            "Ja\n@@________________________________\nVon: x\nGesendet: y\nAn: z\n",
            "Ja\n\n@@-----Ursprüngliche Nachricht-----\nVon: x\n",
            "Ja\n\n@@Am 21.11.2026 um 18:02 schrieb Yann <y@x.example>:\nNein?\n",
            "Sí\n\n@@De: x\nEnviado el: y\nPara: z\nAsunto: t\n",
            "Sì\n\n@@-----Messaggio originale-----\nDa: x\n",
            "Sim\n\n@@Início da mensagem encaminhada:\n\nDe: x\nData: y\nPara: z\nAssunto: t\n",
            "Oui\n\n@@De :\tJean/PARIS\nPour :\tMarie\nDate :\t1\nObjet :\tt\n",
            "Yes\n\n@@From: y@x.example\nTo: z\nDate: t\n",
            "Oui\n\n@@Le 21/11/2026, Yann a écrit :\n> Non ?\n\nEnvoyé de mon iPhone\n",
            "Yes\n\n@@On 21.11.26, Yann wrote:\n> No?\n\n---\nThis email has been checked for viruses.\n",
            "Oui\n\n@@Le 21/11/2026, Yann a écrit :\n> Non ?\n\nCe message est confidentiel.\n",
            "Yes\n\n@@On 21.11.26, Yann wrote:\n> this is a long line of which an old mail program that wraps it at\nseventy columns\n> made two\n",
        ] {
            check(marked.as_bytes());
            check(marked.replace('\n', "\r\n").as_bytes());
        }
        check(b"Oui\n\n@@Le 21/11/2026 \xe0 18:02, Yann a \xe9crit :\n> Non ?\n");
        check(b"Oui\n\n@@De\xa0: x\nEnvoy\xe9\xa0: y\n\xc0\xa0: z\n");
    }

    #[test]
    fn an_answer_below_the_quote_is_not_cut_from_it() {
        for marked in [
            "On 21.11.26, Yann wrote:\n> No?\n\nYes\n@@",
            "21.11.2026, Yann kirjoitti:\n> Ei?\n\nJoo\n@@",
            "On 21.11.26, Yann wrote:\n> No?\n\nYes\n\n@@-- \nJane\n",
            "Hi,\n\nOn 21.11.26, Yann wrote:\n> No?\nYes\n> Why?\nSo.\n@@-- \nJane\n",
            "As it says:\n> x\nand so on\n@@",
            "On 21.11.26, Yann wrote:\n> No?\nYes\n\n@@> Why?\n> And so on.\n",
            "> No?\nYes\n\n@@On 20.11.26, Bob wrote:\n> a\n",
            "> No?\nYes\n\n@@-----Original Message-----\nFrom: x\nSent: y\n",
            "> No?\nYes\n\n@@De : x\nEnvoyé : y\nÀ : z\nObjet : t\n\nb\n-- \nYann\n",
        ] {
            check(marked.as_bytes());
        }
    }

    #[test]
    fn an_attribution_ends_a_text_in_its_only_line_too() {
        for (text, ends) in [
            ("On 21.11.26, Yann wrote:", true),
            ("Yes\nOn 21.11.26, Yann wrote: \n", true),
            ("> On 21.11.26, Yann wrote:", false),
            ("Yes\n> On 21.11.26, Yann wrote:", false),
            ("On 21.11.26, Yann wrote:\nYes", false),
            ("Yes", false),
            ("", false),
        ] {
            assert_eq!(ends_attribution(text.as_bytes()), ends, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_quote_is_text() {
        for marked in [
            "On Monday, Bob wrote a book:\nIt is good.\n@@",
            ">From now on\n@@",
            "From: me to you\nwith love\n@@",
            "Le 21/11/2026 est un samedi.\n@@",
            "-----\nList\n-----\n@@",
            "____________________\nForm\n@@",
            "-- pieces jointes --\nx\n@@",
            "De : Paris\nÀ : Lyon\nDate : samedi\nà bientôt\n@@",
            "A : b\nB : c\nC : d\nFrom: here\n@@",
        ] {
            check(marked.as_bytes());
        }
    }

    #[test]
    fn the_authors_text_is_without_what_he_quotes() {
        for (text, own) in [
            (
                "Oui\n\nLe 21/11/2026 à 18:02, Y a écrit :\n> No?\n",
                "Oui\n",
            ),
            ("> No?\nOui\n\n-- \nY\n", "Oui\n"),
            ("Oui", "Oui"),
            ("", ""),
        ] {
            assert_eq!(author(text), own);
        }
    }

    #[test]
    fn above_a_long_text_the_notice_is_not_missed() {
        let own = |chars: usize| format!("{}\n", "xé".repeat(chars / 2));
        for quote in [
            "",
            "-- \nJane\n",
            "> No?\n",
            "-----Original Message-----\nFrom: x\n",
        ] {
            check(format!("{}@@{quote}", own(OWN_CHARS_MAX)).as_bytes());
            check(format!("@@{}{quote}", own(OWN_CHARS_MAX + 2)).as_bytes());
        }
        // What is quoted is not the author's.
        let quoted = format!("> {}", own(OWN_CHARS_MAX + 2));
        check(format!("Yes\n\n@@{quoted}").as_bytes());
        check(format!("{quoted}Yes\n@@").as_bytes());
    }

    #[test]
    fn start_and_end_are_what_they_say() {
        assert_eq!(place(b"a\n> b\n", Position::Start), 0);
        assert_eq!(place(b"\xef\xbb\xbfa\n", Position::Start), 3);
        assert_eq!(place(b"a\n> b\n", Position::End), 6);
        assert_eq!(place(b"a \t", Position::End), 1);
        assert_eq!(place(b"a\n ", Position::End), 2);
        assert_eq!(place(b" ", Position::End), 0);
    }
}
