#!/usr/bin/env python3
"""`depollueur doctor` on a real Postfix that is set up wrongly in each of the ways it knows.

Each case changes one thing of a system that is right, and says which check must speak up, how
loudly, and with which line to type; nothing else may complain. Postfix's own `postconf` makes the
changes in a copy of the lab's configuration.

    tests/e2e/doctor.py             all of them
    tests/e2e/doctor.py chroot      those whose sentence contains a word
"""

from __future__ import annotations

import contextlib
import grp
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import Daemon, Lab, binary, free_port  # noqa: E402

HOST = "drop.lab.test"
CASES = []


class NotHere(Exception):
    """This machine lacks a right that the case needs."""


# ---------------------------------------------------------------- a proxy with TLS


class Authority:
    """Makes certificates with openssl."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir()
        self.certificate = directory / "ca.pem"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                     "-days", "1000", "-subj", "/CN=Lab", "-addext", "basicConstraints=critical,CA:TRUE")

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def issue(self, name: str, host: str, begins: int, ends: int) -> Path:
        """A certificate that holds from `begins` to `ends` days from now, with its key."""
        day = lambda n: subprocess.check_output(["date", "-u", "-d", f"{n} days", "+%Y%m%d%H%M%SZ"], text=True).strip()
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                     "-subj", f"/CN={host}")
        (self.directory / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        (self.directory / "index.txt").write_text("")
        (self.directory / "ca.conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\n"
            "default_md=sha256\npolicy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n")
        self.openssl("ca", "-batch", "-config", "ca.conf", "-in", f"{name}.csr", "-out", f"{name}.pem",
                     "-notext", "-startdate", day(begins), "-enddate", day(ends), "-extfile", f"{name}.ext")
        with (self.directory / f"{name}.pem").open("a") as chain:
            chain.write((self.directory / f"{name}.key").read_text())
        return self.directory / f"{name}.pem"


class Proxy:
    """What stands before the drop: ends TLS, passes GET on, and can spoil the answer."""

    def __init__(self, certificate: Path | None, target: int, spoil=None):
        self.target, self.spoil = target, spoil or (lambda status, headers, body: (status, headers, body))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(65536)
                if not more:
                    return
                request += more
            path = request.split(b" ")[1].decode()
            client = http.client.HTTPConnection("127.0.0.1", self.target if isinstance(self.target, int) else 80, timeout=20)
            if isinstance(self.target, str):
                client.sock = socket.socket(socket.AF_UNIX)
                client.sock.connect(self.target)
            client.request("GET", path)
            answer = client.getresponse()
            headers = {k.lower(): v for k, v in answer.getheaders()}
            status, headers, body = self.spoil(answer.status, headers, answer.read())
            headers |= {"connection": "close", "content-length": str(len(body))}
            head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            connection.sendall(f"HTTP/1.1 {status} x\r\n{head}\r\n".encode() + body)

    def close(self):
        # Closed while a thread waits in it, the socket would still take one connection.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


# ---------------------------------------------------------------- a system that is right


class System:
    """A lab with a daemon, a proxy and a Postfix that are right; a case spoils one thing of it."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.authority = Authority(lab.dir / "authority")
        self.certificates = {
            "good": self.authority.issue("good", HOST, -1, 89),
            "old": self.authority.issue("old", HOST, -100, -1),
            "ending": self.authority.issue("ending", HOST, -85, 5),
            "other": self.authority.issue("other", "www.lab.test", -1, 89),
        }
        self.bin = lab.dir / "bin"
        self.bin.mkdir()
        self.says("timedatectl", "yes")
        # The directory of a memory file system would be a finding.
        self.home = Path(tempfile.mkdtemp(prefix="depollueur-doctor-", dir="/var/tmp"))
        self.home.chmod(0o711)
        self.etc = lab.dir / "etc"
        self.count = 0
        os.chown(lab.milter.parent, 0, grp.getgrnam("postfix").gr_gid)

    def says(self, program: str, answer: str):
        (self.bin / program).write_text(f"#!/bin/sh\necho {answer}\n")
        (self.bin / program).chmod(0o755)

    @contextlib.contextmanager
    def right(self, **settings):
        """Everything as it should be, with a fresh daemon; gives a `Right`."""
        self.count += 1
        shutil.rmtree(self.etc, ignore_errors=True)
        shutil.copytree(self.lab.first.directory / "etc", self.etc)
        self.lab.milter.parent.chmod(0o710)
        self.says("timedatectl", "yes")
        drop = self.home / f"drop-{self.count}"
        daemon = self.lab.daemon(**{"drop_directory": str(drop), "web_public_url": f"https://{HOST}/",
                                    "web_report_to": "abuse@next.test",
                                    "mail_relay": f"127.0.0.1:{self.lab.ports['incoming']}", **settings})
        daemon.drop = drop
        daemon.config.chmod(0o640)
        proxy = Proxy(self.certificates["good"], daemon.web_port)
        right = Right(self, daemon, proxy)
        right.set("smtpd_sender_login_maps = static:alice",
                  "smtpd_sender_restrictions = reject_authenticated_sender_login_mismatch")
        right.postconf("-MX", f"127.0.0.1:{self.lab.ports['tcp']}/inet")
        right.set("smtpd_forbid_bare_newline = normalize")
        daemon.start()
        try:
            yield right
        finally:
            right.proxy.close()
            daemon.kill()

    def close(self):
        shutil.rmtree(self.home, ignore_errors=True)


