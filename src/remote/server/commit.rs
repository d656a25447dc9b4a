//! The end of a deposit: it is committed or given up.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use super::{Deposits, PackageOwner, code::ProblemCode, drafts::OpenDraft, problem::Problem};
use crate::{
    drop::{CompleteFile, FileEntry, PackageLookup, cost},
    remote::wire::{Commit, CommitFile, Committed},
};

impl Deposits {
    /// Commits a package. A repeated commit is answered like the first.
    ///
    /// The work continues even if the uploader hangs up: it comes back and asks again, or gives the
    /// package up.
    pub(super) async fn commit(
        &self,
        caller: PackageOwner,
        mut order: Commit,
    ) -> Result<Committed, Problem> {
        if let Some(fault) = order.fault() {
            return Err(Problem::unsound(ProblemCode::Files, fault));
        }
        // What was read out of other files stands behind those of the mail.
        order.files.sort_by_key(|file| file.opened);
        let Ok(draft) = self.draft(&caller) else {
            return self.committed_before(&caller, &order).await;
        };

        let open = std::sync::Arc::clone(&draft.open).lock_owned().await;
        if open.is_none() {
            return self.committed_before(&caller, &order).await;
        }

        let this = self.clone();
        let work = tokio::spawn(async move { this.commit_open(open, &caller, &order).await });
        work.await.unwrap_or_else(|_| {
            let detail = "the drop failed; its log says why";
            Err(Problem::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                ProblemCode::Failed,
                detail,
            ))
        })
    }

    /// Gives a package up, either before its commit or shortly after it.
    pub(super) async fn give_up(&self, caller: PackageOwner) -> Result<(), Problem> {
        let draft = self.draft(&caller);
        if let Ok(draft) = &draft {
            let was_open = draft.open.lock().await.take().is_some();
            self.0.drafts.end(&caller.id);
            if was_open {
                return Ok(());
            }
        }

        let drop = &self.0.drop;
        if !drop.is_upload_of(&caller.uploader, &caller.token).await? {
            return Err(Problem::unknown());
        }

        let now = Timestamp::now();
        if drop.take_back(&caller.token, now).await? {
            info!(
                uploader = caller.uploader.name,
                package = caller.id,
                "taken back"
            );
            return Ok(());
        }

        match drop.find(&caller.token, now).await? {
            PackageLookup::Unknown => Err(Problem::unknown()),
            _ => Err(Problem::conflict(
                ProblemCode::TooOld,
                "the package is too old to be taken back: its link may be out",
            )),
        }
    }

    async fn commit_open(
        &self,
        mut slot: OwnedMutexGuard<Option<OpenDraft>>,
        caller: &PackageOwner,
        order: &Commit,
    ) -> Result<Committed, Problem> {
        let created = whole_second(Timestamp::now());
        self.check_expiry(order.expires, created)?;
        let Some(mut open) = slot.take() else {
            return Err(Problem::unknown());
        };
        if let Err(problem) = check_files(&open.files, &order.files) {
            // The uploader may send the missing file.
            *slot = Some(open);
            return Err(problem);
        }

        let files = take_files(&mut open.files, &order.files);
        let (drop, bytes, cost) = (&self.0.drop, order.bytes(), cost_of(&order.files));

        let booked = drop.book_upload(&caller.uploader, cost).await;
        if !matches!(booked, Ok(true)) {
            self.0.drafts.end(&caller.id);
        }
        if !booked? {
            return Err(Problem::over_quota(&caller.uploader.name));
        }

        let done = open.package.commit(files, created, order.expires).await;
        self.0.drafts.end(&caller.id);
        if let Err(error) = done {
            if let Err(error) = drop.unbook_upload(&caller.uploader, cost).await {
                warn!("could not take a deposit off its quota: {error}");
            }
            return Err(error.into());
        }

        let (uploader, package, files) = (&caller.uploader.name, &caller.id, order.files.len());
        info!(uploader, package, files, bytes, "deposited");
        Ok(Committed {
            link: self.link(drop.unlock(), &caller.token),
            created,
            expires: order.expires,
        })
    }

    /// Answers a commit of a package that is no longer a draft.
    async fn committed_before(
        &self,
        caller: &PackageOwner,
        order: &Commit,
    ) -> Result<Committed, Problem> {
        let drop = &self.0.drop;
        if !drop.is_upload_of(&caller.uploader, &caller.token).await? {
            return Err(Problem::unknown());
        }

        match drop.find(&caller.token, Timestamp::now()).await? {
            PackageLookup::Live(package) if are_same(&order.files, &package.files) => {
                // A process may have ended between the record and its last look at the blobs.
                drop.check_whole(&caller.token, &package).await?;
                Ok(Committed {
                    link: self.link(package.unlock, &caller.token),
                    created: package.created,
                    expires: package.expires,
                })
            }
            PackageLookup::Live(_) => Err(Problem::conflict(
                ProblemCode::Taken,
                "the package was committed with other files",
            )),
            PackageLookup::Gone { .. } => Err(Problem::conflict(
                ProblemCode::Taken,
                "the package was committed, and is gone",
            )),
            PackageLookup::Unknown => Err(Problem::unknown()),
        }
    }

    /// Checks that a package expires at a whole second, and no later than the drop's admin allows.
    fn check_expiry(&self, expires: Timestamp, created: Timestamp) -> Result<(), Problem> {
        if expires != whole_second(expires) {
            let detail = "a package expires at a whole second";
            return Err(Problem::unsound(ProblemCode::Expiry, detail));
        }
        if expires <= created {
            let detail = format!("\"{expires}\" is past: here it is {created}");
            return Err(Problem::unsound(ProblemCode::Expiry, detail));
        }

        let max = created
            .to_zoned(TimeZone::UTC)
            .checked_add(self.0.config.expiry_max)
            .map_or(Timestamp::MAX, |latest| latest.timestamp());
        if expires > max {
            let detail = format!("\"{expires}\" is later than the latest allowed, {max}");
            return Err(Problem::unsound(ProblemCode::Expiry, detail));
        }
        Ok(())
    }
}

