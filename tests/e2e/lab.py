"""A mail system of its own for the tests: two private Postfix, a login server, the daemon under test.

`Lab` starts one Postfix that takes mail in and asks the milter, and a second one that the first
delivers to and that puts each message into a Maildir, as a provider's own server would. Both have
their own configuration, queue and log below one temporary directory, listen on loopback only, and
need no DNS, no syslog and no systemd; the Postfix of the machine, if there is one, is not touched.

    with Lab() as lab, lab.daemon(detach_threshold=1_000_000) as daemon:
        lab.submit(message, to="a@example.com")
        received = lab.receive("a@example.com")

`$POSTFIX_TREE` names the tree of a Postfix that was built from its source, not installed: the lab then runs that one.

Everything that was started is stopped by its process id when the `with` block ends.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import json
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import leaks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORACLE = ROOT / "tests" / "oracle.py"
PASSWORD = "secret"
PUBLIC_URL = "https://drop.lab.test/"
TREE = os.environ.get("POSTFIX_TREE", "")
COMMANDS, DAEMONS = (f"{TREE}/bin", f"{TREE}/libexec") if TREE else ("/usr/sbin", "/usr/lib/postfix/sbin")

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = {commands}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log/maillog
maillog_file_prefixes = {dir}
myhostname = {name}.lab.test
mydomain = lab.test
myorigin = lab.test
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
local_header_rewrite_clients =
alias_maps =
alias_database =
local_transport = error:no local delivery in the lab
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
message_size_limit = 209715200
mailbox_size_limit = 0
virtual_mailbox_limit = 0
in_flow_delay = 0
smtputf8_enable = yes
milter_protocol = 6
milter_default_action = tempfail
milter_content_timeout = 60s
"""

FIRST_CF = """\
default_transport = smtp:[127.0.0.1]:{next_port}
smtpd_milters = unix:{milter}
non_smtpd_milters = unix:{milter}
smtp_connection_cache_on_demand = no
transport_maps = inline:{{ far.test=away:far.test }}
"""

SECOND_CF = """\
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {dir}/mail
virtual_minimum_uid = 100
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"""

MASTER_CF = """\
pickup     unix n - n 1 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
verify     unix - - n - 1 verify
flush      unix n - n 1000? 0 flush
proxymap   unix - - n - - proxymap
smtp       unix - - n - - smtp
virtual    unix - n n - - virtual
showq      unix n - n - - showq
error      unix - - n - - error
retry      unix - - n - - error
discard    unix - - n - - discard
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""

FIRST_PORTS = """\
127.0.0.1:{incoming} inet n - n - - smtpd
  -o milter_macro_daemon_name=INBOUND