class Right:
    """The parts of a right system, and the ways to spoil them."""

    def __init__(self, system: System, daemon: Daemon, proxy: Proxy):
        self.system, self.lab, self.daemon, self.proxy = system, system.lab, daemon, proxy
        self.us = f"unix:{self.lab.milter}"
        self.incoming = f"127.0.0.1:{self.lab.ports['incoming']}/inet"
        self.submission = f"127.0.0.1:{self.lab.ports['submission']}/inet"
        self.settings: dict = {}
        self.resolve = True
        self.user: str | None = None

    def postconf(self, *arguments):
        subprocess.run(["postconf", "-c", self.system.etc, *arguments], check=True, capture_output=True)

    def set(self, *lines):
        self.postconf("-e", *lines)

    def service(self, service: str, line: str):
        name, _, value = line.partition(" = ")
        self.postconf("-P", f"{service}/{name} = {value.replace(', ', ',')}")

    def type(self, line: str):
        """Does what doctor says."""
        line = line.replace("postconf ", f"postconf -c {self.system.etc} ")
        subprocess.run(["sh", "-c", line], check=True, capture_output=True)

    def put_proxy(self, certificate: str | None, spoil=None, target: int | None = None):
        self.proxy.close()
        path = self.system.certificates[certificate] if certificate else None
        self.proxy = Proxy(path, target or self.daemon.web_port, spoil)

    def doctor(self, *options) -> tuple[int, str]:
        command = self.daemon.command("doctor", "--postfix-config", self.system.etc, *options)
        for key, value in self.settings.items():
            command += ["--set", f"{key}={json.dumps(value)}"]
        if self.resolve:
            command += ["--resolve", f"127.0.0.1:{self.proxy.port}"]
        environment = dict(os.environ, SSL_CERT_FILE=str(self.system.authority.certificate),
                           PATH=f"{self.system.bin}:{os.environ['PATH']}")
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, user=self.user)
        assert done.returncode in (0, 1, 2), done.stderr
        return done.returncode, done.stdout

    def findings(self) -> list[dict]:
        code, out = self.doctor("--json")
        report = json.loads(out)
        assert code == {"ok": 0, "unknown": 0, "warning": 1, "error": 2}[report["worst"]], (code, out)
        return report["findings"]


LOUD = ("warning", "error")


def shown(findings) -> str:
    return "\n".join(f"{f['level']} {f['check']}: {f['message']} {f['fix']}" for f in findings)


