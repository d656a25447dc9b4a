//! The questions of setup, their proposals, and the check of each answer.

use std::{
    borrow::Cow,
    io::{self, BufRead, Write},
};

use super::{
    super::exit::{EX_USAGE, Failure},
    SetupOptions, stores,
};
use crate::config::{Config, Sources};

/// The longest name of a domain (RFC 1035, section 2.3.4), without its final dot.
const DOMAIN_BYTES_MAX: usize = 253;

/// The answers: valid, as they stand in a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answers {
    domain: String,
    /// The keys with the answers as they were typed, in the order of the questions.
    values: Vec<(&'static str, String)>,
    onward: Onward,
    directory: Option<String>,
}

/// The reasons for which mail from outside is not treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Onward {
    /// A list server runs here.
    pub(super) lists: bool,
    /// Mail of others is forwarded to other hosts.
    forwarding: bool,
    /// Strangers are to put no files on this host.
    outgoing: bool,
}

/// A question whose answer is a value of the configuration.
struct Question {
    key: &'static str,
    /// The option that answers it.
    option: &'static str,
    text: &'static str,
}

const QUESTIONS: [Question; 4] = [
    Question {
        key: "web.public_url",
        option: "--public-url",
        text: "Address of the drop in links",
    },
    Question {
        key: "detach.threshold",
        option: "--threshold",
        text: "Size from which attachments are detached",
    },
    Question {
        key: "drop.expiry",
        option: "--expiry",
        text: "How long files can be fetched",
    },
    Question {
        key: "notice.language",
        option: "--language",
        text: "Language of the notice (fr, en, or auto for that of the message)",
    },
];

const LISTS: &str = "Do mailing lists run on this host (Mailman, Sympa)";

const FORWARDING: &str =
    "Is mail forwarded from here to other hosts (.forward, aliases, Sieve redirect)";

const INCOMING: &str = "Are heavy files taken out of mail from outside, too (strangers then put files on this host, 10 GB a day at most)";

impl Answers {
    /// Takes the answers from the command line.
    ///
    /// # Errors
    /// One line that names the option and what is allowed.
    pub(super) fn of_options(options: &SetupOptions) -> Result<Self, String> {
        let domain = domain(options.domain.as_deref().unwrap_or_default())
            .map_err(|reason| format!("--domain: {reason}"))?;

        let mut values = Vec::new();
        for question in &QUESTIONS {
            let given = question.given(options);
            let answer = given.map_or_else(|| question.proposal(&domain), str::to_owned);
            check(question.key, &answer).map_err(|why| format!("{}: {why}", question.option))?;
            values.push((question.key, answer));
        }

        let onward = Onward {
            lists: options.lists,
            forwarding: options.forwarding,
            outgoing: options.outgoing,
        };

        Ok(Self {
            domain,
            values,
            onward,
            directory: directory(options)?,
        })
    }

    /// Asks, and asks again until an answer is right. An empty one takes the proposal.
    ///
    /// # Errors
    /// An option has a wrong value, or the answers end.
    pub(super) fn ask(
        options: &SetupOptions,
        answers: &mut impl BufRead,
        out: &mut impl Write,
    ) -> Result<Self, Failure> {
        let domain = ask(answers, out, "Mail domain", "", domain)?;

        let mut values = Vec::new();
        for question in &QUESTIONS {
            if let Some(given) = question.given(options) {
                check(question.key, given).map_err(|why| {
                    Failure::new(EX_USAGE, format_args!("{}: {why}", question.option))
                })?;
                values.push((question.key, given.to_owned()));
                continue;
            }
            let valid = |answer: &str| check(question.key, answer).map(|()| answer.to_owned());
            let proposal = question.proposal(&domain);
            let answer = ask(answers, out, question.text, &proposal, valid)?;
            values.push((question.key, answer));
        }

        let onward = Onward::ask(options, answers, out)?;
        values.extend(stores::ask(&options.settings, answers, out)?);
        Ok(Self {
            domain,
            values,
            onward,
            directory: directory(options).map_err(|why| Failure::new(EX_USAGE, why))?,
        })
    }

    /// The reasons for which mail from outside is not treated.
    pub(super) fn onward(&self) -> Onward {
        self.onward
    }

