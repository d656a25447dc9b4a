//! Puts a small package into the store and takes it back, in a process of the drop's owner: the
//! daemon could not read what root leaves in a drop.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustix::process::geteuid;
use tokio::runtime;

use super::super::{
    ConfigOptions,
    exit::{EX_IOERR, EX_UNAVAILABLE, Failure},
    owner,
};
use crate::{
    config::{Config, StoreKind},
    drop::Link,
    envelope::{Direction, Origin},
    store::{self, Store, StoreError},
};

/// Name of the test file.
pub(super) const NAME: &str = "depollueur-doctor.txt";

/// Contents of the test file.
pub(super) const CONTENTS: &[u8] =
    b"depollueur doctor: this file was put here to see whether it comes back.\n";

/// Lifetime of the package, should nobody take it back.
const LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A test package in the store.
pub(super) struct TestDeposit {
    child: Child,
    pub(super) link: Link,
}

impl TestDeposit {
    /// Deposits the package.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn make(
        options: &ConfigOptions,
        directory: &Path,
        store: StoreKind,
    ) -> Result<Self, String> {
        let mut child = command(options, directory)?
            .arg("--set")
            .arg(format!("store.kind={}", store.word()))
            .spawn()
            .map_err(|error| format!("could not start a process for it: {error}"))?;

        let mut link = String::new();
        let read = child
            .stdout
            .take()
            .map(|stdout| BufReader::new(stdout).read_line(&mut link));

        match read {
            Some(Ok(1..)) => match Link::read(link.trim()) {
                Some(link) => Ok(Self { child, link }),
                None => Err("its link is none of a drop".into()),
            },
            _ => Err(complaint(child)),
        }
    }

    /// Takes the package back.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn take_back(mut self) -> Result<(), String> {
        std::mem::drop(self.child.stdin.take());
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(complaint(self.child)),
        }
    }
}

/// Builds the command that runs this program as [`serve`], as the owner of `directory`.
fn command(options: &ConfigOptions, directory: &Path) -> Result<Command, String> {
    let owner = fs::metadata(directory).map_err(|error| error.to_string())?;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);

    command.args(["doctor", "--deposit"]);
    if let Some(file) = &options.config {
        command.arg("--config").arg(file);
    }
    for setting in &options.settings {
        command.arg("--set").arg(setting);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/");

    match geteuid() {
        user if user.as_raw() == owner.uid() => {}
        user if user.is_root() => {
            command.uid(owner.uid()).gid(owner.gid());
        }
        _ => return Err("run doctor as root or as the owner of the drop".into()),
    }
    Ok(command)
}

fn complaint(mut child: Child) -> String {
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let _ = child.wait();
    let said = said.trim().trim_start_matches("depollueur: ");
    if said.is_empty() {
        "the process ended".to_owned()
    } else {
        said.to_owned()
    }
}

/// Runs the child's part: deposits, prints the link, waits for the end of standard input, and takes
/// the package back.
pub(super) fn serve(config: &Config) -> Result<(), Failure> {
    owner::become_owner(&config.drop.directory)?;
    let unavailable = |error: &dyn std::fmt::Display| Failure::new(EX_UNAVAILABLE, error);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unavailable(&error))?;
    let store = store::open(config, config.store.kind).map_err(|error| unavailable(&error))?;

    let put = runtime.block_on(async {
        let put = put(&*store).await;
        store.settle().await;
        put
    });
    let link = put.map_err(|error| unavailable(&error))?;

    let said = writeln!(io::stdout(), "{link}").and_then(|()| io::stdout().flush());
    let _ = io::stdin().read_to_end(&mut Vec::new());

    runtime
        .block_on(store.take_back(&link))
        .map_err(|error| unavailable(&error))?;
    said.map_err(|error| Failure::new(EX_IOERR, error))
}

async fn put(store: &dyn Store) -> Result<String, StoreError> {
    let origin = Origin {
        queue_id: "doctor".into(),
        sender: String::new(),
        verified: None,
        login: None,
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 0,
        domains: crate::envelope::Domains::default(),
    };

    let mut package = store.begin(origin, None).await?;
    let mut file = package.file(NAME, "text/plain")?;
    file.write(Bytes::from_static(CONTENTS)).await?;

    let now = Timestamp::now();
    package
        .commit(vec![file.finish().await?], now, now + LIFE)
        .await
}
