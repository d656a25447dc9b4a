//! The mail that this program writes itself: readers' reports, to those who keep the drop.
//!
//! It goes to a mail server by SMTP, in the daemon's own process: under its unit it can neither get
//! the group of Postfix's queue nor write into it, so that no `sendmail` works there. A message has
//! one part, the text, which no rule detaches; the milter of this program leaves it alone.
//!
//! Its messages have no sender on the envelope unless `mail.from` names one, so that no bounce
//! comes back to an address that nobody reads (RFC 3834, section 3.3).

use std::{error::Error, net::IpAddr, time::Duration};

use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        self,
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Mail, Rcpt},
        extension::ClientId,
    },
};
use mail_builder::{MessageBuilder, headers::raw::Raw};
use tokio::time::timeout;

use crate::{
    config::{Config, MailConfig, Relay, Security, WebConfig},
    untrusted::Untrusted,
};

/// Longest time that sending a message may take.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Longest time that a probe may take: somebody waits at a terminal.
const PROBE_TIME_MAX: Duration = Duration::from_secs(15);

/// The writer of mail to those who receive reports.
#[derive(Clone, Debug)]
pub(crate) struct Mailer {
    relay: Relay,
    from: Address,
    /// The sender on the envelope.
    sender: Option<Address>,
    to: Vec<Address>,
}

/// The reason why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("the mail server \"{relay}\" {}", why(.error))]
    Server { relay: Relay, error: smtp::Error },
    #[error("the mail server \"{relay}\" did not answer in time")]
    Slow { relay: Relay },
}

impl Mailer {
    /// Makes the mailer for the addresses in `web.report_to`; `None` if there are none.
    pub(crate) fn new(mail: &MailConfig, web: &WebConfig) -> Option<Self> {
        let first = web.report_to.first()?;
        let from = mail.from.clone().or_else(|| usual_sender(web, first));
        Some(Self {
            relay: mail.relay.clone(),
            from: from.unwrap_or_else(|| first.clone()),
            sender: mail.from.clone(),
            to: web.report_to.clone(),
        })
    }

    /// Makes the mailer from a whole configuration.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        Self::new(&config.mail, &config.web)
    }

    /// The addresses of the recipients.
    pub(crate) fn to(&self) -> &[Address] {
        &self.to
    }

    /// Composes a message. `id` is unique; neither it nor the subject holds anything that a
    /// stranger wrote.
    pub(crate) fn letter(&self, id: &str, subject: &str, body: &str) -> Vec<u8> {
        let to: Vec<&str> = self.to.iter().map(AsRef::as_ref).collect();
        let domain = self.from.domain();
        let message = MessageBuilder::new()
            .from(AsRef::<str>::as_ref(&self.from))
            .to(to)
            .subject(subject)
            .message_id(format!("{id}@{domain}"))
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(body.replace('\n', "\r\n"));
        message
            .write_to_vec()
            .expect("writing to memory does not fail")
    }

    /// Sends a message to one of the recipients.
    ///
    /// # Errors
    /// The server is not there, or does not accept it.
    pub(crate) async fn send(&self, to: &Address, letter: &[u8]) -> Result<(), MailError> {
        self.in_time(TIME_MAX, async {
            let envelope =
                Envelope::new(self.sender.clone(), vec![to.clone()]).expect("there is a recipient");
            let mut connection = self.connect().await?;
            let sent = connection.send(&envelope, letter).await;
            connection.abort().await;
            sent.map(drop)
        })
        .await
    }

    /// Checks that the server would accept a message to an address, and sends none.
    ///
    /// # Errors
    /// The server is not there, or would not accept it.
    pub(crate) async fn probe(&self, to: &Address) -> Result<(), MailError> {
        self.in_time(PROBE_TIME_MAX, async {
            let mut connection = self.connect().await?;
            let mail = Mail::new(self.sender.clone(), vec![]);
            let mut asked = connection.command(mail).await;
            if asked.is_ok() {
                asked = connection.command(Rcpt::new(to.clone(), vec![])).await;
            }
            connection.abort().await;
            asked.map(drop)
        })
        .await
    }

    async fn in_time(
        &self,
        time: Duration,
        work: impl Future<Output = Result<(), smtp::Error>>,
    ) -> Result<(), MailError> {
        let relay = || self.relay.clone();
        match timeout(time, work).await {
            Ok(done) => done.map_err(|error| MailError::Server {
                relay: relay(),
                error,
            }),
            Err(_) => Err(MailError::Slow { relay: relay() }),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let Relay {
            host,
            port,
            security,
        } = &self.relay;
        let place = (host.as_str(), *port);
        let (time, name) = (Some(TIME_MAX), self.name());
        let tls = || TlsParameters::new(host.clone());

        match security {
            Security::Clear => {
                AsyncSmtpConnection::connect_tokio1(place, time, &name, None, None).await
            }
            Security::Tls => {
                AsyncSmtpConnection::connect_tokio1(place, time, &name, Some(tls()?), None).await
            }
            Security::StartTls => {
                let plain = AsyncSmtpConnection::connect_tokio1(place, time, &name, None, None);
                let mut connection = plain.await?;
                match connection.starttls(tls()?, &name).await {
                    Ok(()) => Ok(connection),
                    Err(error) => {
                        connection.abort().await;
                        Err(error)
                    }
                }
            }
        }
    }

    /// The name that the client gives in its greeting.
    fn name(&self) -> ClientId {
        let domain = self.from.domain();
        if self.relay.is_loopback() || !domain.contains('.') {
            ClientId::default()
        } else {
            ClientId::Domain(domain.to_owned())
        }
    }
}

