//! The layers of the configuration, and the origin of a bad value.

mod domains;
mod explain;
mod file;
mod keys;
mod layers;

use std::{collections::HashMap, env, fs, io, path::PathBuf, sync::Arc};

pub use self::domains::{DOMAINS_DIRECTORY, DomainConfigs};
use self::{
    explain::{explain, find, place},
    file::FileText,
    keys::reject_unknown_keys,
    layers::{PREFIX, SEPARATOR, merge, variable_meant},
};
use super::{Config, NamedAddressFile, UserList};

/// The configuration file that is read if none is named and this one exists.
pub const DEFAULT_FILE: &str = "/etc/depollueur/depollueur.toml";

/// The layers of the configuration, each of which overrides the one before: file, environment, settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; only the built-in defaults if `None`.
    pub file: Option<PathBuf>,
    /// Variables by their full names; those without the prefix are ignored.
    pub environment: HashMap<String, String>,
    /// `KEY=VALUE`; the last one for a key wins.
    pub settings: Vec<String>,
}

/// The reason why there is no configuration: one line with file, line, key, value and the allowed values.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file and no variable.
    #[error(
        "there is no configuration: \"{DEFAULT_FILE}\" does not exist; to write it, type: depollueur setup"
    )]
    Missing,
    /// The file cannot be read.
    #[error("could not read configuration \"{}\": {error}{}", path.display(), advice(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The environment has a variable of ours that is not text.
    #[error("environment variable \"{0}\" is not UTF-8")]
    Variable(String),
    /// A value in one of the layers is not allowed.
    #[error("{0}")]
    Invalid(String),
}

/// Returns the command that mends a file that cannot be read.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; run this as root, or give the file to the group of the daemon (chgrp depollueur, chmod 0640)"
        }
        io::ErrorKind::NotFound => {
            "; give --config a file that is there, or type: depollueur setup"
        }
        io::ErrorKind::IsADirectory => "; name the file in it: --config DIRECTORY/depollueur.toml",
        io::ErrorKind::InvalidData => "; save the file as UTF-8 (iconv -f latin1 -t utf-8)",
        _ => "",
    }
}

/// Returns the usual file, unless it does not exist. A file that cannot be reached is not missing:
/// reading it gives the reason.
pub(crate) fn usual_file() -> Option<PathBuf> {
    match fs::symlink_metadata(DEFAULT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(DEFAULT_FILE.into()),
    }
}

impl Sources {
    /// Collects the sources of this process: the named file (or the usual one, if it exists), the
    /// environment, and the settings of the command line.
    ///
    /// # Errors
    /// Fails if a variable of ours is not text.
    pub fn of_process(file: Option<PathBuf>, settings: Vec<String>) -> Result<Self, ConfigError> {
        let mut environment = HashMap::new();
        for (name, value) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if let Some(right) = variable_meant(&name) {
                return Err(ConfigError::Invalid(format!(
                    "environment {name}: is the name of no variable of ours; write {right}: two underscores stand before section and key"
                )));
            }

            if !name
                .to_uppercase()
                .starts_with(&format!("{PREFIX}{SEPARATOR}"))
            {
                continue;
            }

            let value = value
                .into_string()
                .map_err(|_| ConfigError::Variable(name.clone()))?;
            environment.insert(name, value);
        }
        Ok(Self {
            file: file.or_else(usual_file),
            environment,
            settings,
        })
    }

    /// Returns these sources, if an admin has written one of them: a file, or variables.
    ///
    /// # Errors
    /// Fails if there is neither: nobody wants to serve mail with the defaults.
    pub fn written(self) -> Result<Self, ConfigError> {
        if self.file.is_none() && self.environment.is_empty() {
            Err(ConfigError::Missing)
        } else {
            Ok(self)
        }
    }
}

impl Config {
    /// Reads and merges the sources.
    ///
    /// # Errors
    /// Fails if the file cannot be read, a key is unknown, a value is not allowed, or two values
    /// contradict each other.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let file = sources.file.as_deref().map(FileText::read).transpose()?;
        let merged = merge(file.as_ref(), None, sources)?;
        reject_unknown_keys(&merged, file.as_ref())?;

