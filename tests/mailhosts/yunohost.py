"""The package for YunoHost."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

from .checks import PACKAGING, Missing, binary, check, checkout, run

YUNOHOST = PACKAGING / "yunohost"
OURS = "{ unix:depollueur/milter.sock, default_action=tempfail }"
SIGNER, SCANNER = "inet:localhost:8891", "inet:localhost:11332"
# The lines of YunoHost's configuration that matter here, in our words.
MAIN = f"compatibility_level = 3.6\nsmtpd_milters = {SIGNER}\nnon_smtpd_milters = {SIGNER}\nmilter_default_action = accept\n"
MASTER = ("smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"
          "pickup unix n - y 60 1 pickup\n")


class Pending:
    """The directories in which YunoHost prepares Postfix's files before they are put in place."""

    def __init__(self, directory: Path, main: str, master: str):
        self.etc = directory / "postfix" / "etc" / "postfix"
        self.own = directory / "postfix_depollueur"
        self.etc.mkdir(parents=True)
        self.own.mkdir()
        (self.etc / "main.cf").write_text(main)
        (self.etc / "master.cf").write_text(master)

    def hook(self) -> "Pending":
        done = run("bash", YUNOHOST / "conf" / "postfix_hook", "pre", "", "", self.own)
        assert done.returncode == 0, done.stderr
        return self

    def value(self, *question: str) -> str:
        return run("postconf", "-c", self.etc, "-h", *question).stdout.strip()

    def differs(self, incoming: list[str], outgoing: list[str]) -> list[str]:
        """What does not stand as it should, for each way of mail."""
        wanted = {("smtpd_milters",): incoming, ("depollueur_outgoing_milters",): outgoing,
                  ("non_smtpd_milters",): [OURS, SIGNER]}
        wrong = [f"{question[0]} is {self.value(*question)!r}" for question, order in wanted.items()
                 if self.value(*question) != " ".join(order)]
        listed = self.value("-P", "submission/inet/smtpd_milters")
        return wrong + ([] if listed.endswith("$depollueur_outgoing_milters") else [f"submission has {listed!r}"])


@check("YunoHost: port 25 has us after the verifier, users and programs before the signer, however often the hook runs")
def _(directory):
    pending = Pending(directory, MAIN, MASTER)
    return [wrong for _ in range(2) for wrong in pending.hook().differs([SIGNER, OURS], [OURS, SIGNER])]


@check("YunoHost: a scanner that another app has added comes before us on both ways")
def _(directory):
    pending = Pending(directory, MAIN.replace(f"smtpd_milters = {SIGNER}\n", f"smtpd_milters = {SIGNER} {SCANNER}\n", 1), MASTER)
    return pending.hook().differs([SIGNER, SCANNER, OURS], [SCANNER, OURS, SIGNER])


@check("YunoHost: what others let pass when they fail stays, and nothing else of the files is changed")
def _(directory):
    pending = Pending(directory, MAIN, MASTER).hook()
    rest = [line for line in (pending.etc / "main.cf").read_text().splitlines() if "_milters" not in line and line]
    return [] if rest == [line for line in MAIN.splitlines() if "_milters" not in line] else rest


@check("YunoHost: its own files take the hook")
def _(directory):
    tree = checkout("YUNOHOST_TREE")
    if tree is None:
        raise Missing("no checkout is named by YUNOHOST_TREE")
    conf = tree / "conf" / "postfix"
    # Its template, with each value that is asked for, and without the conditions.
    lines = (line for line in (conf / "main.cf").read_text().splitlines() if not line.lstrip().startswith("{%"))
    main = re.sub(r"\{\{.*?\}\}", "example.org", "\n".join(lines)) + "\n"
    pending = Pending(directory, main, (conf / "plain" / "master.cf").read_text())
    return pending.hook().differs([SIGNER, OURS], [OURS, SIGNER])


@check("YunoHost: the configuration that it writes is one that we take, in every choice of the panel")
def _(directory):
    panel = tomllib.loads((YUNOHOST / "config_panel.toml").read_text())["main"]
    values = {"PORT": "8025", "PORT_ADMIN": "8026", "DOMAIN": "drop.example.org", "OPERATOR": "L'Été", "CONTACT": "abuse@example.org",
              "THRESHOLD": "2 MB", "MODE": "dry-run", "DIRECTIONS": "outgoing", "EXPIRY": "1 month", "LANGUAGE": "fr"}
    choices = {name.upper(): list(question["choices"]) for section in panel.values() if isinstance(section, dict)
               for name, question in section.items() if isinstance(question, dict) and "choices" in question}
    wrong = [] if set(choices) == {"MODE", "DIRECTIONS", "EXPIRY", "LANGUAGE"} else [f"choices of {sorted(choices)}"]
    template, file = (YUNOHOST / "conf" / "depollueur.toml").read_text(), directory / "depollueur.toml"
    for changed in [{name: choice} for name, all_ in choices.items() for choice in all_]:
        file.write_text(re.sub(r"__([A-Z_]+?)__", lambda found: {**values, **changed}[found.group(1)], template))
        done = run(binary(), "check", "--quiet", "--config", file)
        wrong += [f"{changed}: {done.stderr}"] if done.returncode else []
    return wrong


@check("YunoHost: the app names the packages with their checksums")
def _(directory):
    tree = directory / "tree" / "DEBIAN"
    tree.mkdir(parents=True)
    (tree / "control").write_text("Package: depollueur\nVersion: 1.2.3-1\nArchitecture: arm64\nMaintainer: a <a@example.org>\nDescription: b\n")
    package = directory / "depollueur_1.2.3-1_arm64.deb"
    assert run("dpkg-deb", "--root-owner-group", "-b", tree.parent, package).returncode == 0
    done = run(YUNOHOST / "make", "https://example.org/r/", directory, directory / "app")
    manifest = tomllib.loads((directory / "app" / "manifest.toml").read_text())
    found = (manifest["version"], manifest["integration"]["architectures"], manifest["resources"]["sources"]["main"]["arm64"])
    wanted = ("1.2.3~ynh1", ["arm64"], {"url": f"https://example.org/r/{package.name}",
                                        "sha256": hashlib.sha256(package.read_bytes()).hexdigest()})
    return [] if found == wanted else [f"{found}: {done.stderr}"]


@check("YunoHost: the scripts are sound")
def _(directory):
    # YunoHost's helpers set variables and define functions that the scripts use.
    scripts = [path for path in sorted((YUNOHOST / "scripts").iterdir())] + [YUNOHOST / "conf" / "postfix_hook", YUNOHOST / "make"]
    done = run("shellcheck", "--shell=bash", "--exclude=SC1091,SC2034,SC2154", *scripts)
    return [done.stdout] if done.returncode else []
