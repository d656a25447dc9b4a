//! Links as people paste them: out of mail that is shown, quoted, wrapped, or seen as source.
//!
//! They are searched by hand: such text is no URL before it is mended, and [`url::Url`] would take one
//! that is not there out of words that stand before it.

use std::{
    borrow::Cow,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
};

use form_urlencoded::parse;

use crate::{
    cli::exit::{EX_NOINPUT, EX_USAGE, Failure},
    drop::{RecordId, Token},
};

/// The name that stands for links on standard input.
const STDIN: &str = "-";

/// The most bytes of standard input that are read for a link.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// The characters of a token, and of an id.
const TOKEN_CHARS: usize = 26;
const ID_CHARS: usize = 32;

/// A link that was found in a text.
#[derive(Debug)]
pub(super) struct FoundLink {
    /// The token that opens the package; `None` in a link that lost its fragment.
    pub(super) token: Option<Token>,
    pub(super) id: RecordId,
    /// The host that it leads to, in lower case and with its port, if the link is a whole one.
    pub(super) host: Option<String>,
}

impl FoundLink {
    /// Finds the link in pasted text.
    pub(super) fn find(text: &str) -> Option<Self> {
        let joined = unbroken(text);
        let lines: String = text.lines().map(str::trim).collect();
        // As it is, without soft line breaks, with its lines joined, and without any space.
        let readings = [text.into(), joined, Cow::Owned(lines), spaceless(text)];
        let whole = readings.iter().find_map(|text| {
            Self::opening(text)
                .or_else(|| Self::opening(&decoded(text)))
                .or_else(|| wrapped(text))
        });
        whole.or_else(|| readings.iter().find_map(|text| Self::shut(text)))
    }

    /// Finds the link with a token. The text before a token decides whether it is one: it is a
    /// segment of a path, a fragment, or all there is.
    fn opening(text: &str) -> Option<Self> {
        words(text).into_iter().find_map(|(at, word)| {
            let token: Token = word.parse().ok()?;
            is_in_place(text, at).then(|| Self {
                id: RecordId::from(&token),
                token: Some(token),
                host: host(text, at),
            })
        })
    }

    /// Finds the link that has lost its token: reports and logs of a proxy have such ones.
    fn shut(text: &str) -> Option<Self> {
        words(text).into_iter().find_map(|(at, word)| {
            let is_id = word.len() == ID_CHARS && text[..at].ends_with("/e/");
            let id: RecordId = word.to_ascii_lowercase().parse().ok()?;
            is_id.then(|| Self {
                token: None,
                id,
                host: host(text, at),
            })
        })
    }
}

/// Returns true if a token may stand here: in a query, as `?t=…`, it belongs to none of our links.
fn is_in_place(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches(['<', '(', '[', '"', '\'']);
    let url = before.rfind("://");
    let path = url.map_or(before, |scheme| &before[scheme..]);
    let has_query = url.is_some() && path.contains('?') && !path.contains('#');
    !has_query && (before.is_empty() || !before.ends_with(['=', '&', '?']))
}

/// Returns the runs of ASCII letters and digits, with their places.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut begun = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (begun, c.is_ascii_alphanumeric()) {
            (None, true) => begun = Some(at),
            (Some(start), false) => {
                found.push((start, &text[start..at]));
                begun = None;
            }
            _ => {}
        }
    }
    found
}

/// The host of a URL, in lower case and with its port.
pub(super) fn host_of(url: &str) -> Option<String> {
    host(url, url.len())
}

/// The host of the URL in which this place lies.
fn host(text: &str, at: usize) -> Option<String> {
    let before = &text[..at];
    let start = before.rfind("://")? + "://".len();
    let host = before[start..].split(['/', '?', '#']).next()?;
    let host = host.rsplit('@').next()?.to_ascii_lowercase();
    let spaces = before[start..].contains(char::is_whitespace);
    (!host.is_empty() && !spaces).then_some(host)
}