/// Checks that each listed file has arrived, and is the one that the uploader sent.
fn check_files(came: &HashMap<u32, CompleteFile>, listed: &[CommitFile]) -> Result<(), Problem> {
    for file in listed {
        let number = file.number;
        let Some(found) = came.get(&number) else {
            let detail = format!("file {number} did not come");
            return Err(Problem::conflict(ProblemCode::MissingFile, detail));
        };
        if found.size() != file.size || found.sha256() != file.sha256.0 {
            let detail = format!("file {number} is not what came under this number");
            return Err(Problem::conflict(ProblemCode::Digest, detail));
        }
    }
    Ok(())
}

/// Takes the listed files, in their order and under their names. Files that are not listed are
/// given up.
fn take_files(came: &mut HashMap<u32, CompleteFile>, listed: &[CommitFile]) -> Vec<CompleteFile> {
    let take = |file: &CommitFile| {
        let mut complete = came.remove(&file.number)?;
        complete.describe(file.name.clone(), file.media_type.clone());
        if file.opened {
            complete.mark_opened();
        }
        Some(complete)
    };
    listed.iter().filter_map(take).collect()
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::MIN)
}

/// The cost of all files together in a quota.
fn cost_of(files: &[CommitFile]) -> u64 {
    files
        .iter()
        .fold(0, |sum, file| cost(file.size).saturating_add(sum))
}

/// Returns true if these are the files of a package.
fn are_same(ours: &[CommitFile], theirs: &[FileEntry]) -> bool {
    let same = |(ours, theirs): (&CommitFile, &FileEntry)| {
        ours.name == theirs.name
            && ours.media_type == theirs.media_type
            && ours.size == theirs.size
            && ours.sha256.0 == theirs.sha256
            && ours.opened == theirs.opened
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}
