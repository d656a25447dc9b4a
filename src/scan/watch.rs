//! The state of the daemons and the age of their signatures, for those who watch over them.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::session;
use crate::config::ScanConfig;

/// The format in which a version tells the time at which its signatures were made, as ctime(3) writes it.
const DATE: &str = "%a %b %e %H:%M:%S %Y";
/// The longest time that a daemon may take to say its version.
const PATIENCE_MAX: Duration = Duration::from_secs(5);

/// The state of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClamdState {
    /// The daemon, as configured.
    pub address: String,
    /// True if it answers.
    pub answers: bool,
    /// The time at which its signatures were made; `None` when it does not say.
    pub signatures: Option<Timestamp>,
}

/// Asks all daemons at once.
pub async fn look(config: &ScanConfig) -> Vec<ClamdState> {
    let patience = config.timeout.min(PATIENCE_MAX);
    let asked = config.clamd.iter().map(|daemon| async move {
        let version = session::ask(daemon, patience, "VERSION").await.ok();
        ClamdState {
            address: daemon.to_string(),
            answers: version.is_some(),
            signatures: version.and_then(|version| made(&version, TimeZone::system())),
        }
    });
    join_all(asked).await
}

/// The time at which the signatures of a version were made: `ClamAV 1.4.6/27451/Sun Nov 22 09:00:00
/// 2026`, in the time zone of the daemon's host, which is taken for ours.
fn made(version: &str, zone: TimeZone) -> Option<Timestamp> {
    let date = version.splitn(3, '/').nth(2)?;
    let date = DateTime::strptime(DATE, date.trim()).ok()?;
    Some(date.to_zoned(zone).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scripted::{Script, Scripted};

    #[test]
    fn the_date_of_signatures_is_read_where_there_is_one() {
        for (version, date) in [
            (
                "ClamAV 1.4.6/27451/Sun Nov 22 09:00:00 2026",
                Some("2026-11-22T09:00:00Z"),
            ),
            (
                "ClamAV 1.0.9/27400/Tue Sep  1 08:31:59 2026",
                Some("2026-09-01T08:31:59Z"),
            ),
            ("ClamAV 1.4.6", None),
            ("ClamAV 1.4.6/27451/yesterday", None),
            ("", None),
        ] {
            let date = date.map(|date| date.parse().unwrap());
            assert_eq!(made(version, TimeZone::UTC), date, "{version}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_down_does_not_hide_one_that_is_there() {
        let (down, up) = (
            Scripted::start(Script::Looks),
            Scripted::start(Script::Looks),
        );
        let config = ScanConfig {
            clamd: vec![down.address.clone(), up.address.clone()],
            ..ScanConfig::default()
        };
        drop(down);
        let [down, up] = look(&config).await.try_into().unwrap();
        assert_eq!((down.answers, down.signatures), (false, None));
        assert!(up.answers && up.signatures.is_some());
        assert_eq!(up.address, config.clamd[1].to_string());
    }
}