/// Removes the soft line breaks of quoted-printable, and decodes its characters.
fn unbroken(text: &str) -> Cow<'_, str> {
    if !text.contains('=') {
        return text.into();
    }
    let joined = text.replace("=\r\n", "").replace("=\n", "");
    let joined = joined
        .replace("=3D", "=")
        .replace("=23", "#")
        .replace("=2F", "/");
    joined.replace("=3A", ":").into()
}

/// Removes all space: of a link that was wrapped, and pasted as one line.
fn spaceless(text: &str) -> Cow<'_, str> {
    let is_space = |c: char| c.is_whitespace() || c == '\u{200b}' || c == '\u{ad}';
    text.chars()
        .filter(|&c| !is_space(c))
        .collect::<String>()
        .into()
}

/// Decodes percent signs.
fn decoded(text: &str) -> String {
    let query = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let decoded = parse(query.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned());
    decoded.unwrap_or_default()
}

/// Finds a link in a parameter of another: `mailto:?body=…`, or that of a program which rewrites links.
fn wrapped(text: &str) -> Option<FoundLink> {
    let (_, query) = text.split_once('?')?;
    let query = query.split('#').next()?;
    parse(query.as_bytes()).find_map(|(_, value)| {
        value
            .contains("://")
            .then(|| FoundLink::opening(&value).or_else(|| FoundLink::opening(&decoded(&value))))?
    })
}

/// The way in which a link is incomplete; `None` when nothing is known.
pub(super) fn lack(text: &str) -> Option<String> {
    let text = spaceless(&unbroken(text)).into_owned();
    let rest = &text[text.find("://")? + 3..];
    let rest = rest.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let last = path.rsplit(['/', '#']).next().unwrap_or(path);
    let is_symbol = |c: char| c.is_ascii_alphabetic() || ('2'..='7').contains(&c);
    match last.len() {
        0 => Some(format!(
            "the link ends after \"{host}/\": what follows is missing; copy all of it, over the end of the line, too"
        )),
        length if last.chars().all(is_symbol) && length < TOKEN_CHARS => Some(format!(
            "the link is cut: its last part has {length} characters of {TOKEN_CHARS}; copy all of it, over the end of the line, too"
        )),
        length if last.chars().all(is_symbol) && length > TOKEN_CHARS => Some(format!(
            "the link has something behind it: its last part has {length} characters instead of {TOKEN_CHARS}; take away what follows the first {TOKEN_CHARS}"
        )),
        _ => None,
    }
}

/// Returns the link or the id that was given; `-` is read from standard input, so that it stands
/// neither in the list of processes nor in the shell's history.
///
/// # Errors
/// Standard input cannot be read, or is empty.
pub(super) fn given(name: String) -> Result<String, Failure> {
    if name != STDIN {
        return Ok(name);
    }
    let text = read_input()?;
    if text.trim().is_empty() {
        return Err(Failure::new(EX_USAGE, "standard input holds no link"));
    }
    Ok(text)
}

/// Returns the links or ids that were given; standard input has one in each line.
///
/// # Errors
/// As [`given`].
pub(super) fn all_given(names: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        if name == STDIN {
            let text = unbroken(&read_input()?).into_owned();
            let lines = text.lines().map(str::trim);
            all.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        } else {
            all.push(name);
        }
    }
    if all.is_empty() {
        return Err(Failure::new(EX_USAGE, "standard input holds no link"));
    }
    Ok(all)
}

