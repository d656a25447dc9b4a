//! `depollueur check`

use std::io::{self, Write as _};

use clap::Args;

use super::{
    ConfigOptions,
    exit::{Failure, complain},
};
use crate::web::Theme;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) config: ConfigOptions,
}

/// Prints the values that hold, as a configuration; warnings go to standard error.
pub(super) fn run(options: Options) -> Result<(), Failure> {
    let config = options.config.load()?;
    // Reads the logo and tries the templates.
    Theme::load(&config.web)?;
    for warning in config.warnings() {
        complain(format_args!("warning: {warning}"));
    }
    let mut out = io::stdout().lock();
    out.write_all(config.to_toml().as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}
