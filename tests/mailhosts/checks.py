"""What the checks of packages for mail hosts share: the registry (also of tests/examples.py), commands, and a Postfix's files in a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from lab import ROOT, binary  # noqa: E402, F401

PACKAGING = ROOT / "packaging"
CHECKS = []


class Missing(Exception):
    """What a check needs is not here; it says what."""


def check(sentence: str):
    """Registers a check: a function of an empty directory that returns what is wrong, one string each."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def must(*command, **options) -> str:
    done = run(*command, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def checkout(variable: str) -> Path | None:
    """The host's own files, if the variable names a checkout of them."""
    return Path(os.environ[variable]) if variable in os.environ else None


class Postfix:
    """Postfix's files in a directory, asked and changed by postconf."""

    def __init__(self, etc: Path, main: str, master: str):
        self.etc = etc
        self.etc.mkdir(parents=True, exist_ok=True)
        (self.etc / "main.cf").write_text(main)
        (self.etc / "master.cf").write_text(master)

    def value(self, *question: str) -> str:
        return run("postconf", "-c", self.etc, "-h", *question).stdout.strip()

    def differs(self, wanted: dict[str, str]) -> list[str]:
        """What does not hold, of main.cf by name and of master.cf by service/type/name."""
        wrong = []
        for name, value in wanted.items():
            found = self.value("-Px", name) if "/" in name else self.value("-x", name)
            found = found.removeprefix(f"{name} = ")
            wrong += [] if found.split() == value.split() else [f"{name} is {found!r}, not {value!r}"]
        return wrong + self.complaints()

    def complaints(self) -> list[str]:
        """What a real Postfix says of the files, but for values that it takes the last of."""
        done = run("postconf", "-c", self.etc)
        lines = [line for line in done.stderr.splitlines() if "overriding earlier entry" not in line]
        return [line for line in lines if "fatal" in line or "milter" in line or "unused parameter" in line]