def wrong(sentence: str, check: str, level: str, fix: str = "", also=(), **settings):
    """Registers a case: what it does to a right system makes `check` speak up; `also` may, too."""
    def register(spoil):
        def case(system: System):
            with system.right(**settings) as right:
                spoil(right)
                findings = right.findings()
                hits = [f for f in findings if f["check"] == check and f["level"] == level]
                assert hits, f"expected {level} {check} in\n{shown(findings)}"
                assert any(fix in line for f in hits for line in f["fix"] or [""]), shown(hits)
                others = [f for f in findings if f["level"] in LOUD and f["check"] not in (check, *also)]
                assert not others, f"besides {check}:\n{shown(others)}"
                mend(right, check, hits)
        CASES.append((sentence, case))
        return spoil
    return register


def mend(right: Right, check: str, hits: list[dict]):
    """Types the lines that doctor gives, if all of them change nothing but this system."""
    lines = [line for finding in hits for line in finding["fix"]]
    if not lines or not all(line.startswith(("postconf ", "chmod ", "chgrp ", "chown ")) for line in lines):
        return
    for line in lines:
        right.type(line)
    left = [f for f in right.findings() if f["check"] == check and f["level"] in LOUD]
    assert not left, f"after {lines}:\n{shown(left)}"


def story(sentence: str):
    """Registers a test of its own."""
    def register(function):
        CASES.append((sentence, function))
        return function
    return register


# ---------------------------------------------------------------- what is right


def contents(directory: Path) -> set:
    return {(str(p.relative_to(directory)), p.stat().st_uid, p.stat().st_mode)
            for p in directory.rglob("*") if not p.name.endswith(("-wal", "-shm", "spare"))}


@story("a right system has no finding, exit code 0, and its drop is as it was before")
def _(system):
    with system.right() as right:
        before = contents(right.daemon.drop)
        findings = right.findings()
        assert not [f for f in findings if f["level"] in LOUD], shown(findings)
        checks = {f["check"] for f in findings if f["level"] == "ok"}
        for check in ("milter.listed", "milter.default-action", "milter.answers", "milter.rights", "drop.upload",
                      "web.download", "public.download", "public.certificate", "drop.delete", "clock.web",
                      "milter.order", "drop.space", "config.file", "daemon.ready", "postfix.message-size"):
            assert check in checks, f"{check} is not in\n{shown(findings)}"
        # Directories of blobs stay, files do not.
        left = {entry for entry in contents(right.daemon.drop) - before if not entry[2] & 0o040000}
        assert not left, left
        code, text = right.doctor()
        assert code == 0 and text.endswith("0 errors, 0 warnings\n"), text


@story("a drop whose packages browsers unlock is right too, and what is served is decrypted to know it")
def _(system):
    with system.right(drop_end_to_end="true") as right:
        findings = right.findings()
        assert not [f for f in findings if f["level"] in LOUD], shown(findings)
        checks = {f["check"] for f in findings if f["level"] == "ok"}
        assert checks >= {"drop.upload", "web.download", "public.download", "drop.delete"}, shown(findings)
        assert not [p for p in (right.daemon.drop / "blobs").rglob("*") if p.is_file()]


@story("the web server on a unix socket is right too: what it serves is asked for there")
def _(system):
    place = str(system.lab.dir / "web.sock")
    with system.right(web_listen=f"unix:{place}") as right:
        right.proxy.target = place
        findings = right.findings()
        assert not [f for f in findings if f["level"] in LOUD], shown(findings)
        checks = {f["check"] for f in findings if f["level"] == "ok"}
        assert {"web.download", "public.download", "drop.delete"} <= checks, shown(findings)


