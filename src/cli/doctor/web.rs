//! The way of a reader: the public URL, its certificate, its clock, and a file there and back.

use std::{
    collections::BTreeSet,
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{
    Client, ClientBuilder, Response, StatusCode, header::LOCATION, redirect::Policy, tls::TlsInfo,
};
use x509_cert::{Certificate, der::Decode as _};

use super::{
    super::ConfigOptions,
    deposit::{CONTENTS, NAME, TestDeposit},
    report::{DoctorReport, Severity},
};
use crate::{
    config::{Config, ListenAddress, PublicUrl, StoreKind},
    drop::{self, Link, Unlock},
    units::{self, Part, Service},
};

/// The time that a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most that two clocks may be apart.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Runs all checks of it. `resolve` replaces the address of the public URL's host in DNS.
pub(super) async fn check(
    report: &mut DoctorReport,
    config: &Config,
    options: &ConfigOptions,
    resolve: Option<SocketAddr>,
) {
    let checked = async {
        let deposit = if check_daemon(report, config, &client(None)?).await {
            check_other_stores(report, config, options);
            check_upload(report, config, options)
        } else {
            let why = "the daemon does not run: no file was put into the drop to fetch it back";
            report.unknown("public.round-trip", why);
            None
        };

        let Some(url) = public_url(config, deposit.as_ref()) else {
            let why = "the drop of the other host gave no link: where it leads is not known";
            report.unknown("public.reach", why);
            return Ok(());
        };

        let client = client(resolve.map(|address| (url.host(), address)))?;
        let is_reached = check_public(report, &url, &client).await;
        check_domains(report, config, deposit.as_ref(), &url).await?;
        if let Some(deposit) = deposit {
            let here = local_client(config)?;
            check_round_trip(report, config, deposit, (&client, is_reached), &here).await;
        }
        Ok::<_, reqwest::Error>(())
    };

    if let Err(error) = checked.await {
        let message = format!("no HTTP client: {}", chain(&error));
        report.error("public.reach", message, []);
    }
}

/// Each public name that domains have of their own: where it leads, its certificate, and whether it serves this drop.
async fn check_domains(
    report: &mut DoctorReport,
    config: &Config,
    deposit: Option<&TestDeposit>,
    main: &PublicUrl,
) -> reqwest::Result<()> {
    let own = config.domains.values().map(|own| &own.web.public_url);
    let urls: BTreeSet<&PublicUrl> = own.filter(|url| *url != main).collect();
    if !config.store.kind.is_here() {
        return Ok(());
    }

    for url in urls {
        let client = client(None)?;
        let is_reached = check_public(report, url, &client).await;
        let Some(deposit) = deposit.filter(|_| is_reached) else {
            continue;
        };
        let place = format!("{url}{}", deposit.link.first_file());
        match fetch(&client, &place, &deposit.link).await {
            Ok(()) => report.ok("public.download", format_args!("{url} serves it")),
            Err(why) => {
                let message = format!("{url} does not lead to this drop: {why}");
                report.error("public.download", message, []);
            }
        }
    }
    Ok(())
}

/// Checks only that the daemon runs and takes files.
pub(super) async fn check_quickly(report: &mut DoctorReport, config: &Config) {
    match client(None) {
        Ok(client) => {
            check_daemon(report, config, &client).await;
        }
        Err(error) => report.error(
            "daemon.running",
            format_args!("no HTTP client: {}", chain(&error)),
            [],
        ),
    }
}

/// The base of links in mail: the drop of another host tells it itself, with a link.
fn public_url(config: &Config, deposit: Option<&TestDeposit>) -> Option<PublicUrl> {
    if config.store.kind.is_here() {
        Some(config.web.public_url.clone())
    } else {
        deposit?.link.base.parse().ok()
    }
}

/// Builds a client, for which a host may be at another address than DNS says.
fn client(resolve: Option<(&str, SocketAddr)>) -> reqwest::Result<Client> {
    match resolve {
        Some((host, address)) => builder().resolve(host, address),
        None => builder(),
    }
    .build()
}

/// Builds a client of the daemon's own web listener, as the proxy before it is one.
fn local_client(config: &Config) -> reqwest::Result<Client> {
    match &config.web.listen {
        ListenAddress::Unix(path) => builder().unix_socket(path.as_path()),
        ListenAddress::Tcp(_) => builder(),
    }
    .build()
}

fn builder() -> ClientBuilder {
    Client::builder()
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .no_proxy()
        .tls_info(true)
        .user_agent(concat!("depollueur-doctor/", env!("CARGO_PKG_VERSION")))
}

/// Checks each process of the daemon. Returns true if the one that takes mail runs.
async fn check_daemon(report: &mut DoctorReport, config: &Config, client: &Client) -> bool {
    let mut takes_mail = false;
    for &service in units::in_use().daemons() {
        let runs = check_process(report, config, client, service).await;
        takes_mail |= runs && service.has(Part::Mail);
    }
    takes_mail
}

async fn check_process(
    report: &mut DoctorReport,
    config: &Config,
    client: &Client,
    service: Service,
) -> bool {
    let admin = base(config.admin_of(service).1);
    let check = "daemon.running";
    let name = service.name();

    match client.get(format!("{admin}healthz")).send().await {
        Ok(_) => report.ok(check, format_args!("answers at {admin}")),
        Err(error) => {
            let message = format!(
                "the daemon does not run: nobody answers at {admin}: {}",
                chain(&error)
            );
            report.error(check, message, [format!("systemctl start {name}")]);
            return false;
        }
    }

    match client.get(format!("{admin}readyz")).send().await {
        Ok(answer) if answer.status() == StatusCode::OK => {
            let well = match service.has(Part::Mail) {
                true => "the drop takes packages",
                false => "the drop can be read",
            };
            report.ok("daemon.ready", well);
        }
        Ok(answer) => {
            let said = answer.text().await.unwrap_or_default();
            let message = format!("the daemon is not ready: {}", said.trim());
            report.error(
                "daemon.ready",
                message,
                [format!("journalctl -u {name} -p warning")],
            );
        }
        Err(error) => report.error("daemon.ready", chain(&error), []),
    }

    true
}

async fn check_public(report: &mut DoctorReport, url: &PublicUrl, client: &Client) -> bool {
    let answer = match client.get(url.as_str()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            unreachable(report, url, &chain(&error));
            return false;
        }
    };

    check_certificate(report, url, &answer);
    check_date(report, &answer);

    let status = answer.status();
    if status == StatusCode::OK {
        report.ok("public.reach", format_args!("{url} answers"));
    } else if status.is_redirection() {
        let place = answer
            .headers()
            .get("location")
            .and_then(|to| to.to_str().ok());
        let message = format!(
            "{url} leads on to {}: links in mail should not",
            place.unwrap_or("nowhere")
        );
        report.warning("public.reach", message, []);
    } else {
        let message = format!(
            "{url} answers with {status}: if the daemon's log says nothing of it, the web server before it (nginx, Apache, Caddy) does not lead there, and its log says why"
        );
        report.error(
            "public.reach",
            message,
            [format!("journalctl -u {} -n 20", units::of(Part::Pages))],
        );
    }

    status == StatusCode::OK
}