    /// The keys of the configuration and their values, as TOML. `listen` is the address at which
    /// Postfix can find the milter, when that is not the usual one.
    pub(super) fn settings(&self, listen: Option<&str>) -> Vec<(Cow<'static, str>, String)> {
        let text = |value: &str| toml::Value::from(value).to_string();
        let mut settings: Vec<_> = self
            .values
            .iter()
            .map(|(key, value)| (Cow::from(*key), printed(key, value)))
            .collect();

        settings.push(("web.operator".into(), text(&self.domain)));
        settings.push((
            "web.contact".into(),
            text(&format!("abuse@{}", self.domain)),
        ));
        settings.push((
            "web.report_to".into(),
            text(&format!("abuse@{}", self.domain)),
        ));
        settings.push(("detach.mode".into(), text("dry-run")));

        if let Some(directory) = &self.directory {
            settings.push(("drop.directory".into(), text(directory)));
        }
        if self.onward.is_outgoing_only() {
            settings.push(("detach.directions".into(), text("outgoing")));
        }
        if let Some(listen) = listen {
            settings.push(("milter.listen".into(), text(listen)));
        }
        settings
    }
}

/// The directory of the drop, where an option gives one.
fn directory(options: &SetupOptions) -> Result<Option<String>, String> {
    let given = options.directory.clone();
    if let Some(directory) = &given {
        check("drop.directory", directory).map_err(|why| format!("--directory: {why}"))?;
    }
    Ok(given)
}

impl Onward {
    /// Returns true if only outgoing mail is to be treated: a change breaks the sender's DKIM
    /// signature, which the next host checks, and a file from outside is a stranger's in our drop.
    fn is_outgoing_only(self) -> bool {
        self.lists || self.forwarding || self.outgoing
    }

    /// Asks the questions that no option answers, and that still matter.
    fn ask(
        options: &SetupOptions,
        answers: &mut impl BufRead,
        out: &mut impl Write,
    ) -> Result<Self, Failure> {
        let mut yes = |question: &str, proposal: &str| -> Result<bool, Failure> {
            Ok(ask(answers, out, question, proposal, yes_or_no)? == "yes")
        };
        let mut onward = Self {
            lists: options.lists || yes(LISTS, "no")?,
            forwarding: options.forwarding || yes(FORWARDING, "no")?,
            outgoing: options.outgoing,
        };
        if !onward.is_outgoing_only() {
            onward.outgoing = !yes(INCOMING, "yes")?;
        }
        Ok(onward)
    }
}

pub(super) fn yes_or_no(answer: &str) -> Result<String, String> {
    match answer.to_lowercase().as_str() {
        "yes" | "y" | "oui" | "o" => Ok("yes".into()),
        "no" | "n" | "non" => Ok("no".into()),
        _ => Err(format!("{answer:?}: must be yes or no")),
    }
}

impl Question {
    fn given<'a>(&self, options: &'a SetupOptions) -> Option<&'a str> {
        match self.key {
            "web.public_url" => options.public_url.as_deref(),
            "detach.threshold" => options.threshold.as_deref(),
            "drop.expiry" => options.expiry.as_deref(),
            _ => options.language.as_deref(),
        }
    }

    fn proposal(&self, domain: &str) -> String {
        match self.key {
            "web.public_url" => format!("https://drop.{domain}/"),
            key => default_of(key),
        }
    }
}

