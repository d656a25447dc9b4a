"""The files for mailcow."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .checks import PACKAGING, Missing, Postfix, binary, check, checkout, run
from .rspamd import configdump

MAILCOW = PACKAGING / "mailcow"
OURS, SIGN = "{ inet:depollueur:8895, default_action=tempfail }", "inet:rspamd:9901"
CHAIN = f"inet:rspamd:9900, {OURS}, {SIGN}"
# What matters here of mailcow's files, in our words.
SAMPLE = {
    "docker-compose.yml": """services:
  rspamd-mailcow: {image: "example/rspamd", networks: {mailcow-network: {aliases: [rspamd]}}}
  postfix-mailcow: {image: "example/postfix", networks: {mailcow-network: {aliases: [postfix]}}}
networks: {mailcow-network: {driver: bridge}}
""",
    "data/conf/postfix/main.cf": """compatibility_level = 3.7
milter_default_action = tempfail
smtpd_milters = inet:rspamd:9900
non_smtpd_milters = inet:rspamd:9900
# DO NOT EDIT ANYTHING BELOW #
# Overrides #
""",
    "data/conf/postfix/master.cf": """smtpd pass - - n - - smtpd
588 inet n - n - - smtpd
590 inet n - n - - smtpd
  -o smtpd_milters=
  -o non_smtpd_milters=
""",
    "data/conf/rspamd/rspamd.conf.local": "# rspamd.conf.local\n",
    "data/conf/rspamd/lua/rspamd.local.lua": "\n",
    "data/conf/nginx/templates/nginx.conf.j2": "\n",
}
COMPOSE = """# mine
services:
    # one of mine
    webmail:
        image: example/webmail
volumes:
    mine:
"""


def tree(directory: Path) -> Path:
    """A mailcow: that of $MAILCOW_TREE, else our sample."""
    place, named = directory / "mailcow", checkout("MAILCOW_TREE")
    if named:
        shutil.copytree(named, place, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    else:
        for name, text in SAMPLE.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
    (place / "mailcow.conf").write_text("MAILCOW_HOSTNAME=mail.example.org\nTZ=Europe/Paris\nHTTPS_PORT=8443\n")
    return place


def install(place: Path, *options: str):
    return run(MAILCOW / "install", *(options or ("--host", "drop.example.org", "--contact", "abuse@example.org")), place)


def files(place: Path) -> dict[str, str]:
    """All but what stays: the drop and our configuration."""
    found = (path for path in place.rglob("*") if path.is_file() and "depollueur" not in path.relative_to(place).parts)
    return {str(path.relative_to(place)): path.read_text(errors="replace") for path in sorted(found)}


def started(place: Path) -> Postfix:
    """What mailcow's Postfix reads: its container adds extra.cf to main.cf when it starts."""
    conf = place / "data" / "conf" / "postfix"
    extra = conf / "extra.cf"
    main = (conf / "main.cf").read_text() + "\n# User Overrides\nmyhostname = mail.example.org\n"
    return Postfix(place.parent / "postfix", main + (extra.read_text() if extra.exists() else ""), (conf / "master.cf").read_text())


@check("mailcow: rspamd scans, then we, then rspamd signs, for users and for the outside; services without milters keep none")
def _(directory):
    place = tree(directory)
    wrong = []
    for _ in range(2):
        done = install(place)
        assert done.returncode == 0, done.stderr
        wrong += started(place).differs({"smtpd_milters": CHAIN, "non_smtpd_milters": CHAIN, "590/inet/smtpd_milters": ""})
    return wrong


@check("mailcow: what the admin has in these files stays, before, after, and to the byte when all is taken out")
def _(directory):
    place = tree(directory)
    (place / "docker-compose.override.yml").write_text(COMPOSE)
    (place / "data/conf/postfix/extra.cf").write_text("# mine\nsmtpd_milters = inet:rspamd:9900,\n    inet:mine:7777\nmessage_size_limit = 1\n")
    before = files(place)
    for _ in range(2):
        assert install(place).returncode == 0
    chain = f"inet:rspamd:9900, inet:mine:7777, {OURS}, {SIGN}"
    wrong = started(place).differs({"smtpd_milters": chain, "message_size_limit": "1"})
    missing = set(COMPOSE.splitlines()) - set((place / "docker-compose.override.yml").read_text().splitlines())
    assert install(place, "--remove").returncode == 0
    after = files(place)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    return wrong + [f"{line!r} is lost" for line in missing] + [f"{name} is not as it was" for name in changed]


