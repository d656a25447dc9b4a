//! `depollueur drop get`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;
use mailsplice::names;

use super::{
    EX_NOTHING, Opened,
    link::{self, FoundLink},
    nothing_behind, open_for, unavailable,
};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_IOERR, EX_USAGE, Failure},
        owner::Caller,
    },
    drop::{FileDrop, Package, PackageLookup, Token},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct GetOptions {
    /// The link, or the token at its end; - reads it from standard input
    link: String,
    /// Directory to write the files into; made if it is missing
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Also what readers cannot fetch any more, until it is destroyed
    #[arg(long)]
    ended: bool,
    /// Also the files that were read out of a winmail.dat, which is written in any case
    #[arg(long)]
    opened: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn run(options: GetOptions) -> Result<(), Failure> {
    let name = link::given(options.link)?;
    let token = token_of(&name)?;
    let Opened { drop, url, caller } = open_for(options.config)?;

    let package = match drop
        .find(&token, Timestamp::now())
        .await
        .map_err(unavailable)?
    {
        PackageLookup::Live(package) => package,
        PackageLookup::Gone { expired, .. } => {
            let kept = drop.find_kept(&token).await.map_err(unavailable)?;
            let hint = match kept {
                Some(_) => "; they are still there, for depollueur drop get --ended",
                None => "",
            };
            let message = format!("the files of this link could be fetched until {expired}{hint}");
            let gone = || Failure::new(EX_NOTHING, message);
            kept.filter(|_| options.ended).ok_or_else(gone)?
        }
        PackageLookup::Unknown => return Err(nothing_behind(&name, &url)),
    };

    if let Some(page) = package.files.iter().find_map(|file| file.page.as_deref()) {
        let message =
            format!("Jirafeau keeps these files: fetch them with a browser, the first at {page}");
        return Err(Failure::new(EX_NOTHING, message));
    }
    let wanted = |index: usize| options.opened || !package.files[index].opened;
    write_package(&drop, &token, &package, wanted, (&options.into, caller)).await
}

/// The token that opens the package; an id alone does not.
fn token_of(name: &str) -> Result<Token, Failure> {
    let without = |why: &str| Failure::new(EX_USAGE, why);
    match FoundLink::find(name) {
        Some(FoundLink {
            token: Some(token), ..
        }) => Ok(token),
        Some(_) => Err(without(
            "the link has lost what follows \"#\", without which nothing can be decrypted",
        )),
        None => Err(match link::lack(name) {
            Some(lack) => without(&lack),
            None => without("the link does not hold a token"),
        }),
    }
}

async fn write_package(
    drop: &FileDrop,
    token: &Token,
    package: &Package,
    wanted: impl Fn(usize) -> bool,
    (directory, caller): (&Path, Caller),
) -> Result<(), Failure> {
    let made = caller.act(|| fs::create_dir_all(directory));
    made.map_err(|error| not_written(directory, &error))?;
    let names = names::unique_files(package.files.iter().map(|file| file.name.as_str()));
    for (index, name) in names.iter().enumerate().filter(|(index, _)| wanted(*index)) {
        let path = directory.join(name);
        let file = caller
            .act(|| create(&path))
            .map_err(|error| not_written(&path, &error))?;
        if let Err(failure) = write_file(drop, token, package, index, (file, &path)).await {
            let _ = caller.act(|| fs::remove_file(&path));
            return Err(failure);
        }
        writeln!(io::stdout().lock(), "{}", path.display())
            .map_err(|error| Failure::output(&error))?;
    }
    Ok(())
}

async fn write_file(
    drop: &FileDrop,
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

/// Creates a file that was not there; no link is followed. A file that was private in the mail stays so.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
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
