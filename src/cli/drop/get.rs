//! `depollueur drop get`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;

use super::{EX_NOTHING, open, token_of, unavailable};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_IOERR, EX_USAGE, Failure},
    },
    drop::{Drop, Lookup, Package, Token},
    names,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Options {
    /// The link, or the token at its end
    link: String,
    /// Directory to write the files into; made if it is missing
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn run(options: Options) -> Result<(), Failure> {
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
