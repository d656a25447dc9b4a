#!/usr/bin/env python3
"""The example configurations, read by the programs that they are for.

Postfix (over Debian's own main.cf and master.cf), rspamd, opendkim, opendmarc, amavis, nginx, Caddy,
systemd and depollueur itself check what is in config/examples. Depollueur's doctor must find the milters in
the right order. The two proxies are run: what they log must not have the link, what they pass on
must name the client, and a deposit must come through before it is complete.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from lab import binary, free_port  # noqa: E402
from mailhosts.checks import CHECKS, check  # noqa: E402

EXAMPLES = ROOT / "config" / "examples"
TOKEN = "mfrggzdfmztwq2lknnwg23tpoa"


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def refused(*command, quiet: bool = False, **options) -> list[str]:
    done = run(*command, **options)
    wrong = done.returncode != 0 or (quiet and done.stdout.strip())
    return [f"{' '.join(map(str, command))}: {done.stdout.strip()}"] if wrong else []


def key_and_certificate(scratch: Path) -> tuple[Path, Path]:
    key, certificate = scratch / "key.pem", scratch / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.org",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o600)
    return key, certificate


# ---- what needs no running program

@check("depollueur takes every depollueur.toml")
def _(scratch):
    files = sorted(EXAMPLES.rglob("depollueur.toml"))
    wrong = [] if len(files) >= 6 else [f"only {len(files)} are there"]
    for file in files:
        text, home = file.read_text(), scratch / file.parent.name
        home.mkdir(exist_ok=True)
        token = home / "token"
        token.write_text("token\n")
        token.chmod(0o400)
        local = home / "depollueur.toml"
        local.write_text(text.replace("/etc/depollueur/token", str(token)))
        wrong += refused(binary(), "check", "--quiet", "--config", local, quiet=True)
    return wrong


def postfix_of(example: Path, scratch: Path) -> Path:
    """Debian's configuration with the lines of the example in it."""
    etc = scratch / "postfix" / "-".join(example.relative_to(EXAMPLES).parts)
    etc.mkdir(parents=True)
    data = etc / "data"
    data.mkdir()
    shutil.chown(data, "postfix")
    queue = etc / "queue"
    queue.mkdir()
    main = Path("/usr/share/postfix/main.cf.debian").read_text() + (example / "main.cf").read_text()
    (etc / "main.cf").write_text(f"{main}\nqueue_directory = {queue}\ndata_directory = {data}\nmyhostname = mx.example.org\n"
                                 "alias_maps =\nalias_database =\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n")
    services = Path("/usr/share/postfix/master.cf.dist").read_text()
    own = (example / "master.cf").read_text() if (example / "master.cf").exists() else ""
    for name, kind in re.findall(r"^([^#\s]\S*)\s+(\S+)", own, flags=re.M):
        # A service that is there already is replaced, with the lines that go on with it.
        services = re.sub(rf"^{re.escape(name)}\s+{kind}\s.*\n(?:[ \t].*\n)*", "", services, flags=re.M)
    (etc / "master.cf").write_text(services + own)
    return etc


def examples_of_postfix() -> list[Path]:
    return sorted(file.parent for file in EXAMPLES.rglob("main.cf"))


@check("Postfix takes every main.cf and master.cf, and uses all that is set")
def _(scratch):
    wrong = [] if len(examples_of_postfix()) >= 5 else ["examples are missing"]
    for example in examples_of_postfix():
        etc = postfix_of(example, scratch)
        for listing in ("-n", "-M", "-P"):
            done = subprocess.run(["postconf", "-c", etc, listing], text=True, capture_output=True)
            wrong += [f"{example.name}: {line}" for line in done.stderr.splitlines()]
        wrong += [f"{example.name}: {line}" for line in run("postfix", "-c", etc, "check").stdout.splitlines()
                  if "warning: group or other writable" not in line]
    return wrong


@check("Sympa's table, read by Postfix, hands posts to one program and bounces to the other")
def _(scratch):
    table = f"texthash:{EXAMPLES / 'sympa' / 'transport'}"
    services = (EXAMPLES / "sympa" / "master.cf").read_text()
    (scratch / "main.cf").write_text("compatibility_level = 3.6\n")
    wrong = []
    for address, service, program in (("sympa", "sympa", "/queue"), ("bounce", "sympabounce", "/bouncequeue")):
        found = run("postmap", "-c", scratch, "-q", f"{address}@lists.example.org", table).stdout.strip()
        if found != f"{service}:sympa@lists.example.org":
            wrong.append(f"{address}@: {found!r}")
        if not re.search(rf"^{service}\s.*\n\s.*{program} ", services, re.M):
            wrong.append(f"{service} does not run {program}")
    return wrong


