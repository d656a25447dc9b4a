#!/usr/bin/env python3
"""The stories with Sendmail: what holds with Postfix holds with the other mail server that speaks the milter protocol.

    tests/e2e/sendmail.py            all of them
    tests/e2e/sendmail.py link       those whose sentence contains a word
    tests/e2e/sendmail.py --list

Debian's Sendmail cannot be installed beside its Postfix: its packages are downloaded and unpacked below `target/tools`,
and a private one is run from there, which delivers to the private Postfix of tests/e2e/lab.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import Lab, LabError, ROOT, is_alive, port_is_open, stop_pid, tail, toml, wait_until  # noqa: E402
from stories import check_rewritten, check_untouched, refused_with, story  # noqa: E402

stories.STORIES.clear()

TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tools" / "sendmail"
PACKAGES = ("sendmail-bin", "sendmail-cf")

# The filters' lines are those of depollueur(8), but for the addresses. Sendmail takes no unix socket below a directory
# that everybody may write to, as this lab's is: it lies below /run, as the unit's does.
MC = """\
divert(0)dnl
VERSIONID(`lab')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.lab.test')dnl
define(`confPID_FILE', `{dir}/pid')dnl
define(`STATUS_FILE', `{dir}/statistics')dnl
define(`ALIAS_FILE', `')dnl
define(`confSERVICE_SWITCH_FILE', `{dir}/switch')dnl
define(`confMIN_FREE_BLOCKS', `0')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {next_port}')dnl
FEATURE(`nocanonify')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={incoming}')dnl
DAEMON_OPTIONS(`Name=MSA, Addr=127.0.0.1, Port={submission}')dnl
DAEMON_OPTIONS(`Name=PLAIN, Addr=127.0.0.1, Port={plain}, InputFilters=')dnl
DAEMON_OPTIONS(`Name=UNIX, Addr=127.0.0.1, Port={tcp}, InputFilters=local')dnl
MAIL_FILTER(`local', `S=unix:{runtime}/milter.sock, F=T, T=S:30s;R:1m;E:5m')dnl
INPUT_MAIL_FILTER(`depollueur', `S=inet:{milter_port}@127.0.0.1, F=T, T=S:30s;R:1m;E:5m')dnl
MAILER(`smtp')dnl
"""
SWITCH = "hosts files\naliases files\npasswd files\n"


def unpacked() -> Path:
    """Debian's Sendmail below `target/tools`."""
    if not (TOOLS / "usr" / "libexec" / "sendmail" / "sendmail").exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=TOOLS, check=True, capture_output=True)
        for package in TOOLS.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, TOOLS], check=True)
    return TOOLS


class Sendmail:
    """One private Sendmail below `directory`, in place of the lab's first Postfix."""

    def __init__(self, directory: Path, values: dict):
        self.directory = directory
        self.process: subprocess.Popen | None = None
        self.tree = unpacked()
        (directory / "queue").mkdir(parents=True, mode=0o700)
        (directory / "switch").write_text(SWITCH)
        (directory / "lab.mc").write_text(MC.format(dir=directory, **values))
        cf = self.tree / "usr" / "share" / "sendmail" / "cf"
        made = subprocess.run(["m4", f"-D_CF_DIR_={cf}/", cf / "m4" / "cf.m4", directory / "lab.mc"],
                              check=True, capture_output=True)
        (directory / "lab.cf").write_bytes(made.stdout)

    def start(self, ports):
        """In a UTS namespace: with a host name without a dot, Sendmail would wait for a better one."""
        command = [self.tree / "usr" / "libexec" / "sendmail" / "sendmail", "-bD", "-C", self.directory / "lab.cf",
                   "-O", f"QueueDirectory={self.directory / 'queue'}", "-O", "HostStatusDirectory=",
                   "-X", self.directory / "traffic"]
        with (self.directory / "out").open("ab") as out:
            self.process = subprocess.Popen(["unshare", "--uts", "sh", "-c", 'hostname mx.lab.test; exec "$@"', "sh",
                                             *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        for port in ports:
            wait_until(lambda port=port: port_is_open(port) or self.ended(), f"Sendmail on port {port}", 30)

    def ended(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"Sendmail ended with {self.process.returncode}:\n{self.log()}")
        return False

    def stop(self):
        if self.process and is_alive(self.process.pid):
            stop_pid(self.process.pid)
            self.process.wait()

    def log(self) -> str:
        files = (self.directory / name for name in ("out", "traffic"))
        return "".join(tail(path.read_text(errors="replace"), 40) for path in files if path.exists())

    def queued(self) -> int:
        return len(list((self.directory / "queue").glob("qf*")))


class SendmailLab(Lab):
    """The lab with a Sendmail that asks the milter."""

    def start_first(self, values):
        # As the unit makes it: nobody but the daemon's user, its group and root gets in.
        self.runtime = Path(tempfile.mkdtemp(prefix="depollueur-lab-", dir="/run"))
        self.runtime.chmod(0o750)
        shutil.chown(self.runtime, "daemon", "daemon")
        self.first = Sendmail(self.dir / "sendmail", {**self.ports, "runtime": self.runtime})
        self.first.start([self.ports[name] for name in ("incoming", "submission", "plain", "tcp")])

    def close(self):
        super().close()
        if hasattr(self, "runtime"):
            shutil.rmtree(self.runtime, ignore_errors=True)

    def daemon(self, **settings):
        return super().daemon(**{"milter_listen": f"127.0.0.1:{self.ports['milter_port']}", **settings})


REPORT = {"report.pdf": m.pdf(300_000)}


@story("Sendmail: a heavy attachment arrives as a link, which gives its bytes")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to)
        check_rewritten(daemon, message, lab.receive(to), REPORT)


@story("Sendmail: over a unix socket below /run a heavy attachment arrives as a link, too")
def _(lab):
    with lab.daemon(milter_listen=f"unix:{lab.runtime}/milter.sock") as daemon:
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to, port="tcp")
        check_rewritten(daemon, message, lab.receive(to), REPORT)


@story("Sendmail: 25 MB arrive as a link, which gives their bytes")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(25_000_000), lab.address()
        message = m.message(m.multipart("mixed", m.TEXT, m.HTML, m.attachment(data)), to=to)
        lab.inject(message, to)
        received = lab.receive(to)
        assert len(received) < 10_000, f"{len(received)} bytes arrived"
        check_rewritten(daemon, message, received, {"report.pdf": data})


@story("Sendmail: mail with nothing heavy, and mail in dry-run, passes byte by byte")
def _(lab):
    for settings, size in (({}, 3_000), ({"detach_mode": "dry-run"}, 300_000)):
        with lab.daemon(**settings):
            to = lab.address()
            message = m.report(to, size)
            lab.inject(message, to)
            check_untouched(lab, message, lab.receive(to))


@story("Sendmail: several messages in one session are each judged, and have Sendmail's queue ids in the log")
def _(lab):
    with lab.daemon() as daemon:
        sent = [(to := lab.address(), m.report(to, size)) for size in (300_000, 3_000, 400_000)]
        with lab.smtp("incoming") as client:
            for to, message in sent:
                client.sendmail("zoe@elsewhere.test", [to], message)
        for (to, message), size in zip(sent, (300_000, 3_000, 400_000)):
            received = lab.receive(to)
            if size > 100_000:
                check_rewritten(daemon, message, received, {"report.pdf": m.pdf(size)})
                identifier = received.split(b" id ", 2)[2].split(b";")[0].split(b"\r\n")[0].decode().split(" ")[0]
                assert identifier in daemon.log(), f"{identifier} is not in the log:\n{daemon.log()}"
            else:
                check_untouched(lab, message, received)


@story("Sendmail: the port of the users is known by its daemon's name, and its mail is outgoing")
def _(lab):
    with lab.daemon(detach_directions="outgoing", milter_outgoing_daemons=["MSA"]) as daemon:
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to, port="incoming")
        check_untouched(lab, message, lab.receive(to))
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to, port="submission")
        check_rewritten(daemon, message, lab.receive(to), REPORT)


@story("Sendmail: an address by which the sender keeps the file is taken out of the envelope")
def _(lab):
    keep = "keep@example.com"
    with lab.daemon(sender_trusted="both", sender_keep_addresses=[keep]):
        to = lab.address()
        message = m.report(to)
        with lab.smtp("incoming") as client:
            client.sendmail("zoe@elsewhere.test", [to, keep], message)
        check_untouched(lab, message, lab.receive(to))
        assert lab.received_count(keep) == 0


@story("Sendmail: what a rule refuses is refused in its words")
def _(lab):
    rule = '\n[[rule]]\nname = "no"\nrecipient = "@example.com"\naction = "reject"\ntext = "please use the form"\n'
    daemon = lab.daemon()
    daemon.config.write_text(toml(daemon.settings) + rule)
    with daemon:
        to = lab.address()
        said = refused_with(550, lambda: lab.inject(m.report(to), to))
        assert "please use the form" in said, said


@story("Sendmail: while the daemon is away, mail is put off, and goes when it is back")
def _(lab):
    to = lab.address()
    message = m.report(to)
    refused_with(451, lambda: lab.inject(message, to))
    with lab.daemon() as daemon:
        lab.inject(message, to)
        check_rewritten(daemon, message, lab.receive(to), REPORT)


@story("Sendmail: when the drop is full, mail goes as it came, or is put off if so configured")
def _(lab):
    with lab.daemon(quota_total="100 kB", detach_on_failure="deliver"):
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to)
        check_untouched(lab, message, lab.receive(to))
    with lab.daemon(quota_total="100 kB", detach_on_failure="tempfail"):
        refused_with(451, lambda: lab.inject(message, to))


@story("Sendmail: a daemon killed in the middle of a message: 451, and nothing half arrives")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        client = lab.smtp("incoming")
        client.mail("zoe@elsewhere.test")
        client.rcpt(to)
        assert client.docmd("DATA")[0] == 354
        half = len(message) // 2
        client.sock.sendall(message[:half])
        daemon.kill()
        client.sock.sendall(message[half:] + b".\r\n")
        assert (code := client.getreply()[0]) == 451, code
        client.close()
        assert lab.received_count(to) == 0


if __name__ == "__main__":
    sys.exit(stories.main(SendmailLab))