        let mut config: Self = merged
            .clone()
            .try_deserialize()
            .map_err(|error| explain(&error, &merged.cache, file.as_ref()))?;
        if let Some(file) = &file {
            config.rule = file.rules()?;
        }

        config.address_files = config.named_address_files(&merged.cache, file.as_ref());
        config.templates_place = place_of_templates(&merged.cache, file.as_ref());

        match config.contradiction() {
            Some((key, reason)) => {
                let place = place(key, find(&merged.cache, key), file.as_ref());
                Err(ConfigError::Invalid(format!("{place}: {reason}")))
            }
            None => {
                let path = sources.file.as_deref();
                let beside = path.map(domains::beside).transpose();
                let beside = beside.map_err(ConfigError::Invalid)?.unwrap_or_default();
                config.domains = config.load_domains(beside.files, sources, file.as_ref())?;
                config.unread = beside.unread;
                Ok(config)
            }
        }
    }

    /// Reads the files for single domains, which lie beside the main file.
    fn load_domains(
        &self,
        files: Vec<(String, PathBuf)>,
        sources: &Sources,
        file: Option<&FileText>,
    ) -> Result<DomainConfigs, ConfigError> {
        let load = |(domain, path): (String, PathBuf)| {
            let own = FileText::read(&path)?;
            let config = self.load_domain(&own, file, sources)?;
            Ok((domain, Arc::new(config)))
        };
        files.into_iter().map(load).collect()
    }

    /// Returns the settings of a domain, which override these.
    fn load_domain(
        &self,
        own: &FileText,
        file: Option<&FileText>,
        sources: &Sources,
    ) -> Result<Self, ConfigError> {
        own.reject_keys_but(&domains::KEYS)?;
        let merged = merge(file, Some(own), sources)?;
        let mut config: Self = merged
            .clone()
            .try_deserialize()
            .map_err(|error| explain(&error, &merged.cache, Some(own)))?;

        let wrong = |key: &str, reason: String| {
            let place = place(key, find(&merged.cache, key), Some(own));
            Err(ConfigError::Invalid(format!("{place}: {reason}")))
        };

        config.rule.clone_from(&self.rule);
        config.templates_place = place_of_templates(&merged.cache, Some(own));

        // Mail of this domain leaves the machine like that of the others.
        if config.has_local_links() && !self.has_local_links() {
            let reason = format!(
                "web.public_url = \"{}\": must begin with https and lead to this host from everywhere, as that of depollueur.toml does",
                config.web.public_url
            );
            return wrong("web.public_url", reason);
        }

        match config.contradiction() {
            Some((key, reason)) => wrong(key, reason),
            None => Ok(config),
        }
    }

    /// Returns the files of addresses that rules and single values name, with their places.
    fn named_address_files(
        &self,
        merged: &config::Value,
        file: Option<&FileText>,
    ) -> Vec<NamedAddressFile> {
        let of_users =
            |list: Option<&UserList>| list.map_or(Vec::new(), |list| list.files().to_vec());
        let keys = [
            ("users.opt_out", of_users(self.users.opt_out.as_ref())),
            ("users.opt_in", of_users(self.users.opt_in.as_ref())),
            ("detach.lists", self.detach.lists.files().to_vec()),
            (
                "sender.keep_addresses",
                self.sender.keep_addresses.files().to_vec(),
            ),
            (
                "sender.detach_addresses",
                self.sender.detach_addresses.files().to_vec(),
            ),
            ("sender.domains", self.sender.domains.files().to_vec()),
        ];

        let mut named = file.map_or(Vec::new(), |file| file.address_files(&self.rule));
        for (key, files) in keys {
            let place = place(key, find(merged, key), file);
            let text = format!("{place}: {key}");
            named.extend(files.into_iter().map(|file| NamedAddressFile {
                file,
                named: text.clone(),
            }));
        }
        named
    }

    /// Returns the error for templates of the notice that cannot be used, with the place that names them.
    pub(crate) fn wrong_templates(&self, reason: &str) -> ConfigError {
        let place = &self.templates_place;
        ConfigError::Invalid(format!("{place}: notice.templates: {reason}"))
    }

    /// Prints all values as TOML; loading it gives this configuration again.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every value prints as a TOML scalar or list")
    }
}

