//! Splits an rspamd that scans and signs at one address: a second milter of it signs, and only that one.
//!
//! This takes two files of ours below `/etc/rspamd`, and a line in `rspamd.conf.local` that includes them.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{super::doctor::others::Others, postfix::command, record};

/// Preferred port of the second milter; if it is taken, one of the next.
const PORT: u16 = 11_331;

/// Time limit for rspamd to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time limit for its second milter to stop listening.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// The line in rspamd.conf.local.
const INCLUDE: &str = ".include \"$LOCAL_CONFDIR/depollueur.conf\"\n";

const CONDITION: &str = r#"-- Written by "depollueur plug", removed by "depollueur unplug".
-- Only the milter of depollueur.conf signs, for it comes after depollueur.
local sign = require("lua_settings").numeric_settings_id("depollueur-sign")
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return task:get_settings_id() == sign
end)
"#;

/// The files to write, and the port of the second milter.
#[derive(Debug)]
pub(super) struct Parting {
    /// The port on loopback.
    port: u16,
    /// True if this port and all alternatives are taken by others.
    is_taken: bool,
    directory: PathBuf,
}

impl Parting {
    /// Chooses a free port.
    pub(super) fn new() -> Self {
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let others = [11_330, 11_329, 11_328];
        let port = [PORT].into_iter().chain(others).find(is_free);
        Self {
            port: port.unwrap_or(PORT),
            is_taken: port.is_none(),
            directory: "/etc/rspamd".into(),
        }
    }

    /// Succeeds unless a second milter is impossible beside the present configuration.
    ///
    /// # Errors
    /// Returns one line with the command to type.
    pub(super) fn may_be(&self, others: &Others) -> Result<(), String> {
        if let Some(map) = others.settings_map() {
            return Err(format!(
                "rspamd takes its settings from a map (settings = \"{map}\") and then no others, so that a second milter of it cannot be told \
                 to do nothing but sign: put what is in the map into /etc/rspamd/local.d/settings.conf, or let opendkim sign, and plug again"
            ));
        }
        if self.is_taken {
            return Err(format!(
                "a second milter of rspamd needs one of the ports 11328 to {PORT} of 127.0.0.1, and all are taken; to see by whom, type: ss -ltnp"
            ));
        }
        Ok(())
    }

    /// Returns the address of the second milter, as Postfix writes it.
    pub(super) fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// Returns all files that are written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(&self.directory)
    }

    /// Returns the text to be written, for people.
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

    /// Adds the second milter, which signs; the first one still signs as well.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn add(&self) -> Result<(), String> {
        let [local, conf, lua]: [PathBuf; 3] = self.paths();
        record::write(&lua, b"-- No condition yet.\n", 0o644)?;
        record::write(&conf, self.worker().as_bytes(), 0o644)?;
        include(&local)?;
        reload()?;
        self.listens()
    }

    /// Keeps the first milter from signing.
    ///
    /// # Errors
    /// Returns one line for the user.
    pub(super) fn part(&self) -> Result<(), String> {
        let [_, _, lua] = self.paths();
        record::write(&lua, CONDITION.as_bytes(), 0o644)?;
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
            thread::sleep(PAUSE);
        }
        Err(format!(
            "rspamd does not listen at {address}: see /var/log/rspamd/rspamd.log"
        ))
    }
}

/// Adds our line to a file that may have others, in any encoding.
fn include(local: &Path) -> Result<(), String> {
    let mut content = match fs::read(local) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("could not read \"{}\": {error}", local.display())),
    };
    let ours = INCLUDE.trim().as_bytes();
    if memchr::memmem::find(&content, ours).is_some() {
        return Ok(());
    }
    if content.last().is_some_and(|last| *last != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(INCLUDE.as_bytes());
    record::write(local, &content, 0o644)
}

/// Returns the address of the second milter, as long as our file names it.
pub(super) fn second(directory: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(directory.join("depollueur.conf")).ok()?;
    let (_, rest) = text.split_once("bind_socket = \"")?;
    rest.split('"').next()?.parse().ok()
}

/// Waits until nobody listens at the address any more; returns false if somebody still does.
pub(super) fn has_left(address: SocketAddr) -> bool {
    let begun = Instant::now();
    while TcpStream::connect_timeout(&address, PAUSE).is_ok() {
        if begun.elapsed() > PATIENCE_AT_END {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

/// Returns the files that may have been written.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    ["rspamd.conf.local", "depollueur.conf", "depollueur.lua"]
        .map(|name| directory.join(name))
        .into()
}

/// Lets the first milter sign again, while the second is still asked.
pub(super) fn join(directory: &Path) -> Result<(), String> {
    let lua = directory.join("depollueur.lua");
    if lua.exists() {
        record::write(&lua, b"-- No condition any more.\n", 0o644)?;
        reload()?;
    }
    Ok(())
}

/// Makes rspamd read its configuration again, if it accepts it.
pub(super) fn reload() -> Result<(), String> {
    command("rspamadm", &["configtest", "-q"])?;
    command("systemctl", &["reload", "rspamd"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_is_added_once_and_the_bytes_of_others_stay() {
        let home = tempfile::tempdir().unwrap();
        let local = home.path().join("rspamd.conf.local");
        for _ in 0..2 {
            include(&local).unwrap();
            assert_eq!(fs::read(&local).unwrap(), INCLUDE.as_bytes());
        }
        let latin = b"# r\xe8gles\nx = 1;";
        fs::write(&local, latin).unwrap();
        include(&local).unwrap();
        let expected = [latin, &b"\n"[..], INCLUDE.as_bytes()].concat();
        assert_eq!(fs::read(&local).unwrap(), expected);
    }

    #[test]
    fn the_second_milter_is_found_in_our_file_and_has_left_when_nobody_listens() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(second(home.path()), None);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let parting = Parting {
            port: address.port(),
            is_taken: false,
            directory: home.path().into(),
        };
        fs::write(home.path().join("depollueur.conf"), parting.worker()).unwrap();
        assert_eq!(second(home.path()), Some(address));
        let gone = thread::spawn(move || has_left(address));
        listener.accept().unwrap();
        drop(listener);
        assert!(gone.join().unwrap());
    }

    #[test]
    fn no_second_milter_without_a_port_or_beside_settings_from_a_map() {
        let parting = |is_taken| Parting {
            port: PORT,
            is_taken,
            directory: "/nonexistent".into(),
        };
        let own = Others::with_rspamd(r#"{"settings": [{"mine": {"id": "mine"}}, {}]}"#);
        assert_eq!(parting(false).may_be(&own), Ok(()));
        let said = parting(true).may_be(&own).unwrap_err();
        assert!(said.ends_with("type: ss -ltnp"), "{said}");
        for dump in [
            r#"{"settings": "http://a.example/s.json"}"#,
            r#"{"settings": [{}, "http://a.example/s.json"]}"#,
        ] {
            let said = parting(false)
                .may_be(&Others::with_rspamd(dump))
                .unwrap_err();
            assert!(said.contains("http://a.example/s.json"), "{said}");
        }
    }
}