/// Reports a public URL that is not reached. A certificate that does not hold is a matter of its own.
fn unreachable(report: &mut DoctorReport, url: &PublicUrl, why: &str) {
    if why.contains("certificate") || why.contains("UnknownIssuer") {
        let message = format!("readers are warned of {url}: {why}");
        report.error("public.certificate", message, ["certbot renew".to_owned()]);
    } else {
        let message = format!("could not reach {url}: {why}");
        report.error("public.reach", message, []);
    }
}

fn check_certificate(report: &mut DoctorReport, url: &PublicUrl, answer: &Response) {
    let check = "public.certificate";
    if !url.is_secure() {
        return report.ok(check, "there is none without https");
    }

    let info = answer.extensions().get::<TlsInfo>();
    let der = info.and_then(TlsInfo::peer_certificate);
    let read = der.and_then(|der| Certificate::from_der(der).ok());
    let Some(certificate) = read else {
        return report.unknown(check, "it holds, but could not be read");
    };

    let validity = certificate.tbs_certificate().validity();
    let time = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
        Timestamp::from_second(seconds).ok()
    };
    let (Some(from), Some(until)) = (time(validity.not_before), time(validity.not_after)) else {
        return report.unknown(check, "it holds, but its dates could not be read");
    };

    let (level, message) = life_left(from, until, Timestamp::now());
    let fix = (level > Severity::Ok).then(|| "certbot renew".to_owned());
    report.add(check, level, message, fix);
}

