//! Changes Postfix by its own commands.

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use memchr::memmem;

use super::plan::ParameterChange;

/// A Postfix that is changed by its own commands.
#[derive(Clone, Debug)]
pub(super) struct Editor {
    directory: PathBuf,
}

impl Editor {
    /// Creates an editor for the main.cf in this directory, or in the usual one.
    ///
    /// # Errors
    /// Returns one line if there is no Postfix.
    pub(super) fn new(directory: Option<&Path>) -> Result<Self, String> {
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => output("postconf", &["-h", "config_directory"])?
                .trim()
                .into(),
        };
        Ok(Self { directory })
    }

    /// Returns the files that it changes.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        ["main.cf", "master.cf"].map(|name| self.file(name))
    }

    /// Returns the path of a file of the configuration.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns a parameter as it is written.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn written(&self, name: &str) -> Result<String, String> {
        let directory = self.directory.to_string_lossy();
        output("postconf", &["-c", &directory, "-h", name])
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// Returns the complaint of `postconf`.
    pub(super) fn set(&self, change: &ParameterChange) -> Result<(), String> {
        match &change.service {
            None => self.postconf(&["-e", &format!("{} = {}", change.name, change.after)]),
            Some(id) => self.set_own(id, change.name, &change.after),
        }
    }

    /// Sets a parameter of one service, whose value has no blanks.
    ///
    /// # Errors
    /// Returns the complaint of `postconf`.
    pub(super) fn set_own(&self, id: &str, name: &str, value: &str) -> Result<(), String> {
        self.postconf(&["-P", &format!("{id}/{name} = {}", tight(value))])
    }

    /// Removes a service's own value of a parameter.
    ///
    /// # Errors
    /// Returns the complaint of `postconf`.
    pub(super) fn unset_own(&self, id: &str, name: &str) -> Result<(), String> {
        self.postconf(&["-PX", &format!("{id}/{name}")])
    }

    /// Adds a service.
    ///
    /// # Errors
    /// Returns the complaint of `postconf`.
    pub(super) fn add_service(&self, id: &str, line: &str) -> Result<(), String> {
        self.postconf(&["-M", &format!("{id} = {line}")])
    }

    /// Returns true if one of the files names the port of a milter, other than in a comment.
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

    /// Makes Postfix read its configuration.
    ///
    /// # Errors
    /// Returns the complaint of `postfix`.
    pub(super) fn reload(&self) -> Result<(), String> {
        let directory = self.directory.to_string_lossy();
        command("postfix", &["-c", &directory, "reload"])
    }

    /// Deletes an unwanted message from the queue.
    pub(super) fn forget_message(&self, queue_id: &str) {
        let directory = self.directory.to_string_lossy();
        let _ = command("postsuper", &["-c", &directory, "-d", queue_id]);
    }

    fn postconf(&self, arguments: &[&str]) -> Result<(), String> {
        let directory = self.directory.to_string_lossy();
        command("postconf", &[&["-c", &directory], arguments].concat())
    }
}

/// Returns a value as master.cf takes it: commas replace the blanks.
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
/// Returns one line with its name and the last line that it printed.
pub(super) fn command(name: &str, arguments: &[&str]) -> Result<(), String> {
    output(name, arguments).map(|_| ())
}

fn output(name: &str, arguments: &[&str]) -> Result<String, String> {
    let usual = Path::new("/usr/sbin").join(name);
    let program = if usual.exists() { usual } else { name.into() };
    let done = Command::new(program)
        .args(arguments)
        // Ctrl-C is for us alone: a command that has begun completes.
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
