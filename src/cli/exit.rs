//! The failure of a command: one line on standard error, and an exit code of `sysexits.h`.

use std::{fmt, io, process::ExitCode};

use tokio::runtime::{Builder, Runtime};

use crate::{
    config::ConfigError, drop::DropError, ledger::LedgerError, untrusted::Untrusted,
    web::ThemeError,
};

/// The command line is wrong.
pub(super) const EX_USAGE: u8 = 64;
/// The input cannot be opened.
pub(super) const EX_NOINPUT: u8 = 66;
/// The drop or a socket cannot be opened.
pub(super) const EX_UNAVAILABLE: u8 = 69;
/// Something cannot be written.
pub(super) const EX_IOERR: u8 = 74;
/// It may succeed later.
pub(super) const EX_TEMPFAIL: u8 = 75;
/// Another user must run the command.
pub(super) const EX_NOPERM: u8 = 77;
/// The configuration is wrong.
pub(super) const EX_CONFIG: u8 = 78;

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Creates a failure with a code of `sysexits.h` and one line for the admin.
    pub(super) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// Creates a failure whose code says it all.
    pub(super) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// Creates the failure to write standard output: a full disk, or a reader that left.
    pub(super) fn output(error: &io::Error) -> Self {
        Self::new(
            EX_IOERR,
            format_args!("could not write standard output: {error}"),
        )
    }

    /// Prints the message to standard error and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            complain(&self.message);
        }
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Starts the runtime of a command, on this thread.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let started = Builder::new_current_thread().enable_all().build();
    let failed = |error| Failure::new(EX_UNAVAILABLE, format_args!("could not start: {error}"));
    started.map_err(failed)
}

/// Writes to standard error, as a terminal may show it. If that fails, there is nobody left to tell.
pub(super) fn complain(message: impl fmt::Display) {
    use io::Write as _;
    let message = message.to_string();
    let lines: Vec<_> = message
        .split('\n')
        .map(|line| Untrusted(line).to_string())
        .collect();
    let _ = writeln!(io::stderr().lock(), "depollueur: {}", lines.join("\n"));
}

impl From<ThemeError> for Failure {
    fn from(error: ThemeError) -> Self {
        Self::new(EX_CONFIG, error)
    }
}

impl From<DropError> for Failure {
    /// Converts the error; `depollueur doctor` finds every fault of owner and permissions.
    fn from(error: DropError) -> Self {
        if error.is_denied() {
            let message = format!("{error}; type: depollueur doctor, as root");
            return Self::new(EX_NOPERM, message);
        }
        Self::new(EX_UNAVAILABLE, error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        DropError::from(error).into()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(EX_CONFIG, error)
    }
}
