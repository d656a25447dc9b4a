//! Reads the files of addresses.

use std::{collections::HashMap, fs, io};

use crate::config::{AddressFile, AddressLists, AddressSet, ConfigError, NamedAddressFile};

/// Reads the files, each once.
///
/// # Errors
/// Returns one line with the place that names it if one of them cannot be read, or some of its lines are not
/// addresses: each with `FILE:LINE` and the text to write.
pub(super) fn read(files: &[NamedAddressFile]) -> Result<AddressLists, ConfigError> {
    let mut read: HashMap<AddressFile, AddressSet> = HashMap::new();
    for NamedAddressFile { file, named } in files {
        if !read.contains_key(file) {
            let wrong = |why| ConfigError::Invalid(format!("{named}: {why}"));
            read.insert(file.clone(), addresses(file).map_err(wrong)?);
        }
    }
    Ok(read.into_iter().collect())
}

fn addresses(file: &AddressFile) -> Result<AddressSet, String> {
    let text = fs::read_to_string(file.path()).map_err(|error| {
        let path = file.path().display();
        format!("could not read \"{path}\": {error}{}", advice(file, &error))
    })?;
    file.parse(&text)
}

/// Returns the command that mends a file that cannot be read.
fn advice(file: &AddressFile, error: &io::Error) -> String {
    let path = file.path().display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "; make it, with an address in each line: install -m 0640 -g depollueur /dev/null '{path}'"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "; let the daemon's group read it: chgrp depollueur '{path}' && chmod g+r '{path}'"
        ),
        io::ErrorKind::IsADirectory => "; name a file in it".to_owned(),
        io::ErrorKind::InvalidData => "; save it as UTF-8 (iconv -f latin1 -t utf-8)".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use crate::{
        config::{Config, MailScope, Sources},
        loaded::Loaded,
    };

    const LINE: &str = "zoe@example.org\n";

    /// A configuration in a directory of its own, and a file of addresses.
    fn home(text: &str) -> (TempDir, Sources) {
        let home = TempDir::new().unwrap();
        let path = |name: &str| -> PathBuf { home.path().join(name) };
        let text = text.replace("LIST", &path("list").display().to_string());
        std::fs::write(path("depollueur.toml"), text).unwrap();
        std::fs::write(path("list"), LINE).unwrap();
        let sources = Sources {
            file: Some(path("depollueur.toml")),
            ..Sources::default()
        };
        (home, sources)
    }

    #[test]
    fn a_file_that_is_bad_or_missing_is_named_with_the_line_that_names_it() {
        for (text, line, key) in [
            ("\n[users]\nopt_out = 'LIST'\n", 3, "users.opt_out"),
            ("[users]\nopt_in = ['LIST']\n", 2, "users.opt_in"),
            ("[detach]\nlists = ['file:LIST']\n", 2, "detach.lists"),
            ("[sender]\ndomains = ['file:LIST']\n", 2, "sender.domains"),
            (
                "[[rule]]\naction = 'keep'\n[[rule]]\nname = 'a'\nsender = ['file:LIST']\naction = 'keep'\n",
                5,
                "rule 2 \"a\": sender = [\"file:LIST\"]",
            ),
        ] {
            let (home, sources) = home(text);
            let list = home.path().join("list");
            let config = Config::load(&sources).unwrap();
            Loaded::read(&config).unwrap();

            let file = home.path().join("depollueur.toml");
            let key = key.replace("LIST", &list.display().to_string());
            let named = format!("{}:{line}: {key}: ", file.display());
            std::fs::write(&list, "zoe@example.org\n@a..b\n").unwrap();
            let error = Loaded::read(&config).unwrap_err().to_string();
            let bad = format!("{named}{}:2: \"@a..b\" has no domain", list.display());
            assert!(error.starts_with(&bad), "{error}");

            std::fs::remove_file(&list).unwrap();
            let error = Loaded::read(&config).unwrap_err().to_string();
            let missing = format!("{named}could not read \"{}\": ", list.display());
            assert!(error.starts_with(&missing), "{error}");
            assert!(error.contains("install -m 0640"), "{error}");
        }
    }

    #[test]
    fn the_lists_of_the_main_file_hold_for_domains_with_settings_of_their_own() {
        let text = "[users]\nopt_out = 'LIST'\n[detach]\nlists = ['file:LIST']\n";
        let (home, sources) = home(text);
        std::fs::create_dir(home.path().join("domains.d")).unwrap();
        let own = home.path().join("domains.d/amis.example.toml");
        std::fs::write(own, "[detach]\nthreshold = 7\n").unwrap();

        let config = Config::load(&sources).unwrap();
        let loaded = Loaded::read(&config).unwrap();
        let (own, lists) = (
            config.of_domain("amis.example").unwrap(),
            loaded.addresses(),
        );
        let opt_out = own.users.opt_out.as_ref().unwrap();
        assert!(opt_out.has_for("zoe@example.org", MailScope::Sent, lists));
        assert!(own.detach.lists.matches("zoe@example.org", lists));
    }
}
