//! `[web]`: the public listener, and what its pages show.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Colour, ListenAddress, Network, PublicUrl,
    address::{Contact, Networks, WebSocket},
    appearance::{CommandLine, DarkAccent, LightAccent, Prose},
    mail::MailAddresses,
    public_url::PublicAddress,
    value::{As, Choice, Count, Mode, OptionalPath, OptionalSize, Seconds, Size, Sizes, Text},
};

/// `[web]`: the public listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct WebConfig {
    /// The socket.
    #[serde(with = "As::<WebSocket>")]
    pub listen: ListenAddress,
    /// Permission bits of a unix socket: anybody who may write to it is believed as a proxy is.
    #[serde(with = "As::<Mode>")]
    pub socket_mode: u32,
    /// The base address of links, with a final slash: `https://drop.example.org/`.
    #[serde(with = "As::<PublicAddress>")]
    pub public_url: PublicUrl,
    /// The operator's name, shown on every page; the host of `public_url` when empty.
    #[serde(with = "As::<Text>")]
    pub operator: String,
    /// A mail address or URL for reports of abuse and questions; may be empty.
    #[serde(with = "As::<Contact>")]
    pub contact: String,
    /// The legal notice: a text, or the URL of one; may be empty.
    #[serde(with = "As::<Prose>")]
    pub legal: String,
    /// The part of a sender's address that pages show.
    #[serde(with = "As::<Choice<ShowSender>>")]
    pub show_sender: ShowSender,
    /// The operator's logo: a PNG, SVG or WebP file.
    #[serde(with = "As::<OptionalPath>")]
    pub logo: Option<PathBuf>,
    /// The colour of buttons and links on light pages.
    #[serde(with = "As::<LightAccent>")]
    pub accent: Colour,
    /// The colour of buttons and links on dark pages.
    #[serde(with = "As::<DarkAccent>")]
    pub accent_dark: Colour,
    /// A directory of templates that replace ours.
    #[serde(with = "As::<OptionalPath>")]
    pub templates: Option<PathBuf>,
    /// The mail addresses that get each report of content.
    #[serde(with = "As::<MailAddresses>")]
    pub report_to: Vec<lettre::Address>,
    /// The command that is run with each report of content; none when empty.
    #[serde(with = "As::<CommandLine>")]
    pub report_command: Vec<String>,
    /// The format in which that command reads a report.
    #[serde(with = "As::<Choice<ReportFormat>>")]
    pub report_format: ReportFormat,
    /// Proxies that are believed about the client for which they ask (CIDR).
    #[serde(with = "As::<Networks>")]
    pub trusted_proxies: Vec<Network>,
    /// The header field in which they name that client.
    #[serde(with = "As::<Choice<ProxyHeader>>")]
    pub proxy_header: ProxyHeader,
    /// Connections that are served at once.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections: usize,
    /// Connections that one address may have at once; behind a proxy, requests.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections_per_address: usize,
    /// Links that lead nowhere which an address may try in a minute.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub misses_per_minute: usize,
    /// Forms that an address may send in a minute.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub posts_per_minute: usize,
    /// The time that a client may take for its request header, and for which it may read too slowly.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: Duration,
    /// Bytes a second that a reader must take, over `timeout`.
    #[serde(with = "As::<Size>")]
    pub min_rate: u64,
    /// Bytes that all answers together may hold until they are sent.
    #[serde(with = "As::<Sizes<8_000_000, 68_719_476_736>>")]
    pub answer_memory: usize,
    /// Bytes a second that all downloads together may take.
    #[serde(with = "As::<OptionalSize>")]
    pub max_rate: Option<u64>,
}

/// The part of a sender's address that pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowSender {
    /// The whole address of senders who authenticated; the domain of others.
    Address,
    /// The domain.
    Domain,
    /// Nothing.
    None,
}

/// The format of what `web.report_command` reads on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// A mail message.
    Mail,
    /// A JSON object.
    Json,
}

/// The header field in which a proxy names the client for which it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl WebConfig {
    /// Returns true if somebody is told of reports.
    pub fn has_receiver(&self) -> bool {
        !self.report_to.is_empty() || !self.report_command.is_empty()
    }

    /// The host in `public_url`, with its port.
    pub fn host(&self) -> &str {
        self.public_url.authority()
    }

    /// The keeper of the files, as named to readers: the operator, or the host of `public_url`.
    pub fn operator_or_host(&self) -> &str {
        if self.operator.is_empty() {
            self.host()
        } else {
            &self.operator
        }
    }

    /// The keeper of the files, as named to readers of the notice: the operator, or the host of
    /// `link`, for the links of a remote store have a host of their own.
    pub fn operator_or_host_of<'a>(&'a self, link: &'a str) -> &'a str {
        if self.operator.is_empty() {
            host(link)
        } else {
            &self.operator
        }
    }
}

/// The host of a link, with its port, as it was written. [`url::Url`] would put it into lower case,
/// and readers see it in mail beside the link.
fn host(link: &str) -> &str {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}