@check("the rules beside a list server are those that setup writes")
def _(scratch):
    written = (ROOT / "src" / "cli" / "setup" / "lists.toml").read_text()
    return [f"{name}: they differ" for name in ("mailman", "sympa")
            if written not in (EXAMPLES / name / "depollueur.toml").read_text()]


def rspamd_of(example: Path, scratch: Path) -> Path:
    """Debian's configuration of rspamd with the files of the example in it."""
    etc = scratch / f"rspamd-{example.name}"
    shutil.copytree("/etc/rspamd", etc)
    (etc / "local.d").mkdir(exist_ok=True)
    for file in ("worker-proxy.inc", "dkim_signing.conf"):
        shutil.copy(example / file, etc / "local.d")
    for file in ("rspamd.conf.local", "depollueur.lua"):
        shutil.copy(example / file, etc)
    keys = scratch / "dkim"
    keys.mkdir(exist_ok=True)
    (keys / "example.org.mail.key").touch()
    signing = etc / "local.d" / "dkim_signing.conf"
    signing.write_text(signing.read_text().replace("/var/lib/rspamd/dkim/", f"{keys}/"))
    (etc / "local.d" / "antivirus.conf").write_text('clamav { type = "clamav"; servers = "127.0.0.1:3310"; action = "reject"; }\n')
    return etc


def with_files_of(example: Path, scratch: Path) -> list:
    """The doctor looks at what other milters are told where it belongs; a namespace puts that of the example there."""
    mounts = ["true"]
    if (example / "opendkim.conf").exists():
        mounts.append(f"mount --bind '{example / 'opendkim.conf'}' /etc/opendkim.conf")
    if (example / "rspamd.conf.local").exists():
        mounts.append(f"mount --bind '{rspamd_of(example, scratch)}' /etc/rspamd")
    return ["unshare", "--mount", "sh", "-ec", "; ".join(mounts) + '; exec "$@"', "sh"]


def nothing_set(scratch: Path) -> Path:
    """Without a configuration doctor only says how to write one."""
    file = scratch / "nothing.toml"
    file.touch()
    return file


@check("the doctor finds the milters of every example in the right order, with the right default action")
def _(scratch):
    wrong = []
    for example in examples_of_postfix():
        etc = postfix_of(example, scratch / "doctor")
        listen = "milter.listen=unix:" + str(etc / "queue" / "depollueur" / "milter.sock")
        found = run(*with_files_of(example, scratch), binary(), "doctor", "--json", "--config", nothing_set(scratch), "--postfix-config", etc, "--set", listen,
                    "--set", f"drop.directory={scratch}/no-drop")
        try:
            report = json.loads(found.stdout[found.stdout.index("{"):])
        except ValueError:
            wrong.append(f"{example.name}: {found.stdout}")
            continue
        checks = report["findings"]
        for name in ("milter.listed", "milter.order", "milter.default-action"):
            states = [c for c in checks if c["check"] == name]
            if not states:
                wrong.append(f"{example.name}: {name} was not looked at")
            # That other services do not ask us is what these examples are about.
            mild = ("warning",) if name == "milter.listed" and example.name in ("mailman", "submission-only", "sympa") else ()
            wrong += [f"{example.name}: {c}" for c in states if c["level"] not in ("ok", "unknown", *mild)]
    return wrong


@check("rspamd takes its files")
def _(scratch):
    etc = rspamd_of(EXAMPLES / "rspamd", scratch)
    wrong = refused("rspamadm", f"--var=CONFDIR={etc}", f"--var=LOCAL_CONFDIR={etc}", "configtest", "-c", etc / "rspamd.conf")
    done = run("rspamadm", f"--var=CONFDIR={etc}", f"--var=LOCAL_CONFDIR={etc}", "configdump", "-c", etc / "rspamd.conf", "worker")
    # Two milters, not one that was written over.
    return wrong + [f"no worker at {port}" for port in ("11332", "11331") if f"127.0.0.1:{port}" not in done.stdout]


