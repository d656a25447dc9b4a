//! Mail from outside that is left alone, since its files would be a stranger's in the drop: mail that
//! earlier hosts doubt, and mail that goes on to another machine, where its sender may be. The drop
//! decides how much of the rest is taken (`quota.incoming_per_day`). Pure.

use mailsplice::mime::Field;

use super::{Direction, Envelope};
use crate::{config::Config, policy::HeaderFacts, sender::authentication};

/// Returns true if a message is left alone should one of its recipients' addresses forward to another
/// machine: its sender may be there, and would get a link to his own file.
pub(super) fn spares_forwarded(config: &Config, envelope: &Envelope) -> bool {
    envelope.direction == Direction::Incoming && config.asks_who_forwards()
}

/// Returns true if earlier hosts doubt a message from outside.
pub(super) fn is_marked(
    config: &Config,
    envelope: &Envelope,
    header: &[Field],
    facts: &HeaderFacts<'_>,
) -> bool {
    if envelope.direction == Direction::Outgoing {
        return false;
    }
    let mut marks = config.detach.marked_by.fields().iter();
    let id = &config.sender.authserv_id;
    let is_result = |field: &&Field| field.name.eq_ignore_ascii_case(b"Authentication-Results");
    let results = header.iter().filter(is_result).map(|field| &*field.value);
    marks.any(|mark| facts.has(mark)) || !id.is_empty() && authentication::has_failed(results, id)
}

#[cfg(test)]
mod tests {
    use mailsplice::rewrite::Eol;

    use super::{
        super::{
            Start,
            lab::{Lab, LabFate, Mail},
        },
        *,
    };
    use crate::{drop::PackageLookup, envelope::Known};
    use jiff::Timestamp;

    /// A mail from outside.
    fn from(client: &str, id: &str) -> Mail {
        let mut mail = Mail::new(id);
        mail.envelope.client = Some(client.parse().unwrap());
        mail
    }

    /// A mail of one of ours.
    fn ours(login: &str, id: &str) -> Mail {
        let mut mail = Mail::new(id);
        mail.envelope.direction = Direction::Outgoing;
        mail.envelope.login = Some(login.to_owned());
        mail
    }