/// Judges the rest of a certificate's life. Certificates are renewed when a third of it is left; some
/// live 90 days, some six.
fn life_left(from: Timestamp, until: Timestamp, now: Timestamp) -> (Severity, String) {
    let (life, left) = (until.duration_since(from), until.duration_since(now));
    let message = format!("good until {until}, {} days from now", left.as_hours() / 24);
    let level = match life.as_secs().checked_div(left.as_secs()) {
        Some(part @ 0..) if part < 6 => Severity::Ok,
        Some(part @ 0..) if part < 20 => Severity::Warning,
        _ => Severity::Error,
    };
    (level, message)
}

fn check_date(report: &mut DoctorReport, answer: &Response) {
    let check = "clock.web";
    let date = answer
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| rfc2822::parse(date).ok()) else {
        return report.unknown(check, "the public server does not say what time it has");
    };
    let apart = Timestamp::now().duration_since(date.timestamp()).abs();
    if apart > CLOCKS_APART_MAX {
        let message = format!(
            "the public server's clock is {} s off from this one",
            apart.as_secs()
        );
        report.warning(check, message, ["timedatectl set-ntp true".to_owned()]);
    } else {
        report.ok(check, "the public server has the same time");
    }
}

/// Tries the stores that only rules choose.
fn check_other_stores(report: &mut DoctorReport, config: &Config, options: &ConfigOptions) {
    let others = StoreKind::all().filter(|kind| *kind != config.store.kind);
    for other in others.filter(|kind| config.uses(*kind)) {
        check_other_store(report, config, options, other);
    }
}

fn check_other_store(
    report: &mut DoctorReport,
    config: &Config,
    options: &ConfigOptions,
    other: StoreKind,
) {
    let name = other.word();
    let check = "drop.rules";
    let made = TestDeposit::make(options, &config.drop.directory, other);
    match made.and_then(TestDeposit::take_back) {
        Ok(()) => {
            let message = format!("the store \"{name}\", which rules choose, takes packages");
            report.ok(check, message);
        }
        Err(why) if why.starts_with("run doctor as") => report.unknown(check, why),
        Err(why) => {
            let message =
                format!("the store \"{name}\", which rules choose, takes no package: {why}");
            report.error(check, message, []);
        }
    }
}

/// Puts a package into the store that the daemon uses: the drop of this host or of another.
fn check_upload(
    report: &mut DoctorReport,
    config: &Config,
    options: &ConfigOptions,
) -> Option<TestDeposit> {
    let check = "drop.upload";
    match TestDeposit::make(options, &config.drop.directory, config.store.kind) {
        Ok(deposit) => {
            report.ok(check, "a test package was put into the drop");
            return Some(deposit);
        }
        Err(why) if why.starts_with("run doctor as") => report.unknown(check, why),
        Err(why) => {
            let message = format!("no package can be put into the drop: {why}");
            report.error(check, message, []);
        }
    }
    None
}

/// Uploads, downloads and deletes a file, as happens to every package.
async fn check_round_trip(
    report: &mut DoctorReport,
    config: &Config,
    deposit: TestDeposit,
    (client, is_reached): (&Client, bool),
    here: &Client,
) {
    let link = &deposit.link;
    let url = &link.base;
    let local = match config.web.listen.tcp() {
        Some(address) => format!("{}{}", base(address), link.first_file()),
        None => format!("http://localhost/{}", link.first_file()),
    };
    let public = format!("{url}{}", link.first_file());
    let is_here = config.store.kind.is_here();

    if is_here {
        match fetch(here, &local, link).await {
            Ok(()) => report.ok("web.download", "the daemon serves it"),
            Err(why) => report.error(
                "web.download",
                format_args!("the daemon does not serve it: {why}"),
                [],
            ),
        }
    }

    if is_reached {
        match fetch(client, &public, link).await {
            Ok(()) => report.ok("public.download", format_args!("{url} serves it")),
            Err(why) => {
                let message = format!("{url} does not lead to this drop: {why}");
                report.error("public.download", message, []);
            }
        }
    } else {
        report.unknown("public.download", format_args!("{url} is not reached"));
    }

    let served = (is_here || is_reached).then_some(if is_here { local } else { public });
    let client = if is_here { here } else { client };
    check_delete(report, client, deposit, served).await;
}