@check("doctor calls the order that takes attachments from rspamd's virus scanner, and the one that breaks its signature, an error")
def _(scratch):
    wrong = []
    example = EXAMPLES / "rspamd"
    us, scan, sign = "unix:depollueur/milter.sock", "inet:127.0.0.1:11332", "inet:127.0.0.1:11331"
    namespace = with_files_of(example, scratch)
    for milters in ((us, scan, sign), (scan, sign, us)):
        etc = postfix_of(example, scratch / f"order-{milters.index(us)}")
        subprocess.run(["postconf", "-c", etc, "-e", "smtpd_milters = " + ", ".join(milters)], check=True, capture_output=True)
        found = run(*namespace, binary(), "doctor", "--json", "--config", nothing_set(scratch), "--postfix-config", etc, "--set", f"drop.directory={scratch}/no-drop",
                    "--set", f"milter.listen=unix:{etc}/queue/depollueur/milter.sock")
        report = json.loads(found.stdout[found.stdout.index("{"):])
        errors = [c for c in report["findings"] if c["check"] == "milter.order" and c["level"] == "error"]
        if not any("submission" in c["message"] for c in errors):
            wrong.append(f"{milters}: {errors}")
    return wrong


@check("doctor calls it an error before amavis, for what users and local programs send, too, and what it says to type is right")
def _(scratch):
    wrong = []
    example, us = EXAMPLES / "amavis", "unix:depollueur/milter.sock"
    cases = {"smtpd_milters": ("-e", f"smtpd_milters = {us}"), "submission": ("-P", f"submission/inet/smtpd_milters={us}"),
             "non_smtpd_milters": ("-e", f"non_smtpd_milters = {us}")}
    for name, change in cases.items():
        etc = postfix_of(example, scratch / name)
        subprocess.run(["postconf", "-c", etc, *change], check=True, capture_output=True)
        errors = misplaced(example, etc, scratch)
        if not any(name in c["message"] and "a virus in them is not found" in c["message"] for c in errors):
            wrong.append(f"{name}: {errors}")
        for line in dict.fromkeys(line for c in errors for line in c["fix"]):
            subprocess.run(["sh", "-c", line.replace("postconf ", f"postconf -c {etc} ", 1)], check=True, capture_output=True)
        wrong += [f"{name}, after what it says: {c}" for c in misplaced(example, etc, scratch)]
    return wrong


def misplaced(example: Path, etc: Path, scratch: Path) -> list:
    found = run(*with_files_of(example, scratch), binary(), "doctor", "--json", "--config", nothing_set(scratch), "--postfix-config", etc, "--set", f"drop.directory={scratch}/no-drop",
                "--set", f"milter.listen=unix:{etc}/queue/depollueur/milter.sock")
    report = json.loads(found.stdout[found.stdout.index("{"):])
    return [c for c in report["findings"] if c["check"] in ("milter.order", "milter.listed") and c["level"] not in ("ok", "unknown")]


@check("opendkim takes its files")
def _(scratch):
    key, _ = key_and_certificate(scratch)
    wrong, local = [], scratch / "opendkim.conf"
    for file in EXAMPLES.rglob("opendkim.conf"):
        text = file.read_text().replace("/etc/dkimkeys/mail.private", str(key))
        text = re.sub(r"^UserID .*$", "", text, flags=re.M)
        # The scratch directory is below one that everybody writes to.
        local.write_text(text + "RequireSafeKeys no\n")
        wrong += refused("opendkim", "-n", "-x", local)
    return wrong


@check("opendmarc takes its file")
def _(scratch):
    return refused("opendmarc", "-n", "-c", EXAMPLES / "opendkim" / "opendmarc.conf")


@check("amavis takes its file")
def _(scratch):
    # Perl reads it as amavis does: strictly, and with no other names than those that amavis knows.
    file = EXAMPLES / "amavis" / "50-user"
    used = sorted(set(re.findall(r"^[$@%](\w+)", file.read_text(), flags=re.M)))
    known = set(re.findall(r"[$@%](\w+)", Path("/usr/share/perl5/Amavis/Conf.pm").read_text(errors="replace")))
    names = " ".join(used)
    script = ('BEGIN { package Known; for my $n (qw(' + names + ')) { *{"main::$n"} = \\${"Known::$n"}; *{"main::$n"} = \\%{"Known::$n"} } } '
              f'my $done = do "{file}"; die $@ || $! unless $done')
    return [f"amavis has no ${name}" for name in used if name not in known] + refused("perl", "-e", script)


@check("systemd takes the drop-in")
def _(scratch):
    units = scratch / "units"
    units.mkdir()
    unit = (ROOT / "systemd" / "depollueur.service").read_text().replace("/usr/bin/depollueur", "/bin/true")
    (units / "depollueur.service").write_text(unit)
    (units / "depollueur.service.d").mkdir()
    shutil.copy(EXAMPLES / "two-hosts" / "mail" / "override.conf", units / "depollueur.service.d")
    done = run("systemd-analyze", "verify", "--man=no", units / "depollueur.service")
    return [line for line in done.stdout.splitlines() if "depollueur" in line or "override" in line]


