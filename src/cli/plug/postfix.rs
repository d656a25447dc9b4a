//! Postfix's own commands that change it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use memchr::memmem;

use super::plan::Change;

/// A Postfix that is changed by its own commands.
#[derive(Clone, Debug)]
pub(super) struct Editor {
    directory: PathBuf,
}

impl Editor {
    /// For the main.cf in this directory, or in the usual one.
    ///
    /// # Errors
    /// One line: there is no Postfix.
    pub(super) fn new(directory: Option<&Path>) -> Result<Self, String> {
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => output("postconf", &["-h", "config_directory"])?
                .trim()
                .into(),
        };
        Ok(Self { directory })
    }

    /// The files that are changed.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        ["main.cf", "master.cf"].map(|name| self.file(name))
    }

    /// A file of the configuration.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A parameter as it is written.
    ///
    /// # Errors
    /// One line.
    pub(super) fn written(&self, name: &str) -> Result<String, String> {
        let directory = self.directory.to_string_lossy();
        output("postconf", &["-c", &directory, "-h", name])
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// What `postconf` says.
    pub(super) fn set(&self, change: &Change) -> Result<(), String> {
        match &change.service {
            None => self.postconf(&["-e", &format!("{} = {}", change.name, change.after)]),
            Some(id) => self.set_own(id, change.name, &change.after),
        }
    }

    /// Sets a parameter of one service, whose value has no blanks.
    ///
    /// # Errors
    /// What `postconf` says.
    pub(super) fn set_own(&self, id: &str, name: &str, value: &str) -> Result<(), String> {
        self.postconf(&["-P", &format!("{id}/{name} = {}", tight(value))])
    }

    /// Takes the own value of a service out.
    ///
    /// # Errors
    /// What `postconf` says.
    pub(super) fn unset_own(&self, id: &str, name: &str) -> Result<(), String> {
        self.postconf(&["-PX", &format!("{id}/{name}")])
    }

    /// Adds a service.
    ///
    /// # Errors
    /// What `postconf` says.
    pub(super) fn add_service(&self, id: &str, line: &str) -> Result<(), String> {
        self.postconf(&["-M", &format!("{id} = {line}")])
    }

    /// Whether one of the files names the port of a milter, other than in a comment.
    pub(super) fn names(&self, milter: SocketAddr) -> bool {
        let port = format!(":{}", milter.port());
        let mut files = self
            .files()
            .into_iter()
            .filter_map(|file| fs::read(file).ok());
        let names = |line: &[u8]| {
            !line.trim_ascii_start().starts_with(b"#")
                && memmem::find(line, port.as_bytes()).is_some()
        };
        files.any(|content| content.split(|&b| b == b'\n').any(names))
    }

    /// Lets Postfix read its configuration.
    ///
    /// # Errors
    /// What `postfix` says.
    pub(super) fn reload(&self) -> Result<(), String> {
        let directory = self.directory.to_string_lossy();
        command("postfix", &["-c", &directory, "reload"])
    }

    /// Takes a message out of the queue that nobody wants.
    pub(super) fn forget_message(&self, queue_id: &str) {
        let directory = self.directory.to_string_lossy();
        let _ = command("postsuper", &["-c", &directory, "-d", queue_id]);
    }

    fn postconf(&self, arguments: &[&str]) -> Result<(), String> {
        let directory = self.directory.to_string_lossy();
        command("postconf", &[&["-c", &directory], arguments].concat())
    }
}

/// A value as master.cf takes it: commas stand for blanks.
pub(super) fn tight(value: &str) -> String {
    let value = value
        .replace(" = ", "=")
        .replace("{ ", "{")
        .replace(" }", "}");
    let words = value
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(",")
}

/// Runs a command of this machine.
///
/// # Errors
/// One line with its name and the last line that it said.
pub(super) fn command(name: &str, arguments: &[&str]) -> Result<(), String> {
    output(name, arguments).map(|_| ())
}

fn output(name: &str, arguments: &[&str]) -> Result<String, String> {
    let usual = Path::new("/usr/sbin").join(name);
    let program = if usual.exists() { usual } else { name.into() };
    let done = Command::new(program)
        .args(arguments)
        // Ctrl-C is for us alone: what a command has begun it ends.
        .process_group(0)
        .output()
        .map_err(|error| format!("could not run {name}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.is_empty())
        .unwrap_or_default();
    Err(format!("{name} {} failed: {last}", arguments.join(" ")))
}
