//! The command `depollueur completions`.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Arguments, exit::Failure};

#[derive(Args, Debug)]
pub(super) struct CompletionsOptions {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

/// Prints the script with which a shell completes our commands and options.
pub(super) fn run(options: &CompletionsOptions) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(
        options.shell,
        &mut Arguments::command(),
        "depollueur",
        &mut script,
    );
    let mut out = io::stdout().lock();
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}