@story("the test package belongs to the owner of the drop, also when root runs doctor")
def _(system):
    with system.right() as right:
        owner = pwd.getpwnam("nobody")
        right.daemon.stop()
        for path in (right.daemon.drop, *right.daemon.drop.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        # The daemon that root starts is the owner's from then on: it makes its socket in a directory of his, too.
        for path in (right.daemon.directory, right.daemon.config, right.lab.milter.parent):
            os.chown(path, owner.pw_uid, -1)
        right.daemon.start()
        findings = right.findings()
        assert not [f for f in findings if f["level"] in LOUD and f["check"] != "config.file"], shown(findings)
        assert {uid for _, uid, _ in contents(right.daemon.drop)} == {owner.pw_uid}


@story("whoever is neither root nor the owner of the drop is told to be")
def _(system):
    with system.right() as right:
        right.daemon.config.chmod(0o644)
        right.user = "daemon"
        shutil.copy(binary(), right.daemon.directory / "depollueur")
        os.environ["DEPOLLUEUR"], kept = str(right.daemon.directory / "depollueur"), os.environ.get("DEPOLLUEUR")
        try:
            findings = right.findings()
        finally:
            os.environ.pop("DEPOLLUEUR") if kept is None else os.environ.update(DEPOLLUEUR=kept)
        upload = [f for f in findings if f["check"] == "drop.upload"]
        assert upload[0]["level"] == "unknown" and "run doctor as root" in upload[0]["message"], shown(findings)


# ---------------------------------------------------------------- where Postfix lists us


@wrong("no list has the milter", "milter.listed", "error",
       "postconf -e 'smtpd_milters = { unix:")
def _(r):
    r.set("smtpd_milters =", "non_smtpd_milters =")


@wrong("only local mail goes through the milter", "milter.listed", "warning", "postconf -e 'smtpd_milters = ")
def _(r):
    r.set("smtpd_milters = inet:127.0.0.1:11332")


@wrong("the service of users has a list without the milter", "milter.listed", "warning",
       "/smtpd_milters = inet:127.0.0.1:11332,{unix:")
def _(r):
    r.service(r.submission, "smtpd_milters = inet:127.0.0.1:11332")


@wrong("the milter is listed twice", "milter.listed", "warning")
def _(r):
    r.set(f"smtpd_milters = {r.us}, {r.us}")


@wrong("a virus scanner stands after us", "milter.order", "error",
       "postconf -e 'smtpd_milters = unix:clamav/clamav-milter.ctl, unix:")
def _(r):
    r.set(f"smtpd_milters = {r.us}, unix:clamav/clamav-milter.ctl")


@wrong("amavis stands after us", "milter.order", "error")
def _(r):
    r.set(f"smtpd_milters = {r.us}, unix:/run/amavis/amavisd-milter.sock")


@wrong("rspamd stands after us for mail from outside", "milter.order", "error", "smtpd_milters = inet:127.0.0.1:11332,")
def _(r):
    r.service(r.incoming, f"smtpd_milters = {r.us}, inet:127.0.0.1:11332")


@wrong("DMARC is verified after us", "milter.order", "warning")
def _(r):
    r.service(r.incoming, f"smtpd_milters = {r.us}, local:opendmarc/opendmarc.sock")


@wrong("DKIM is verified after us", "milter.order", "warning")
def _(r):
    r.service(r.incoming, f"smtpd_milters = {r.us}, inet:localhost:8891")


@wrong("DKIM is signed before us", "milter.order", "error", "/smtpd_milters = unix:")
def _(r):
    r.service(r.submission, f"smtpd_milters = inet:localhost:8891, {r.us}")


@wrong("DKIM is signed before us for local mail", "milter.order", "error", "postconf -e 'non_smtpd_milters = unix:")
def _(r):
    r.set(f"non_smtpd_milters = inet:localhost:8891, {r.us}")


@wrong("ARC is sealed before us", "milter.order", "error")
def _(r):
    r.service(r.submission, f"smtpd_milters = unix:openarc/openarc.sock, {r.us}")


@wrong("a content filter comes after us", "milter.order", "error", "/smtpd_milters = {unix:", also=("milter.listed",))
def _(r):
    put_filter(r)


@wrong("a proxy before the queue comes after us", "milter.order", "error", "/smtpd_milters = ")
def _(r):
    r.service(r.submission, "smtpd_proxy_filter = 127.0.0.1:10024")


@wrong("a content filter comes after us for mail of local programs", "milter.order", "error", "postconf -e 'non_smtpd_milters = '")
def _(r):
    r.service("pickup/unix", "content_filter = smtp:[127.0.0.1]:10024")


@story("on the return of a content filter is right")
def _(system):
    with system.right() as right:
        back = put_filter(right)
        right.service(back, f"smtpd_milters = {right.us}")
        right.set("smtpd_milters =", "non_smtpd_milters =")
        quiet(right)


def put_filter(right: Right) -> str:
    """A content filter for all mail but that which it brings back; gives the service where it does."""
    back = f"127.0.0.1:{right.lab.ports['plain']}/inet"
    right.set("content_filter = smtp:[127.0.0.1]:10024")
    right.service(back, "content_filter = ")
    return back


@wrong("the service of users lists us and asks no milter", "milter.listed", "warning", "/receive_override_options = ")
def _(r):
    r.service(r.submission, f"smtpd_milters = {r.us}")
    r.service(r.submission, "receive_override_options = no_milters")


@wrong("all of Postfix lists us and asks no milter", "milter.listed", "error", "postfix reload")
def _(r):
    r.set("receive_override_options = no_milters")


@wrong("other milters for some clients: cannot tell", "milter.listed", "unknown")
def _(r):
    r.service(r.submission, "smtpd_milter_maps = cidr:/etc/postfix/milters")


@wrong("a milter that nobody knows: cannot tell", "milter.order", "unknown")
def _(r):
    r.set(f"smtpd_milters = inet:127.0.0.1:9999, {r.us}")


# ---------------------------------------------------------------- what Postfix does when we fail


@story("to end the session with 421, the default of Postfix 3.11, is right")
def _(system):
    with system.right() as right:
        right.set("milter_default_action = shutdown")
        quiet(right)


for action in ("accept", "quarantine", "reject"):
    @wrong(f"the default action is {action}", "milter.default-action", "error",
           "postconf -e 'milter_default_action = tempfail'")
    def _(r, action=action):
        r.set(f"milter_default_action = {action}")


@wrong("the default action is wrong for this milter alone", "milter.default-action", "error",
       "default_action=tempfail }")
def _(r):
    r.set(f"smtpd_milters = {{ {r.us}, default_action=accept }}")


@wrong("the default action is wrong for one service", "milter.default-action", "error",
       "/milter_default_action = tempfail")
def _(r):
    r.service(r.submission, "milter_default_action = accept")


@wrong("Postfix waits less than the deadline for the end of a message", "milter.timeouts", "error",
       "postconf -e 'milter_content_timeout = 300s'")
def _(r):
    r.set("milter_content_timeout = 20s")


@wrong("Postfix waits less than the drain time for a command", "milter.timeouts", "warning",
       "postconf -e 'milter_command_timeout = 30s'")
def _(r):
    r.set("milter_command_timeout = 10s")


@wrong("Postfix waits too little for a connection, here alone", "milter.timeouts", "warning", "connect_timeout=30s }")
def _(r):
    r.set(f"smtpd_milters = {{ {r.us}, connect_timeout=1s }}")


@wrong("protocol version 2", "milter.protocol", "warning", "postconf -e 'milter_protocol = 6'")
def _(r):
    r.set("milter_protocol = 2")


# ---------------------------------------------------------------- other settings


@wrong("message_size_limit below what a detached file takes", "postfix.message-size", "error",
       "postconf -e 'message_size_limit = ")
def _(r):
    r.set("message_size_limit = 120000")


@wrong("message_size_limit too low for one service", "postfix.message-size", "error", "/message_size_limit = 73400320")
def _(r):
    r.service(r.submission, "message_size_limit = 120000")


AGENTS = {"mailbox_size_limit": ("mydestination = lab.test", "local_transport = local:lab.test"),
          "virtual_mailbox_limit": ("virtual_mailbox_domains = lab.test", "virtual_transport = virtual")}
for name, lines in AGENTS.items():
    @wrong(f"{name} below message_size_limit", "postfix.mailbox-size", "error", f"postconf -e '{name} = 0'")
    def _(r, name=name, lines=lines):
        r.postconf("-M", "local/unix=local unix - n n - - local")
        r.set(f"{name} = 51200000", *lines)


@story("limits of mailboxes say nothing where another server delivers by LMTP")
def _(system):
    with system.right() as right:
        right.postconf("-M", "local/unix=local unix - n n - - local", "lmtp/unix=lmtp unix - - n - - lmtp")
        right.set("mailbox_size_limit = 51200000", "virtual_mailbox_limit = 51200000", "mydestination = lab.test",
                  "virtual_mailbox_domains = lab.test", "virtual_transport = lmtp:unix:private/dovecot-lmtp",
                  "local_transport = $virtual_transport", "transport_maps =")
        quiet(right)


def quiet(right: Right):
    findings = right.findings()
    assert not [f for f in findings if f["level"] in LOUD], shown(findings)


for name, value in (("connect", "j v _"), ("mail", "i {mail_addr}"), ("data", ""), ("end_of_data", "")):
    @wrong(f"milter_{name}_macros lacks what we need", "milter.macros", "warning", f"postconf -X milter_{name}_macros")
    def _(r, name=name, value=value):
        r.set(f"milter_{name}_macros = {value}")


@wrong("bare line feeds end messages", "postfix.bare-newline", "warning",
       "postconf -e 'smtpd_forbid_bare_newline = normalize'")
def _(r):
    r.set("smtpd_forbid_bare_newline = no")


@wrong("users may send as anybody", "postfix.sender-login", "warning", "reject_sender_login_mismatch'")
def _(r):
    r.postconf("-X", "smtpd_sender_restrictions")


@wrong("more sessions than max_connections", "milter.max-connections", "warning", "max_connections = 8000")
def _(r):
    r.set("default_process_limit = 1000")


@wrong("there is no Postfix configuration", "postfix.found", "error")
def _(r):
    shutil.rmtree(r.system.etc)


# ---------------------------------------------------------------- the socket


@wrong("an absolute path in a chroot", "milter.path", "error", "listen = \"unix:")
def _(r):
    r.postconf("-F", f"{r.incoming}/chroot = y")


@wrong("a path that is not the daemon's", "milter.path", "error", "smtpd_milters = unix:")
def _(r):
    r.service(r.incoming, "smtpd_milters = unix:elsewhere/depollueur.sock")


@wrong("Postfix may not enter the socket's directory", "milter.rights", "error", "chgrp postfix", also=("report.relay",))
def _(r):
    r.lab.milter.parent.chmod(0o700)


@wrong("Postfix may not write to the socket", "milter.rights", "error", "socket_mode", also=("report.relay", "config.values"), milter_socket_mode="0600")
def _(r):
    pass


@wrong("everybody may write to the socket", "milter.rights", "warning", "chmod 0710")
def _(r):
    r.lab.milter.parent.chmod(0o755)


@wrong("something else answers at the socket", "milter.answers", "error", also=("report.relay",))
def _(r):
    r.lab.milter.unlink()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(r.lab.milter))
    r.lab.milter.chmod(0o666)
    server.listen()

    def greet():
        connection, _ = server.accept()
        connection.sendall(b"220 mx.lab.test ESMTP Postfix\r\n")

    threading.Thread(target=greet, daemon=True).start()