127.0.0.1:{submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o milter_macro_daemon_name=ORIGINATING
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path={sasl}
  -o smtpd_sasl_security_options=noanonymous
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{plain} inet n - n - - smtpd
  -o smtpd_milters=
127.0.0.1:{tcp} inet n - n - - smtpd
  -o smtpd_milters=inet:127.0.0.1:{milter_port}
127.0.0.1:{xclient} inet n - n - - smtpd
  -o smtpd_authorized_xclient_hosts=127.0.0.0/8
  -o smtpd_recipient_restrictions=check_recipient_access,static:OK,reject
  -o smtpd_relay_restrictions=check_recipient_access,static:OK,reject
# To Postfix, and to the milter, another machine; in truth the same Maildir.
away unix - n n - - virtual
  -o virtual_mailbox_maps=static:inbox/
  -o virtual_mailbox_base={mail}
  -o virtual_minimum_uid=100
  -o virtual_uid_maps=static:65534
  -o virtual_gid_maps=static:65534
"""


class LabError(Exception):
    """Something that the lab waited for did not come."""


_given_ports: set[int] = set()


def free_port() -> int:
    """A loopback port that nothing listens on at the moment, and that was not given before: none of those that the
    kernel gives to outgoing connections, for one of these could have it before its server starts."""
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(outgoing, 20_000))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition, what: str, seconds: float = 60.0):
    """Polls for a state of another process until it is there; its value is returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def port_is_open(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    """False for zombies too: in a container nobody may reap them."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def stop_pid(pid: int, seconds: float = 10.0) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), f"process {pid} to end", seconds)
    except LabError:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class SaslServer:
    """Speaks enough of Dovecot's authentication protocol: any user, one password."""

    def __init__(self, path: Path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        # Whoever asks may be killed meanwhile.
        with contextlib.suppress(ConnectionError):
            self._answer(connection.makefile("rwb", buffering=0))

    @staticmethod
    def _answer(file):
        file.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\n"
                   b"COOKIE\t0123456789abcdef\nDONE\n")
        for line in file:
            words = line.rstrip(b"\n").split(b"\t")
            if words[0] != b"AUTH":
                continue
            response = next((w[5:] for w in words if w.startswith(b"resp=")), None)
            if response is None:
                file.write(b"CONT\t" + words[1] + b"\t\n")
                continue
            _, user, password = base64.b64decode(response).split(b"\0")
            verdict = b"OK\t" if password == PASSWORD.encode() else b"FAIL\t"
            file.write(verdict + words[1] + b"\tuser=" + user + b"\n")

    def close(self):
        self.socket.close()


class Postfix:
    """One private Postfix below `directory`."""

    def __init__(self, directory: Path, name: str, main_cf: str, ports_cf: str):
        self.directory = directory
        for sub in ("etc", "queue", "data", "log", "mail"):
            (directory / sub).mkdir(parents=True)
        shutil.chown(directory / "data", "postfix")
        (directory / "data").chmod(0o700)
        (directory / "mail").chmod(0o777)
        main = MAIN_CF.format(dir=directory, name=name, commands=COMMANDS, daemons=DAEMONS) + main_cf
        if TREE:
            main += f"meta_directory = {TREE}/conf\nshlib_directory = no\n"
        (directory / "etc" / "main.cf").write_text(main)
        (directory / "etc" / "master.cf").write_text(ports_cf + MASTER_CF)
        self.master_pid = 0

    def start(self, ports):
        started = subprocess.run([f"{COMMANDS}/postfix", "-c", self.directory / "etc", "start"],
                                 capture_output=True, text=True)
        if started.returncode:
            raise LabError(f"postfix did not start: {started.stderr}\n{self.log()}")
        pid_file = self.directory / "queue" / "pid" / "master.pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "postfix's master")
        self.master_pid = int(pid_file.read_text())
        for port in ports:
            wait_until(lambda port=port: port_is_open(port), f"postfix on port {port}", 20)

    def stop(self):
        if not self.master_pid:
            return
        subprocess.run([f"{COMMANDS}/postfix", "-c", self.directory / "etc", "stop"], capture_output=True)
        if is_alive(self.master_pid):
            stop_pid(self.master_pid)

    def log(self) -> str:
        path = self.directory / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def queued(self) -> int:
        """How many messages wait in the queue."""
        shown = subprocess.run([f"{COMMANDS}/postqueue", "-c", self.directory / "etc", "-j"],
                               capture_output=True, text=True)
        return len(shown.stdout.splitlines())


class Lab:
    """The two Postfix and the login server. Use it as a context manager."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="depollueur-lab-"))
        self.dir.chmod(0o755)
        names = ("incoming", "submission", "plain", "tcp", "xclient", "next_port", "milter_port")
        self.ports = {name: free_port() for name in names}
        (self.dir / "milter").mkdir(mode=0o755)
        self.milter = self.dir / "milter" / "milter.sock"
        self.maildir = self.dir / "second" / "mail" / "inbox"
        self._received: dict[str, list[Path]] = {}
        self._seen: set[str] = set()
        self._count = 0
        self._daemons: list[Daemon] = []

    def __enter__(self):
        # Ended from outside, the lab still stops what it started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        self.sasl = SaslServer(self.dir / "sasl.sock")
        values = dict(self.ports, milter=self.milter, sasl=self.dir / "sasl.sock", mail=self.dir / "second" / "mail")
        second = Postfix(self.dir / "second", "mail",
                         SECOND_CF.format(dir=self.dir / "second"),
                         "127.0.0.1:{next_port} inet n - n - - smtpd\n".format(**values))
        self.second = second
        second.start([self.ports["next_port"]])
        self.start_first(values)

    def start_first(self, values):
        """The server that asks the milter."""
        self.first = Postfix(self.dir / "first", "mx", FIRST_CF.format(**values),
                             FIRST_PORTS.format(**values))
        # The plain port's smtpd asks no milter; the others answer only once a milter is there.
        self.first.start([self.ports["plain"]])

    def close(self):
        for daemon in list(self._daemons):
            daemon.kill()
        for name in ("first", "second", "sasl"):
            part = getattr(self, name, None)
            if part is not None:
                part.stop() if hasattr(part, "stop") else part.close()
        if os.environ.get("KEEP_LAB"):
            print(f"the lab is kept in {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the daemon

    def daemon(self, **settings) -> "Daemon":
        """A daemon on the socket that Postfix asks, with a fresh drop; not started yet."""
        self._count += 1
        return Daemon(self, self.dir / f"daemon-{self._count}", settings)

    # ---- sending

    def address(self, name: str = "r") -> str:
        """A recipient that no other message of this lab has."""
        self._count += 1
        return f"{name}{self._count}@example.com"

    def smtp(self, port: str, login: str | None = None) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", self.ports[port], "client.lab.test", timeout=120)
        client.ehlo_or_helo_if_needed()
        if login:
            client.login(login, PASSWORD, initial_response_ok=True)
        return client

    def submit(self, message: bytes, to: str, *, sender="alice@lab.test", options=()):
        """Sends a message as an authenticated client does."""
        with self.smtp("submission", login="alice") as client:
            client.sendmail(sender, [to], message, mail_options=list(options))

    def inject(self, message: bytes, to: str, *, port="incoming", sender="zoe@elsewhere.test",
               options=()):
        """Sends a message as another mail server does."""
        with self.smtp(port) as client:
            client.sendmail(sender, [to], message, mail_options=list(options))

    def sendmail(self, message: bytes, to: str, sender="cron@lab.test"):
        """Sends a message with sendmail(1), as a program on the mail server does."""
        local = self.dir / "local"
        if not local.exists():
            # A postdrop without its set-gid bit reads our configuration and no other.
            local.mkdir()
            for command in ("postdrop", "postqueue"):
                shutil.copyfile(f"{COMMANDS}/{command}", local / command)
                (local / command).chmod(0o755)
            main = (self.dir / "first" / "etc" / "main.cf").read_text()
            (local / "main.cf").write_text(main.replace(f"command_directory = {COMMANDS}",
                                                        f"command_directory = {local}"))
            shutil.copyfile(self.dir / "first" / "etc" / "master.cf", local / "master.cf")
        subprocess.run([f"{COMMANDS}/sendmail", "-C", local, "-i", "-f", sender, to], input=message,
                       check=True, capture_output=True)

    # ---- receiving

    def receive(self, recipient: str, count: int = 1, seconds: float = 60.0) -> bytes:
        """The `count`th message to `recipient`, as it lies in the Maildir, with CRLF."""
        def arrived():
            self._scan()
            found = self._received.get(recipient, [])
            return found if len(found) >= count else None
        try:
            path = wait_until(arrived, f"mail to {recipient}", seconds)[count - 1]
        except LabError as e:
            raise LabError(f"{e}\n{tail(self.first.log())}\n{tail(self.second.log())}") from None
        return path.read_bytes().replace(b"\n", b"\r\n")

    def received_count(self, recipient: str) -> int:
        """How many messages to `recipient` came, once both queues are empty."""
        wait_until(lambda: self.first.queued() == 0 and self.second.queued() == 0, "empty queues")
        self._scan()
        return len(self._received.get(recipient, []))

    def mail(self) -> list[Path]:
        """All messages that arrived."""
        new = self.maildir / "new"
        return list(new.iterdir()) if new.exists() else []

    def _scan(self):
        for path in sorted(self.mail(), key=lambda p: p.stat().st_mtime_ns):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            with path.open("rb") as file:
                head = file.read(4096)
            to = re.search(rb"^Delivered-To: (.*)$", head, re.M)
            if to:
                self._received.setdefault(to.group(1).decode(), []).append(path)


class Daemon:
    """The program under test. Use it as a context manager: it ends well, or the test fails.

    No file of its drop may then hold a secret that the test used.
    """

    # Of all daemons: what one deposits with another must lie in neither drop. In order, each once.
    secrets: dict[bytes, None] = {}

    def __init__(self, lab: Lab | None, directory: Path, settings: dict):
        self.lab, self.directory = lab, directory
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.web_port, self.admin_port = free_port(), free_port()
        self.drop = directory / "drop"
        self.config = directory / "depollueur.toml"
        self.log_path = directory / "log"
        self.settings = {
            "milter_listen": f"unix:{lab.milter}" if lab else f"unix:{directory}/milter.sock",
            "web_listen": f"127.0.0.1:{self.web_port}",
            "web_public_url": PUBLIC_URL,
            "admin_listen": f"127.0.0.1:{self.admin_port}",
            "drop_directory": str(self.drop),
            "detach_threshold": 100_000,
            **settings,
        }
        self.configure()
        self.process: subprocess.Popen | None = None
        self.known_before = len(self.secrets)
        self.mail_before = set(lab.mail()) if lab else set()
        # The command that starts it: of all parts, or of one.
        self.part = "run"
        # What goes before the command that starts it (prlimit, env), and the descriptors that it inherits.
        self.prefix: list[str] = []
        self.pass_fds: tuple[int, ...] = ()

    def configure(self, **settings):
        """Writes the configuration file, with these settings changed."""
        self.settings.update(settings)
        self.config.write_text(toml(self.settings))

    def twin(self) -> "Daemon":
        """Another process of the same daemon: same configuration, same drop, same ports."""
        twin = copy.copy(self)
        twin.process = None
        return twin

    def split(self) -> tuple["Daemon", "Daemon"]:
        """The same daemon in two processes: the part that takes mail, and the one that readers touch."""
        admin_port = free_port()
        self.configure(admin_web_listen=f"127.0.0.1:{admin_port}")
        milter, web = self.twin(), self.twin()
        milter.part, web.part = "milter", "web"
        milter.log_path, web.log_path = self.directory / "log-milter", self.directory / "log-web"
        web.admin_port = admin_port
        return milter, web

    def command(self, *args) -> list[str]:
        return [binary(), *map(str, args), "--config", str(self.config)]

    def run(self, *args, data: bytes | None = None, seconds: float = 120):
        """Runs another command of the program on this daemon's configuration."""
        done = subprocess.run(self.command(*args), input=data, capture_output=True,
                              timeout=seconds)
        self.learn(done.stdout, *(str(arg).encode() for arg in args))
        return done

    def learn(self, *texts: bytes):
        """Remembers the secrets in what was used."""
        for text in texts:
            self.secrets.update(dict.fromkeys(sorted(leaks.secrets_in(text))))

    def check_secrets(self):
        """No secret that was used since this daemon was made lies in its drop."""
        if self.lab:
            for path in self.lab.mail():
                if path not in self.mail_before:
                    self.mail_before.add(path)
                    self.learn(path.read_bytes())
        found = leaks.leaks(Path(self.settings["drop_directory"]), list(self.secrets)[self.known_before:])
        assert not found, found

    def start(self, *args, wait=True) -> "Daemon":
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, *self.command(self.part, *args)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=self.pass_fds)
        if self.lab:
            self.lab._daemons.append(self)
        if wait:
            wait_until(self._is_ready, "the daemon to be ready", 30)
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise LabError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self.admin("/readyz")[0] == 200
        except OSError:
            return False

    def admin(self, path: str):
        """Status and body of a page of the admin listener."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, link: str, headers=None, method="GET"):
        """Status, headers and body of what a link gives, asked at the public listener."""
        self.learn(link.encode())
        url = urllib.parse.urlsplit(link)
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=30)
        try:
            connection.request(method, url.path or "/", headers={"Host": url.netloc, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def manifest(self, link: str) -> dict:
        status, _, body = self.get(link + ".json")
        if status != 200:
            raise AssertionError(f"{link}.json answers {status}")
        return json.loads(body)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.admin("/metrics")[1].decode(), re.M)
        return sum(map(float, found))

    def peak_kib(self) -> int:
        """The most memory that the process ever had resident (VmHWM), in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M).group(1))

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 60) -> int:
        code = self.process.wait(seconds)
        if self.lab and self in self.lab._daemons:
            self.lab._daemons.remove(self)
        return code

    def stop(self):
        """Ends the daemon as an init system does; it must end by itself and without complaint."""
        if self.process is None or (self.process.poll() is not None and
                                    self not in (self.lab._daemons if self.lab else [])):
            return
        # While it runs, the database has its log.
        self.check_secrets()
        self.terminate()
        code = self.wait()
        if code != 0:
            raise AssertionError(f"the daemon ended with {code}:\n{tail(self.log())}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.wait()
        elif self.lab and self in self.lab._daemons:
            self.lab._daemons.remove(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            print(tail(self.log()), file=sys.stderr)
            self.kill()


def toml(settings: dict) -> str:
    """A configuration file: `detach_threshold` becomes `threshold` in `[detach]`."""
    sections: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.partition("_")
        shown = str(value) if isinstance(value, int) else json.dumps(value)
        sections.setdefault(section, []).append(f"{name} = {shown}")
    return "\n".join(f"[{s}]\n" + "\n".join(lines) + "\n" for s, lines in sections.items())


def binary() -> str:
    """The program under test: `$DEPOLLUEUR`, else the release build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return os.environ.get("DEPOLLUEUR", str(target / "release" / "depollueur"))


def tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.splitlines()[-lines:])


def without_trace(received: bytes) -> bytes:
    """A received message without the fields that Postfix put on top of it on its way."""
    trace = re.compile(rb"(?:(?:Return-Path|X-Original-To|Delivered-To|Received):"
                       rb"[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*", re.I)
    return received[trace.match(received).end():]


def judge(daemon: Daemon, before: bytes, received: bytes, *, threshold=100_000, require=True,
          extra=()) -> dict:
    """Asks the oracle whether a received message kept every promise; its links are opened.

    Twice: with the web listener's manifest and files, and with `depollueur drop get`. Returns what
    the oracle saw (`removed`, `changed`, `fresh`).
    """
    after = without_trace(received)
    second = daemon.run("rewrite", data=after)
    assert second.returncode == 0, f"rewrite failed: {second.stderr.decode()}"
    with tempfile.TemporaryDirectory(prefix="judge") as directory:
        paths = [Path(directory) / name for name in ("before.eml", "after.eml", "second.eml")]
        for path, data in zip(paths, (before, after, second.stdout)):
            path.write_bytes(data)
        base = daemon.settings["web_public_url"]
        command = [sys.executable, str(ORACLE), str(paths[0]), str(paths[1]), "--second",
                   str(paths[2]), "--json", "--base", base, "--threshold", str(threshold), *extra]
        if require:
            command.append("--require")
        http = ["--fetch", "--manifest", "--rewrite-base",
                f"{base}=http://127.0.0.1:{daemon.web_port}/"]
        get = " ".join(daemon.command("drop", "get", "{url}", "--into", "{dir}"))
        info = {}
        for way in (http, ["--package-cmd", get]):
            answer = subprocess.run(command + way, capture_output=True, text=True)
            assert answer.returncode == 0, (
                f"the oracle says:\n{answer.stdout}{answer.stderr}\n"
                f"--- after:\n{after[:6000].decode('latin-1')}")
            info = json.loads(answer.stdout)["info"]
    return info
