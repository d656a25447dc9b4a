//! `depollueur doctor`: examines the running system and prints the commands that mend it.
//!
//! Each check is a finding with a stable name, a level, and the lines that mend it. Nothing is
//! changed, with two exceptions: a small package is put into the drop, fetched, and taken out again, and so is an
//! object of the bucket.
//!
//! * `postfix` – the configuration of Postfix
//! * `entry` – the milters in its lists
//! * `listing`, `order` – our place in these lists; `others` – the configuration of the other milters
//! * `filter` – content filters, which bring mail back; `silence` – services that ask no milter
//! * `settings` – further settings of Postfix that matter to us
//! * `lookups` – queries to Postfix about recipients
//! * `socket` – the way to the milter
//! * `system` – files, disk, clock; `owners` – ownership of the files in the drop
//! * `units` – service and socket, and the configuration of the running daemon
//! * `web` – the way of a reader of mail; `deposit` – the test package
//! * `links` – the address in links
//! * `bucket` – the bucket in object storage
//! * `scan` – the virus scanner clamd
//! * `abuse` – the way of readers' reports
//! * `report` – the findings; `quick` – one line for a monitoring system

mod abuse;
mod bucket;
mod deposit;
pub(super) mod entry;
mod filter;
mod links;
pub(super) mod listing;
mod lookups;
mod moved;
pub(super) mod order;
pub(super) mod others;
mod owners;
pub(super) mod postfix;
mod quick;
mod report;
mod scan;
mod settings;
mod silence;
mod socket;
mod system;
mod units;
mod web;

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;

use self::{
    others::Others,
    postfix::Postfix,
    report::{DoctorReport, Severity},
};
use super::{
    ConfigOptions,
    exit::{Failure, runtime},
    plug,
    unit::Unit,
};
use crate::{
    config::{Config, DEFAULT_FILE, ListenAddress},
    loaded::Loaded,
    units::Part,
};

pub(super) use self::web::chain;

/// Exit status: something should be looked at.
const WARNINGS: u8 = 1;
/// Exit status: something does not work, or endangers mail.
const ERRORS: u8 = 2;

#[derive(Args, Debug)]
pub(super) struct DoctorOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
    /// For a monitoring system: puts nothing into the drop, asks nothing over the network, and prints one line; exit status 0
    /// is well, 1 a warning, 2 critical, 3 unknown
    #[arg(long, conflicts_with = "json")]
    quick: bool,
    /// Directory of Postfix's main.cf, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    postfix_config: Option<PathBuf>,
    /// Where to connect to for the public URL, instead of where DNS leads: an address, or one with a port
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    resolve: Option<SocketAddr>,
    /// Sends a test to those who read reports (web.report_to)
    #[arg(long)]
    report: bool,
    /// Puts a package into the store, prints its link, takes it back at the end of standard input
    #[arg(long, hide = true)]
    deposit: bool,
}

/// Examines everything and prints the findings.
pub(super) fn run(mut options: DoctorOptions) -> Result<(), Failure> {
    options.config = options.config.absolute();
    if options.quick {
        return quick::run(&options);
    }

    let (config, loaded) = options.config.clone().load_written_with_files()?;
    if options.deposit {
        return deposit::serve(&config);
    }

    let report = examine(&options, (&config, &loaded))?;
    let text = if options.json {
        report.to_json()
    } else {
        report.to_string()
    };

    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;

    match report.worst() {
        Severity::Ok | Severity::Unknown => Ok(()),
        Severity::Warning => Err(Failure::silent(WARNINGS)),
        Severity::Error => Err(Failure::silent(ERRORS)),
    }
}