@check("mailcow: without rspamd before us, or with settings that take the place of mailcow's, it is refused and nothing changed")
def _(directory):
    wrong = []
    for name, text, said in [
        ("data/conf/postfix/extra.cf", "smtpd_milters =\n", "does not ask rspamd"),
        ("mailcow.conf", "SKIP_RSPAMD=y\n", "nothing signs after"),
        ("mailcow.conf", "SKIP_RSPAMD=Yes\n", "nothing signs after"),
        ("mailcow.conf", "NGINX_USE_PROXY_PROTOCOL=YES\n", "proxy_protocol"),
        ("data/conf/rspamd/rspamd.conf.local", "settings {\n}\n", 'section "settings"'),
        ("docker-compose.override.yml", "services: {a: {image: b}}\n", "in one line"),
    ]:
        place = tree(directory / (name + text).replace("/", "-").strip())
        (place / name).write_text(text)
        before = files(place)
        done = install(place)
        if done.returncode == 0 or said not in done.stderr or files(place) != before:
            wrong.append(f"{name}: status {done.returncode}, {done.stderr!r}")
    return wrong


@check("mailcow: docker compose takes the service beside its own and the admin's")
def _(directory):
    compose = next((path for path in map(shutil.which, ("docker-compose", os.environ.get("COMPOSE", ""))) if path), None)
    if compose is None:
        raise Missing("docker-compose is not installed")
    wrong = []
    for theirs in ("", COMPOSE):
        place = tree(directory / f"compose{len(theirs)}")
        if theirs:
            (place / "docker-compose.override.yml").write_text(theirs)
        assert install(place).returncode == 0
        done = run(compose, "--env-file", "mailcow.conf", "config", cwd=place)
        shown = done.returncode == 0 and "depollueur-mailcow" in done.stdout and ("webmail" in done.stdout) == bool(theirs)
        wrong += [] if shown else [done.stderr]
    return wrong


@check("mailcow: rspamd takes the second milter, and its settings are still mailcow's map")
def _(directory):
    place = tree(directory)
    assert install(place).returncode == 0
    conf = place / "data" / "conf" / "rspamd"
    dump = configdump(directory, {
        "settings.conf": 'settings = "http://nginx:8081/settings.php";\n',
        "rspamd.conf.local": (conf / "rspamd.conf.local").read_text().replace("rspamd:9901", "127.0.0.1:9901"),
        "lua/depollueur.lua": (conf / "lua" / "depollueur.lua").read_text(),
    })
    wrong = [] if dump.get("settings") == "http://nginx:8081/settings.php" else [f"settings: {dump.get('settings')}"]
    return wrong + ([] if "127.0.0.1:9901" in str(dump["worker"]) else ["there is no second milter"])


@check("mailcow: the configuration is one that we take, nginx's has the name and the port, and the script is sound")
def _(directory):
    place = tree(directory)
    assert install(place).returncode == 0
    done = run(binary(), "check", "--config", place / "data/conf/depollueur/depollueur.toml")
    nginx = (place / "data/conf/nginx/depollueur.conf").read_text()
    wrong = [] if done.returncode == 0 and 'public_url = "https://drop.example.org/"' in done.stdout else [done.stderr]
    wrong += [] if "listen 8443 ssl;" in nginx and "server_name drop.example.org;" in nginx else [nginx]
    wrong += re.findall("__[A-Z0-9_]+__", nginx)
    (place / "mailcow.conf").write_text("ENABLE_IPV6=false\n")
    assert install(place).returncode == 0
    nginx = (place / "data/conf/nginx/depollueur.conf").read_text()
    listens = re.findall("^ *listen (.*);", nginx, re.M)
    wrong += [] if listens == ["443 ssl"] else [f"without IPv6 nginx listens at {listens}"]
    return wrong + ([] if run("shellcheck", MAILCOW / "install").returncode == 0 else [run("shellcheck", MAILCOW / "install").stdout])