    /// Why it goes out as it came; `None` where it goes out with a link.
    async fn kept(lab: &Lab, mail: &Mail) -> Option<&'static str> {
        match lab.send(mail).await {
            LabFate::Kept(reason) => Some(reason),
            LabFate::Link(..) => None,
            LabFate::Refused => panic!("it is refused"),
        }
    }

    #[tokio::test]
    async fn past_a_share_mail_goes_out_as_it_came_whatever_a_failure_means() {
        // Each file counts as a block.
        let lab = Lab::new(&[
            "quota.incoming_client_per_day=9000",
            "quota.incoming_per_day=13000",
            "quota.sender_per_day=5000",
            "detach.on_failure=tempfail",
        ]);
        assert_eq!(kept(&lab, &from("192.0.2.1", "1@a")).await, None);
        assert_eq!(kept(&lab, &from("192.0.2.2", "2@a")).await, None);
        let spent = Some("incoming-quota");
        assert_eq!(kept(&lab, &from("192.0.2.3", "3@a")).await, spent);
        assert_eq!(kept(&lab, &from("203.0.113.1", "4@a")).await, None);
        assert_eq!(kept(&lab, &from("198.51.100.1", "5@a")).await, spent);
        assert_eq!(kept(&lab, &ours("alice", "6@a")).await, None);
        assert_eq!(
            kept(&lab, &ours("alice", "7@a")).await,
            Some("sender-quota")
        );
        assert_eq!(kept(&lab, &ours("bob", "8@a")).await, None);
    }

    #[tokio::test]
    async fn the_share_of_a_network_holds_where_addresses_are_not_recorded() {
        let lab = Lab::new(&[
            "quota.incoming_client_per_day=5000",
            "audit.addresses=false",
            "audit.message_ids=false",
        ]);
        let LabFate::Link(link, _) = lab.send(&from("192.0.2.1", "1@a")).await else {
            panic!("it is kept");
        };
        let spent = Some("incoming-quota");
        assert_eq!(kept(&lab, &from("192.0.2.2", "2@a")).await, spent);
        assert_eq!(kept(&lab, &from("203.0.113.1", "3@a")).await, None);
        let token = link.rsplit('/').next().unwrap().parse().unwrap();
        let PackageLookup::Live(package) = lab.drop.find(&token, Timestamp::now()).await.unwrap()
        else {
            panic!("no package is there");
        };
        let told = (package.origin.client, package.origin.message_id);
        assert_eq!(told, (None, None), "neither is recorded");
    }

    #[tokio::test]
    async fn a_full_drop_is_a_failure_as_before() {
        let lab = Lab::new(&["quota.total=5000"]);
        assert_eq!(kept(&lab, &ours("alice", "1@a")).await, None);
        let sent = tokio::spawn(async move { lab.send(&ours("alice", "2@a")).await });
        assert!(sent.await.is_err(), "the lab panics at a failure");
    }

    #[tokio::test]
    async fn mail_from_outside_that_others_marked_is_left_alone() {
        let lab = Lab::new(&["sender.authserv_id=mx.asso.example"]);
        for (name, value, expected) in [
            ("X-Spam", "Yes", Some("marked")),
            ("x-spam-flag", "YES", Some("marked")),
            (
                "X-Spam-Status",
                "Yes, score=12.3 required=5.0",
                Some("marked"),
            ),
            ("X-Virus-Status", "Infected (Eicar)", Some("marked")),
            (
                "Authentication-Results",
                "mx.asso.example; dmarc=fail header.from=bank.example",
                Some("marked"),
            ),
            ("X-Spam", "No", None),
            ("X-Spam-Status", "No, score=-1", None),
            (
                "Authentication-Results",
                "mx.evil.example; dmarc=fail header.from=bank.example",
                None,
            ),
        ] {
            let id = format!("{}@b", value.len());
            let mail = from("192.0.2.1", &id).with(name, value);
            assert_eq!(kept(&lab, &mail).await, expected, "{name}: {value}");
            let id = format!("{}@c", value.len());
            let mail = ours("alice", &id).with(name, value);
            assert_eq!(kept(&lab, &mail).await, None, "ours, {name}: {value}");
        }
        let lab = Lab::new(&["detach.marked_by=[\"X-Junk: *\"]"]);
        let mail = from("192.0.2.1", "1@d");
        assert_eq!(
            kept(&lab, &mail.clone().with("X-Junk", "90")).await,
            Some("marked")
        );
        assert_eq!(kept(&lab, &mail.with("X-Spam", "Yes")).await, None);
    }

    #[tokio::test]
    async fn mail_from_outside_to_who_forwards_it_is_left_alone() {
        let forwards = |mut mail: Mail| {
            mail.envelope.known = Known::default().leading(Default::default(), Some(true));
            mail
        };
        let lab = Lab::new(&[]);
        let begin = |lab: &Lab, mail: Mail| match lab.filter.begin(
            mail.envelope.clone(),
            &mail.fields(),
            Eol::CrLf,
        ) {
            Start::Pass(reason) => Some(reason.label()),
            Start::Scan(_) => None,
            other => panic!("{other:?}"),
        };
        let incoming = || from("192.0.2.1", "1@e");
        assert_eq!(begin(&lab, forwards(incoming())), Some("forwarded"));
        assert_eq!(begin(&lab, incoming()), None);
        assert_eq!(begin(&lab, forwards(ours("alice", "2@e"))), None);
        let lab = Lab::new(&["detach.forwarded=treat"]);
        assert_eq!(begin(&lab, forwards(incoming())), None);
    }
}