@wrong("the daemon does not run", "daemon.running", "error", "systemctl start depollueur",
       also=("milter.path", "milter.answers", "public.reach", "report.relay"))
def _(r):
    r.daemon.stop()


@wrong("the daemon hangs", "milter.answers", "error", also=("daemon.running", "public.reach", "report.relay"))
def _(r):
    r.daemon.process.send_signal(signal.SIGSTOP)


# ---------------------------------------------------------------- files, disk, clock


@wrong("everybody may write the configuration", "config.file", "error", "chmod o-w")
def _(r):
    r.daemon.config.chmod(0o646)


@wrong("a group may write the configuration", "config.file", "warning", "chmod g-w")
def _(r):
    os.chown(r.daemon.config, 0, grp.getgrnam("postfix").gr_gid)
    r.daemon.config.chmod(0o660)


@wrong("others may enter the drop", "drop.directory", "error", "chmod 0700")
def _(r):
    r.daemon.drop.chmod(0o755)


@wrong("the drop has a file that the daemon cannot write", "drop.directory", "error", "chown 0:0")
def _(r):
    stray = r.daemon.drop / "stray"
    stray.write_text("")
    os.chown(stray, pwd.getpwnam("nobody").pw_uid, -1)


@wrong("others may read the key of the drop", "drop.directory", "error", "chmod go= ", also=("drop.upload",))
def _(r):
    (r.daemon.drop / "drop.key").chmod(0o644)


