//! Which packages a command is about, when it is about many: by who sent them, and when.

use clap::Args;
use jiff::Timestamp;

use super::{
    link, look, named, nothing, unavailable,
    when::{Past, PastEnd},
};
use crate::{
    cli::exit::{EX_USAGE, Failure},
    drop::{Deposit, Drop, Query},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Selection {
    /// The links, or the ids of the records; - reads them from standard input, one a line
    packages: Vec<String>,
    #[command(flatten)]
    selectors: Selectors,
}

/// What packages have in common; all that is given must hold.
#[derive(Args, Debug)]
struct Selectors {
    /// All packages of this login
    #[arg(long, value_name = "NAME", conflicts_with = "packages")]
    login: Option<String>,
    /// All packages of this envelope sender, or of a domain: @example.org
    #[arg(long, value_name = "ADDRESS", conflicts_with = "packages")]
    sender: Option<String>,
    /// All packages that were deposited with the token of this name
    #[arg(long, value_name = "NAME", conflicts_with = "packages")]
    uploader: Option<String>,
    /// All packages of the message with this queue id
    #[arg(long, value_name = "QUEUE ID", conflicts_with = "packages")]
    message: Option<String>,
    /// Of these, those deposited at this time or later: a date, a time, or how long ago
    #[arg(long, value_name = "TIME", conflicts_with = "packages")]
    since: Option<Past>,
    /// Of these, those deposited before this time
    #[arg(long, value_name = "TIME", conflicts_with = "packages")]
    before: Option<PastEnd>,
}

impl Selection {
    /// Whether packages were named one by one.
    pub(super) fn is_by_name(&self) -> bool {
        !self.packages.is_empty()
    }

    /// The packages, whatever their state.
    ///
    /// # Errors
    /// None is chosen, or there is none.
    pub(super) async fn find(
        self,
        drop: &Drop,
        url: &str,
        now: Timestamp,
        verb: &str,
    ) -> Result<Vec<Deposit>, Failure> {
        let Self {
            packages,
            selectors,
        } = self;
        let mut found = Vec::new();
        if packages.is_empty() {
            let query = selectors.query().ok_or_else(|| none_chosen(verb))?;
            found = drop.list(query, now).await.map_err(unavailable)?;
        } else {
            for name in link::all_given(packages)? {
                found.push(named(drop, &name, url).await?);
            }
        }
        if found.is_empty() {
            return Err(nothing());
        }
        Ok(found)
    }
}

impl Selectors {
    /// `None` when nothing says whose packages, or since when.
    fn query(self) -> Option<Query> {
        let Self {
            login,
            sender,
            uploader,
            message,
            since,
            before,
        } = self;
        let query = Query {
            login,
            sender: sender.map(|sender| look::plain(&sender)),
            uploader,
            queue_id: message,
            since: since.map(|since| since.0),
            until: before.map(|before| before.0),
            ..Query::default()
        };
        let Query {
            login,
            sender,
            uploader,
            queue_id,
            since,
            ..
        } = &query;
        let words = [login, sender, uploader, queue_id];
        let chosen = since.is_some() || words.into_iter().any(Option::is_some);
        chosen.then_some(query)
    }
}

fn none_chosen(verb: &str) -> Failure {
    let message = format!(
        "nothing to {verb}: give links or ids (- reads them from standard input), or say which packages: \
         --login NAME, --sender ADDRESS, --uploader NAME, --message QUEUE-ID, each with --since TIME and \
         --before TIME; depollueur drop {verb} --help says more"
    );
    Failure::new(EX_USAGE, message)
}
