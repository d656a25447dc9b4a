"""What runs on the hosts: Postfix with its milter, the pages, the balancer. Each can be killed, stopped and started again."""

from __future__ import annotations

import http.client
import signal
import subprocess
import time
from pathlib import Path

import lab
from database import kill_all
from lab import COMMANDS, LabError, Postfix, binary, is_alive, tail, toml, wait_until
from network import PREFIX, WORLD, Host

BASE = "https://drop.lab.test/"
SINK_PORT, SMTP, SUBMISSION, WEB, ADMIN, ADMIN_WEB, DROP = 2525, 25, 587, 8025, 8026, 8027, 80

MX_CF = """\
default_transport = smtp:[{world}]:{sink}
smtpd_milters = unix:{milter}
non_smtpd_milters = unix:{milter}
smtp_connection_cache_on_demand = no
smtp_connect_timeout = 5s
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
milter_connect_timeout = 10s
"""

MX_PORTS = """\
{address}:{smtp} inet n - n - - smtpd
  -o milter_macro_daemon_name=INBOUND
{address}:{submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o milter_macro_daemon_name=ORIGINATING
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path={sasl}
  -o smtpd_sasl_security_options=noanonymous
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""

HAPROXY = """\
global
    maxconn 4000
    stats socket {directory}/haproxy.sock mode 600 level admin
defaults
    mode http
    option redispatch
    retries 2
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
frontend drop
    bind {address}:{port}
    default_backend web
