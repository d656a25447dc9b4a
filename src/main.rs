//! The command `depollueur`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    depollueur::cli::main()
}
