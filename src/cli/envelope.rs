//! The envelope of a message, given by options in place of an SMTP dialogue.

use std::net::IpAddr;

use clap::{Args, ValueEnum, builder::PossibleValue};

use crate::{
    config::MilterConfig,
    envelope::{Direction, Envelope},
    milter,
};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct EnvelopeOptions {
    /// Envelope sender
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// Envelope recipient; may be given many times
    #[arg(long = "recipient", value_name = "ADDRESS")]
    recipients: Vec<String>,
    /// The login name of a client that authenticated
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
    /// The IP address of the client
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The name of the service of Postfix that took the message in
    #[arg(long, value_name = "NAME")]
    daemon: Option<String>,
    /// Which way the message goes; without it, what login, client and daemon say
    #[arg(long, value_enum)]
    direction: Option<Direction>,
}

impl ValueEnum for Direction {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Incoming, Self::Outgoing]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Incoming => "From outside to our users",
            Self::Outgoing => "From our users",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl EnvelopeOptions {
    /// Builds the envelope from the options given.
    pub(super) fn envelope(&self, config: &MilterConfig) -> Envelope {
        let authenticated = self.login.is_some();
        let daemon = self.daemon.as_deref();
        Envelope {
            sender: self.sender.clone().unwrap_or_default(),
            recipients: self.recipients.clone(),
            direction: self
                .direction
                .unwrap_or_else(|| milter::direction(config, self.client, daemon, authenticated)),
            login: self.login.clone(),
            client: self.client,
            daemon: self.daemon.clone(),
            ..Envelope::default()
        }
    }

    /// Returns true if the sender was given.
    pub(super) fn has_sender(&self) -> bool {
        self.sender.is_some()
    }
}
