//! Messages kept by somebody's choice are remembered, and kept when they come again: once a list
//! server has signed a message, or each member gets one of his own, is too late to detach.

use jiff::Timestamp;
use mailsplice::{mime::Field, rewrite::Eol};
use tokio::time::timeout;

use super::{Envelope, Filter, Reason, Start};
use crate::{config::RunMode, policy};

/// The longest `Message-ID` by which a message is known: a line of RFC 5322 has 998 bytes at most.
const MESSAGE_ID_BYTES_MAX: usize = 998;

impl Filter {
    /// Begins a message whose top-level header is known, with all that can be found out before: the
    /// people behind its addresses, and whether it was here before. `eol` is the line ending of the
    /// header.
    pub async fn take(&self, mut envelope: Envelope, header: &[Field], eol: Eol) -> Start {
        self.ask(&mut envelope, header).await;
        self.judge_once(envelope, header, eol).await
    }

    /// Begins a message whose people are known; one that was kept before is kept again.
    pub(super) async fn judge_once(
        &self,
        mut envelope: Envelope,
        header: &[Field],
        eol: Eol,
    ) -> Start {
        let own = self.of(&envelope);
        envelope.kept_before = own.was_kept(&envelope, header).await;
        let size = envelope.size;
        let start = self.begin(envelope, header, eol);
        if let Start::Pass(Reason::Wish | Reason::Rules)
        | Start::Edit(_, Reason::Wish | Reason::Rules) = start
            && policy::may_detach(&own.config, size)
        {
            own.remember(message_id(header)).await;
        }
        start
    }

    /// Remembers a message that somebody's choice kept. Where that fails, the mail goes on.
    pub(super) async fn remember(&self, message_id: Option<&[u8]>) {
        let detach = &self.config.detach;
        let (Some(message_id), Some(drop), Some(keep), RunMode::Live) = (
            message_id,
            &self.choices,
            &detach.remember_kept,
            detach.mode,
        ) else {
            return;
        };
        let remembered = drop.remember_kept(message_id, Timestamp::now(), keep);
        if let Err(error) = remembered.await {
            tracing::warn!("a message that was kept is not remembered: {error}");
        }
    }

    /// Returns true if somebody's choice kept a message before. The drop is not asked about one that
    /// is too small.
    async fn was_kept(&self, envelope: &Envelope, header: &[Field]) -> bool {
        let detach = &self.config.detach;
        let is_asked = detach.remember_kept.is_some()
            && detach.mode == RunMode::Live
            && policy::is_among(detach.directions, envelope.direction)
            && policy::may_detach(&self.config, envelope.size);
        let (Some(drop), Some(message_id), true) = (&self.choices, message_id(header), is_asked)
        else {
            return false;
        };
        let asked = drop.was_kept(message_id, Timestamp::now());
        let error = match timeout(self.config.milter.deadline, asked).await {
            Ok(Ok(was_kept)) => return was_kept,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the drop does not answer".to_owned(),
        };
        let queue_id = &envelope.queue_id;
        tracing::warn!(queue_id, "whether it was kept before is not known: {error}");
        false
    }
}

/// The id by which copies of a message are known: the text between the angle brackets of its
/// `Message-ID`, else all of it. `None` where there are several, or none of a sound length.
pub(super) fn message_id(header: &[Field]) -> Option<&[u8]> {
    let is_it = |field: &&Field| field.name.eq_ignore_ascii_case(b"message-id");
    let mut fields = header.iter().filter(is_it);
    let value = fields.next()?.value.trim_ascii();
    if fields.next().is_some() {
        return None;
    }
    let inner = || {
        let start = memchr::memchr(b'<', value)? + 1;
        let end = memchr::memrchr(b'>', value)?;
        value.get(start..end)
    };
    let id = inner().unwrap_or(value).trim_ascii();
    (1..=MESSAGE_ID_BYTES_MAX).contains(&id.len()).then_some(id)
}

#[cfg(test)]
mod tests {
    use jiff::{Span, ToSpan as _};

    use super::{
        super::lab::{Lab, LabFate, Mail},
        *,
    };
    use crate::envelope::Direction;

    const KEPT_BEFORE: LabFate = LabFate::Kept("kept-before");

    /// What a list server sends to a member.
    fn again(id: &str) -> Mail {
        let mut mail = Mail::new(id).to("zoe@example.com").with("List-Id", "<l.b>");
        mail.envelope.sender = "l-owner@example.org".into();
        mail
    }

    fn is_detached(fate: &LabFate) -> bool {
        matches!(fate, LabFate::Link(..))
    }

    #[tokio::test]
    async fn what_its_sender_kept_is_kept_when_it_comes_again() {
        let lab = Lab::new(&[]);
        let mut mail = Mail::new("a@b").with("Subject", "[NEPASDEPOLLUER] Plan");
        mail.envelope.direction = Direction::Outgoing;
        assert_eq!(lab.send(&mail).await, LabFate::Kept("wish"));
        assert_eq!(lab.send(&again("a@b")).await, KEPT_BEFORE);
        assert!(is_detached(&lab.send(&again("c@d")).await));
        let mut forced = again("a@b").with("Subject", "[DEPOLLUER] Plan");
        forced.envelope.direction = Direction::Outgoing;
        assert!(is_detached(&lab.send(&forced).await), "he says so now");
    }

