//! The processes: `postmap -q`, `postconf`.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};

use super::{LookupError, TableAnswers, address::is_key, cache::Cache};
use crate::{
    config::{LookupConfig, Table},
    lock::lock,
};

/// Maximum size of one process's answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Maximum size of its complaints that is read, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;

/// Time for which a table that failed is not queried again, so that a database that is down holds up
/// one message and not each.
const FAILURE_LIFE: Duration = Duration::from_secs(5);

/// Runs the programs of Postfix, a few at once.
#[derive(Debug)]
pub(super) struct Postmap {
    timeout: Duration,
    config: Option<PathBuf>,
    processes: Semaphore,
    cache: Mutex<Cache>,
    /// By table; those of Postfix's settings without one.
    failures: Mutex<HashMap<Option<Table>, (LookupError, Instant)>>,
    /// The directory of Postfix's programs; they are found elsewhere if they are not there.
    programs: PathBuf,
}

tokio::task_local! {
    /// The moment at which the time for all answers of a message is over.
    static UNTIL: tokio::time::Instant;
}

/// The result of a process.
struct Said {
    ok: bool,
    answer: String,
    complaint: String,
}

impl Postmap {
    pub(super) fn new(config: &LookupConfig) -> Self {
        Self {
            timeout: config.timeout,
            config: config.postfix_config.clone(),
            processes: Semaphore::new(config.max_processes),
            cache: Mutex::new(Cache::new(config.cache, config.cache_entries_max)),
            failures: Mutex::default(),
            programs: "/usr/sbin".into(),
        }
    }

    /// Runs what asks for a message: all of its answers come within `lookup.timeout`, or an error does.
    pub(super) async fn in_time<T>(&self, asking: impl Future<Output = T>) -> T {
        UNTIL.scope(self.until(), asking).await
    }

    /// Returns when an answer must be there that is asked for now.
    fn until(&self) -> tokio::time::Instant {
        let alone = || tokio::time::Instant::now() + self.timeout;
        UNTIL.try_with(|until| *until).unwrap_or_else(|_| alone())
    }