async fn check_delete(
    report: &mut DoctorReport,
    client: &Client,
    deposit: TestDeposit,
    served: Option<String>,
) {
    let check = "drop.delete";
    if let Err(why) = deposit.take_back() {
        return report.error(
            check,
            format_args!("the test package was not taken out: {why}"),
            [],
        );
    }

    let Some(url) = served else {
        return report.ok(check, "the test package was taken out");
    };
    match client.get(url).send().await.map(|answer| answer.status()) {
        Ok(StatusCode::NOT_FOUND | StatusCode::GONE) => {
            report.ok(
                check,
                "the test package was taken out and is served no more",
            );
        }
        Ok(status) => report.error(
            check,
            format_args!("after it was taken out, the answer is {status}"),
            [],
        ),
        Err(error) => report.error(check, chain(&error), []),
    }
}

async fn fetch(client: &Client, url: &str, link: &Link) -> Result<(), String> {
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| chain(&error))?;

    let status = answer.status();
    if status == StatusCode::SEE_OTHER {
        return fetch_page(client, &answer).await;
    }
    if status != StatusCode::OK {
        return Err(format!("the answer is {status}"));
    }

    let body = answer.bytes().await.map_err(|error| chain(&error))?;
    let size = CONTENTS.len() as u64;
    let is_it = match link.unlock {
        Unlock::Server => body == CONTENTS,
        Unlock::Browser => {
            drop::unseal_first(&link.token, size, &body).is_some_and(|plain| plain == CONTENTS)
        }
    };

    if is_it {
        Ok(())
    } else {
        Err("the answer is another file".into())
    }
}

/// Looks at the page of a file that Jirafeau keeps, to which we redirect: it names the file.
async fn fetch_page(client: &Client, redirect: &Response) -> Result<(), String> {
    let page = redirect.headers().get(LOCATION);
    let page = page.and_then(|place| place.to_str().ok());
    let page = page.ok_or("it redirects to no address")?;
    let answer = client.get(page).send().await;
    let answer = answer.map_err(|error| format!("Jirafeau's page: {}", chain(&error)))?;

    let status = answer.status();
    let text = answer.text().await.map_err(|error| chain(&error))?;
    if status == StatusCode::OK && text.contains(NAME) {
        return Ok(());
    }
    Err(format!(
        "Jirafeau's page answers {status}, and does not name the file"
    ))
}

/// The URL at which a listener of ours is reached from this machine.
fn base(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/", SocketAddr::new(ip, listen.port()))
}

/// The innermost reasons of an error; its own text names the URL, which may hold a token.
pub(in crate::cli) fn chain(error: &reqwest::Error) -> String {
    let mut reasons = Vec::new();
    let mut source = error.source();
    while let Some(inner) = source {
        reasons.push(inner.to_string());
        source = inner.source();
    }
    match reasons.pop() {
        Some(last) => last,
        None if error.is_timeout() => "no answer in time".into(),
        None => "the request failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_by_the_part_of_its_life_that_is_left() {
        let day = |n: i64| Timestamp::from_second(n * 86_400).unwrap();
        for (life, age, level) in [
            (90, 0, Severity::Ok),
            (90, 74, Severity::Ok),
            (90, 76, Severity::Warning),
            (90, 86, Severity::Error),
            (90, 91, Severity::Error),
            (6, 4, Severity::Ok),
        ] {
            assert_eq!(
                life_left(day(0), day(life), day(age)).0,
                level,
                "{age} of {life}"
            );
        }
    }
}
