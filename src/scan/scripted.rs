//! A clamd that follows a script, for behaviour that the real one seldom shows.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::config::ClamdAddress;

/// The bytes that [`Script::Looks`] finds.
pub(crate) const EVIL: &[u8] = b"the evil in a file";

/// The behaviour towards each file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// Looks for [`EVIL`], as the real one looks for viruses.
    Looks,
    /// Says this once it has the whole file, and closes.
    Says(&'static [u8]),
    /// Says this after the first piece, and reads no further.
    SaysEarly(&'static [u8]),
    /// Closes after the first piece.
    Closes,
    /// Reads nothing.
    Hangs,
    /// Reads all, and says nothing.
    IsMute,
}

/// The daemon. It ends when this is dropped.
pub(crate) struct Scripted {
    pub(crate) address: ClamdAddress,
    /// The pieces of each file so far, put together.
    files: Arc<Mutex<Vec<Vec<u8>>>>,
    version: Arc<Mutex<&'static str>>,
    _home: TempDir,
    _task: AbortOnDropHandle<()>,
}

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let home = TempDir::new().unwrap();
        let path = home.path().join("clamd.ctl");
        let listener = UnixListener::bind(&path).unwrap();
        let files: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let version = Arc::new(Mutex::new("ClamAV 1.4.6/27450/Fri Nov 20 09:00:00 2026"));
        let shared = (Arc::clone(&files), Arc::clone(&version));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script, shared.clone()));
            }
        });
        Self {
            address: ClamdAddress::Unix(path),
            files,
            version,
            _home: home,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Gives it these signatures from now on.
    pub(crate) fn knows(&self, version: &'static str) {
        *self.version.lock().unwrap() = version;
    }

    /// The bytes received of each file.
    pub(crate) fn files(&self) -> Vec<Vec<u8>> {
        self.files.lock().unwrap().clone()
    }
}

type ScriptState = (Arc<Mutex<Vec<Vec<u8>>>>, Arc<Mutex<&'static str>>);

async fn serve(mut stream: UnixStream, script: Script, (files, version): ScriptState) {
    let mut command = Vec::new();
    while !command.ends_with(b"\0") {
        command.push(stream.read_u8().await.unwrap());
    }

    if command == b"zVERSION\0" {
        let version = format!("{}\0", version.lock().unwrap());
        return stream.write_all(version.as_bytes()).await.unwrap();
    }
    assert_eq!(command, b"zINSTREAM\0");

    let number = {
        let mut files = files.lock().unwrap();
        files.push(Vec::new());
        files.len() - 1
    };

    if matches!(script, Script::Hangs) {
        std::future::pending::<()>().await;
    }

    // A caller that gives the file up closes in the middle of it.
    while let Ok(length @ 1..) = stream.read_u32().await {
        let mut piece = vec![0; length as usize];
        if stream.read_exact(&mut piece).await.is_err() {
            return;
        }
        files.lock().unwrap()[number].extend(piece);
        match script {
            Script::SaysEarly(answer) => {
                stream.write_all(answer).await.unwrap();
                std::future::pending::<()>().await;
            }
            Script::Closes => return,
            _ => {}
        }
    }

    let has_evil = || {
        let files = files.lock().unwrap();
        memchr::memmem::find(&files[number], EVIL).is_some()
    };

    let answer: &[u8] = match script {
        Script::Says(answer) => answer,
        Script::Looks if has_evil() => b"stream: Evil.Test FOUND\0",
        Script::Looks => b"stream: OK\0",
        _ => std::future::pending().await,
    };
    let _ = stream.write_all(answer).await;
}