    /// Waits until a process may run. What is too slow here is no fault of a table.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, LookupError> {
        let turn = timeout_at(self.until(), self.processes.acquire()).await;
        let turn = turn.map_err(|_| LookupError::Slow(self.timeout))?;
        Ok(turn.expect("the semaphore is never closed"))
    }

    /// Looks up keys in a table.
    ///
    /// # Errors
    /// Fails if the table could not be queried; keys that it does not have are no error.
    pub(super) async fn ask(
        &self,
        table: &Table,
        keys: &[String],
    ) -> Result<TableAnswers, LookupError> {
        let (mut answers, asked) = self.remembered(table, keys);
        if asked.is_empty() {
            return Ok(answers);
        }
        let slow = LookupError::TableSlow(table.clone(), self.timeout);
        let query = self.query(table, &asked);
        let found = self.tried(Some(table), query, slow).await?;
        self.remember(table, asked, &found);
        answers.extend(found);
        Ok(answers)
    }

    /// Asks, unless that failed a moment ago. What does not answer in time has failed, too.
    async fn tried<T>(
        &self,
        table: Option<&Table>,
        asked: impl Future<Output = Result<T, LookupError>>,
        slow: LookupError,
    ) -> Result<T, LookupError> {
        let fails = || self.failure(table).map_or(Ok(()), Err);
        fails()?;
        let _turn = self.turn().await?;
        // Others may have asked in vain while this one waited.
        fails()?;
        let begun = Instant::now();
        let answer = timeout_at(self.until(), asked).await;
        // What had hardly a moment left is not to blame.
        if answer.is_err() && begun.elapsed() < self.timeout / 2 {
            return Err(LookupError::Slow(self.timeout));
        }
        answer.unwrap_or(Err(slow)).inspect_err(|error| {
            let failure = (error.clone(), Instant::now());
            lock(&self.failures).insert(table.cloned(), failure);
        })
    }

    /// Returns the known answers, and the keys left to ask for, each once.
    fn remembered(&self, table: &Table, keys: &[String]) -> (TableAnswers, Vec<String>) {
        let (mut answers, mut asked) = (TableAnswers::new(), Vec::new());
        let mut cache = lock(&self.cache);
        let now = Instant::now();
        for key in keys.iter().filter(|key| is_key(key)) {
            match cache.get(table, key, now) {
                Some(Some(value)) => {
                    answers.insert(key.clone(), value);
                }
                Some(None) => {}
                None => asked.push(key.clone()),
            }
        }
        asked.sort_unstable();
        asked.dedup();
        (answers, asked)
    }

    /// Answers without asking.
    #[cfg(test)]
    pub(super) fn know(&self, table: &Table, keys: Vec<String>, found: &TableAnswers) {
        self.remember(table, keys, found);
    }

    fn remember(&self, table: &Table, asked: Vec<String>, found: &TableAnswers) {
        let mut cache = lock(&self.cache);
        let now = Instant::now();
        for key in asked {
            cache.put(table, &key, found.get(&key).cloned(), now);
        }
    }

    fn failure(&self, table: Option<&Table>) -> Option<LookupError> {
        let failures = lock(&self.failures);
        let (error, since) = failures.get(&table.cloned())?;
        (since.elapsed() < FAILURE_LIFE).then(|| error.clone())
    }

    async fn query(&self, table: &Table, keys: &[String]) -> Result<TableAnswers, LookupError> {
        let lines = keys.join("\n") + "\n";
        let said = self
            .run("postmap", &["-q", "-", table.direct()], lines)
            .await?;
        // Postmap's "not found" is status 1 without a word, and nothing else is.
        if !said.ok
            && let Some(reason) = fatal(&said.complaint)
        {
            let table = table.clone();
            return Err(LookupError::Table { table, reason });
        }
        Ok(read(&said.answer, keys))
    }

    /// Asks `postconf` for parameters, with the parameters in their values expanded; `None` if there
    /// is no Postfix.
    pub(super) async fn parameters(
        &self,
        names: &[&str],
    ) -> Result<Option<TableAnswers>, LookupError> {
        let slow = LookupError::Slow(self.timeout);
        self.tried(None, self.ask_parameters(names), slow).await
    }

    async fn ask_parameters(&self, names: &[&str]) -> Result<Option<TableAnswers>, LookupError> {
        if !self.may_be_set_up() {
            return Ok(None);
        }
        let said = match self
            .run("postconf", &[&["-x"], names].concat(), String::new())
            .await
        {
            Err(LookupError::Program { .. }) => return Ok(None),
            said => said?,
        };

        if !said.ok {
            let reason = fatal(&said.complaint).unwrap_or_else(|| "postconf failed".into());
            return match is_not_set_up(&reason) {
                true => Ok(None),
                false => Err(LookupError::Settings(reason)),
            };
        }

        let pair = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(Some(said.answer.lines().filter_map(pair).collect()))
    }

    /// Returns false if Postfix's directory is there without its main.cf, as after an installation: Postfix's programs
    /// wait for a second before they say so.
    fn may_be_set_up(&self) -> bool {
        let directory = self.config.as_deref();
        let directory = directory.unwrap_or(Path::new("/etc/postfix"));
        let has_main = directory.join("main.cf").try_exists();
        !(directory.is_dir() && matches!(has_main, Ok(false)))
    }

    async fn run(
        &self,
        name: &str,
        arguments: &[&str],
        input: String,
    ) -> Result<Said, LookupError> {
        let failed = |error: io::Error| LookupError::Program {
            program: name.to_owned(),
            reason: error.to_string(),
        };

        let mut child = self.command(name, arguments).spawn().map_err(failed)?;

        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read to the end gives its reason in another way.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };

        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ((), answer, complaint) = tokio::join!(
            write,
            text(stdout, ANSWER_BYTES_MAX),
            text(stderr, COMPLAINT_BYTES_MAX)
        );

        let (answer, complaint) = (answer.map_err(failed)?, complaint.map_err(failed)?);
        let ok = child.wait().await.map_err(failed)?.success();
        Ok(Said {
            ok,
            answer,
            complaint,
        })
    }

    /// Builds a command that inherits nothing of our environment, and does not outlive the task that
    /// waits for it.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(&self.programs, name));
        if let Some(directory) = &self.config {
            command.args([OsStr::new("-c"), directory.as_os_str()]);
        }
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// Reads all output up to a limit; a program that exceeds it is killed along with the task that waits
/// for it.
async fn text(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let read = from.take(bytes_max + 1).read_to_end(&mut bytes).await?;
        if read as u64 > bytes_max {
            return Err(io::Error::other(format!(
                "it says more than {bytes_max} bytes"
            )));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses the values of the keys that were asked for: one line each, key and value separated by a tab.
fn read(answer: &str, keys: &[String]) -> TableAnswers {
    let pair = |line: &str| {
        let (key, value) = line.split_once('\t')?;
        let is_asked = keys
            .binary_search_by(|known| known.as_str().cmp(key))
            .is_ok();
        is_asked.then(|| (key.to_owned(), value.to_owned()))
    };
    answer.lines().filter_map(pair).collect()
}

/// Returns the reason why a program of Postfix gave up, without the program's name.
fn fatal(complaint: &str) -> Option<String> {
    let reason = |line: &str| {
        let marks = ["fatal: ", "panic: ", "error: "];
        let found = marks.iter().find_map(|mark| line.split_once(mark));
        found.map(|(_, reason)| reason.trim().to_owned())
    };
    complaint.lines().rev().find_map(reason)
}

/// Returns true if Postfix is installed, but was never configured: its programs cannot run then.
fn is_not_set_up(reason: &str) -> bool {
    reason.starts_with("open ") && reason.ends_with("main.cf: No such file or directory")
}

/// Returns the path of a program of Postfix: a service's search path may lack its directory.
fn program(programs: &Path, name: &str) -> PathBuf {
    let usual = programs.join(name);
    if usual.exists() { usual } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines_with_a_tab_and_only_of_what_was_asked() {
        let keys = ["@b.org".to_owned(), "a@b.org".to_owned()];
        let answers = read("a@b.org\tx@c.org, y@c.org\nforged\t1\nnothing\n", &keys);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers["a@b.org"], "x@c.org, y@c.org");
    }

    #[tokio::test]
    async fn a_table_that_does_not_answer_holds_up_one_message() {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
        let home = tempfile::tempdir().unwrap();
        let (program, asked) = (home.path().join("postmap"), home.path().join("asked"));
        let script = format!("#!/bin/sh\necho >> {}\nexec sleep 60\n", asked.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        let mut postmap = Postmap::new(&LookupConfig::default());
        postmap.timeout = Duration::from_secs(2);
        postmap.programs = home.path().to_owned();
        let table = Table::of_postfix("hash:/t");
        let keys = ["a@b.org".to_owned()];
        for _ in 0..5 {
            let answer = postmap.in_time(postmap.ask(&table, &keys)).await;
            let slow = LookupError::TableSlow(table.clone(), postmap.timeout);
            assert_eq!(answer, Err(slow));
        }
        assert_eq!(std::fs::read(&asked).unwrap(), b"\n", "it is asked once");

        // A message whose time was used up elsewhere says nothing of a table.
        let other = Table::of_postfix("hash:/other");
        let late = tokio::time::Instant::now() + Duration::from_millis(20);
        let answer = UNTIL.scope(late, postmap.ask(&other, &keys)).await;
        assert_eq!(answer, Err(LookupError::Slow(postmap.timeout)));
        assert_eq!(postmap.failure(Some(&other)), None);
    }

    #[test]
    fn a_postfix_that_was_not_set_up_is_not_asked() {
        let home = tempfile::tempdir().unwrap();
        let mut postmap = Postmap::new(&LookupConfig::default());
        postmap.config = Some(home.path().to_owned());
        assert!(!postmap.may_be_set_up());
        std::fs::write(home.path().join("main.cf"), "").unwrap();
        assert!(postmap.may_be_set_up());
        // Where there is nothing at all, its own programs know better.
        postmap.config = Some(home.path().join("elsewhere"));
        assert!(postmap.may_be_set_up());
    }

    #[test]
    fn a_postfix_without_a_configuration_is_none() {
        for (reason, expected) in [
            ("open /etc/postfix/main.cf: No such file or directory", true),
            ("open /etc/postfix/main.cf: Permission denied", false),
            (
                "open /etc/postfix/aliases.cf: No such file or directory",
                false,
            ),
        ] {
            let said = format!("postconf: fatal: {reason}\n");
            assert_eq!(is_not_set_up(&fatal(&said).unwrap()), expected, "{reason}");
        }
    }

    #[test]
    fn the_last_fatal_line_is_the_reason() {
        let said = "postmap: warning: connect to pgsql server: refused\npostmap: fatal: table pgsql:/t: query error\n";
        assert_eq!(fatal(said).unwrap(), "table pgsql:/t: query error");
        assert_eq!(
            fatal("postmap: warning: hash:/t.db is older than /t\n"),
            None
        );
    }
}