@check("systemd takes the socket of the drop")
def _(scratch):
    units = scratch / "units"
    units.mkdir()
    unit = (ROOT / "systemd" / "depollueur.service").read_text().replace("/usr/bin/depollueur", "/bin/true")
    (units / "depollueur.service").write_text(unit)
    shutil.copy(EXAMPLES / "unix-socket" / "depollueur-web.socket", units)
    done = run("systemd-analyze", "verify", "--man=no", units / "depollueur-web.socket")
    return [line for line in done.stdout.splitlines() if "depollueur" in line]


# ---- the proxies, run

class Upstream(http.server.BaseHTTPRequestHandler):
    """The daemon's place: says who asks, and when the first bytes of a body are there."""
    protocol_version = "HTTP/1.1"
    first_bytes: threading.Event
    forwarded: list

    def do_GET(self):
        self.server.forwarded.append(self.headers.get_all("X-Forwarded-For"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.rfile.readline()
            self.rfile.read(1)
        else:
            self.rfile.read(1)
        self.server.first_bytes.set()
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Proxied:
    """A proxy on ports that were free, before an upstream of ours."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.upstream.first_bytes, self.upstream.forwarded = threading.Event(), []
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        self.up = self.upstream.server_address[1]
        self.down, self.port, self.deposit = (free_port() for _ in range(3))

    def judge(self, command: list, log: Path, environment: dict) -> list[str]:
        with open(log, "ab") as out:
            proxy = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, env={**os.environ, **environment})
        try:
            wait_for(self.port, proxy)
            wrong = self.talk()
        finally:
            proxy.terminate()
            proxy.wait(timeout=30)
            self.upstream.shutdown()
        logs = list(self.scratch.rglob("*.log"))
        if not any("200" in file.read_text(errors="replace") for file in logs):
            wrong.append("logs nothing")
        for file in logs:
            text = file.read_text(errors="replace")
            wrong += [f"{file.name} has the link: {line}" for line in text.splitlines() if TOKEN in line]
        return wrong

    def talk(self) -> list[str]:
        wrong = []
        fields = {"Host": "drop.example.org", "Referer": f"https://drop.example.org/{TOKEN}", "X-Forwarded-For": "203.0.113.9"}
        if (status := self.ask(f"/{TOKEN}", fields)) != 200:
            wrong.append(f"answers {status}")
        if self.upstream.forwarded[-1:] != [["127.0.0.1"]]:
            wrong.append(f"passed on as client: {self.upstream.forwarded}")
        if (status := self.ask(f"/down/{TOKEN}", fields)) != 502:
            wrong.append(f"answers {status} when nobody is behind it")
        # A deposit that is begun, and goes on for as long as it likes.
        sender = socket.create_connection(("127.0.0.1", self.deposit), timeout=10)
        sender.sendall(b"PUT /x HTTP/1.1\r\nHost: deposit.example.org\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 70000)
        if not self.upstream.first_bytes.wait(10):
            wrong.append("a deposit is held back until it is complete")
        sender.close()
        return wrong

    def ask(self, path: str, fields: dict) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers=fields)
        return connection.getresponse().status


def wait_for(port: int, process: subprocess.Popen):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("the proxy ended")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the proxy does not listen")


def nginx_conf(scratch: Path, texts: list[str]) -> Path:
    key, certificate = key_and_certificate(scratch)
    site = "\n".join(texts)
    site = re.sub(r"/etc/letsencrypt/\S+/privkey.pem", str(key), site)
    site = re.sub(r"/etc/letsencrypt/\S+/fullchain.pem", str(certificate), site).replace("/var/log/nginx", str(scratch))
    conf = scratch / "nginx.conf"
    temps = "".join(f"{kind}_temp_path {scratch}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"daemon off; master_process off; pid {scratch}/pid; error_log {scratch}/main.log;\n"
                    f"events {{}} http {{ {temps} {site} }}\n")
    return conf


def nginx_texts() -> list[str]:
    return [(EXAMPLES / "nginx" / "http.conf").read_text(), (EXAMPLES / "nginx" / "drop.conf").read_text(), (EXAMPLES / "two-hosts" / "drop" / "nginx.conf").read_text()]


@check("nginx takes its files, and the one for http without a certificate")
def _(scratch):
    first = nginx_texts()[0]
    wrong = ["http.conf names a certificate"] if "ssl" in first else []
    for texts in ([first], nginx_texts()):
        wrong += refused("nginx", "-t", "-c", nginx_conf(scratch, texts), "-e", scratch / "e.log")
    return wrong


@check("nginx answers the certificate authority without https, and sends everybody else there")
def _(scratch):
    port = free_port()
    answer = scratch / "www" / ".well-known" / "acme-challenge" / "token"
    answer.parent.mkdir(parents=True)
    answer.write_text("proof")
    text = nginx_texts()[0].replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/var/www/drop", str(scratch / "www"))
    conf = nginx_conf(scratch, [text.replace("    listen [::]:80;\n", "")])
    proxy = subprocess.Popen(["nginx", "-c", conf, "-e", scratch / "e.log"])
    try:
        wait_for(port, proxy)
        got = [get(port, path) for path in ("/.well-known/acme-challenge/token", f"/{TOKEN}")]
    finally:
        proxy.terminate()
        proxy.wait(timeout=30)
    wanted = [(200, "proof", None), (301, None, f"https://drop.example.org/{TOKEN}")]
    wrong = [f"{is_} instead of {must}" for is_, must in zip(got, wanted) if is_ != must]
    return wrong + [f"{log.name} has the link" for log in scratch.rglob("*.log") if TOKEN in log.read_text(errors="replace")]


def get(port: int, path: str) -> tuple[int, str | None, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": "drop.example.org"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode() if answer.status == 200 else None, answer.getheader("Location")


@check("nginx logs no link, names the client, and passes deposits on as they come")
def _(scratch):
    proxied = Proxied(scratch)
    texts = []
    for text in nginx_texts()[1:]:
        text = re.sub(r"listen \[::\]:443.*\n", "", text)
        text = re.sub(r"    ssl_.*\n", "", text).replace("allow 192.0.2.1;", "allow 127.0.0.1;")
        text = text.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{proxied.port};")
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{proxied.deposit};")
        text = text.replace("127.0.0.1:8025", f"127.0.0.1:{proxied.up}").replace("127.0.0.1:8027", f"127.0.0.1:{proxied.up}")
        down = f"    location /down/ {{ proxy_pass http://127.0.0.1:{proxied.down}; }}\n    location / {{"
        texts.append(text.replace("    location / {", down))
    conf = nginx_conf(scratch, texts)
    return proxied.judge(["nginx", "-c", conf, "-e", scratch / "e.log"], scratch / "out.log", {})


@check("Caddy takes its files")
def _(scratch):
    home = {**os.environ, "HOME": str(scratch)}
    both = scratch / "Caddyfile"
    both.write_text(caddyfile())
    return [line for file in (EXAMPLES / "caddy" / "Caddyfile", both)
            for line in refused("caddy", "validate", "--adapter", "caddyfile", "--config", file, env=home)]


def caddyfile() -> str:
    """The drop for its readers, and deposits of another host."""
    return "\n".join((EXAMPLES / place / "Caddyfile").read_text() for place in ("caddy", "two-hosts/drop"))


@check("Caddy logs no link, names the client, and passes deposits on as they come")
def _(scratch):
    proxied = Proxied(scratch)
    text = caddyfile()
    text = text.replace("{\n\tlog {", "{\n\tadmin off\n\tlog {", 1).replace("remote_ip 192.0.2.1", "remote_ip 127.0.0.1")
    text = text.replace("drop.example.org {", f"http://drop.example.org:{proxied.port} {{\n\tbind 127.0.0.1\n\tlog\n"
                        f"\treverse_proxy /down/* 127.0.0.1:{proxied.down}", 1)
    text = text.replace("deposit.example.org {", f"http://deposit.example.org:{proxied.deposit} {{\n\tbind 127.0.0.1", 1)
    text = text.replace("127.0.0.1:8025", f"127.0.0.1:{proxied.up}").replace("127.0.0.1:8027", f"127.0.0.1:{proxied.up}")
    local = scratch / "Caddyfile"
    local.write_text(text)
    return proxied.judge(["caddy", "run", "--adapter", "caddyfile", "--config", local], scratch / "out.log", {"HOME": str(scratch)})


def main() -> int:
    failed = 0
    for sentence, function in CHECKS:
        scratch = Path(tempfile.mkdtemp(prefix="depollueur-examples-"))
        scratch.chmod(0o755)
        try:
            wrong = function(scratch)
        except Exception as e:
            wrong = [f"{type(e).__name__}: {e}"]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '}  {sentence}", flush=True)
        for line in wrong:
            print(f"      {line}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
