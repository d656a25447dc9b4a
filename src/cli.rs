//! The commands.

use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    unimplemented!()
}
