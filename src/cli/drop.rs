//! `depollueur drop …`

mod token;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use tokio::runtime;

use super::{
    ConfigOptions,
    exit::{EX_IOERR, EX_UNAVAILABLE, EX_USAGE, Failure},
};
use crate::{
    drop::{Drop, DropError, Lookup, Package, Swept, Token},
    names,
};

/// Packages of one step of a sweep: between two steps others may write.
const STEP: usize = 100;

/// A link that leads to nothing.
const EX_NOTHING: u8 = 1;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetches the files behind a link.
    Get(GetOptions),
    /// Destroys what is past its expiry and grace period, and left-overs.
    Sweep(SweepOptions),
    /// Lets milters of other hosts deposit, each with a token of its own.
    #[command(subcommand)]
    Token(token::Command),
}

#[derive(Args, Debug)]
pub(super) struct GetOptions {
    /// The link, or the token at its end
    link: String,
    /// Directory to write the files into; made if it is missing
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(super) struct SweepOptions {
    #[command(flatten)]
    config: ConfigOptions,
}

/// Runs one of the commands.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(EX_UNAVAILABLE, format_args!("could not start: {error}")))?;
    match command {
        Command::Get(options) => runtime.block_on(get(options)),
        Command::Sweep(options) => runtime.block_on(sweep(options)),
        Command::Token(command) => runtime.block_on(token::run(command)),
    }
}

async fn get(options: GetOptions) -> Result<(), Failure> {
    let token = token_of(&options.link)
        .ok_or_else(|| Failure::new(EX_USAGE, "the link does not hold a token"))?;
    let drop = open(options.config)?;
    let package = match drop
        .find(&token, Timestamp::now())
        .await
        .map_err(unavailable)?
    {
        Lookup::Live(package) => package,
        Lookup::Gone { expired, .. } => {
            let message = format!("the files of this link could be fetched until {expired}");
            return Err(Failure::new(EX_NOTHING, message));
        }
        Lookup::Unknown => return Err(Failure::new(EX_NOTHING, "this link leads to nothing")),
    };
    write_package(&drop, &token, &package, &options.into).await
}

async fn write_package(
    drop: &Drop,
    token: &Token,
    package: &Package,
    directory: &Path,
) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| not_written(directory, &error))?;
    let names = names::unique_files(package.files.iter().map(|file| file.name.as_str()));
    for (index, name) in names.iter().enumerate() {
        let path = directory.join(name);
        let file = create(&path).map_err(|error| not_written(&path, &error))?;
        if let Err(failure) = write_file(drop, token, package, index, (file, &path)).await {
            let _ = fs::remove_file(&path);
            return Err(failure);
        }
        writeln!(io::stdout().lock(), "{}", path.display())
            .map_err(|error| Failure::output(&error))?;
    }
    Ok(())
}

async fn write_file(
    drop: &Drop,
    token: &Token,
    package: &Package,
    index: usize,
    (mut file, path): (File, &Path),
) -> Result<(), Failure> {
    let whole = 0..package.files[index].size;
    let mut reader = drop
        .read(token, package, index, whole)
        .await
        .map_err(unavailable)?;
    while let Some(bytes) = reader.next().await.map_err(unavailable)? {
        file.write_all(&bytes)
            .map_err(|error| not_written(path, &error))?;
    }
    file.sync_all().map_err(|error| not_written(path, &error))
}

/// Makes a file that was not there; no link is followed. What was private in the mail stays so.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

async fn sweep(options: SweepOptions) -> Result<(), Failure> {
    let drop = open(options.config)?;
    let swept = drop
        .sweep_all(Timestamp::now(), STEP, || true)
        .await
        .map_err(unavailable)?;
    let Swept {
        packages,
        files,
        orphans,
        records,
    } = swept;
    let line = format!("packages={packages} files={files} orphans={orphans} records={records}");
    writeln!(io::stdout().lock(), "{line}").map_err(|error| Failure::output(&error))
}

/// Finds the token in a link: its landing page, one of its downloads, or the token alone.
fn token_of(link: &str) -> Option<Token> {
    let path = link.trim().split(['?', '#']).next()?;
    path.rsplit('/').find_map(|segment| segment.parse().ok())
}

fn open(options: ConfigOptions) -> Result<Drop, Failure> {
    Drop::open(&options.load()?.drop).map_err(unavailable)
}

fn unavailable(error: DropError) -> Failure {
    Failure::new(EX_UNAVAILABLE, error)
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        EX_IOERR,
        format_args!("could not write \"{}\": {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_every_link_of_its_package() {
        let token = "a".repeat(26);
        for link in [
            token.clone(),
            format!("https://drop.example.org/{token}"),
            format!("  http://[::1]:8025/d/{token}/\n"),
            format!("https://drop.example.org/{token}/1?x#y"),
            format!("https://drop.example.org/{token}/all.zip"),
        ] {
            assert_eq!(
                token_of(&link).map(|found| found.to_string()),
                Some(token.clone())
            );
        }
        for link in [
            "",
            "https://drop.example.org/",
            "abc",
            "https://drop.example.org/?t=a",
        ] {
            assert!(token_of(link).is_none(), "{link}");
        }
    }

    #[test]
    fn an_existing_file_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pdf");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        assert_eq!(
            create(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }
}