@wrong("a part of the drop is another file system", "drop.directory", "error")
def _(r):
    place = r.daemon.drop / "elsewhere"
    place.mkdir()
    mount(place, "size=1m")


@wrong("the drop is in memory", "drop.file-system", "error", also=("web.download", "public.download"))
def _(r):
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    MOUNTED.append(("rm", place))
    if subprocess.check_output(["stat", "-f", "-c", "%T", place], text=True).strip() != "tmpfs":
        raise NotHere("/dev/shm is no tmpfs")
    shutil.copytree(r.daemon.drop, place, dirs_exist_ok=True)
    r.settings["drop.directory"] = str(place)


@wrong("there is no drop yet", "drop.directory", "warning", "systemctl start", also=("drop.upload",))
def _(r):
    r.settings["drop.directory"] = str(r.system.home / "none")


@wrong("the directory of the spool is missing", "spool.directory", "error", "install -d")
def _(r):
    r.settings["spool.directory"] = "/nonexistent/spool"


@wrong("the disk of the spool is nearly full", "spool.space", "error", also=("config.values",))
def _(r):
    r.settings["spool.directory"] = str(mount(r.daemon.directory / "spool", "size=1m"))


@wrong("the disk of the spool has hardly an inode left", "spool.space", "error", also=("config.values",))
def _(r):
    place = mount(r.daemon.directory / "spool", "size=1m,nr_inodes=20")
    with contextlib.suppress(OSError):
        for number in range(30):
            (place / str(number)).touch()
    r.settings["spool.directory"] = str(place)