backend web
    balance roundrobin
    # Replaces what a client wrote into it.
    http-request set-header X-Forwarded-For %[src]
    option httpchk GET /readyz
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1
"""


class Part:
    """Something that runs on a host and is looked after: killed, it is started again by whoever killed it."""

    name: str
    host: Host
    # How often it was killed.
    kills = 0

    def start(self): ...

    def wait(self): ...

    def stop(self): ...

    def kill(self): ...


class Program(Part):
    """A process of depollueur: `milter` or `web`, with the host's own configuration and directory."""

    def __init__(self, host: Host, directory: Path, part: str, settings: dict):
        self.host, self.part, self.directory = host, part, directory
        self.name = f"{part} of {host.name}"
        directory.mkdir(mode=0o755, parents=True)
        self.drop = Path(settings.get("drop_directory", directory / "drop"))
        self.config, self.log_path = directory / "depollueur.toml", directory / "log"
        (directory / "milter").mkdir(mode=0o755)
        self.milter = directory / "milter" / "milter.sock"
        text = toml({
            "milter_listen": f"unix:{self.milter}", "web_listen": f"{host.address}:{WEB}", "web_public_url": BASE,
            "admin_listen": f"{host.address}:{ADMIN}", "admin_web_listen": f"{host.address}:{ADMIN_WEB}",
            "drop_directory": str(self.drop), **settings})
        self.config.write_text(text.replace(" = True\n", " = true\n"))
        self.process: subprocess.Popen | None = None

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = self.host.popen([binary(), self.part, "--config", self.config],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, seconds: float = 60):
        wait_until(self._is_ready, f"the {self.name}\n{tail(self.log())}", seconds)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"the {self.name} ended with {self.process.returncode}:\n{tail(self.log())}")
        try:
            return self.ask("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, path: str) -> tuple[int, bytes]:
        port = ADMIN if self.part == "milter" else ADMIN_WEB
        return get((self.host.address, port), path)[::2]

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if code != 0:
            raise AssertionError(f"the {self.name} ended with {code}:\n{tail(self.log())}")

    def command(self, *words: object, seconds: float = 120) -> subprocess.CompletedProcess:
        """Runs another command of the program, on this host and with its configuration."""
        return self.host.run(self.line(*words), capture_output=True, text=True, timeout=seconds)

    def line(self, *words: object) -> list[str]:
        return [binary(), *map(str, words), "--config", str(self.config)]

    def seconds(self) -> float:
        """The processor's time that it took so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / 100


class Mx(Part, Postfix):
    """A Postfix that takes mail from the world, asks the milter of its host, and hands it on to the sink."""

    def __init__(self, host: Host, directory: Path, milter: Path, sasl: Path):
        self.host, self.name = host, f"postfix of {host.name}"
        values = {"address": host.address, "world": WORLD, "sink": SINK_PORT, "smtp": SMTP, "submission": SUBMISSION,
                  "milter": milter, "sasl": sasl}
        Postfix.__init__(self, directory, host.name, MX_CF.format(**values), MX_PORTS.format(**values))
        open_to_the_network(self)

    def start(self):
        done = self.host.run([f"{COMMANDS}/postfix", "-c", self.directory / "etc", "start"], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"the {self.name} did not start: {done.stderr}\n{tail(self.log())}")
        pid_file = self.directory / "queue" / "pid" / "master.pid"
        self.master_pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), f"the {self.name}"))

    def wait(self):
        wait_until(lambda: is_open(self.host.address, SMTP), f"the {self.name}", 30)

    def kill(self):
        if self.master_pid and is_alive(self.master_pid):
            kill_all(self.master_pid)

    def stop(self):
        self.host.run([f"{COMMANDS}/postfix", "-c", self.directory / "etc", "stop"], capture_output=True)
        wait_until(lambda: not is_alive(self.master_pid), f"the {self.name} to end", 30)

    def flush(self):
        self.host.run([f"{COMMANDS}/postqueue", "-c", self.directory / "etc", "-f"], capture_output=True)


class Sink(Postfix):
    """Where mail goes: a Postfix in the world that puts each message into a Maildir."""

    def __init__(self, directory: Path):
        super().__init__(directory, "mail", lab.SECOND_CF.format(dir=directory), f"{SINK_PORT} inet n - n - - smtpd\n")
        open_to_the_network(self)
        self.inbox = directory / "mail" / "inbox"


def open_to_the_network(postfix: Postfix):
    main = postfix.directory / "etc" / "main.cf"
    text = main.read_text().replace("inet_interfaces = loopback-only", "inet_interfaces = all")
    main.write_text(text.replace("mynetworks = 127.0.0.0/8", f"mynetworks = 127.0.0.0/8 {PREFIX}.0/24"))


class Balancer(Part):
    """HAProxy before the hosts with pages. It knows by /readyz which of them can serve."""

    def __init__(self, host: Host, directory: Path, servers: list[Program]):
        self.host, self.name, self.directory = host, "balancer", directory
        directory.mkdir(mode=0o755)
        self.where = (host.address, DROP)
        self.config = directory / "haproxy.cfg"
        lines = [f"    server {web.host.name} {web.host.address}:{WEB} check port {ADMIN_WEB}\n" for web in servers]
        self.config.write_text(HAPROXY.format(directory=directory, address=host.address, port=DROP) + "".join(lines))
        self.process: subprocess.Popen | None = None

    def start(self):
        with (self.directory / "log").open("ab") as log:
            # In the foreground: one process.
            self.process = self.host.popen(["/usr/sbin/haproxy", "-db", "-f", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self):
        def serves() -> bool:
            try:
                return get(self.where, "/")[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        wait_until(serves, "the balancer to serve", 30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    stop = kill


def is_open(address: str, port: int) -> bool:
    try:
        lab.socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False


def get(where: tuple[str, int], path: str, method: str = "GET", body: bytes | None = None, headers: dict | None = None,
        seconds: float = 30) -> tuple[int, dict, bytes]:
    """Status, headers and body; raises OSError or HTTPException where there is no whole answer."""
    connection = http.client.HTTPConnection(*where, timeout=seconds)
    try:
        connection.request(method, path, body, {"Host": "drop.lab.test", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def pause(seconds: float):
    """Lets a fault last: that is what it is about, nothing is awaited."""
    time.sleep(seconds)
