//! Sends test mail through Postfix and examines what comes out. None of it leaves this machine or
//! reaches a mailbox.
//!
//! A service on loopback, which exists for the duration of the trial, asks the milters to be tried.
//! Its mail goes to a directory of ours (content_filter, virtual(8)). XCLIENT tells it the origin of
//! the mail: a user, this machine, the world. A second depollueur stands in for us, which really
//! takes attachments out, into a drop that is thrown away.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        client::SmtpConnection, commands::Ehlo, extension::ClientId, response::Response,
    },
};

use super::{
    super::doctor::milter_answers,
    interrupt,
    message::{Signature, TestMessage},
    plan::{Route, SenderKind},
    postfix::Editor,
    record,
};
use crate::config::ListenAddress;

/// Time limit of each step of Postfix.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Name of the trial's delivery agent.
const AGENT: &str = "depollueur-trial";

/// The fate of a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrialFate {
    /// It was accepted, and came out.
    Delivered {
        /// True if depollueur took the attachment out.
        detached: bool,
        /// The validity of its signature.
        signature: Signature,
    },
    /// It was refused or put off, with these words.
    Refused(String),
    /// It was accepted, and nothing came out.
    Lost(String),
}

/// The fates of the two messages of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrialOutcome {
    /// The fate of the message with a harmless file.
    pub(super) clean: TrialFate,
    /// The fate of the message with a file that virus scanners refuse.
    pub(super) virus: TrialFate,
}

/// The milters to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Milters {
    /// The present ones.
    Before,
    /// The planned ones, with a second depollueur in our place.
    StandIn,
    /// The planned ones.
    Planned,
}

/// The environment of a trial: its directory, and the second depollueur.
#[derive(Debug)]
pub(super) struct Bench {
    editor: Editor,
    master: Vec<u8>,
    scratch: tempfile::TempDir,
    owner: (u32, u32),
    daemon: Option<(Child, u16)>,
    count: usize,
    domain: String,
    virus: Vec<u8>,
}

impl Bench {
    /// Creates the directories.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn new(editor: &Editor, domain: &str, virus: Vec<u8>) -> Result<Self, String> {
        let failed =
            |error: std::io::Error| format!("could not make a place for test mail: {error}");
        let owner = account("depollueur")
            .or_else(|| account("nobody"))
            .unwrap_or((65_534, 65_534));

        let scratch = tempfile::Builder::new()
            .prefix("depollueur-plug-")
            .tempdir()
            .map_err(failed)?;
        for name in ["", "drop", "spool", "mail"] {
            let path = scratch.path().join(name);
            fs::create_dir_all(&path).map_err(failed)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            chown(&path, Some(owner.0), Some(owner.1)).map_err(failed)?;
        }