@wrong("the clock is not kept", "clock.synchronised", "warning", "timedatectl set-ntp true")
def _(r):
    r.system.says("timedatectl", "no")


@wrong("the clock of the public server is off", "clock.web", "warning")
def _(r):
    r.put_proxy("good", lambda status, headers, body: (
        status, headers | {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}, body))


# ---------------------------------------------------------------- the public URL


@wrong("links without https", "config.values", "warning", also=("links.address",))
def _(r):
    r.settings["web.public_url"] = f"http://{HOST}/"
    r.put_proxy(None)


@wrong("links that work on this machine only", "config.values", "warning", also=("links.address",))
def _(r):
    r.resolve = False
    r.settings["web.public_url"] = f"http://127.0.0.1:{r.daemon.web_port}/"


@contextlib.contextmanager
def far(system: System, **drop):
    """A system whose files go to the drop of another host, and that host."""
    port, far = free_port(), system.lab.daemon(web_public_url=f"https://{HOST}/", **drop)
    far.configure(milter_listen=f"unix:{far.directory}/milter.sock", deposit_listen=f"127.0.0.1:{port}")
    with far:
        token = far.directory / "token"
        token.touch(mode=0o600)
        token.write_bytes(far.run("drop", "token", "add", "mx1").stdout)
        with system.right(store_kind="remote", remote_url=f"http://127.0.0.1:{port}/", remote_public_url=f"https://{HOST}/",
                          remote_token_file=str(token),
                          web_public_url="http://127.0.0.1:8025/") as right:
            right.put_proxy("good", target=far.web_port)
            yield right, far


@story("a drop on another host is tried through the deposits that mail takes, and through its links")
def _(system):
    for sealed in ("false", "true"):
        tried(system, drop_end_to_end=sealed)


def tried(system, **settings):
    with far(system, **settings) as (right, drop):
        findings = right.findings()
        assert not [f for f in findings if f["level"] in LOUD], shown(findings)
        said = {f["check"]: f["message"] for f in findings if f["level"] == "ok"}
        for check in ("daemon.ready", "drop.upload", "public.reach", "public.certificate", "public.download",
                      "drop.delete", "clock.web"):
            assert check in said, f"{check} is not in\n{shown(findings)}"
        assert HOST in said["public.download"] and "web.download" not in said, shown(findings)
        for directory in (drop.drop, right.daemon.drop):
            left = [p for kind in ("blobs", "drafts") for p in (directory / kind).rglob("*") if p.is_file()]
            assert not left, left


