//! The link that a store gives at the commit and no sooner.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Body, FilterError, Message, Notice, Reason};
use crate::store::Store;

/// A package that was committed, and whose link stands in no mail yet. Dropping it takes the package back,
/// in the background: the message may be given up at any instant.
#[derive(Debug)]
struct Unlinked {
    store: Option<Arc<dyn Store>>,
    link: String,
    queue_id: String,
}

impl Unlinked {
    /// Leaves the package where it is: its link goes out.
    fn keep(mut self) {
        self.store = None;
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        let (Some(store), Ok(runtime)) = (self.store.take(), Handle::try_current()) else {
            return;
        };
        let (link, queue_id) = (
            std::mem::take(&mut self.link),
            std::mem::take(&mut self.queue_id),
        );
        runtime.spawn(async move {
            if let Err(error) = store.take_back(&link).await {
                tracing::warn!(queue_id, "a package that no link leads to stays: {error}");
            }
        });
    }
}

/// Makes the body again with the link that a store gave at the commit. Where that fails, or nobody waits for
/// it to the end, the package is taken back.
pub(super) async fn body(
    message: &Message,
    notice: &mut Notice,
    link: String,
) -> Result<Result<Body, Reason>, FilterError> {
    let package = Unlinked {
        store: message.shipping().store(message.filter()).cloned(),
        link: link.clone(),
        queue_id: message.envelope().queue_id.clone(),
    };
    let operator = message.config().web.operator_or_host_of(&link).to_owned();
    (notice.link, notice.operator) = (link, operator);

    let body = super::body(message, notice).await;
    if matches!(body, Ok(Ok(_))) {
        package.keep();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::{
        super::lab::{Lab, LabFate, Mail},
        NO_TOKEN, Verdict,
    };
    use super::{Arc, Store, Unlinked};
    use crate::store::conformance::plain::{self, PlainStore};

    #[tokio::test]
    async fn a_package_whose_link_goes_nowhere_is_taken_back() {
        let home = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(PlainStore::new(home.path()));
        let lab = Lab::new(&[]).storing(PlainStore::new(home.path()));
        let unlinked = async |mail: &str| {
            let verdict = lab.verdict(&Mail::new(mail)).await.unwrap();
            let Verdict::Rewrite(rewritten) = verdict else {
                panic!("{verdict:?}");
            };
            Unlinked {
                store: Some(Arc::clone(&store)),
                link: rewritten.link,
                queue_id: "Q".to_owned(),
            }
        };

        let (kept, given_up) = (unlinked("a@b").await, unlinked("c@d").await);
        let (stays, goes) = (kept.link.clone(), given_up.link.clone());
        kept.keep();
        drop(given_up);
        while plain::read(&goes).is_some() {
            tokio::task::yield_now().await;
        }
        assert!(plain::read(&stays).is_some());
    }

    #[tokio::test]
    async fn a_link_that_is_known_at_the_commit_stands_in_the_mail() {
        let home = tempfile::tempdir().unwrap();
        let lab = Lab::new(&[]).storing(PlainStore::new(home.path()));
        let verdict = lab.verdict(&Mail::new("a@b")).await.unwrap();
        let Verdict::Rewrite(mut rewritten) = verdict else {
            panic!("{verdict:?}");
        };

        let link = rewritten.link.clone();
        let served = plain::read(&link).unwrap();
        assert_eq!(served.files[0].contents, vec![b'x'; 2000]);

        let mut body = Vec::new();
        while let Some(piece) = rewritten.next_piece().await.unwrap() {
            body.extend_from_slice(&piece);
        }
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(&link), "{body}");
        assert!(!body.contains(NO_TOKEN), "{body}");
    }

    #[tokio::test]
    async fn copies_of_a_store_that_tells_nothing_have_packages_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let lab = Lab::new(&[]).storing(PlainStore::new(home.path()));
        let (first, second) = (
            lab.send(&Mail::new("a@b")).await,
            lab.send(&Mail::new("a@b")).await,
        );
        assert!(matches!(first, LabFate::Link(_, false)), "{first:?}");
        assert!(matches!(second, LabFate::Link(_, false)), "{second:?}");
        assert_ne!(first, second);
    }
}