    #[tokio::test]
    async fn what_a_rule_or_a_user_kept_is_kept_when_it_comes_again() {
        let out = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(out.path(), "list@b\n").unwrap();
        let opt_out = format!("[users]\nopt_out = '{}'\n", out.path().display());
        for (text, first) in [
            (opt_out.as_str(), "rules"),
            ("[[rule]]\nrecipient = 'list@b'\naction = 'keep'\n", "rules"),
            (
                "[[rule]]\nrecipient = 'list@b'\nextension = 'pdf'\naction = 'keep'\n",
                "nothing",
            ),
            (
                "[[rule]]\nrecipient = 'list@b'\nthreshold = '1 MB'\n",
                "nothing",
            ),
        ] {
            let lab = Lab::written(text, &[]);
            let post = Mail::new("a@b").to("list@b");
            assert_eq!(lab.send(&post).await, LabFate::Kept(first), "{text}");
            assert_eq!(lab.send(&again("a@b")).await, KEPT_BEFORE, "{text}");
        }
    }

    #[tokio::test]
    async fn what_nobody_chose_is_judged_anew() {
        let out = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(out.path(), "zoe@example.com\n").unwrap();
        let opt_in = format!("[users]\nopt_in = '{}'\n", out.path().display());
        let keep = "[[rule]]\nrecipient = 'list@b'\naction = 'keep'\n";
        for (text, settings, size) in [
            (opt_in.as_str(), &[][..], None),
            (keep, &["detach.remember_kept=off"], None),
            // What is light stays in any case.
            (keep, &[], Some(999)),
        ] {
            let lab = Lab::written(text, settings);
            let mut post = Mail::new("a@b").to("list@b");
            post.envelope.size = size;
            assert!(!is_detached(&lab.send(&post).await));
            assert!(is_detached(&lab.send(&again("a@b")).await), "{text}");
        }
    }

    #[tokio::test]
    async fn a_refusal_counts_more_than_what_was_kept() {
        let rules = "[[rule]]\nrecipient = 'list@b'\naction = 'keep'\n\
                     [[rule]]\nrecipient = 'no@b'\naction = 'reject'\n";
        let lab = Lab::written(rules, &[]);
        lab.send(&Mail::new("a@b").to("list@b")).await;
        assert_eq!(
            lab.send(&Mail::new("a@b").to("no@b")).await,
            LabFate::Refused
        );
    }

    #[tokio::test]
    async fn it_is_forgotten_after_its_days_and_no_address_is_stored() {
        let rules = "[[rule]]\nrecipient = 'list@b'\naction = 'keep'\n";
        let lab = Lab::written(rules, &["detach.remember_kept=3 days"]);
        lab.send(&Mail::new("very.telling@id.example").to("list@b"))
            .await;
        let (now, id) = (Timestamp::now(), b"very.telling@id.example");
        let after = |span: Span| now.checked_add(span).unwrap();
        assert!(lab.drop.was_kept(id, after(71.hours())).await.unwrap());
        assert!(!lab.drop.was_kept(id, after(73.hours())).await.unwrap());
        let raw: Vec<u8> = ["drop.sqlite3", "drop.sqlite3-wal"]
            .iter()
            .flat_map(|name| std::fs::read(lab.home.path().join("drop").join(name)).unwrap())
            .collect();
        assert!(memchr::memmem::find(&raw, b"kept_message").is_some());
        assert!(memchr::memmem::find(&raw, b"telling").is_none());
    }

    #[tokio::test]
    async fn a_trial_remembers_nothing() {
        let rules = "[[rule]]\nrecipient = 'list@b'\naction = 'keep'\n";
        let lab = Lab::written(rules, &["detach.mode=dry-run"]);
        lab.send(&Mail::new("a@b").to("list@b")).await;
        assert!(!lab.drop.was_kept(b"a@b", Timestamp::now()).await.unwrap());
    }

    #[tokio::test]
    async fn mail_that_dkim2_signed_stays_where_it_goes_to_another_machine() {
        for (settings, leaves, kept) in [
            (&[][..], true, true),
            (&[], false, false),
            (&["detach.dkim2=treat"], true, false),
        ] {
            let lab = Lab::new(settings);
            let mut mail = Mail::new("a@b").with("DKIM2-Signature", "i=1; d=example.org");
            mail.envelope.leaves = leaves;
            let fate = lab.send(&mail).await;
            assert_eq!(
                fate == LabFate::Kept("dkim2"),
                kept,
                "{settings:?} {leaves}"
            );
            assert_eq!(is_detached(&fate), !kept);
        }
        let mut plain = Mail::new("a@b").with("DKIM-Signature", "d=example.org");
        plain.envelope.leaves = true;
        assert!(is_detached(&Lab::new(&[]).send(&plain).await));
    }

    fn field(name: &str, value: &[u8]) -> Field {
        Field {
            name: name.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_message_is_known_by_what_stands_in_the_brackets() {
        for (value, expected) in [
            (&b" <a@b>"[..], Some(&b"a@b"[..])),
            (b"\r\n\t<a@b> ", Some(b"a@b")),
            (b" a@b", Some(b"a@b")),
            (b" (x) <a@b>", Some(b"a@b")),
            (b" ", None),
            (b" <>", None),
            (&[b'x'; 998], Some(&[b'x'; 998])),
            (&[b'x'; 999], None),
        ] {
            let header = [field("Subject", b" s"), field("message-ID", value)];
            assert_eq!(message_id(&header), expected);
        }
        let two = [
            field("Message-ID", b" <a@b>"),
            field("Message-ID", b" <c@d>"),
        ];
        assert_eq!(message_id(&two), None);
        assert_eq!(message_id(&[]), None);
    }
}