@story("a drop on another host that refuses the token, or is not there, is a finding")
def _(system):
    with far(system) as (right, drop):
        assert drop.run("drop", "token", "remove", "mx1").returncode == 0
        for words in ("401", "could not reach drop"):
            findings = right.findings()
            loud = {f["check"]: f["message"] for f in findings if f["level"] in LOUD}
            # What the daemon says of itself may be some seconds old.
            assert set(loud) <= {"daemon.ready", "drop.upload"}, shown(findings)
            assert words in loud.get("drop.upload", ""), shown(findings)
            drop.stop()


@story("a drop on another host whose links are pinned nowhere, or elsewhere, is a finding")
def _(system):
    with far(system) as (right, _drop):
        for pinned, check, words in (("", "config.values", "remote.public_url is empty"),
                                     ("https://elsewhere.test/", "drop.upload", "and not with remote.public_url")):
            right.settings["remote.public_url"] = pinned
            findings = right.findings()
            loud = {f["check"]: f["message"] for f in findings if f["level"] in LOUD}
            assert set(loud) == {check}, shown(findings)
            assert words in loud[check], shown(findings)


@wrong("the certificate has expired", "public.certificate", "error")
def _(r):
    r.put_proxy("old")


@wrong("the certificate is another host's", "public.certificate", "error")
def _(r):
    r.put_proxy("other")


@wrong("nobody vouches for the certificate", "public.certificate", "error")
def _(r):
    stranger = Authority(r.daemon.directory / "stranger")
    r.proxy.close()
    r.proxy = Proxy(stranger.issue("self", HOST, -1, 89), r.daemon.web_port)


@wrong("the certificate is about to expire", "public.certificate", "warning", "certbot renew")
def _(r):
    r.put_proxy("ending")


@wrong("the public URL is not answered", "public.reach", "error")
def _(r):
    r.proxy.close()


@wrong("the public URL does not exist", "public.reach", "error")
def _(r):
    r.resolve = False
    r.settings["web.public_url"] = "https://drop.invalid/"


@wrong("the proxy does not find the daemon", "public.reach", "error")
def _(r):
    r.put_proxy("good", lambda *_: (502, {}, b"bad gateway"))


@wrong("the public URL leads elsewhere", "public.reach", "warning")
def _(r):
    r.put_proxy("good", lambda *_: (301, {"location": "https://www.lab.test/"}, b""))


@wrong("the public URL leads to another drop", "public.download", "error")
def _(r):
    other = Daemon(r.lab, r.daemon.directory / "other",
                   {"milter_listen": f"127.0.0.1:{free_port()}"}).start()
    r.put_proxy("good", target=other.web_port)


@wrong("the drop cannot be written", "drop.upload", "error", also=("daemon.ready", "drop.directory"))
def _(r):
    drafts = [p for p in r.daemon.drop.iterdir() if p.is_dir()]
    for path in drafts:
        shutil.rmtree(path)
        path.write_text("in the way")


# ---------------------------------------------------------------- the runner

MOUNTED: list[tuple[str, Path]] = []


def mount(place: Path, options: str) -> Path:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", place], capture_output=True)
    if done.returncode:
        raise NotHere("mount(8) is not permitted")
    MOUNTED.append(("umount", place))
    return place


def clean_up():
    while MOUNTED:
        how, place = MOUNTED.pop()
        if how == "umount":
            subprocess.run(["umount", "-l", place], check=True)
        else:
            shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    passed = failed = 0
    with Lab() as lab:
        system = System(lab)
        try:
            for sentence, function in CASES:
                if not all(word in sentence for word in words):
                    continue
                try:
                    function(system)
                    passed += 1
                    print(f"ok    {sentence}", flush=True)
                except NotHere as reason:
                    print(f"none  {sentence}: {reason}", flush=True)
                except Exception:
                    failed += 1
                    print(f"FAIL  {sentence}\n{traceback.format_exc()}", flush=True)
                finally:
                    clean_up()
                    for daemon in list(lab._daemons):
                        daemon.kill()
        finally:
            system.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