        let master = fs::read(editor.file("master.cf")).map_err(failed)?;
        Ok(Self {
            editor: editor.clone(),
            master,
            scratch,
            owner,
            daemon: None,
            count: 0,
            domain: domain.to_owned(),
            virus,
        })
    }

    /// Tries each route with these milters.
    ///
    /// # Errors
    /// Returns one line if the trial could not be made. A bad result of the trial is no error.
    pub(super) fn run(
        &mut self,
        routes: &[Route],
        milters: Milters,
    ) -> Result<Vec<TrialOutcome>, String> {
        if milters == Milters::StandIn && self.daemon.is_none() {
            self.start_daemon()?;
        }
        // master.cf gets this content back when the trial has ended.
        self.master = fs::read(self.editor.file("master.cf"))
            .map_err(|error| format!("could not read master.cf: {error}"))?;
        let outcomes = self.run_services(routes, milters);
        let cleared = self.clear();
        let outcomes = outcomes?;
        cleared?;
        Ok(outcomes)
    }

    fn run_services(
        &mut self,
        routes: &[Route],
        milters: Milters,
    ) -> Result<Vec<TrialOutcome>, String> {
        self.add_agent()?;
        let mut ports = Vec::new();
        for route in routes {
            interrupt::none_yet()?;
            ports.push(self.add_service(route, milters)?);
        }
        self.editor.reload()?;
        let mut outcomes = Vec::new();
        for (route, port) in routes.iter().zip(ports) {
            await_service(port)?;
            let clean = self.fate(route, port, &clean_file())?;
            let virus = self.virus.clone();
            outcomes.push(TrialOutcome {
                clean,
                virus: self.fate(route, port, &virus)?,
            });
        }
        Ok(outcomes)
    }

    fn add_agent(&self) -> Result<(), String> {
        let id = format!("{AGENT}/unix");
        self.editor
            .add_service(&id, &format!("{AGENT} unix - n n - - virtual"))?;
        let base = self.scratch.path().join("mail");
        let (user, group) = self.owner;
        for (name, value) in [
            ("virtual_mailbox_base", base.display().to_string()),
            ("virtual_mailbox_maps", "static:box/".into()),
            ("virtual_uid_maps", format!("static:{user}")),
            ("virtual_gid_maps", format!("static:{group}")),
            ("virtual_minimum_uid", "1".into()),
            ("virtual_mailbox_limit", "0".into()),
        ] {
            self.editor.set_own(&id, name, &value)?;
        }
        Ok(())
    }

    fn add_service(&self, route: &Route, milters: Milters) -> Result<u16, String> {
        let port = free_port()?;
        let id = format!("127.0.0.1:{port}/inet");
        let chroot = if route.chroot { "y" } else { "n" };
        self.editor.add_service(
            &id,
            &format!("127.0.0.1:{port} inet n - {chroot} - - smtpd"),
        )?;

        let list = match (milters, &self.daemon) {
            (Milters::Before, _) => route.before.clone(),
            (Milters::StandIn, Some((_, port))) => {
                let stand_in = format!("{{ inet:127.0.0.1:{port}, default_action=tempfail }}");
                route.after.replacen(&route.ours, &stand_in, 1)
            }
            _ => route.after.clone(),
        };

        let fixed = [
            ("smtpd_milters", list.as_str()),
            ("content_filter", &format!("{AGENT}:trial")),
            (
                "receive_override_options",
                "no_address_mappings,no_unknown_recipient_checks,no_header_body_checks",
            ),
            ("smtpd_authorized_xclient_hosts", "127.0.0.0/8"),
            // Permits all clients, in words that Postfix does not call an open relay.
            (
                "smtpd_relay_restrictions",
                "check_client_access,static:ok,reject",
            ),
            ("smtpd_client_restrictions", ""),
            ("smtpd_helo_restrictions", ""),
            ("smtpd_sender_restrictions", ""),
            ("smtpd_recipient_restrictions", ""),
            ("smtpd_data_restrictions", ""),
            ("smtpd_end_of_data_restrictions", ""),
            ("smtpd_milter_maps", ""),
            ("smtpd_proxy_filter", ""),
            ("smtpd_tls_security_level", "none"),
            ("smtpd_tls_wrappermode", "no"),
            ("smtpd_upstream_proxy_protocol", ""),
            // A milter that does not answer must be noticed, not bypassed.
            ("milter_default_action", "tempfail"),
        ];

        for (name, value) in fixed {
            self.editor.set_own(&id, name, value)?;
        }
        let own = route.settings.iter();
        for (name, value) in own.filter(|(name, _)| *name != "milter_default_action") {
            self.editor.set_own(&id, name, value)?;
        }

        Ok(port)
    }

    fn fate(&mut self, route: &Route, port: u16, file: &[u8]) -> Result<TrialFate, String> {
        interrupt::none_yet()?;
        self.count += 1;
        let message = TestMessage::new(&self.domain, route.origin, self.count, file);
        match send(port, route.origin, &self.domain, &message) {
            Err(Trouble::Refused(why)) => Ok(TrialFate::Refused(why)),
            Err(Trouble::Broken(why)) => Err(why),
            Ok(response) => self.delivered(&message, &response),
        }
    }

    fn delivered(&self, message: &TestMessage, response: &Response) -> Result<TrialFate, String> {
        let said = response.message().last().unwrap_or_default().to_owned();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(bytes) = self.arrived(message) {
                return Ok(TrialFate::Delivered {
                    detached: message.is_detached(&bytes),
                    signature: Signature::of(&bytes, &self.domain),
                });
            }
            if interrupt::none_yet().is_err() {
                break;
            }
            thread::sleep(PAUSE);
        }

        // Without the trial's services it would stay in the queue for days.
        let queue_id = said.rsplit(' ').next().unwrap_or_default();
        self.editor.forget_message(queue_id);
        interrupt::none_yet()?;
        Ok(TrialFate::Lost(format!(
            "accepted ({said}), and not delivered: see the mail log"
        )))
    }

    /// Returns the message as it came out, once it has arrived.
    fn arrived(&self, message: &TestMessage) -> Option<Vec<u8>> {
        let place = self.scratch.path().join("mail/box/new");
        let files = fs::read_dir(place).ok()?;
        let texts = files.filter_map(|file| fs::read(file.ok()?.path()).ok());
        texts.into_iter().find(|bytes| message.is_in(bytes))
    }

    /// Starts a second depollueur, which takes every attachment that it can out of all mail.
    fn start_daemon(&mut self) -> Result<(), String> {
        let (port, web, admin) = (free_port()?, free_port()?, free_port()?);
        let home = self.scratch.path();
        let file = home.join("depollueur.toml");
        let text = format!(
            "[milter]\nlisten = \"127.0.0.1:{port}\"\n[web]\nlisten = \"127.0.0.1:{web}\"\n\
             public_url = \"https://depollueur.invalid/\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [drop]\ndirectory = \"{0}/drop\"\n[spool]\ndirectory = \"{0}/spool\"\n[quota]\nfree_space_min = \"0 B\"\nfree_inodes_min = 0\n\
             [detach]\nthreshold = \"60 B\"\nmode = \"live\"\n",
            home.display()
        );
        record::write(&file, text.as_bytes(), 0o644)?;

        let failed =
            |error: std::io::Error| format!("could not start a second depollueur: {error}");
        let log = fs::File::create(home.join("log")).map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["run", "--config"])
            .arg(&file)
            // It ends even if we are killed and have no time to end it.
            .args(["--ends-with", &std::process::id().to_string()])
            .process_group(0)
            // Its only configuration is the file, and it inherits nothing of ours: no variable, no
            // socket of systemd.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;

        let address = ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let begun = Instant::now();
        while milter_answers(&address).is_err() {
            let ended = child.try_wait().map_err(failed)?.is_some();
            if ended || begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let log = fs::read_to_string(home.join("log")).unwrap_or_default();
                return Err(format!("a second depollueur does not run: {}", log.trim()));
            }
            thread::sleep(PAUSE);
        }

        self.daemon = Some((child, port));
        Ok(())
    }

    /// Removes the services of the trial.
    fn clear(&self) -> Result<(), String> {
        record::write(&self.editor.file("master.cf"), &self.master, 0o644)?;
        self.editor.reload()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.daemon {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The reason why a message was not accepted.
enum Trouble {
    /// Postfix or a milter refused it.
    Refused(String),
    /// It could not be sent at all.
    Broken(String),
}

impl From<lettre::transport::smtp::Error> for Trouble {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        match error.status() {
            Some(_) => Self::Refused(error.to_string()),
            None => Self::Broken(format!(
                "test mail could not be sent: {error}; see the mail log"
            )),
        }
    }
}

fn send(
    port: u16,
    origin: SenderKind,
    domain: &str,
    message: &TestMessage,
) -> Result<Response, Trouble> {
    let broken = |why: String| Trouble::Broken(why);
    let address = |text: &str| {
        let parsed = text.parse::<Address>();
        parsed.map_err(|error| broken(format!("{text:?} is no address: {error}")))
    };
    let hello = ClientId::Domain("depollueur.invalid".into());
    let server = (Ipv4Addr::LOCALHOST, port);
    let mut smtp = SmtpConnection::connect(server, Some(PATIENCE), &hello, None, None)?;

    let who = match origin {
        SenderKind::User => format!("NAME=client.invalid ADDR=192.0.2.7 LOGIN=postmaster@{domain}"),
        SenderKind::Machine => "NAME=localhost ADDR=127.0.0.1".to_owned(),
        SenderKind::World => "NAME=mx.example.net ADDR=192.0.2.25".to_owned(),
    };
    smtp.command(format!("XCLIENT {who}\r\n"))?;
    smtp.command(Ehlo::new(hello))?;

    let recipients = vec![address(&message.to)?];
    let envelope = Envelope::new(Some(address(&message.from)?), recipients);
    let envelope = envelope.map_err(|error| broken(error.to_string()))?;

    let response = smtp.send(&envelope, message.text.as_bytes());
    let _ = smtp.quit();
    Ok(response?)
}

fn await_service(port: u16) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err(format!(
        "Postfix does not listen at 127.0.0.1:{port}: see the mail log"
    ))
}

/// Returns a file that no scanner objects to.
fn clean_file() -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    file.extend((0_u32..4_000).map(|n| u8::try_from(n * 37 % 251).unwrap_or_default()));
    file
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|error| format!("no port is free: {error}"))
}

/// Returns the user and group of an account of this machine.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    let line = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
