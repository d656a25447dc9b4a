#!/usr/bin/env python3
"""The Debian package, installed with dpkg into a fresh Debian 12 or 13 that debootstrap makes.

What an admin meets: the files and their rights, the maintainer scripts, no configuration before setup, the daemon run with
setup's as its user, upgrades (one from a package that had the configuration as a conffile), removal and purge. systemd does not run there: the units are verified, enabled and disabled, but not started.

    tests/package.py              packs target/release/depollueur (packaging/build --no-build)
    SUITE=trixie tests/package.py into a Debian 13
    KEEP_ROOT=1 tests/package.py  keeps the system for a look

As root, with debootstrap, lintian and a mirror that apt knows. Mounts and listeners live in
namespaces that end with their process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MESSAGE = ROOT / "tests" / "messages" / "name-space.eml"
SUITE = os.environ.get("SUITE", "bookworm")
CONFIG = "etc/depollueur/depollueur.toml"
SAVED_FOR = 7 * 86_400
UNITS = ("depollueur.service", "depollueur.socket")
# One process for each part: for those who enable them.
SPLIT = ("depollueur-milter.service", "depollueur-milter.socket", "depollueur-sweep.service", "depollueur-sweep.timer",
         "depollueur-web.service")
FILES = {
    "usr/bin/depollueur": ("root:root", 0o755),
    "etc/depollueur": ("root:depollueur", 0o750),
    "usr/lib/systemd/system/depollueur.service": ("root:root", 0o644),
    "usr/lib/systemd/system/depollueur.socket": ("root:root", 0o644),
    "usr/lib/systemd/system/depollueur-failed@.service": ("root:root", 0o644),
    **{f"usr/lib/systemd/system/{unit}": ("root:root", 0o644) for unit in SPLIT},
    "usr/lib/sysusers.d/depollueur.conf": ("root:root", 0o644),
    "usr/share/man/man8/depollueur.8.gz": ("root:root", 0o644),
    "usr/share/man/man5/depollueur.toml.5.gz": ("root:root", 0o644),
    "usr/share/bash-completion/completions/depollueur": ("root:root", 0o644),
    "usr/share/zsh/vendor-completions/_depollueur": ("root:root", 0o644),
    "usr/share/fish/vendor_completions.d/depollueur.fish": ("root:root", 0o644),
    "usr/share/doc/depollueur/guide.en.md": ("root:root", 0o644),
    "usr/share/doc/depollueur/guide.fr.md": ("root:root", 0o644),
    "usr/share/doc/depollueur/depollueur.cdx.json": ("root:root", 0o644),
    "usr/share/doc/depollueur/examples/depollueur.toml": ("root:root", 0o644),
    "usr/share/doc/depollueur/examples/notice/fr.html": ("root:root", 0o644),
    "usr/share/doc/depollueur/examples/notice/en.txt": ("root:root", 0o644),
}


class Impossible(Exception):
    """The test cannot be run here at all."""


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, **options)


def must(*command, **options) -> str:
    done = run(*command, **options)
    if done.returncode:
        raise Impossible(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def mirror() -> str:
    """Where apt itself gets Debian from; another suite is there as well."""
    listed = must("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)", "Created-By: Packages")
    for site, codename, component in (line.split() for line in listed.splitlines()):
        # One mirror has all suites.
        if component == "main" and re.fullmatch("bookworm|trixie", codename):
            return site
    raise Impossible(f'apt knows no mirror of Debian "{SUITE}"')


class System:
    """A Debian in a directory."""

    def __init__(self, directory: Path):
        self.root = directory / "root"
        # Packages, and for some days the system, are kept for the next run.
        cache = TARGET / "tools" / "debs"
        cache.mkdir(parents=True, exist_ok=True)
        saved = TARGET / "tools" / f"{SUITE}.tar"
        if not saved.exists() or time.time() - saved.stat().st_mtime > SAVED_FOR:
            self.make(cache, saved)
        self.root.mkdir(exist_ok=True)
        must("tar", "-xf", saved, "-C", self.root, "--numeric-owner")

    def make(self, cache: Path, saved: Path):
        must("debootstrap", "--variant=minbase", f"--cache-dir={cache}", "--include=systemd,postfix,ca-certificates",
             SUITE, self.root, mirror(), env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        must("tar", "-cf", f"{saved}.new", "-C", self.root, "--numeric-owner", "--exclude=./proc/*", "--exclude=./sys/*",
             "--exclude=./var/cache/apt/archives/*.deb", ".")
        os.replace(f"{saved}.new", saved)
        shutil.rmtree(self.root)

    def command(self, *command, user: str | None = None) -> list[str]:
        """Mounts and network of its own, which end with the process; exec all the way down."""
        enter = 'ip link set lo up; mount -t proc proc "$0/proc"; exec chroot ${USERSPEC:+--userspec=$USERSPEC} "$0" "$@"'
        spec = f"{user}:{user}" if user else ""
        return ["env", f"USERSPEC={spec}", "unshare", "--mount", "--net", "sh", "-ec", enter, str(self.root), *map(str, command)]

    def run(self, *command, user: str | None = None, **options) -> subprocess.CompletedProcess:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return run(*self.command(*command, user=user), env=environment, **options)

    def dpkg(self, *arguments) -> subprocess.CompletedProcess:
        return self.run("dpkg", *arguments)

    def install(self, package: Path, *arguments) -> subprocess.CompletedProcess:
        shutil.copy(package, self.root / "package.deb")
        return self.dpkg(*arguments, "-i", "/package.deb")

    def path(self, name: str) -> Path:
        return self.root / name

    def rights(self, name: str) -> tuple[str, int]:
        """Owner and group by the names of the system inside, and the permission bits."""
        status = self.path(name).lstat()
        names = {}
        for kind in ("passwd", "group"):
            lines = (line.split(":") for line in self.path(f"etc/{kind}").read_text().splitlines())
            names[kind] = {int(fields[2]): fields[0] for fields in lines}
        owner, group = names["passwd"].get(status.st_uid), names["group"].get(status.st_gid)
        return f"{owner}:{group}", status.st_mode & 0o7777

    def links(self) -> set[str]:
        """The units that are enabled."""
        return {link.name for link in self.path("etc/systemd/system").rglob("depollueur.*") if link.is_symlink()}

    def postfix(self) -> str:
        """All that an installation must not change."""
        digest = hashlib.sha256()
        for path in sorted(self.path("etc/postfix").rglob("*")):
            digest.update(f"{path} {path.lstat().st_mode}".encode())
            if path.is_file() and not path.is_symlink():
                digest.update(path.read_bytes())
        groups = [line for line in self.path("etc/group").read_text().splitlines() if "postfix" in line]
        users = [line for line in self.path("etc/passwd").read_text().splitlines() if "postfix" in line]
        return f"{digest.hexdigest()} {groups} {users}"


# ---- the packages

def pack(directory: Path) -> Path:
    """What packaging/build makes of the release build; the program is not built once more."""
    must(ROOT / "packaging" / "build", "--no-build", "--into", directory / "out")
    return next((directory / "out").glob("depollueur_*.deb"))


def repack(package: Path, version: str, conffile: bool = False) -> Path:
    """The same package with another version; with the sample as a conffile, as packages once had it."""
    tree = package.parent.parent / version
    must("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*", f"Version: {version}", control.read_text(), flags=re.M))
    if conffile:
        (tree / CONFIG).parent.mkdir(parents=True)
        shutil.copy(ROOT / "config" / "depollueur.toml", tree / CONFIG)
        (tree / "DEBIAN" / "conffiles").write_text(f"/{CONFIG}\n")
    made = package.parent.parent / f"{version}.deb"
    must("dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, made)
    shutil.rmtree(tree)
    return made


# ---- the story, in order: each step finds what the one before it left

class Story:
    def __init__(self, directory: Path):
        self.first = pack(directory)
        self.older = repack(self.first, "0.0.1-1", conffile=True)
        self.second = repack(self.first, "98.0-1")
        self.third = repack(self.first, "99.0-1")
        self.system = System(directory)
        self.postfix = self.system.postfix()
        self.link = ""

    def passes(self, done: subprocess.CompletedProcess, *, says: str = "") -> list[str]:
        text = done.stdout + done.stderr
        wrong = []
        if done.returncode:
            wrong.append(f"exit code {done.returncode}: {text.strip()}")
        elif says and says not in text:
            wrong.append(f'does not say "{says}": {text.strip()}')
        complaints = [line for line in done.stderr.splitlines() if not says and not EXPECTED.match(line)]
        return wrong + [f"complains: {line}" for line in complaints]

    def lintian_finds_no_error_and_no_warning(self):
        done = run("lintian", "--allow-root", "--fail-on", "error,warning", *self.first.parent.glob("*.deb"))
        return [done.stdout + done.stderr] if done.returncode else []

    def the_program_is_stripped_and_its_symbols_are_in_a_package_of_their_own(self):
        contents = must("dpkg-deb", "-c", next(self.first.parent.glob("depollueur-dbgsym_*.deb")))
        megabytes = self.first.stat().st_size / 1e6
        wrong = [] if re.search(r"/usr/lib/debug/.build-id/\w\w/\w+\.debug", contents) else [contents]
        return wrong + ([] if megabytes < 15 else [f"the package has {megabytes:.0f} MB"])

    def the_list_of_contents_is_whole_and_names_no_path_of_this_machine(self):
        listed = next(self.first.parent.glob("*.cdx.json")).read_text()
        components = {(component["name"], component["version"]): component for component in json.loads(listed)["components"]}
        names = {name for name, _ in components}
        # What cargo builds the program of, for this machine; the tree says "name vVERSION (notes)".
        tree = must("cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--no-dedupe", cwd=ROOT)
        linked = {(words[0], words[1].removeprefix("v")) for line in tree.splitlines() if (words := line.split()) and words[0] != "depollueur"}
        wrong = [f"{name} {version} is missing" for name, version in sorted(linked - components.keys())]
        wrong += ["cargo names few crates"] if len(linked) < 100 else []
        wrong += [f"{name} {version} has no licence" for (name, version), component in components.items() if not component.get("licenses")]
        # Our own engine lies in this tree, and in no archive.
        wrong += [f"{name} {version} has no digest" for (name, version), component in components.items()
                  if not component.get("hashes") and name != "mailsplice"]
        wrong += ["a crate for tests alone is in it"] if "proptest" in names else []
        return wrong + ([f"{ROOT} is in it"] if str(ROOT) in listed else [])

    def the_checksums_hold(self):
        done = run("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=self.first.parent)
        return [done.stdout + done.stderr] if done.returncode else []

    def installs(self):
        return self.passes(self.system.install(self.first))

    def files_have_their_rights(self):
        wrong = []
        for name, expected in FILES.items():
            if not self.system.path(name).exists():
                wrong.append(f"{name} is missing")
            elif (found := self.system.rights(name)) != expected:
                wrong.append(f"{name}: {found[0]} {found[1]:o}, not {expected[0]} {expected[1]:o}")
        return wrong

    def the_list_of_contents_is_installed(self):
        installed = self.system.path("usr/share/doc/depollueur/depollueur.cdx.json")
        published = next(self.first.parent.glob("*.cdx.json"))
        return [] if installed.exists() and installed.read_bytes() == published.read_bytes() else [f"{installed} is not {published.name}"]

    def the_user_cannot_log_in(self):
        users = self.system.path("etc/passwd").read_text().splitlines()
        user = next((line.split(":") for line in users if line.startswith("depollueur:")), None)
        if user is None:
            return ["there is no user"]
        good = user[5] == "/var/lib/depollueur" and user[6].endswith("nologin") and int(user[2]) < 1000
        return [] if good else [":".join(user)]

    def postfix_is_not_changed(self):
        return [] if self.system.postfix() == self.postfix else [f"{self.postfix} became {self.system.postfix()}"]

    def units_are_enabled(self):
        links = self.system.links()
        return [f"{unit} is not" for unit in UNITS if unit not in links]

    def units_are_sound(self):
        paths = [f"/usr/lib/systemd/system/{unit}" for unit in UNITS]
        done = self.system.run("systemd-analyze", "verify", "--man=no", *paths)
        about_us = [line for line in done.stderr.splitlines() if "depollueur" in line]
        return about_us or ([done.stderr] if done.returncode else [])

    def shells_complete(self):
        return [f"{shell}: {done.stdout.strip()} {done.stderr.strip()}" for shell, script in SHELLS.items()
                if "restore" not in (done := run(shell, *NORC.get(shell, []), "-c", script, env=self.outside())).stdout]

    def outside(self):
        """The shells are those of the machine, the files those of the package."""
        bin_ = self.system.path("usr/bin/depollueur")
        tools = self.system.root.parent / "bin"
        tools.mkdir(exist_ok=True)
        shutil.copy(bin_, tools / "depollueur")
        return {"PATH": f"{tools}:/usr/bin:/bin", "SHARE": str(self.system.path("usr/share")), "HOME": str(tools), "TERM": "dumb"}

    def nothing_is_configured_and_every_command_says_what_to_type(self):
        wrong = [f"{CONFIG} is there"] if self.system.path(CONFIG).exists() else []
        for command in ("check", "doctor", "run", "reload"):
            done = self.system.run("depollueur", command)
            if done.returncode != 78 or "depollueur setup" not in done.stderr:
                wrong.append(f"{command}: {done.returncode} {done.stderr}")
        return wrong

    def setup_needs_no_force_and_writes_what_the_daemon_may_read(self):
        done = self.system.run("depollueur", "setup", "--domain", "example.org")
        wrong = [done.stdout + done.stderr] if done.returncode else []
        wrong += self.configuration('mode = "dry-run"')
        return wrong + self.passes(self.system.run("depollueur", "check", "--quiet", user="depollueur"))

    def what_links_in_installed_documents_lead_to_is_installed(self):
        wrong = []
        for document in self.system.path("usr/share/doc/depollueur").rglob("*.md"):
            for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
                if "://" not in link and not (document.parent / link).exists():
                    wrong.append(f"{document.name}: {link}")
        return wrong

    def the_daemon_runs_as_its_user(self):
        for name, mode in (("run/depollueur", 0o750), ("var/lib/depollueur", 0o700)):  # as the unit makes them
            path = self.system.path(name)
            path.mkdir(mode=mode)
            must("chroot", self.system.root, "chown", "depollueur:depollueur", f"/{name}")
        daemon = subprocess.Popen(self.system.command("depollueur", "run", "--set", "milter.listen=unix:/run/depollueur/milter.sock", user="depollueur"), text=True, stderr=subprocess.PIPE)
        try:
            return self.ready(daemon)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)

    def ready(self, daemon: subprocess.Popen) -> list[str]:
        ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8026/readyz', timeout=5).status)"
        # The answer is the event that is awaited.
        for _ in range(100):
            done = run("nsenter", "--net", "--target", daemon.pid, sys.executable, "-c", ask)
            if done.returncode == 0:
                break
            if daemon.poll() is not None:
                return [f"ended with {daemon.returncode}: {daemon.stderr.read()}"]
            time.sleep(0.1)
        wrong = [] if done.stdout.strip() == "200" else [f"not ready: {done.stderr}"]
        owner, mode = self.system.rights("var/lib/depollueur/drop.sqlite3")
        return wrong + ([] if (owner, mode & 0o77) == ("depollueur:depollueur", 0) else [f"drop.sqlite3: {owner} {mode:o}"])

    def a_file_is_deposited(self):
        done = self.system.run("depollueur", "rewrite", "--deposit", "--set", "detach.mode=live", "--set", "detach.threshold=1000", user="depollueur",
                               input=MESSAGE.read_text(encoding="latin-1"))
        found = re.search(r"https://drop\.example\.org/[a-z2-7]{26}", done.stdout)
        self.link = found.group() if found else ""
        return [] if found else [done.stdout[-500:] + done.stderr]

    def configuration(self, text: str) -> list[str]:
        wrong = [] if text in self.system.path(CONFIG).read_text() else [f'"{text}" is not in the configuration']
        rights = self.system.rights(CONFIG)
        return wrong + ([] if rights == ("root:depollueur", 0o640) else [f"{rights[0]} {rights[1]:o}"])

    def an_upgrade_asks_nothing_and_keeps_what_the_admin_wrote(self):
        before = self.system.path(CONFIG).read_text()
        must("chroot", self.system.root, "systemctl", "disable", "--quiet", "depollueur.socket")
        wrong = self.passes(self.system.install(self.second))
        wrong += [] if self.system.path(CONFIG).read_text() == before else ["the configuration has changed"]
        wrong += self.configuration('mode = "dry-run"')
        return wrong + ([] if self.system.links() == {"depollueur.service"} else ["the socket is enabled again"])

    def a_configuration_that_is_wrong_or_closed_to_the_daemon_is_named_and_stops_no_upgrade(self):
        config = self.system.path(CONFIG)
        good = config.read_text()
        config.write_text(good + "\n[nonsense]\n")
        wrong = self.passes(self.system.install(self.third), says="would refuse")
        wrong += self.passes(self.system.install(self.third), says="nonsense")
        wrong += self.passes(self.system.install(self.third), says="then: systemctl restart depollueur.service")
        # Where mail and pages have a process each, that line would stop them.
        split = "depollueur-milter.service", "depollueur-web.service"
        must("chroot", self.system.root, "systemctl", "enable", "--quiet", *split)
        wrong += self.passes(self.system.install(self.third), says="then: systemctl restart depollueur-milter.service depollueur-web.service")
        must("chroot", self.system.root, "systemctl", "disable", "--quiet", *split)
        config.write_text(good)
        config.chmod(0o600)
        wrong += self.passes(self.system.install(self.third), says="Permission denied")
        done = self.system.run("depollueur", "check")
        if done.returncode != 78 or "whose user is depollueur" not in done.stderr or "chgrp" not in done.stderr:
            wrong.append(f"check as root: {done.returncode} {done.stderr}")
        config.chmod(0o640)
        return wrong

    def a_removal_says_that_postfix_still_asks(self):
        must("chroot", self.system.root, "postconf", "-e", "smtpd_milters = unix:depollueur/milter.sock")
        wrong = self.passes(self.system.dpkg("-r", "depollueur"), says="Postfix still asks")
        must("chroot", self.system.root, "postconf", "-X", "smtpd_milters")
        return wrong

    def a_removal_keeps_configuration_and_drop(self):
        wrong = [f"{name} is gone" for name in (CONFIG, "var/lib/depollueur/drop.sqlite3") if not self.system.path(name).exists()]
        return wrong + (["the program is still there"] if self.system.path("usr/bin/depollueur").exists() else [])

    def a_purge_says_that_it_keeps_the_drop(self):
        return self.passes(self.system.dpkg("-P", "depollueur"), says="/var/lib/depollueur is kept")

    def a_purge_leaves_nothing_else(self):
        state = [path for path in self.system.path("var/lib/systemd").rglob("*depollueur*")]
        etc = [path for path in self.system.path("etc").rglob("*depollueur*")]
        return [f"{path} is left" for path in state + etc]

    def what_was_kept_is_found_again(self):
        wrong = self.passes(self.system.install(self.third))
        into = self.system.path("fetched")
        into.mkdir()
        wrong += self.passes(self.system.run("depollueur", "drop", "get", self.link, "--into", "/fetched"))
        return wrong + ([] if any(into.iterdir()) else ["no file came"])

    def a_purge_removes_an_empty_drop_silently(self):
        drop = self.system.path("var/lib/depollueur")
        shutil.rmtree(drop)
        drop.mkdir()
        wrong = self.passes(self.system.dpkg("-P", "depollueur"))
        return wrong + (["the drop is left"] if drop.exists() else [])

    def an_upgrade_from_a_package_with_a_conffile_asks_nothing_and_setup_may_write_over_a_sample(self):
        wrong = self.passes(self.system.install(self.older))
        config = self.system.path(CONFIG)
        config.write_text(config.read_text().replace('#threshold = "500 kB"', 'threshold = "2 MB"'))
        wrong += self.passes(self.system.install(self.third))
        wrong += [] if 'threshold = "2 MB"' in config.read_text() else ["the admin's value is gone"]
        done = self.system.run("depollueur", "setup", "--domain", "example.org")
        wrong += [] if done.returncode == 64 else [f"setup has written over it: {done.stdout}"]
        config.write_text((ROOT / "config" / "depollueur.toml").read_text())
        return wrong + self.passes(self.system.run("depollueur", "setup", "--domain", "example.org"))

    def a_purge_takes_that_file_too(self):
        wrong = self.passes(self.system.dpkg("-P", "depollueur"))
        return wrong + (["the configuration is left"] if self.system.path("etc/depollueur").exists() else [])


# What is said when all is well: of sysusers, of enabled units, that there is no configuration, or that the sample has no public address yet.
EXPECTED = re.compile(r"Creating (user|group) 'depollueur'|Created symlink |depollueur: nothing runs yet|"
                      r"dpkg: warning: unable to delete old directory '/etc/depollueur'|depollueur: warning: web\.(public_url = |report_to is empty)|$")

NORC = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}
SHELLS = {
    "bash": '. "$SHARE/bash-completion/completions/depollueur"; COMP_WORDS=(depollueur drop re); COMP_CWORD=2; '
            '_depollueur depollueur re drop; echo "${COMPREPLY[@]}"',
    # What completes is called once, and describes the commands.
    "zsh": 'fpath=("$SHARE/zsh/vendor-completions" $fpath); autoload -Uz compinit _depollueur; compinit -u -D; '
           '[[ $_comps[depollueur] == _depollueur ]] || exit 1; calls=0; _arguments() { (( calls++ )); return 1 }; '
           '_depollueur; (( calls == 1 )) && _describe() { print -- ${(P)4} }; _depollueur__subcmd__drop_commands',
    "fish": 'source "$SHARE/fish/vendor_completions.d/depollueur.fish"; complete -C "depollueur drop re"',
}


def main() -> int:
    directory = Path(tempfile.mkdtemp(prefix="depollueur-package-"))
    good = bad = 0
    try:
        if os.geteuid() != 0:
            raise Impossible("a system can only be made by root")
        story = Story(directory)
        for name, step in ((n, s) for n, s in vars(Story).items() if n in STEPS):
            wrong = step(story)
            print(f"{'FAIL' if wrong else 'ok  '}  {name.replace('_', ' ')}", flush=True)
            for line in wrong:
                print(f"      {line}")
            good, bad = good + (not wrong), bad + bool(wrong)
    except Impossible as reason:
        print(f"FAIL  the package was not tested to its end: {reason}")
        bad += 1
    finally:
        if "KEEP_ROOT" in os.environ:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


HELPERS = {"passes", "outside", "ready", "configuration"}
STEPS = [name for name in vars(Story) if not name.startswith("_") and name not in HELPERS]

if __name__ == "__main__":
    sys.exit(main())