impl MailError {
    /// Returns true if there is no use in trying again.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Server { error, .. } => error.is_permanent(),
            Self::Slow { .. } => false,
        }
    }
}

/// The server's words, or the reason why it was not heard.
fn why(error: &smtp::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);

    let verb = if error.is_permanent() || error.is_transient() {
        "refuses"
    } else if error.is_tls() {
        "cannot be trusted"
    } else {
        "cannot be asked"
    };

    let code = error
        .status()
        .map(|code| format!("{code} "))
        .unwrap_or_default();
    // One line, whatever it said.
    let said = cause.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{verb}: {code}{}", Untrusted(said))
}

/// The address `depollueur` at the host of the drop, or at the domain of a receiver where the drop
/// has no name.
fn usual_sender(web: &WebConfig, receiver: &Address) -> Option<Address> {
    let host = web.public_url.host();
    let named = host.contains('.') && host.parse::<IpAddr>().is_err() && !host.contains(':');
    let domain = if named { host } else { receiver.domain() };
    Address::new("depollueur", domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer(public_url: &str, from: &str) -> Mailer {
        let web = WebConfig {
            public_url: public_url.parse().unwrap(),
            report_to: vec![
                "abuse@example.org".parse().unwrap(),
                "b@example.net".parse().unwrap(),
            ],
            ..WebConfig::default()
        };
        let mail = MailConfig {
            from: from.parse().ok(),
            ..MailConfig::default()
        };
        Mailer::new(&mail, &web).unwrap()
    }

    #[test]
    fn the_sender_is_at_the_host_of_the_drop_and_nobody_on_the_envelope() {
        for (url, from, expected, sender) in [
            (
                "https://drop.example.org/",
                "",
                "depollueur@drop.example.org",
                false,
            ),
            (
                "https://drop.example.org:8443/d/",
                "",
                "depollueur@drop.example.org",
                false,
            ),
            (
                "http://127.0.0.1:8025/",
                "",
                "depollueur@example.org",
                false,
            ),
            ("http://[::1]:8025/", "", "depollueur@example.org", false),
            ("http://localhost/", "", "depollueur@example.org", false),
            (
                "https://drop.example.org/",
                "a@example.com",
                "a@example.com",
                true,
            ),
        ] {
            let mailer = mailer(url, from);
            assert_eq!(mailer.from.to_string(), expected, "{url}");
            assert_eq!(mailer.sender.is_some(), sender, "{url}");
        }
        assert!(Mailer::new(&MailConfig::default(), &WebConfig::default()).is_none());
    }

    #[test]
    fn a_letter_is_one_part_of_text_by_a_machine() {
        let letter = mailer("https://drop.example.org/", "").letter(
            "id-1",
            "[depollueur] Report",
            "É\n.\nBcc: x@y\n",
        );
        let text = String::from_utf8(letter).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("Auto-Submitted: auto-generated\r\n"),
            "{head}"
        );
        assert!(
            head.contains("Message-ID: <id-1@drop.example.org>\r\n"),
            "{head}"
        );
        assert!(
            head.contains("To: <abuse@example.org>, <b@example.net>\r\n"),
            "{head}"
        );
        assert!(
            head.contains("From: <depollueur@drop.example.org>\r\n"),
            "{head}"
        );
        assert!(
            head.contains("Content-Type: text/plain") && !head.contains("Bcc"),
            "{head}"
        );
        assert!(text.is_ascii() && body.starts_with("=C3=89"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_and_may_be_tried_again() {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = gone.local_addr().unwrap();
        drop(gone);
        let mut mailer = mailer("https://drop.example.org/", "");
        mailer.relay = place.to_string().parse().unwrap();
        let error = mailer.probe(&mailer.to[0]).await.unwrap_err();
        assert!(!error.is_permanent());
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("the mail server \"{place}\" cannot be asked: ")),
            "{told}"
        );
        assert!(told.contains("refused") && !told.contains('\n'), "{told}");
    }
}
