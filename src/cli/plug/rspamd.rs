//! Parts an rspamd that scans and signs in one place: a second milter of it signs, and nothing else does.
//!
//! Two files of ours below `/etc/rspamd`, and a line in `rspamd.conf.local` that includes them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{postfix::command, record};

/// Where the second milter listens, if that is free; else one of the next.
const PORT: u16 = 11_331;

/// How long rspamd may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// The line in rspamd.conf.local.
const INCLUDE: &str = ".include \"$LOCAL_CONFDIR/depollueur.conf\"\n";

const CONDITION: &str = r#"-- Written by "depollueur plug", removed by "depollueur unplug".
-- Only the milter of depollueur.conf signs, for it comes after depollueur.
local sign = require("lua_settings").numeric_settings_id("depollueur-sign")
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return task:get_settings_id() == sign
end)
"#;

/// The files, and where the second milter listens.
#[derive(Debug)]
pub(super) struct Parting {
    /// The port on loopback.
    pub(super) port: u16,
    directory: PathBuf,
}

impl Parting {
    /// With a port that is free.
    pub(super) fn new() -> Self {
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let others = [11_330, 11_329, 11_328];
        let port = [PORT].into_iter().chain(others).find(is_free);
        Self {
            port: port.unwrap_or(PORT),
            directory: "/etc/rspamd".into(),
        }
    }

    /// How Postfix calls the second milter.
    pub(super) fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// All files that are written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(&self.directory)
    }

    /// What is written, for people.
    pub(super) fn shown(&self) -> String {
        let [local, conf, lua] = [INCLUDE.to_owned(), self.worker(), CONDITION.to_owned()];
        let named = self.files().into_iter().zip([local, conf, lua]);
        let mut text = String::new();
        for (path, content) in named {
            text += &format!("{}\n", path.display());
            text.extend(content.lines().map(|line| format!("+{line}\n")));
        }
        text
    }

    /// Lets the second milter sign; the first still does, too.
    ///
    /// # Errors
    /// One line.
    pub(super) fn add(&self) -> Result<(), String> {
        let [local, conf, lua]: [PathBuf; 3] = self.paths();
        record::write(&lua, "-- No condition yet.\n", 0o644)?;
        record::write(&conf, &self.worker(), 0o644)?;
        let text = fs::read_to_string(&local).unwrap_or_default();
        if !text.contains(INCLUDE.trim()) {
            let gap = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            record::write(&local, &format!("{text}{gap}{INCLUDE}"), 0o644)?;
        }
        reload()?;
        self.listens()
    }

    /// Keeps the first from signing.
    ///
    /// # Errors
    /// One line.
    pub(super) fn part(&self) -> Result<(), String> {
        let [_, _, lua] = self.paths();
        record::write(&lua, CONDITION, 0o644)?;
        reload()
    }

    fn paths(&self) -> [PathBuf; 3] {
        ["rspamd.conf.local", "depollueur.conf", "depollueur.lua"]
            .map(|name| self.directory.join(name))
    }

    fn worker(&self) -> String {
        format!(
            r#"# Written by "depollueur plug", removed by "depollueur unplug": a second milter that only signs.
settings {{
  depollueur-sign {{
    id = "depollueur-sign";
    apply {{ symbols_enabled = ["DKIM_SIGNED"]; }}
  }}
}}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{}";
  milter = yes;
  timeout = 120s;
  upstream "local" {{
    default = yes;
    self_scan = yes;
    settings_id = "depollueur-sign";
  }}
}}
lua = "$LOCAL_CONFDIR/depollueur.lua";
"#,
            self.port
        )
    }

    fn listens(&self) -> Result<(), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(format!(
            "rspamd does not listen at {address}: see /var/log/rspamd/rspamd.log"
        ))
    }
}

/// The files that may have been written.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    ["rspamd.conf.local", "depollueur.conf", "depollueur.lua"]
        .map(|name| directory.join(name))
        .into()
}

/// Lets the first milter sign again, while the second is still asked.
pub(super) fn join(directory: &Path) -> Result<(), String> {
    let lua = directory.join("depollueur.lua");
    if lua.exists() {
        record::write(&lua, "-- No condition any more.\n", 0o644)?;
        reload()?;
    }
    Ok(())
}

/// Reads the configuration again, if rspamd takes it.
pub(super) fn reload() -> Result<(), String> {
    command("rspamadm", &["configtest", "-q"])?;
    command("systemctl", &["reload", "rspamd"])
}
