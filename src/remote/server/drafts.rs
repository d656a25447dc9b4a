//! Incoming packages that were begun and not yet committed, in memory and among the drop's drafts.
//! They end with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync, time::Instant};

use super::{code::ProblemCode, problem::Problem};
use crate::{
    config::DepositConfig,
    drop::{CompleteFile, PackageDraft, Uploader},
    lock::lock,
};

/// Age after which an uncommitted package is given up. The drop's sweeper takes files that are an
/// hour old for leftovers.
const AGE_MAX: Duration = Duration::from_secs(50 * 60);

/// The drafts of all uploaders.
#[derive(Debug)]
pub(super) struct Drafts {
    by_id: Mutex<HashMap<String, Arc<PendingPackage>>>,
    loads: Arc<Loads>,
}

/// A package that was begun.
#[derive(Debug)]
pub(super) struct PendingPackage {
    uploader: String,
    begun: Instant,
    bytes: Mutex<u64>,
    loads: Arc<Loads>,
    /// Locked during commit or abandonment, empty afterwards.
    pub(super) open: Arc<sync::Mutex<Option<OpenDraft>>>,
}

/// The open part of a draft: files can be added, and it can be committed or given up.
#[derive(Debug)]
pub(super) struct OpenDraft {
    pub(super) package: PackageDraft,
    /// The files, by the uploader's numbers.
    pub(super) files: HashMap<u32, CompleteFile>,
}

/// The load of each uploader, by its name.
#[derive(Debug)]
struct Loads {
    drafts_max: usize,
    bytes_max: u64,
    by_uploader: Mutex<HashMap<String, Load>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    drafts: usize,
    /// The cost of its files.
    bytes: u64,
}

impl Drafts {
    pub(super) fn new(config: &DepositConfig) -> Self {
        let loads = Loads {
            drafts_max: config.drafts_max,
            bytes_max: config.draft_bytes_max,
            by_uploader: Mutex::default(),
        };
        Self {
            by_id: Mutex::default(),
            loads: Arc::new(loads),
        }
    }

    /// The draft with this id, if this uploader began it.
    pub(super) fn find(&self, id: &str, uploader: &Uploader) -> Option<Arc<PendingPackage>> {
        let found = lock(&self.by_id).get(id).map(Arc::clone);
        found.filter(|draft| draft.uploader == uploader.name)
    }

    /// Adds a package. An earlier one of the same id stays.
    pub(super) fn begin(
        &self,
        id: String,
        uploader: &Uploader,
        package: PackageDraft,
    ) -> Result<(), Problem> {
        let draft = PendingPackage::new(uploader, package, &self.loads)?;
        lock(&self.by_id).entry(id).or_insert(Arc::new(draft));
        Ok(())
    }

    /// Forgets a package.
    pub(super) fn end(&self, id: &str) {
        // Its leftovers are removed once the lock is free again.
        let ended = lock(&self.by_id).remove(id);
        drop(ended);
    }

    /// Gives up the drafts that are too old, and returns their number.
    pub(super) fn expire(&self) -> usize {
        let mut by_id = lock(&self.by_id);
        let old = by_id.extract_if(|_, draft| draft.begun.elapsed() > AGE_MAX);
        let old: Vec<_> = old.collect();
        drop(by_id);
        old.len()
    }
}

impl PendingPackage {
    fn new(
        uploader: &Uploader,
        package: PackageDraft,
        loads: &Arc<Loads>,
    ) -> Result<Self, Problem> {
        loads.begin(&uploader.name)?;
        let open = OpenDraft {
            package,
            files: HashMap::new(),
        };
        Ok(Self {
            uploader: uploader.name.clone(),
            begun: Instant::now(),
            bytes: Mutex::default(),
            loads: Arc::clone(loads),
            open: Arc::new(sync::Mutex::new(Some(open))),
        })
    }

    /// Room for a file while it comes in; given back unless it is kept.
    pub(super) fn room(self: &Arc<Self>) -> Room {
        Room {
            draft: Arc::clone(self),
            bytes: 0,
        }
    }

    /// Gives back the room of a file that is gone.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut held = lock(&self.bytes);
        let bytes = bytes.min(*held);
        *held -= bytes;
        self.loads.give_back(&self.uploader, bytes);
    }

    /// Checks, before they arrive, that there would be room for `bytes`.
    pub(super) fn has_room(&self, uploader: &Uploader, bytes: u64) -> Result<(), Problem> {
        self.loads.room(uploader, bytes).map(drop)
    }
}

/// The room taken by one file.
#[derive(Debug)]
pub(super) struct Room {
    draft: Arc<PendingPackage>,
    bytes: u64,
}

impl Room {
    /// Takes room for bytes that came in.
    pub(super) fn reserve(&mut self, uploader: &Uploader, bytes: u64) -> Result<(), Problem> {
        self.draft.loads.reserve(uploader, bytes)?;
        *lock(&self.draft.bytes) += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Keeps the room taken until the package ends or the file goes.
    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.draft.give_back(self.bytes);
    }
}

impl Drop for PendingPackage {
    fn drop(&mut self) {
        self.loads.end(&self.uploader, *lock(&self.bytes));
    }
}

impl Loads {
    fn begin(&self, uploader: &str) -> Result<(), Problem> {
        let mut by_uploader = lock(&self.by_uploader);
        let load = by_uploader.entry(uploader.to_owned()).or_default();
        if load.drafts >= self.drafts_max {
            let detail = format!("{} packages are begun and not committed", load.drafts);
            return Err(Problem::too_much(ProblemCode::TooManyDrafts, detail));
        }
        load.drafts += 1;
        Ok(())
    }

    fn reserve(&self, uploader: &Uploader, bytes: u64) -> Result<(), Problem> {
        let mut by_uploader = self.room(uploader, bytes)?;
        by_uploader.entry(uploader.name.clone()).or_default().bytes += bytes;
        Ok(())
    }

    /// The loads, if there is room for `bytes`.
    fn room(
        &self,
        uploader: &Uploader,
        bytes: u64,
    ) -> Result<MutexGuard<'_, HashMap<String, Load>>, Problem> {
        let by_uploader = lock(&self.by_uploader);
        let load = by_uploader.get(&uploader.name).copied().unwrap_or_default();
        let sum = load.bytes.saturating_add(bytes);
        if sum > uploader.left_today() {
            return Err(Problem::over_quota(&uploader.name));
        }
        if sum > self.bytes_max {
            let detail = format!("{} bytes are begun and not committed", load.bytes);
            return Err(Problem::too_much(ProblemCode::TooManyBytes, detail));
        }
        Ok(by_uploader)
    }

    fn give_back(&self, uploader: &str, bytes: u64) {
        if let Some(load) = lock(&self.by_uploader).get_mut(uploader) {
            load.bytes = load.bytes.saturating_sub(bytes);
        }
    }

    fn end(&self, uploader: &str, bytes: u64) {
        let mut by_uploader = lock(&self.by_uploader);
        let Some(load) = by_uploader.get_mut(uploader) else {
            return;
        };
        load.drafts = load.drafts.saturating_sub(1);
        load.bytes = load.bytes.saturating_sub(bytes);
        if *load == Load::default() {
            by_uploader.remove(uploader);
        }
    }
}
