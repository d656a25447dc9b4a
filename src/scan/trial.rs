//! Trials of a daemon, before any mail depends on it.

use std::time::Duration;

use bytes::Bytes;

use super::{
    ScanError,
    session::{self, ScanSession, ScanVerdict},
};
use crate::config::ClamdAddress;

/// The size of the pieces of a large test file; those of the drop are not larger.
const BLOCK_BYTES: usize = 64 << 10;

/// The result of showing a daemon a file that it must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanTrial {
    /// It finds it.
    Finds,
    /// It takes a file for clean that every scanner knows.
    FindsNothing,
}

/// Asks a daemon for its version, and for its verdict about the test file of EICAR.
///
/// # Errors
/// It does not answer, or not as clamd does.
pub async fn try_out(
    daemon: &ClamdAddress,
    patience: Duration,
) -> Result<(String, ScanTrial), ScanError> {
    let version = session::ask(daemon, patience, "VERSION").await?;
    // Backwards, so that no scanner takes this program for a virus.
    let backwards = r"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X";
    let file = Bytes::from(backwards.chars().rev().collect::<String>());
    let mut session = ScanSession::open(0, daemon, patience, &[file]).await?;
    let trial = match session.verdict().await? {
        ScanVerdict::Clean => ScanTrial::FindsNothing,
        ScanVerdict::Infected(_) => ScanTrial::Finds,
    };
    Ok((version, trial))
}

/// Sends a daemon this many bytes, in the pieces that a file of the drop has, and waits for its
/// verdict, whatever it is.
///
/// # Errors
/// There is none: a limit of the daemon is below that, most likely.
pub async fn try_size(
    daemon: &ClamdAddress,
    patience: Duration,
    bytes: u64,
) -> Result<(), ScanError> {
    let block = Bytes::from(vec![b'.'; BLOCK_BYTES]);
    let mut session = ScanSession::open(0, daemon, patience, &[]).await?;
    let mut left = bytes;
    while left > 0 {
        let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        session.send(&[block.slice(..length)]).await?;
        left -= length as u64;
    }
    session.verdict().await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scripted::{Script, Scripted};

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_file_of_a_size_is_sent_whole_in_its_pieces() {
        let clamd = Scripted::start(Script::Looks);
        for bytes in [0, 1, 65_536, 65_537, 1_000_000] {
            try_size(&clamd.address, PATIENCE, bytes).await.unwrap();
            assert_eq!(clamd.files().pop().unwrap().len() as u64, bytes);
        }
    }

    #[tokio::test]
    async fn a_limit_of_the_daemon_is_told_from_other_failures() {
        let limit = b"INSTREAM size limit exceeded. ERROR\0";
        for (script, is_limit) in [
            (Script::SaysEarly(limit), true),
            (Script::Says(limit), true),
            (Script::Closes, false),
        ] {
            let clamd = Scripted::start(script);
            let error = try_size(&clamd.address, PATIENCE, 1_000_000).await;
            assert_eq!(error.unwrap_err().is_limit(), is_limit, "{script:?}");
        }
    }
}