fn default_of(key: &str) -> String {
    match value_of(&Config::default(), key) {
        Some(toml::Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// Asks one question until its answer is valid.
pub(super) fn ask(
    answers: &mut impl BufRead,
    out: &mut impl Write,
    question: &str,
    proposal: &str,
    valid: impl Fn(&str) -> Result<String, String>,
) -> Result<String, Failure> {
    loop {
        let shown = if proposal.is_empty() {
            format!("{question}: ")
        } else {
            format!("{question} [{proposal}]: ")
        };

        let mut line = String::new();
        let read = write!(out, "{shown}")
            .and_then(|()| out.flush())
            .and_then(|()| answers.read_line(&mut line));
        match read {
            Ok(0) => {
                return Err(Failure::new(
                    EX_USAGE,
                    "the answers ended: nothing was written",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => line.clear(),
            Err(error) => return Err(Failure::output(&error)),
        }

        let answer = match line.trim() {
            "" => proposal,
            answer => answer,
        };
        match valid(answer) {
            Ok(answer) => return Ok(answer),
            Err(reason) => writeln!(out, "  {reason}").map_err(|error| Failure::output(&error))?,
        }
    }
}

/// Checks an answer with the code that reads the configuration.
fn check(key: &str, answer: &str) -> Result<(), String> {
    load(&[(key, answer)]).map(|_| ())
}

/// Returns the configuration with these answers and nothing else.
pub(super) fn load(answers: &[(&str, &str)]) -> Result<Config, String> {
    let set = |(key, answer): &(&str, &str)| format!("{key}={}", toml::Value::from(*answer));
    let sources = Sources {
        settings: answers.iter().map(set).collect(),
        ..Sources::default()
    };
    Config::load(&sources).map_err(|error| {
        let text = error.to_string();
        text.strip_prefix("--set: ").unwrap_or(&text).to_owned()
    })
}

/// A valid answer as the configuration prints it: `1MB` becomes `"1 MB"`.
fn printed(key: &str, answer: &str) -> String {
    load(&[(key, answer)])
        .ok()
        .and_then(|config| value_of(&config, key))
        .map_or_else(
            || toml::Value::from(answer).to_string(),
            |value| value.to_string(),
        )
}

/// Returns the value of a key, `section.key`.
pub(super) fn value_of(config: &Config, key: &str) -> Option<toml::Value> {
    let table: toml::Table = config.to_toml().parse().ok()?;
    let (section, name) = key.split_once('.')?;
    table.get(section)?.get(name).cloned()
}

/// A domain in lower case: at least two labels (RFC 1034, section 3.5).
fn domain(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };

    let labels: Vec<&str> = name.split('.').collect();
    let is_number = labels
        .last()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));

    if labels.len() >= 2
        && name.len() <= DOMAIN_BYTES_MAX
        && labels.iter().all(|l| is_label(l))
        && !is_number
    {
        Ok(name)
    } else {
        Err(format!(
            "{text:?} is no domain: must be of the form example.org (a name with accents in its form xn--…)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SetupOptions {
        SetupOptions {
            config: None,
            force: false,
            domain: None,
            public_url: None,
            threshold: None,
            expiry: None,
            language: None,
            lists: false,
            forwarding: false,
            outgoing: false,
            directory: None,
            settings: Vec::new(),
            postfix_config: None,
            plug: false,
            no_plug: false,
        }
    }

    fn asked(typed: &str) -> (Result<Answers, Failure>, String) {
        let mut out = Vec::new();
        let answers = Answers::ask(&options(), &mut typed.as_bytes(), &mut out);
        (answers, String::from_utf8(out).unwrap())
    }

    #[test]
    fn empty_answers_take_the_proposals() {
        let (answers, out) = asked("Example.ORG\n\n\n\n\n\n\n\n\n");
        let proposed = SetupOptions {
            domain: Some("example.org".into()),
            ..options()
        };
        assert_eq!(answers.unwrap(), Answers::of_options(&proposed).unwrap());
        for proposal in [
            "[https://drop.example.org/]",
            "[500 kB]",
            "[1 month]",
            "[fr]",
        ] {
            assert!(out.contains(proposal), "{out}");
        }
    }

    #[test]
    fn a_wrong_answer_is_explained_and_asked_again() {
        let (answers, out) =
            asked("example\nexample.org\n\nmuch\n2MB\n3 weeks\nde\nen\n\nperhaps\nno\n\n\n");
        let settings = answers.unwrap().settings(None);
        assert!(
            settings.contains(&("detach.threshold".into(), "\"2 MB\"".into())),
            "{settings:?}"
        );
        assert!(settings.contains(&("notice.language".into(), "\"en\"".into())));
        assert!(out.contains("\"example\" is no domain"), "{out}");
        assert!(
            out.contains("detach.threshold = \"much\": must be"),
            "{out}"
        );
        assert!(out.contains("notice.language = \"de\": must be"), "{out}");
        assert!(out.contains("\"perhaps\": must be yes or no"), "{out}");
    }

    #[test]
    fn where_mail_goes_on_or_strangers_are_kept_out_only_outgoing_mail_is_treated() {
        let outgoing = ("detach.directions".into(), "\"outgoing\"".to_owned());
        for (typed, lists, treated) in [
            ("no\nno\nyes\n", false, false),
            ("no\nno\n\n", false, false),
            ("no\nno\nno\n", false, true),
            ("yes\nno\n", true, true),
            ("No\nY\n", false, true),
            ("oui\nnon\n", true, true),
        ] {
            let (answers, _) = asked(&format!("example.org\n\n\n\n\n{typed}\n"));
            let answers = answers.unwrap();
            assert_eq!(answers.onward().lists, lists, "{typed}");
            assert_eq!(
                answers.settings(None).contains(&outgoing),
                treated,
                "{typed}"
            );
        }
    }

    #[test]
    fn answers_that_end_write_nothing() {
        let (answers, _) = asked("example.org\n");
        assert_eq!(
            answers.unwrap_err().to_string(),
            "the answers ended: nothing was written"
        );
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (domain, language, named) in [
            ("nothing", "fr", "--domain: "),
            ("192.0.2.1", "fr", "--domain: "),
            ("-a.org", "fr", "--domain: "),
            ("exämple.org", "fr", "--domain: "),
            ("a..org", "fr", "--domain: "),
            (
                "example.org",
                "de",
                "--language: notice.language = \"de\": ",
            ),
        ] {
            let given = SetupOptions {
                domain: Some(domain.into()),
                language: Some(language.into()),
                ..options()
            };
            let error = Answers::of_options(&given).unwrap_err();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
