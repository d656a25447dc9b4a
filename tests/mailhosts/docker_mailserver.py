"""The files for docker-mailserver."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from .checks import PACKAGING, Missing, Postfix, binary, check, checkout, run
from .rspamd import configdump

DMS = PACKAGING / "docker-mailserver"
OURS, SIGN = "{ inet:depollueur:8895, default_action=tempfail }", "inet:localhost:11331"
ADDRESSES = {"dkim": "inet:localhost:8891", "dmarc": "inet:localhost:8893", "rspamd": "inet:localhost:11332"}
MAIN = "compatibility_level = 3.6\nmilter_default_action = accept\nsmtpd_milters =\nnon_smtpd_milters =\n"
MASTER = """smtp inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
submission inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
submissions inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
pickup fifo n - n 60 1 pickup
  -o content_filter=
"""


class Container:
    """What is in the container when user-patches.sh runs: its own files, then what it sets for the services that are on."""

    def __init__(self, directory: Path, *services: str):
        tree = checkout("DOCKER_MAILSERVER_TREE")
        target = tree and tree / "target" / "postfix"
        main = (target / "main.cf").read_text() if target else MAIN
        master = (target / "master.cf").read_text() if target else MASTER
        self.postfix = Postfix(directory / "postfix", main, master)
        self.rspamd = directory / "rspamd"
        self.rspamd.mkdir()
        lists = {"smtpd_milters": services, "non_smtpd_milters": [name for name in services if name == "dkim"]}
        self.set(*(f"{name}_milter = {ADDRESSES[name]}" for name in services),
                 *(f"{name} = {' '.join(f'${one}_milter' for one in ones)}" for name, ones in lists.items()))

    def set(self, *values: str):
        assert run("postconf", "-c", self.postfix.etc, "-e", *values).returncode == 0

    def patched(self):
        environment = {**os.environ, "POSTFIX_CONFIG": str(self.postfix.etc), "RSPAMD_CONFIG": str(self.rspamd)}
        return run("bash", DMS / "user-patches.sh", env=environment)


def joined(*items: str) -> str:
    return " ".join(item for item in items if item)


@check("docker-mailserver: with each choice of its milters, who verifies and scans comes before us and who signs after us")
def _(directory):
    wrong = []
    choices = itertools.chain.from_iterable(itertools.combinations(ADDRESSES, count) for count in range(4))
    for number, services in enumerate(choices):
        container = Container(directory / f"container{number}", *services)
        verify = joined(*(ADDRESSES[name] for name in ("dkim", "dmarc") if name in services))
        scan, sign = (ADDRESSES["rspamd"], SIGN) if "rspamd" in services else ("", "")
        outgoing = joined(scan, OURS, verify, sign)
        wanted = {"smtpd_milters": joined(verify, scan, OURS, sign), "submission/inet/smtpd_milters": outgoing,
                  "submissions/inet/smtpd_milters": outgoing,
                  "non_smtpd_milters": joined(OURS, ADDRESSES["dkim"]) if "dkim" in services else ""}
        # It runs at each start of the container.
        for _ in range(2):
            done = container.patched()
            differs = [done.stderr] if done.returncode else container.postfix.differs(wanted)
            wrong += [f"{services}: {one}" for one in differs]
        if (container.rspamd / "depollueur.lua").exists() != ("rspamd" in services):
            wrong.append(f"{services}: rspamd is parted, or is not")
    return wrong


@check("docker-mailserver: with amavis, which would look at links instead of attachments, nothing is changed and the reason is told")
def _(directory):
    container = Container(directory, "dkim", "dmarc")
    container.set("content_filter = smtp-amavis:[127.0.0.1]:10024")
    before = [(container.postfix.etc / name).read_text() for name in ("main.cf", "master.cf")]
    done = container.patched()
    after = [(container.postfix.etc / name).read_text() for name in ("main.cf", "master.cf")]
    return [] if done.returncode == 1 and "ENABLE_AMAVIS=0" in done.stderr and before == after else [done.stderr]


@check("docker-mailserver: rspamd takes the second milter beside its own settings")
def _(directory):
    container = Container(directory, "rspamd")
    tree = checkout("DOCKER_MAILSERVER_TREE")
    settings = (tree / "target/rspamd/local.d/settings.conf").read_text() if tree else \
        "authenticated { priority = high; authenticated = yes; apply { groups_enabled = [dkim]; } }\n"
    (container.rspamd / "local.d").mkdir()
    (container.rspamd / "local.d" / "settings.conf").write_text(settings)
    for _ in range(2):
        assert container.patched().returncode == 0
    files = {str(path.relative_to(container.rspamd)): path.read_text() for path in container.rspamd.rglob("*") if path.is_file()}
    dump = configdump(directory / "etc", files)
    wrong = [] if isinstance(dump["settings"], dict) and {"authenticated", "depollueur-sign"} <= set(dump["settings"]) else [f"settings: {dump['settings']}"]
    return wrong + ([] if "127.0.0.1:11331" in str(dump["worker"]) else ["there is no second milter"])


@check("docker-mailserver: docker compose takes the service beside its own")
def _(directory):
    compose = shutil.which("docker-compose")
    if compose is None:
        raise Missing("docker-compose is not installed")
    tree = checkout("DOCKER_MAILSERVER_TREE")
    directory.joinpath("compose.yaml").write_text(
        (tree / "compose.yaml").read_text() if tree else "services:\n  mailserver:\n    image: example/mailserver\n")
    directory.joinpath("mailserver.env").touch()
    shutil.copy(DMS / "compose.override.yaml", directory)
    done = run(compose, "-f", "compose.yaml", "-f", "compose.override.yaml", "config", cwd=directory)
    return [] if done.returncode == 0 and "depollueur" in done.stdout else [done.stderr]


@check("docker-mailserver: the configuration is one that we take, and the script is sound")
def _(directory):
    checked = run(binary(), "check", "--quiet", "--config", DMS / "depollueur.toml")
    linted = run("shellcheck", DMS / "user-patches.sh")
    return [one for one in (checked.returncode and checked.stderr, linted.stdout) if one]
