#!/usr/bin/env python3
"""What comes with other people's crates: licences, sources, crates that must not be in, and known holes.

    tests/supply.py                       licences, bans, sources; advisories where their database can be had
    ADVISORY_DB=DIR tests/supply.py       advisories out of a clone of RustSec's advisory-db, which must be there then

cargo-deny judges, by deny.toml; it is installed from the registry where it is not there, into target/tools. Known holes are
in a database of RustSec's that lies on the net and in no registry: where no machine answers there, one line says so, and an old
copy is not taken for it. Whatever else keeps it away is a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = "0.20.2"
DATABASE = "https://github.com/RustSec/advisory-db"
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tools"
# Whoever has it lies on the net may be far.
INSTALL_SECONDS, FETCH_SECONDS, CHECK_SECONDS = 1200, 120, 300
# The program, and what feeds it.
PACKAGES = ("Cargo.toml", "fuzz/Cargo.toml")
# The exit status of cargo-deny when it found something, by what it looked at; 1 also says that it could not look.
BANS, LICENSES, SOURCES = 2, 4, 8
NO_TOOL, TOO_LONG = 127, 124
# What git says when no machine answers.
UNREACHABLE = re.compile(r"Could not resolve (host|proxy)|Failed to connect to|Couldn't connect to server|Network is unreachable|"
                         r"[Cc]onnection (timed out|refused)|CONNECT tunnel failed|from proxy after CONNECT")


def run(*command, seconds: int, **options) -> subprocess.CompletedProcess:
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds, cwd=ROOT, **options)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, NO_TOOL, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TOO_LONG, "", f"{command[0]} took more than {seconds} s")


def cargo_deny() -> str:
    """A cargo-deny of exactly this version. It runs once, so that optimising it would take longer than it does."""
    for found in ("cargo-deny", TOOLS / "bin" / "cargo-deny"):
        if VERSION in run(found, "--version", seconds=30).stdout.split():
            return str(found)
    built = run("cargo", "install", "--quiet", "--locked", "--debug", "--root", TOOLS, f"cargo-deny@{VERSION}", seconds=INSTALL_SECONDS,
                env={**os.environ, "CARGO_TARGET_DIR": str(TOOLS / "build"), "CARGO_PROFILE_DEV_DEBUG": "false"})
    if built.returncode:
        sys.exit(f"cargo-deny could not be installed:\n{built.stderr[-2000:]}")
    return str(TOOLS / "bin" / "cargo-deny")


class Judge:
    """cargo-deny with deny.toml, and what it found."""

    def __init__(self, directory: Path):
        self.tool, self.directory, self.failed, self.passed = cargo_deny(), directory, 0, 0
        self.config = self.variant("deny.toml", "[advisories]", f'[advisories]\ndb-path = "{directory}/databases"')

    def variant(self, name: str, old: str, new: str) -> Path:
        """deny.toml with something else in it."""
        text = (ROOT / "deny.toml").read_text()
        assert old in text, old
        path = self.directory / name
        path.write_text(text.replace(old, new))
        return path

    def check(self, *what: str, package: str = "Cargo.toml", config: Path | None = None, flags=()):
        return run(self.tool, "--manifest-path", ROOT / package, "--locked", *flags, "--config", config or self.config, "check", *what,
                   seconds=CHECK_SECONDS)

    def expect(self, sentence: str, done: subprocess.CompletedProcess, status: int = 0, word: str = ""):
        """That it ended with this status, and said this."""
        if done.returncode == status and word in done.stderr:
            self.passed += 1
            print(f"ok    {sentence}", flush=True)
        else:
            self.failed += 1
            wanted = f"status {status}" + f' and "{word}"' * bool(word)
            print(f"FAIL  {sentence}: status {done.returncode}, wanted {wanted}\n{done.stdout}{done.stderr}", flush=True)


def check_advisories(judge: Judge):
    given, environment = os.environ.get("ADVISORY_DB"), {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    if given:
        environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{Path(given).resolve()}.insteadOf", "GIT_CONFIG_VALUE_0": DATABASE}
    fetched = run(judge.tool, "--config", judge.config, "fetch", "db", seconds=FETCH_SECONDS, env=environment)
    if not given and (fetched.returncode == TOO_LONG or UNREACHABLE.search(fetched.stderr)):
        print(f"none  advisories: not checked: {DATABASE} cannot be reached (ADVISORY_DB=DIR names a clone of it)", flush=True)
        return
    if fetched.returncode:
        judge.expect(f"the database of advisories is in {given or DATABASE}", fetched)
        return
    clone = next((judge.directory / "databases").glob("advisory-db-*"))
    made = run("git", "-C", clone, "log", "-1", "--format=%cs", seconds=30).stdout.strip()
    for package in PACKAGES:
        done = judge.check("advisories", package=package, flags=("--offline",))
        judge.expect(f"{package}: no crate has an advisory in the database of {made}", done)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="supply-") as name:
        judge = Judge(Path(name))
        judge.expect("licences fit GPL-3.0-or-later, no banned crate is in, and all comes from the registry",
                     judge.check("licenses", "bans", "sources"))
        judge.expect("fuzz/Cargo.toml: no banned crate is in, and all comes from the registry",
                     judge.check("bans", "sources", package="fuzz/Cargo.toml"))
        for sentence, old, new, what, status, code in (
                ("a licence that is not allowed is found", '"ISC", ', "", "licenses", LICENSES, "rejected"),
                ("a crate that is banned is found", '"ring"', '"rustls"', "bans", BANS, "banned"),
                ("a crate from elsewhere is found", 'unknown-registry = "deny"', 'unknown-registry = "deny"\nallow-registry = []',
                 "sources", SOURCES, "source-not-allowed")):
            judge.expect(sentence, judge.check(what, config=judge.variant("other.toml", old, new)), status, f"error[{code}]: ")
        check_advisories(judge)
    print(f"{judge.passed} passed, {judge.failed} failed")
    return int(judge.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
