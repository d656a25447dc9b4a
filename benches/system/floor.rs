//! The least that a milter can do that sees a body: it takes the body and accepts the message.
//!
//! On the same libraries as the daemon, over a unix socket; it asks for no more stages and for no
//! more replies than it needs. What any body milter costs Postfix at least is what this one costs.
//!
//!     system-floor SOCKET [THREADS]
//!
//! Without THREADS it runs on as many as there are processors, as `#[tokio::main]` does. On SIGTERM it
//! says how many bytes of bodies it took.

use std::{
    env, fs,
    io::{self, Error},
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use indymilter::{Callbacks, Config, ProtoOpts, Status};
use tokio::{
    net::UnixListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

fn main() -> io::Result<()> {
    let usage = || Error::other("usage: system-floor SOCKET [THREADS]");
    let path = env::args().nth(1).ok_or_else(usage)?;
    let mut runtime = Builder::new_multi_thread();
    if let Some(threads) = env::args().nth(2) {
        runtime.worker_threads(threads.parse().map_err(|_| usage())?);
    }
    runtime.enable_all().build()?.block_on(serve(&path))
}

async fn serve(path: &str) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let taken = Arc::new(AtomicU64::new(0));
    let config = Config {
        max_connections: 2000,
        ..Config::default()
    };
    let ended = async move { terminate.recv().await };
    indymilter::run(listener, callbacks(&taken), config, ended).await?;
    println!("{}", taken.load(Relaxed));
    Ok(())
}

fn callbacks(taken: &Arc<AtomicU64>) -> Callbacks<()> {
    let taken = Arc::clone(taken);
    Callbacks::new()
        .on_negotiate(|cx, _, offered| {
            // Stages without a callback are in `requested_opts` already, as not wanted.
            cx.requested_opts = (cx.requested_opts | ProtoOpts::NOREPLY_BODY) & offered;
            Box::pin(async { Status::Continue })
        })
        .on_body(move |_, chunk| {
            taken.fetch_add(chunk.len() as u64, Relaxed);
            Box::pin(async { Status::Noreply })
        })
        .on_eom(|_| Box::pin(async { Status::Accept }))
}