fn examine(
    options: &DoctorOptions,
    (config, loaded): (&Config, &Loaded),
) -> Result<DoctorReport, Failure> {
    let mut report = DoctorReport::default();
    let file = system::configuration_file(options.config.config.clone());
    if let Some(notice) = plug::noticed(&plug::record_file(&options.config)) {
        report.error(
            "plug.whole",
            notice,
            ["depollueur unplug".to_owned(), "depollueur plug".to_owned()],
        );
    }

    // Units come first: no other fix helps while a unit cannot be started.
    units::check(&mut report, config, file.as_deref());
    match Postfix::read(options.postfix_config.as_deref()) {
        Ok(postfix) => check_postfix(&mut report, &postfix, config, options.quick),
        Err(why) => {
            report.error("postfix.found", why, []);
            socket::check_listener(&mut report, config, options.quick);
        }
    }

    // Only the usual file is that of a service; and a monitoring system asks often, each time with a
    // line in the journal.
    let is_usual = file.as_deref() == Some(Path::new(DEFAULT_FILE));
    let service = crate::units::in_use().service(Part::Mail).unit();
    let service = (is_usual && !options.quick).then(|| Unit::read(service));
    lookups::check(
        &mut report,
        config,
        &options.config,
        service.flatten().as_ref(),
    );
    system::check(&mut report, (config, loaded), file.as_deref());
    links::check(&mut report, config);
    if !options.quick {
        moved::check(&mut report, config);
        bucket::check(&mut report, config);
    }

    let runtime = runtime()?;
    runtime.block_on(async {
        units::check_configuration(&mut report, config).await;
        if options.quick {
            return web::check_quickly(&mut report, config).await;
        }
        web::check(&mut report, config, &options.config, options.resolve).await;
        scan::check(&mut report, config).await;
        abuse::check(&mut report, config, options.report).await;
    });
    Ok(report)
}

fn check_postfix(report: &mut DoctorReport, postfix: &Postfix, config: &Config, is_quick: bool) {
    let version = postfix.get("mail_version").unwrap_or("of unknown version");
    report.ok("postfix.found", format_args!("Postfix {version}"));
    listing::check(report, postfix, config, &Others::of_this_machine());
    settings::check(report, postfix, config);
    socket::check(report, postfix, config, is_quick);
}

/// Parses an IP address; without a port, 0 stands for the usual port of the URL.
fn address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().ok();
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    with_port
        .or_else(alone)
        .ok_or_else(|| format!("{text:?} is no IP address, with or without a port"))
}

/// Opens a milter negotiation with the listener at this address.
///
/// # Errors
/// Fails if nobody listens there, or the listener is no milter.
pub(super) fn milter_answers(address: &ListenAddress) -> io::Result<()> {
    socket::negotiates(address)
}

/// The state of the milter's connection to the Postfix of this machine.
#[derive(Debug)]
pub(super) struct Plugs {
    /// True if there is a Postfix.
    pub(super) is_there: bool,
    /// The address at which the milter must listen for a Postfix that runs in a chroot.
    pub(super) listen: Option<String>,
}

/// Examines the Postfix of this machine, if there is one.
pub(super) fn plugs(postfix_config: Option<&Path>) -> Plugs {
    let postfix = Postfix::read(postfix_config).ok();
    let usual = Config::default().milter.listen;
    let inside = postfix
        .as_ref()
        .and_then(|postfix| listing::chrooted_address(postfix, &usual));
    let listen = inside.map(|inside| inside.to_string());
    Plugs {
        is_there: postfix.is_some(),
        listen,
    }
}

impl Plugs {
    /// Returns the lines to type: the daemon first, then its entry into Postfix.
    pub(super) fn lines(&self) -> Vec<String> {
        // Restarted, since the running daemon may have another configuration.
        let form = crate::units::in_use();
        let (socket, services) = (form.socket(), form.without_socket());
        let mut lines = if self.listen.is_some() {
            vec![
                format!("systemctl enable {socket} {services}"),
                format!("systemctl restart {socket} {services}"),
            ]
        } else {
            vec![
                format!("systemctl disable --now {socket}"),
                format!("systemctl enable {services}"),
                format!("systemctl restart {services}"),
            ]
        };
        lines.extend(["depollueur plug", "depollueur doctor"].map(str::to_owned));
        lines
    }
}
