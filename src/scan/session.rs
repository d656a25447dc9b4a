//! One file, sent to one daemon.

use std::{fmt, io, str, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::ScanError;
use crate::config::ClamdAddress;

/// The time that a connection may take to be made: a daemon that is there takes it at once, or never.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The time that the rest of an answer may take which came too early.
const REST_TIME_MAX: Duration = Duration::from_secs(1);
/// The longest answer of clamd: the name of a signature, and a few words.
const ANSWER_BYTES_MAX: usize = 1024;
/// Characters that are shown of an answer that is no verdict.
const SAID_CHARS_MAX: usize = 200;
/// The name that clamd, if AlertExceedsMax is set, gives in place of a virus when it did not scan all
/// of a file.
pub(super) const LIMITS_EXCEEDED: &str = "Heuristics.Limits.Exceeded";

/// A connection to clamd.
trait ClamdStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin> ClamdStream for T {}

/// The verdict of clamd about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScanVerdict {
    Clean,
    /// The name of the signature that matched.
    Infected(String),
}

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct ScanSession {
    /// The index of the daemon that has it.
    pub(super) index: usize,
    address: String,
    patience: Duration,
    reader: ReadHalf<Box<dyn ClamdStream>>,
    writer: WriteHalf<Box<dyn ClamdStream>>,
    answer: Vec<u8>,
}

type Result<T> = std::result::Result<T, ScanError>;

impl ScanSession {
    /// Begins a file, with its first bytes.
    pub(super) async fn open(
        index: usize,
        daemon: &ClamdAddress,
        patience: Duration,
        blocks: &[Bytes],
    ) -> Result<Self> {
        let mut session = Self::connect(daemon, patience).await?;
        session.index = index;
        session.push(&b"zINSTREAM\0"[..]).await?;
        session.send(blocks).await?;
        Ok(session)
    }

    async fn connect(daemon: &ClamdAddress, patience: Duration) -> Result<Self> {
        let address = daemon.to_string();
        let connected = timeout(patience.min(CONNECT_TIME_MAX), connect(daemon)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let connection = match connected {
            Ok(connection) => connection,
            Err(source) => return Err(ScanError::Unreachable { address, source }),
        };
        let (reader, writer) = tokio::io::split(connection);
        Ok(Self {
            index: 0,
            address,
            patience,
            reader,
            writer,
            answer: Vec::new(),
        })
    }

    /// Sends bytes of the file.
    pub(super) async fn send(&mut self, blocks: &[Bytes]) -> Result<()> {
        // A piece without bytes would end the file.
        for block in blocks.iter().filter(|block| !block.is_empty()) {
            // The blocks of a draft have 64 KiB at most.
            let length = (block.len() as u32).to_be_bytes();
            self.push(Buf::chain(&length[..], &block[..])).await?;
        }
        Ok(())
    }

    /// Ends the file, and waits for clamd's verdict about it.
    pub(super) async fn verdict(&mut self) -> Result<ScanVerdict> {
        self.push(&0_u32.to_be_bytes()[..]).await?;
        self.wait().await?;
        verdict(&self.answer).ok_or_else(|| self.senseless())
    }

    /// Waits for an answer, whatever it is.
    async fn wait(&mut self) -> Result<()> {
        let answered = timeout(self.patience, self.read()).await;
        match answered {
            Err(_) => Err(self.stalled()),
            Ok(Err(error)) => Err(self.broken(&error.to_string())),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Sends bytes of the protocol. Any answer of clamd meanwhile comes too early.
    async fn push(&mut self, mut bytes: impl Buf) -> Result<()> {
        let sent = tokio::select! {
            biased;
            early = self.reader.read_buf(&mut self.answer) => early.map(|_| false),
            sent = timeout(self.patience, self.writer.write_all_buf(&mut bytes)) => match sent {
                Ok(sent) => sent.map(|()| true),
                Err(_) => return Err(self.stalled()),
            },
        };
        match sent {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.too_early("it closed the connection").await),
            Err(error) => Err(self.too_early(&error.to_string()).await),
        }
    }

    /// Reads an answer up to its end, as far as it is not there yet.
    async fn read(&mut self) -> io::Result<()> {
        while !self.answer.contains(&0) && self.answer.len() < ANSWER_BYTES_MAX {
            if self.reader.read_buf(&mut self.answer).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The error when clamd does not want the rest of the file.
    async fn too_early(&mut self, reason: &str) -> ScanError {
        // An answer, if there is one, tells more than the way in which the connection ended.
        let _ = timeout(REST_TIME_MAX, self.read()).await;
        match said(&self.answer) {
            said if said.is_empty() => self.broken(reason),
            said => ScanError::Early {
                address: self.address.clone(),
                said,
            },
        }
    }

    fn senseless(&self) -> ScanError {
        match said(&self.answer) {
            said if said.is_empty() => self.broken("it closed the connection"),
            said => ScanError::Answer {
                address: self.address.clone(),
                said,
            },
        }
    }

    fn broken(&self, reason: &str) -> ScanError {
        ScanError::Broken {
            address: self.address.clone(),
            reason: reason.to_owned(),
        }
    }

    fn stalled(&self) -> ScanError {
        ScanError::Stalled {
            address: self.address.clone(),
            patience: self.patience,
        }
    }
}

/// Asks a daemon something that it answers with a line.
pub(super) async fn ask(daemon: &ClamdAddress, patience: Duration, what: &str) -> Result<String> {
    let mut session = ScanSession::connect(daemon, patience).await?;
    session.push(format!("z{what}\0").as_bytes()).await?;
    session.wait().await?;
    match session.answer.strip_suffix(b"\0").map(said) {
        Some(said) if !said.is_empty() => Ok(said),
        _ => Err(session.senseless()),
    }
}

async fn connect(daemon: &ClamdAddress) -> io::Result<Box<dyn ClamdStream>> {
    Ok(match daemon {
        ClamdAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        ClamdAddress::Tcp(host, port) => {
            Box::new(TcpStream::connect((host.as_str(), *port)).await?)
        }
    })
}

/// Reads the verdict in an answer; `None` when it is cut, or anything else than clamd's own words.
pub(super) fn verdict(answer: &[u8]) -> Option<ScanVerdict> {
    let said = str::from_utf8(answer.strip_suffix(b"\0")?).ok()?;
    let said = said.strip_prefix("stream: ")?;
    if said == "OK" {
        return Some(ScanVerdict::Clean);
    }
    let name = said.strip_suffix(" FOUND")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_whole = !name.starts_with(LIMITS_EXCEEDED);
    (is_name && is_whole).then(|| ScanVerdict::Infected(name.to_owned()))
}

/// Returns an answer as it may stand in a log.
fn said(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim_end_matches('\0').trim();
    text.chars()
        .take(SAID_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}
