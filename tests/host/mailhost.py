"""The states that a host is in when a story begins, each made once in a run and kept as an image.

    living      the usual mail host, without us (living/setup.sh says what it has)
    installed   `apt install ./depollueur_*.deb`; /root has the package
    dry-run     configured by `depollueur setup`, and in the chain where it belongs: rspamd scans and verifies, then depollueur,
                then opendkim signs; the drop behind nginx with TLS at https://drop.asso.example/
    live        as an admin goes live: mode = "live", reload
    mailman     live, with Mailman 3 and a list (listserver.py)
    sympa       live, with Sympa and the same list

"living" is kept between runs too, for it has nothing of us.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import listserver
from machine import Machine
from mail import MailMachine
from package import Impossible
from root import HERE, Image, digest, kept, pristine
from we import deb

LIVING = HERE / "living"
DOMAIN, PUBLIC_URL = "asso.example", "https://drop.asso.example/"
CONFIG = "/etc/depollueur/depollueur.toml"
# The daemon takes packages, by its own word.
READY = "curl -fsS http://127.0.0.1:8026/readyz"


def living(suite: str, scratch: Path) -> Image:
    """The host before depollueur."""
    base = pristine(suite)
    files = sorted(path for path in [HERE / "agent.py", *LIVING.rglob("*")] if path.is_file())
    name = f"{base.name}-living-{digest(*(part for path in files for part in (str(path.relative_to(HERE)), path.read_bytes())))}"

    def make(place: Path):
        machine = MailMachine(base, scratch, f"make-{suite}")
        try:
            Machine.boot(machine)  # nothing serves yet
            for tree in ("both", suite):
                machine.copy_in(LIVING / tree, "/")
            machine.copy_in(HERE / "agent.py", "/usr/local/lib/lab/agent")
            machine.copy_in(LIVING / "setup.sh", "/usr/local/lib/lab/setup")
            done = machine.run("bash /usr/local/lib/lab/setup")
            if done.returncode:
                raise Impossible(f"{suite} does not become a mail host: {(done.stdout + done.stderr).strip()[-2000:]}")
            machine.serving()
            machine.freeze(place / "layer")
        finally:
            machine.discard()

    return base.with_layer(kept(name, make) / "layer")


def installed(machine: MailMachine):
    package = deb()
    machine.copy_in(package, f"/root/{package.name}")
    machine.must("apt-get -o Dpkg::Options::=--force-unsafe-io install -y ./depollueur_*.deb")


def dry_run(machine: MailMachine):
    there = "--force " if machine.exists(CONFIG) else ""
    machine.must(f"depollueur setup {there}--domain {DOMAIN} --public-url {PUBLIC_URL}")
    behind_nginx(machine)
    machine.must("systemctl enable --now depollueur.socket; systemctl restart depollueur")
    chained(machine)
    machine.until(READY)


def chained(machine: MailMachine):
    """Scan, depollueur, sign: rspamd keeps to scanning and verifying, and opendkim signs with the key that rspamd had."""
    machine.write("/etc/rspamd/local.d/dkim_signing.conf", "enabled = false;\n")
    machine.must("install -D -o opendkim -m 0400 /var/lib/rspamd/dkim/asso.example.mail.key /etc/dkimkeys/mail.private")
    machine.write("/etc/opendkim.conf", OPENDKIM)
    us, rspamd, signer = "{ unix:depollueur/milter.sock, default_action=tempfail }", "inet:127.0.0.1:11332", "inet:127.0.0.1:8891"
    outgoing = f"{rspamd}, {us}, {signer}"
    machine.must(f"""postconf -e 'smtpd_milters = {rspamd}, {us}' 'outgoing_milters = {outgoing}' 'non_smtpd_milters = $outgoing_milters' \
        'message_size_limit = 73400320' && postconf -P 'submission/inet/smtpd_milters=$outgoing_milters'
        systemctl enable -q opendkim; systemctl restart opendkim rspamd; postfix reload""")
    machine.serving()


OPENDKIM = """\
Socket inet:8891@127.0.0.1
Mode s
Domain asso.example
Selector mail
KeyFile /etc/dkimkeys/mail.private
Canonicalization relaxed/relaxed
InternalHosts 127.0.0.1
UserID opendkim
PidFile /run/opendkim/opendkim.pid
Syslog yes
"""


def behind_nginx(machine: MailMachine):
    """The reverse proxy of our own example, with the certificate of this host."""
    example = "/usr/share/doc/depollueur/examples/nginx/drop.conf"
    machine.must(rf"""sed -e 's/drop\.example\.org/drop.asso.example/; s,/etc/letsencrypt/.*/fullchain.pem,/etc/lab/tls.crt,' \
        -e 's,/etc/letsencrypt/.*/privkey.pem,/etc/lab/tls.key,' {example} >/etc/nginx/sites-available/drop
        ln -sf ../sites-available/drop /etc/nginx/sites-enabled/drop; systemctl reload nginx""")


def live(machine: MailMachine):
    machine.must(f"""sed -i 's/^#\\?mode = .*/mode = "live"/' {CONFIG}; systemctl restart depollueur""")
    machine.until(READY)


STATES = {"living": ("", None), "installed": ("living", installed), "dry-run": ("installed", dry_run), "live": ("dry-run", live),
          "mailman": ("live", listserver.mailman), "sympa": ("live", listserver.sympa)}


class Hosts:
    """Hands out hosts in a state; what leads to one is done once."""

    def __init__(self, suite: str, scratch: Path):
        self.suite, self.scratch = suite, scratch
        self.images: dict[str, Image] = {}
        self.count = 0
        self.machines: list[MailMachine] = []

    def image(self, state: str) -> Image:
        if state not in self.images:
            before, steps = STATES[state]
            if not before:
                self.images[state] = living(self.suite, self.scratch)
            else:
                machine = self.boot(before)
                try:
                    steps(machine)
                    self.images[state] = machine.freeze(self.scratch / state)
                except AssertionError as reason:
                    raise Impossible(f'no host came into the state "{state}": {reason}') from reason
                finally:
                    self.discard(machine)
        return self.images[state]

    def boot(self, state: str) -> MailMachine:
        """A host in this state, of its own."""
        image = self.image(state)
        self.count += 1
        machine = MailMachine(image, self.scratch, f"{self.suite}-{self.count}")
        self.machines.append(machine)
        return machine.boot()

    def discard(self, machine: MailMachine):
        machine.discard()
        if machine in self.machines:
            self.machines.remove(machine)

    def close(self):
        for machine in list(self.machines):
            self.discard(machine)
        for image in self.images.values():
            for layer in image.layers:
                if layer.is_relative_to(self.scratch):
                    shutil.rmtree(layer, ignore_errors=True)
