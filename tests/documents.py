#!/usr/bin/env python3
"""The documents and the program must agree: what one has, the other names.

Every key of the sample configuration, with its default, stands in depollueur.toml(5); every command
and every long option that `--help` shows stands in depollueur(8); neither page has one more. The
files and commands that the README names exist.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

from lab import ROOT, binary  # noqa: E402

CHECKS = []


def check(sentence: str):
    """Registers a check: a function that returns what is wrong, one string each."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


def difference(here: set, there: set, here_name: str, there_name: str) -> list[str]:
    return ([f"{x} is in {here_name} only" for x in sorted(here - there)]
            + [f"{x} is in {there_name} only" for x in sorted(there - here)])


def keys_of_sample() -> set[str]:
    found, section = set(), ""
    for line in (ROOT / "config" / "depollueur.toml").read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header.group(1)
        elif key := re.fullmatch(r"#(\w+) = (.*)", line):
            found.add(f"{section}.{key.group(1)} = {key.group(2)}")
    return found


def keys_of_page() -> set[str]:
    found, section = set(), ""
    for line in (ROOT / "man" / "depollueur.toml.5").read_text().splitlines():
        if header := re.fullmatch(r"\.Ss \[(\w+)\]", line):
            section = header.group(1)
        elif key := re.fullmatch(r"\.It Ic (\w+) No = Li (.*)", line):
            default = key.group(2).replace(r"\(dq", '"')
            found.add(f"{section}.{key.group(1)} = {default}")
    return found


def help_of(*command: str) -> str:
    return subprocess.run([binary(), *command, "--help"], check=True, capture_output=True, text=True).stdout


def program() -> tuple[set[str], set[str]]:
    """All commands (`drop get`) and long options (`--config`) of the program."""
    commands, options, todo = set(), set(), [()]
    while todo:
        command = todo.pop()
        text = help_of(*command)
        options |= set(re.findall(r"^\s+(?:-\w, )?(--[a-z][a-z-]*)", text, re.M))
        listed = re.search(r"^Commands:\n((?:  .*\n|\n)*)", text, re.M)
        below = re.findall(r"^  ([a-z]\w*)", listed.group(1), re.M) if listed else []
        if command and not below:
            commands.add(" ".join(command))
        todo += [(*command, name) for name in below]
    return commands, options


def page() -> str:
    return (ROOT / "man" / "depollueur.8").read_text()


@check("depollueur.toml(5) has the keys and the defaults of the sample configuration")
def _():
    assert keys_of_sample(), "the sample configuration has no key"
    return difference(keys_of_sample(), keys_of_page(), "config/depollueur.toml", "depollueur.toml(5)")


@check("depollueur(8) has the commands of the program")
def _():
    documented = {" ".join(re.sub(r"(?: Ar| Op| Fl).*", "", line).split())
                  for line in re.findall(r"^\.It Cm (.*)$", page(), re.M)}
    return difference(program()[0], documented, "--help", "depollueur(8)")


@check("depollueur(8) has the options of the program")
def _():
    documented = {"--" + name for name in re.findall(r"^\.It Fl Fl ([a-z-]+)", page(), re.M)}
    return difference(program()[1], documented, "--help", "depollueur(8)")


@check("the synopsis of depollueur(8) has every command")
def _():
    synopsis = page().split(".Sh DESCRIPTION")[0]
    shown = {line for line in re.findall(r"^\.Cm (.*)$", synopsis, re.M)}
    return difference(program()[0], shown, "--help", "the synopsis")


@check("the files that README and CONTRIBUTING name exist")
def _():
    wrong = []
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text()
        linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        for path in linked + re.findall(r"`((?:tests|config|systemd|man|src|fuzz|\.ci)/[\w./-]*)`", text):
            if not (ROOT / path).exists():
                wrong.append(f"{name} names {path}, which is not there")
    return wrong


def main() -> int:
    failed = 0
    for sentence, function in CHECKS:
        try:
            wrong = function()
        except Exception as e:
            wrong = [f"{type(e).__name__}: {e}"]
        failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '}  {sentence}")
        for line in wrong:
            print(f"      {line}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
