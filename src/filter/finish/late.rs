//! The link that a store gives at the commit and no sooner.

use super::{Body, FilterError, Message, Notice, Reason};

/// Makes the body again with the link that a store gave at the commit. Where that fails, the package
/// is taken back.
pub(super) async fn body(
    message: &Message,
    notice: &mut Notice,
    link: String,
) -> Result<Result<Body, Reason>, FilterError> {
    let operator = message.config().web.operator_or_host_of(&link).to_owned();
    (notice.link, notice.operator) = (link, operator);

    let body = super::body(message, notice).await;
    if !matches!(body, Ok(Ok(_)))
        && let Some(store) = message.shipping().store(message.filter())
        && let Err(error) = store.take_back(&notice.link).await
    {
        let queue_id = &message.envelope().queue_id;
        tracing::debug!(queue_id, "a package that no link leads to stays: {error}");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::{
        super::lab::{Lab, LabFate, Mail},
        NO_TOKEN, Verdict,
    };
    use crate::store::conformance::plain::{self, PlainStore};

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
