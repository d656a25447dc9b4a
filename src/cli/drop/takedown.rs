//! `depollueur drop takedown`: from a complaint to gone everywhere, in one command.
//!
//! Packages end first, then whatever could bring their files back: copies in other packages, the file itself, the login.

use std::collections::HashMap;

use clap::Args;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use mailsplice::l10n::Language;

use super::{
    act, answer,
    answer::PackageFacts,
    hold, look, nothing, open,
    select::Selection,
    table::{Form, json as write_json, line},
    unavailable,
};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_USAGE, Failure, complain},
        language::language,
        progress::Progress,
    },
    drop::{Deposit, FileDrop, FileEntry, PackageState, RecordId, Requester, Token},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct TakedownOptions {
    #[command(flatten)]
    selection: Selection,
    /// Why, with the number of the case; it stands in the audit log
    #[arg(long)]
    reason: String,
    /// Destroys the files at once: they cannot be restored, and running downloads end
    #[arg(long)]
    destroy: bool,
    /// Writes the answer to an authority, in this language: fr or en
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    answer: Option<Language>,
    /// Writes JSON
    #[arg(long, conflicts_with = "answer")]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// The work of one takedown.
struct Takedown {
    drop: FileDrop,
    now: Timestamp,
    reason: String,
    /// The packages that were chosen, and their copies, in this order.
    packages: Vec<RecordId>,
    /// The names of files that can be read: they go with the packages that are destroyed.
    names: HashMap<RecordId, Vec<FileEntry>>,
    /// The digests that were blocked, each with the number of other packages that it ended.
    blocked: Vec<([u8; 32], usize)>,
}

pub(super) async fn run(options: TakedownOptions) -> Result<(), Failure> {
    let TakedownOptions {
        selection,
        reason,
        destroy,
        answer,
        json,
        config,
    } = options;

    if reason.trim().is_empty() {
        let message = "--reason must say why, with the number of the case";
        return Err(Failure::new(EX_USAGE, message));
    }

    let (drop, url) = open(config)?;
    let now = Timestamp::now();
    let (login, uploader) = (
        selection.login().map(str::to_owned),
        selection.uploader().map(str::to_owned),
    );
    let (sha256, by_name) = (selection.sha256(), selection.is_by_name());
    let before = selection.clone();

    let found = before
        .find_with_tokens(&drop, &url, now, "takedown")
        .await?;
    if found.is_empty() && login.is_none() && sha256.is_none() {
        return Err(nothing());
    }

    let mut takedown = Takedown {
        drop,
        now,
        reason,
        packages: Vec::new(),
        names: HashMap::new(),
        blocked: Vec::new(),
    };

    if let Some(login) = &login {
        takedown.suspend(login).await?;
        // Packages that came in between.
        let late = selection.find_with_tokens(&takedown.drop, &url, now, "takedown");
        takedown.end(late.await?).await?;
    }
    takedown.end(found).await?;
    if by_name || sha256.is_some() {
        takedown.end_copies(sha256).await?;
    }

    let held = match destroy {
        true => takedown.destroy().await?,
        false => Vec::new(),
    };

    takedown.tell(&url, answer, json).await?;
    if let Some(name) = uploader {
        complain(format_args!(
            "the token of \"{name}\" can deposit still; to refuse it: depollueur drop token remove {name}"
        ));
    }
    hold::refuse(&held)?;
    act::refuse_lingering(&takedown.drop, takedown.packages).await
}

impl Takedown {
    /// Suspends the login: none of its mail is taken any longer.
    async fn suspend(&self, login: &str) -> Result<(), Failure> {
        let done = self
            .drop
            .suspend(login, self.now, Requester::ADMIN, &self.reason);
        done.await.map_err(unavailable)?;
        complain(format_args!(
            "nothing of the login \"{login}\" is taken from now on, and all its packages have ended; to take it again: depollueur drop resume --login {login}"
        ));
        Ok(())
    }

    /// Ends the packages that were chosen.
    async fn end(&mut self, found: Vec<(Deposit, Option<Token>)>) -> Result<(), Failure> {
        let progress = Progress::new("revoking", Some(found.len() as u64));
        for (Deposit { id, .. }, token) in found {
            if let Some(names) = answer::names_of(&self.drop, token.as_ref()).await? {
                self.names.insert(id, names);
            }
            self.end_ids(vec![id]).await?;
            progress.add(1);
        }
        Ok(())
    }

    /// Blocks the files whose digests are known, and ends all other packages with the same files.
    async fn end_copies(&mut self, sha256: Option<[u8; 32]>) -> Result<(), Failure> {
        let mut digests: Vec<_> = sha256.into_iter().collect();
        let chosen = self.packages.clone();

        // If a file was asked for, it alone is blocked, and not the files that came with it.
        for id in chosen.iter().filter(|_| sha256.is_none()) {
            match self.names.get(id) {
                // The empty file is left out: it is in everybody's mail.
                Some(files) => digests.extend(
                    files
                        .iter()
                        .filter(|file| file.size > 0)
                        .map(|file| file.sha256),
                ),
                None => complain(format_args!(
                    "{id:.12}: its files are not blocked, for only its link tells their digests; to block one: depollueur drop block SHA256"
                )),
            }
        }

        digests.sort_unstable();
        digests.dedup();
        for sha256 in digests {
            self.block(sha256).await?;
        }

        for id in chosen.into_iter().filter(|_| sha256.is_none()) {
            let copies = self.drop.copies(id).await.map_err(unavailable)?;
            self.end_ids(copies).await?;
        }

        if self.drop.has_unknown_files().await.map_err(unavailable)? {
            complain(
                "some packages are of before \"drop rekey\", or of an early version: whether they hold the same files is not known; to end those of a login: depollueur drop takedown --login NAME",
            );
        }
        Ok(())
    }

    async fn block(&mut self, sha256: [u8; 32]) -> Result<(), Failure> {
        let (now, reason) = (self.now, &self.reason);
        let done = self.drop.block(sha256, now, Requester::ADMIN, reason).await;
        let (_, ended) = done.map_err(unavailable)?;
        let before = self.packages.len();
        self.end_ids(ended).await?;
        self.blocked.push((sha256, self.packages.len() - before));
        Ok(())
    }

    async fn end_ids(&mut self, ids: Vec<RecordId>) -> Result<(), Failure> {
        for id in ids {
            if !self.packages.contains(&id) {
                act::end(&self.drop, id, self.now, &self.reason, false).await?;
                self.packages.push(id);
            }
        }
        Ok(())
    }

    /// Destroys the packages that are not held. Returns those that are.
    async fn destroy(&self) -> Result<Vec<Deposit>, Failure> {
        let mut held = Vec::new();
        for &id in &self.packages {
            if !act::destroy(&self.drop, id, self.now).await? {
                let shown = self.drop.show(id, self.now).await.map_err(unavailable)?;
                held.extend(shown.map(|(deposit, _)| deposit));
            }
        }
        Ok(held)
    }

    /// Reports the fate of each package, and the files that are blocked.
    async fn tell(&self, url: &str, answer: Option<Language>, json: bool) -> Result<(), Failure> {
        let mut subjects = Vec::new();
        for id in &self.packages {
            let names = self.names.get(id).cloned();
            subjects.extend(PackageFacts::find(&self.drop, *id, names, self.now).await?);
        }

        if json {
            return write_json(&subjects.iter().map(PackageFacts::json).collect());
        }
        if let Some(language) = answer {
            return answer::write(&subjects, url, language, self.now);
        }

        let mut deposits = Vec::new();
        for &id in &self.packages {
            let shown = self.drop.show(id, self.now).await.map_err(unavailable)?;
            deposits.extend(shown.map(|(deposit, _)| deposit));
        }
        look::deposits(&deposits, Form::default())?;
        for (sha256, ended) in &self.blocked {
            let digest = HEXLOWER.encode(sha256);
            line(&format!(
                "blocked {digest}, which ended other packages: {ended}"
            ))?;
        }

        let live = deposits
            .iter()
            .filter(|d| d.state == PackageState::Live)
            .count();
        line(&format!(
            "packages: {}, of which can be fetched: {live}",
            deposits.len()
        ))
    }
}