fn place_of_templates(merged: &config::Value, file: Option<&FileText>) -> String {
    let key = "notice.templates";
    place(key, find(merged, key), file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loaded::Loaded;

    fn load(environment: &[(&str, &str)], settings: &[&str]) -> Result<Config, ConfigError> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::load(&Sources {
            file: None,
            environment: environment.iter().map(pair).collect(),
            settings: settings
                .iter()
                .map(|setting| (*setting).to_owned())
                .collect(),
        })
    }

    fn load_file(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Config::load(&Sources {
            file: Some(file.path().into()),
            ..Sources::default()
        })
    }

    #[test]
    fn a_domain_may_not_have_links_that_lead_nowhere_while_the_others_have_good_ones() {
        let place = tempfile::tempdir().unwrap();
        let [file, own] =
            ["depollueur.toml", "domains.d/amis.example.toml"].map(|name| place.path().join(name));
        fs::create_dir(place.path().join("domains.d")).unwrap();
        fs::write(&file, "[web]\npublic_url = \"https://drop.example.org/\"\n").unwrap();
        let load = |url: &str| {
            fs::write(&own, format!("[web]\npublic_url = \"{url}\"\n")).unwrap();
            Config::load(&Sources {
                file: Some(file.clone()),
                ..Sources::default()
            })
        };
        for url in ["http://drop.amis.example/", "https://127.0.0.1/"] {
            let error = load(url).unwrap_err().to_string();
            assert!(
                error.contains("amis.example.toml:2: web.public_url = "),
                "{error}"
            );
            assert!(error.contains("must begin with https"), "{error}");
        }
        assert!(load("https://drop.amis.example/").is_ok());
    }

    #[test]
    fn nothing_said_gives_the_defaults() {
        assert_eq!(
            load(&[], &[]).unwrap().to_toml(),
            Config::default().to_toml()
        );
    }

    #[test]
    fn the_sample_shows_the_defaults() {
        let sample = include_str!("../../config/depollueur.toml");
        let mut options = 0;
        let uncommented: Vec<&str> = sample
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(option) if !option.starts_with(' ') && !option.is_empty() => {
                    options += 1;
                    option
                }
                _ => line,
            })
            .collect();
        let config = load_file(&uncommented.join("\n")).unwrap();
        assert_eq!(config.to_toml(), Config::default().to_toml());
        let known: toml::Table = Config::default().to_toml().parse().unwrap();
        let all: usize = known
            .values()
            .map(|section| section.as_table().unwrap().len())
            .sum();
        assert_eq!(options, all, "the sample shows every option once");
        assert_eq!(
            load_file(sample).unwrap().to_toml(),
            Config::default().to_toml()
        );
    }

    #[test]
    fn what_is_printed_loads_as_the_same_configuration() {
        let settings = [
            "detach.threshold=0",
            "detach.message_threshold=10 MB",
            "detach.directions=[\"outgoing\"]",
            "milter.listen=127.0.0.1:8895",
            "milter.outgoing_networks=[\"192.0.2.0/24\"]",
            "notice.time_zone=Europe/Paris",
            "drop.expiry=2 weeks 1 day",
            "spool.directory=/tmp",
        ];
        let printed = load(&[], &settings).unwrap().to_toml();
        assert_eq!(load_file(&printed).unwrap().to_toml(), printed);
    }

    #[test]
    fn rules_are_printed_as_they_load() {
        let text = "[[rule]]\nname = 'a'\nrecipient = ['@x.org', '/y/']\nlist = true\nsize_min = '1 MB'\n\
                    action = 'keep'\n[[rule]]\nthreshold = 5\nretention = '7 days'\n";
        let printed = load_file(text).unwrap().to_toml();
        let again = load_file(&printed).unwrap();
        assert_eq!(again.to_toml(), printed);
        let labels: Vec<&str> = again.rule.iter().map(|rule| rule.label.as_str()).collect();
        assert_eq!(labels, ["a", "rule 2"]);
        assert_eq!(again.rule[0].conditions.len(), 3);
    }

    #[test]
    fn the_examples_of_rules_load_without_a_warning() {
        let from = |text: &str, comment: &str, end: &str| -> String {
            let text = &text[text.find(&format!("{comment}[[rule]]")).unwrap()..];
            let lines = text.lines().take_while(|line| *line != end);
            let option = |line: &str| {
                line.strip_prefix(comment.trim_end())
                    .unwrap_or(line)
                    .trim()
                    .to_owned()
            };
            lines
                .map(option)
                .filter(|line| !line.starts_with('.'))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let sample = from(include_str!("../../config/depollueur.toml"), "# ", "");
        let page = include_str!("../../man/depollueur.toml.5");
        let page = &page[page.find(".Ss Examples of rules").unwrap()..];
        let page =
            from(page, "", ".Sh FILES").replace("file:/etc/depollueur/machines", "m@example.org");
        for (text, count) in [(sample, 5), (page, 6)] {
            let text: String = text
                .lines()
                .filter(|line| line.contains(['=', '[']))
                .map(|l| format!("{l}\n"))
                .collect();
            let config = load_file(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(config.rule.len(), count, "{text}");
            let about_rules = |warning: &String| warning.starts_with("rule ");
            assert!(!config.warnings().iter().any(about_rules), "{text}");
        }
    }

    #[test]
    fn rules_that_can_do_nothing_are_warned_of() {
        let text = "[detach]\ndirections = 'incoming'\n\
                    [[rule]]\nname = 'a'\ndirection = 'outgoing'\naction = 'keep'\n\
                    [[rule]]\nname = 'b'\nsize_max = '10 kB'\nthreshold = '20 kB'\n\
                    [[rule]]\nname = 'c'\naction = 'keep'\n[[rule]]\nname = 'd'\nlist = true\naction = 'keep'\n";
        let warnings = load_file(text).unwrap().warnings();
        let warnings: Vec<&String> = warnings.iter().filter(|w| w.starts_with("rule ")).collect();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert_eq!(
            warnings[0],
            "rule \"d\" is never reached: rule \"c\" before it has no condition, and the first that holds decides; put rule \"d\" before rule \"c\", or take it out"
        );
        assert!(warnings[1].starts_with("rule \"a\" never does anything: mail of its direction"));
        assert!(warnings[2].starts_with("rule \"b\" never does anything: its size_max"));
    }

    #[test]
    fn settings_win_over_the_environment_and_it_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            "[detach]\nthreshold = 1\nmessage_threshold = 1\n[web]\noperator = 'f'",
        )
        .unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let config = Config::load(&Sources {
            file: Some(file.path().into()),
            environment: HashMap::from([
                variable("DEPOLLUEUR__DETACH__THRESHOLD", "2 kB"),
                variable("DEPOLLUEUR__DETACH__MESSAGE_THRESHOLD", "2 kB"),
                variable("HOME", "/root"),
            ]),
            settings: vec!["detach.threshold=3".into(), "detach.threshold=4".into()],
        })
        .unwrap();
        assert_eq!(config.detach.threshold, 4);
        assert_eq!(config.detach.message_threshold, Some(2_000));
        assert_eq!(config.web.operator, "f");
    }

    #[test]
    fn settings_are_toml_or_text() {
        for (setting, threshold) in [
            ("detach.threshold=0", 0),
            ("detach.threshold=1 kB", 1_000),
            ("detach.threshold=\"1 kB\"", 1_000),
            ("detach.threshold = 5", 5),
        ] {
            assert_eq!(
                load(&[], &[setting]).unwrap().detach.threshold,
                threshold,
                "{setting}"
            );
        }
        let one = load(&[], &["milter.outgoing_daemons=A"]).unwrap();
        assert_eq!(one.milter.outgoing_daemons, ["A"]);
    }

    #[test]
    fn errors_say_which_layer_they_come_from() {
        for (environment, settings, expected) in [
            (
                &[][..],
                &["detach.threshold=lots"][..],
                r#"--set: detach.threshold = "lots": must be a size such as 500000 (bytes), "500 kB" or "1.5 MiB""#,
            ),
            (
                &[],
                &["detach"],
                r#"--set "detach": must be KEY=VALUE, such as detach.threshold="1 MB""#,
            ),
            (
                &[],
                &["detach=1"],
                r#"--set: "detach" is not a key: must be of the form section.name, such as detach.threshold"#,
            ),
            (
                &[],
                &["rule.name=a"],
                r#"--set: "rule.name": rules stand in the configuration file only"#,
            ),
            (
                &[],
                &["log.colour=1"],
                r#"--set: unknown key "log.colour": the keys here are format, level"#,
            ),
            (
                &[("DEPOLLUEUR__NOTICE__POSITION", "top")],
                &[],
                r#"environment DEPOLLUEUR__NOTICE__POSITION: notice.position = "top": must be "before-quote" or "start" or "end""#,
            ),
        ] {
            assert_eq!(
                load(environment, settings).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let sources = Sources {
            file: Some("/nonexistent/x.toml".into()),
            ..Sources::default()
        };
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(error.starts_with("could not read configuration \"/nonexistent/x.toml\": "));
    }

    /// A main file with files beside it.
    fn with_domains(main: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("domains.d");
        fs::create_dir(&directory).unwrap();
        fs::write(home.path().join("main.toml"), main).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        let file = Some(home.path().join("main.toml"));
        let sources = Sources {
            file,
            ..Sources::default()
        };
        (home, sources)
    }

    #[test]
    fn a_domain_has_its_own_settings_over_those_of_the_main_file() {
        let main = "[web]\noperator = 'Hoster'\ncontact = 'abuse@hoster.example'\n[[rule]]\naction = 'keep'\n";
        let own = "[web]\noperator = 'Amis'\npublic_url = 'https://drop.amis.example/'\n[detach]\nthreshold = '1 MB'\n";
        let (_home, sources) = with_domains(
            main,
            &[
                ("Amis.Example.toml", own),
                ("amis.example.toml~", "no"),
                ("b.example.toml", ""),
            ],
        );
        let config = Config::load(&sources).unwrap();
        let amis = config.of_domain("AMIS.example").unwrap();
        assert_eq!(
            (amis.web.operator.as_str(), amis.detach.threshold),
            ("Amis", 1_000_000)
        );
        assert_eq!(amis.web.contact, "abuse@hoster.example");
        assert_eq!((amis.rule.len(), config.detach.threshold), (1, 500_000));
        assert_eq!(
            config.of_domain("b.example").unwrap().web.operator,
            "Hoster"
        );
        assert!(config.of_domain("c.example").is_none());
    }

    #[test]
    fn what_looks_like_the_file_of_a_domain_and_is_not_read_is_told() {
        let left = [
            "a.example.toml~",
            ".a.example.toml.swp",
            "README",
            "a.toml.dpkg-new",
            "b.bak",
        ];
        let meant = ["a.example.conf", "b.example", "c.example.TOML", "asso.toml"];
        let files: Vec<_> = left.iter().chain(&meant).map(|name| (*name, "")).collect();
        let (home, sources) = with_domains("", &files);
        let directory = home.path().join("domains.d");
        fs::create_dir(directory.join("d.example")).unwrap();
        let config = Config::load(&sources).unwrap();
        let told = config
            .unread
            .join("\n")
            .replace(&*directory.to_string_lossy(), "");
        for said in [
            "mv '/a.example.conf' '/a.example.toml'",
            "mv '/b.example' '/b.example.toml'",
            "mv '/c.example.TOML' '/c.example.toml'",
            "\"asso\", without a dot",
            "/d.example is a directory",
        ] {
            assert!(told.contains(said), "{said} in {told}");
        }
        assert_eq!(told.lines().count(), 5, "{told}");
        assert!(
            config
                .warnings()
                .iter()
                .any(|line| config.unread.contains(line))
        );
        let (home, sources) = with_domains("", &[("a.example.toml", "")]);
        fs::rename(home.path().join("domains.d"), home.path().join("domain.d")).unwrap();
        let told = Config::load(&sources).unwrap().unread.join("\n");
        assert!(told.contains("/domain.d is not read"), "{told}");
    }

    #[test]
    fn two_files_of_one_domain_are_told() {
        let (_home, sources) = with_domains("", &[("A.example.toml", ""), ("a.example.toml", "")]);
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(
            error.contains("is for the domain a.example, and so is"),
            "{error}"
        );
    }

    #[test]
    fn a_variable_with_other_underscores_is_told_with_its_right_name() {
        let right = "DEPOLLUEUR__DETACH__MESSAGE_THRESHOLD";
        for name in [
            "DEPOLLUEUR_DETACH_MESSAGE_THRESHOLD",
            "depollueur__detach_message_threshold",
            "DEPOLLUEUR_DETACH__MESSAGE__THRESHOLD",
            "DEPOLLUER__DETACH__MESSAGE_THRESHOLD",
        ] {
            assert_eq!(variable_meant(name).as_deref(), Some(right), "{name}");
        }
        // The last two are set by Kubernetes for a service of our name.
        for name in [
            right,
            "DEPOLLUEUR",
            "PATH",
            "DEPOLLUEUR_PORT",
            "DEPOLLUEUR_WEB_SERVICE_HOST",
        ] {
            assert_eq!(variable_meant(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_in_the_file_of_a_domain_has_its_place_there() {
        for (text, line, said) in [
            (
                "[web]\noperator = 'a'\nlisten = '[::1]:1'\n",
                3,
                "\"web.listen\" is nothing that a domain has of its own: the keys here are web.public_url, ",
            ),
            (
                "operator = 'a'\n",
                1,
                "\"operator\" is nothing that a domain has of its own",
            ),
            ("[[rule]]\naction = 'keep'\n", 1, "\"rule\" is nothing"),
            (
                "[detach]\n\nthreshold = 'lots'\n",
                3,
                "detach.threshold = \"lots\": must be a size",
            ),
            ("[web\n", 1, ""),
        ] {
            let (home, sources) = with_domains("", &[("a.example.toml", text)]);
            let error = Config::load(&sources).unwrap_err().to_string();
            let place = home.path().join("domains.d/a.example.toml");
            let expected = format!("{}:{line}: {said}", place.display());
            assert!(error.starts_with(&expected), "{error}");
        }
        let (_home, sources) = with_domains("", &[("a@b.toml", "")]);
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(error.contains("must be named after a domain"), "{error}");
    }

    /// Each file of `tests/bad-configs` fails with the message beside it; `UPDATE=1` writes them.
    #[test]
    fn bad_samples_fail_for_the_right_reason() {
        let mut seen = 0;
        for entry in fs::read_dir("tests/bad-configs").unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            // Templates of the notice stand beside the sample of their name.
            let home = path.parent().unwrap().canonicalize().unwrap();
            let templates = home.join(path.file_stem().unwrap());
            let setting = format!("notice.templates={}", templates.display());
            let sources = Sources {
                file: Some(path.clone()),
                settings: templates.is_dir().then_some(setting).into_iter().collect(),
                ..Sources::default()
            };
            let loaded = Config::load(&sources).and_then(|config| Loaded::read(&config));
            let error = loaded.unwrap_err().to_string();
            let error = error.replace(&*home.to_string_lossy(), "tests/bad-configs");
            assert_eq!(error.lines().count(), 1, "{error}");
            let expected = path.with_extension("txt");
            if env::var_os("UPDATE").is_some() {
                fs::write(&expected, format!("{error}\n")).unwrap();
            }
            assert_eq!(format!("{error}\n"), fs::read_to_string(&expected).unwrap());
            seen += 1;
        }
        assert!(seen > 10);
    }
}
