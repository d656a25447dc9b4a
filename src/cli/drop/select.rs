//! The choice of packages for a command that may be about many: by their sender, and by their time.

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    act,
    link::{self, FoundLink},
    look, named, nothing, unavailable,
    when::{Past, PastEnd},
};
use crate::{
    cli::exit::{EX_USAGE, Failure},
    drop::{Deposit, FileDrop, PackageState, Query, Token},
};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Selection {
    /// The links, or the ids of the records; - reads them from standard input, one a line
    #[arg(conflicts_with_all = [
        "login", "sender", "uploader", "message", "sha256", "since", "before", "state",
    ])]
    packages: Vec<String>,
    #[command(flatten)]
    selectors: Selectors,
}

/// The properties that packages have in common; all that are given must hold.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Selectors {
    /// All packages of this login
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
    /// All packages of this envelope sender, or of a domain: @example.org
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// All packages that were deposited with the token of this name
    #[arg(long, value_name = "NAME")]
    uploader: Option<String>,
    /// All packages of the message with this queue id
    #[arg(long, alias = "queue-id", value_name = "QUEUE ID")]
    message: Option<String>,
    /// All packages that hold the file with this SHA-256, 64 hexadecimal digits
    #[arg(long = "digest", value_name = "SHA-256", value_parser = sha256)]
    sha256: Option<[u8; 32]>,
    /// Of these, those deposited at this time or later: a date, a time, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<Past>,
    /// Of these, those deposited before this time
    #[arg(long, value_name = "TIME")]
    before: Option<PastEnd>,
    /// Of these, those in this state
    #[arg(long)]
    state: Option<StateName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateName {
    Live,
    Expired,
    Revoked,
    Blocked,
    Held,
    Destroyed,
}

impl From<StateName> for PackageState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Live => Self::Live,
            StateName::Expired => Self::Expired,
            StateName::Revoked => Self::Revoked,
            StateName::Blocked => Self::Blocked,
            StateName::Held => Self::Held,
            StateName::Destroyed => Self::Destroyed,
        }
    }
}

impl Selection {
    /// Returns true if packages were named one by one.
    pub(super) fn is_by_name(&self) -> bool {
        !self.packages.is_empty()
    }

    /// The login by which they are chosen.
    pub(super) fn login(&self) -> Option<&str> {
        self.selectors.login.as_deref()
    }

    /// The uploader by which they are chosen.
    pub(super) fn uploader(&self) -> Option<&str> {
        self.selectors.uploader.as_deref()
    }

    /// The digest of the file by which they are chosen.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.selectors.sha256
    }

    /// Finds the packages, whatever their state.
    ///
    /// # Errors
    /// None is chosen, or there is none.
    pub(super) async fn find(
        self,
        drop: &FileDrop,
        url: &str,
        now: Timestamp,
        verb: &str,
    ) -> Result<Vec<Deposit>, Failure> {
        let found = self.find_with_tokens(drop, url, now, verb).await?;
        if found.is_empty() {
            return Err(nothing());
        }
        Ok(found.into_iter().map(|(deposit, _)| deposit).collect())
    }

    /// Finds the packages, whatever their state, each with its token if its link was given; maybe none.
    ///
    /// # Errors
    /// None is chosen, or a name leads to nothing.
    pub(super) async fn find_with_tokens(
        self,
        drop: &FileDrop,
        url: &str,
        now: Timestamp,
        verb: &str,
    ) -> Result<Vec<(Deposit, Option<Token>)>, Failure> {
        let Self {
            packages,
            selectors,
        } = self;
        if packages.is_empty() {
            if !selectors.choose() {
                return Err(none_chosen(verb));
            }
            let query = selectors.query(now);
            let found = drop.list(query, now).await.map_err(unavailable)?;
            return Ok(found.into_iter().map(|deposit| (deposit, None)).collect());
        }
        let mut found = Vec::new();
        for name in link::all_given(packages)? {
            let token = FoundLink::find(&name).and_then(|link| link.token);
            found.push((named(drop, &name, url).await?, token));
        }
        Ok(found)
    }
}

impl Selectors {
    /// Returns true if a selector says whose packages, or since when.
    fn choose(&self) -> bool {
        let words = [&self.login, &self.sender, &self.uploader, &self.message];
        self.since.is_some() || self.sha256.is_some() || words.into_iter().any(Option::is_some)
    }

    /// Restricts these to those from before a time, unless a selector does so.
    pub(super) fn or_before(mut self, before: Option<PastEnd>) -> Self {
        self.before = self.before.or(before);
        self
    }

    /// The query that asks the drop for them.
    pub(super) fn query(self, now: Timestamp) -> Query {
        Query {
            login: self.login,
            sender: self.sender.map(|sender| look::plain(&sender)),
            uploader: self.uploader,
            queue_id: self.message,
            sha256: self.sha256,
            since: self.since.map(|since| since.0),
            until: self.before.map(|before| before.0),
            state: self.state.map(|state| (state.into(), now)),
            ..Query::default()
        }
    }
}

/// Parses a digest of the command line.
fn sha256(text: &str) -> Result<[u8; 32], String> {
    act::digest(text).map_err(|failure| failure.to_string())
}

fn none_chosen(verb: &str) -> Failure {
    let message = format!(
        "nothing to {verb}: give links or ids (- reads them from standard input), or say which packages: \
         --login NAME, --sender ADDRESS, --uploader NAME, --message QUEUE-ID, --digest DIGEST, each with --since TIME, \
         --before TIME and --state STATE; depollueur drop {verb} --help says more"
    );
    Failure::new(EX_USAGE, message)
}