/// Reads one line of a terminal, or all of a pipe.
fn read_input() -> Result<String, Failure> {
    let mut stdin = io::stdin().lock();
    let mut text = String::new();
    let read = if stdin.is_terminal() {
        let _ = write!(io::stderr().lock(), "link: ");
        stdin.read_line(&mut text)
    } else {
        stdin
            .by_ref()
            .take(INPUT_BYTES_MAX)
            .read_to_string(&mut text)
    };
    read.map_err(|error| {
        let message = format!("could not read standard input: {error}");
        Failure::new(EX_NOINPUT, message)
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxya";
    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn token(text: &str) -> Option<String> {
        FoundLink::find(text)?.token.map(|token| token.to_string())
    }

    #[test]
    fn a_link_is_found_as_it_was_pasted() {
        let link = format!("https://drop.example.org/{TOKEN}");
        let (head, tail) = link.split_at(40);
        let percent = link.replace(':', "%3A").replace('/', "%2F");
        for text in [
            TOKEN.to_owned(),
            link.clone(),
            format!("  {link}\n"),
            format!("<{link}>"),
            format!("<URL:{link}>"),
            format!("({link})."),
            format!("\"{link}\","),
            format!("«\u{a0}{link}\u{a0}»"),
            format!("“{link}”;"),
            format!("[the files]({link})"),
            format!("<a href=\"{link}\">{link}</a>"),
            format!("> {link}"),
            format!("Download until 12 December:\n{link}\n\nRegards"),
            format!("{head}=\r\n{tail}"),
            format!("{head}=\n{tail}"),
            format!("{head}\n{tail}"),
            format!("{head}\n    {tail}>"),
            format!("{head} {tail}"),
            format!("href=3D\"{link}\""),
            link.replace("https://drop.example.org", "HTTPS://Drop.Example.ORG"),
            link.to_uppercase(),
            format!("{link}/"),
            format!("{link}/1?x#y"),
            format!("{link}/all.zip"),
            format!("http://[::1]:8025/d/{TOKEN}/\n"),
            format!("https://drop.example.org/e/{ID}#{TOKEN}"),
            format!("<https://drop.example.org/e/{ID}#{TOKEN}>."),
            format!("https://drop.example.org/e/{ID}=23{TOKEN}"),
            format!("https://drop.example.org/e/{ID}%23{TOKEN}"),
            format!("https://example.org/d/e/{ID}?lang=en#{TOKEN}"),
            format!("mailto:?body={percent}"),
            format!("mailto:a@example.org?subject=x&body=See%20{percent}."),
            format!("https://eur03.safelinks.protection.outlook.com/?url={percent}&data=05"),
            percent.clone(),
        ] {
            assert_eq!(token(&text).as_deref(), Some(TOKEN), "{text}");
        }
    }

    #[test]
    fn what_holds_no_token_holds_no_link() {
        for text in [
            "",
            "https://drop.example.org/",
            "abc",
            "https://drop.example.org/?t=abcdefghijklmnopqrstuvwxya",
            "https://drop.example.org/abcdefghijklmnopqrstuvwxyaa",
        ] {
            assert!(FoundLink::find(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_id_is_found_in_a_link_that_lost_its_token() {
        for rest in ["", "/", "/1", "/report?lang=en", "#cut", ">.", ")"] {
            let link = FoundLink::find(&format!("<https://drop.example.org/e/{ID}{rest}")).unwrap();
            assert_eq!(
                (link.id.to_string().as_str(), link.token.is_none()),
                (ID, true)
            );
        }
        assert!(FoundLink::find(&format!("https://drop.example.org/x/{ID}")).is_none());
    }

    #[test]
    fn the_host_is_known_by_which_a_wrong_link_is_told() {
        let host = |text: &str| FoundLink::find(text).unwrap().host;
        let link = format!("https://Drop.Example.org:8443/{TOKEN}");
        assert_eq!(host(&link).as_deref(), Some("drop.example.org:8443"));
        assert_eq!(host(TOKEN), None);
    }

    #[test]
    fn a_link_that_is_cut_is_told_so() {
        let said = |text: &str| lack(text).unwrap_or_default();
        assert!(said("https://drop.example.org/abcdefgh").contains("8 characters of 26"));
        assert!(said("https://drop.example.org/").contains("is missing"));
        assert!(said(&format!("https://d.example.org/{TOKEN}abc")).contains("29 characters"));
        assert!(lack("3fa85f64").is_none());
    }
}
