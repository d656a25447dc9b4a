"""The script for Mail-in-a-Box."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .checks import PACKAGING, Postfix, binary, check, checkout, must, run

BOX = PACKAGING / "mail-in-a-box"
SIGNER, VERIFIER = "inet:127.0.0.1:8891", "inet:127.0.0.1:8893"
# What its setup writes into Postfix's files, in our words.
SETUP = {"smtpd_milters": f"{SIGNER} {VERIFIER}", "non_smtpd_milters": "$smtpd_milters", "milter_default_action": "accept"}
MASTER = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\n"
SUBMISSION = "{}     inet  n       -       -       -       -       smtpd\n  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_milters=inet:127.0.0.1:8891\n"


def box(directory: Path) -> Postfix:
    """Postfix's files after its setup: written by its own lines and tool, if $MAILINABOX_TREE has them."""
    tree = checkout("MAILINABOX_TREE")
    if tree is None:
        main = "compatibility_level = 3.6\n" + "".join(f"{name} = {value}\n" for name, value in SETUP.items())
        return Postfix(directory / "postfix", main, MASTER + SUBMISSION.format("smtps") + SUBMISSION.format("submission"))
    postfix = Postfix(directory / "postfix", "compatibility_level = 3.6\n", MASTER)
    for script, file in (("mail-postfix.sh", "master.cf"), ("dkim.sh", "main.cf")):
        text = (tree / "setup" / script).read_text()
        # A command ends with its paragraph.
        commands = [f"tools/editconf.py {one}".split("\n\n")[0] for one in text.split("\ntools/editconf.py ")[1:]]
        [command] = [one for one in commands if f"/etc/postfix/{file}" in one and "milters=" in one]
        must("bash", "-c", command.replace(f"/etc/postfix/{file}", str(postfix.etc / file)), cwd=tree)
    return postfix


@check("Mail-in-a-Box: what plug would change has us after who verifies on port 25, and before who signs for users and programs")
def _(directory):
    postfix = box(directory)
    config = directory / "depollueur.toml"
    config.write_text('[milter]\nlisten = "unix:/var/spool/postfix/depollueur/milter.sock"\n[web]\npublic_url = "https://drop.example.org/"\n')
    (directory / "opendkim.conf").write_text("Socket inet:8891@127.0.0.1\nMode sv\n")
    # plug asks opendkim's own file what it does.
    inside = (f"touch /etc/opendkim.conf; mount --bind '{directory}/opendkim.conf' /etc/opendkim.conf; "
              f"exec '{binary()}' plug --show --config '{config}' --postfix-config '{postfix.etc}'")
    shown = must("unshare", "--mount", "sh", "-ec", inside)
    ours = "{ unix:depollueur/milter.sock, default_action=tempfail }"
    added = [line[1:].strip() for line in shown.splitlines() if line.startswith("+")]
    wanted = {f"{SIGNER}, {VERIFIER}, {ours}": 1, f"{ours}, {SIGNER}": 2}
    found = {order: sum(line.endswith(order) for line in added) for order in wanted}
    return [] if found == wanted else [shown]


@check("Mail-in-a-Box: its own files say where our lines go, and leave room for them")
def _(directory):
    tree = checkout("MAILINABOX_TREE")
    said = re.search(r"cat <<'END_OF_SITE'\n(.*?)END_OF_SITE", (BOX / "depollueur-in-a-box").read_text(), re.S)[1]
    inside = (tree / "conf" / "nginx-alldomains.conf").read_text() if tree else "location /mail/ {\n}\n"
    taken = re.findall(r"^\s*location (?:\^~ )?/ \{", inside, re.M)
    return [f"it serves {one} itself" for one in taken] + nginx_complaints(directory, said)


def nginx_complaints(directory: Path, included: str) -> list[str]:
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        return []
    (directory / "site.conf").write_text(included)
    server = f"server {{ listen 127.0.0.1:8443; server_name drop.example.org; root {directory}; include {directory}/site.conf; }}"
    (directory / "nginx.conf").write_text(f"pid {directory}/pid; events {{}} http {{ access_log off; {server} }}")
    done = run(nginx, "-t", "-q", "-c", directory / "nginx.conf")
    return [done.stderr] if done.returncode else []


@check("Mail-in-a-Box: the script is sound, and refuses a machine that is none")
def _(directory):
    linted = run("shellcheck", BOX / "depollueur-in-a-box")
    done = run(BOX / "depollueur-in-a-box")
    return [linted.stdout] if linted.returncode else [] if done.returncode == 1 and "no Mail-in-a-Box" in done.stderr else [done.stderr]
