#!/usr/bin/env python3
"""The commands that our documents print, taken out of them, and who types them on a booted host.

    tests/host/commands.py           checks that each is typed by a story, or that the table says why not
    tests/host/commands.py --list    shows them, and where they stand

Taken are the lines of `sh` blocks and commands between backticks in README and guides, the examples of the manual pages,
what comments of configurations, examples and units say, and what the program itself and the package's scripts print.
`typed.py` is the table.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROSE = ("README.md", "doc/guide.en.md", "doc/guide.fr.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "config").rglob("README*.md")))
COMMENTED = ("config", "systemd")
PROGRAMS = ("adduser", "apt", "apt-get", "a2ensite", "cargo", "chgrp", "chmod", "chown", "cp", "curl", "deluser", "install", "journalctl", "ln", "mkdir",
            "nginx", "postmap", "rm", "rsync", "rspamadm", "sqlite3", "systemctl", "timedatectl", "usermod")
OURS = sorted(set(re.findall(r"^\.Cm ([a-z]+)", (ROOT / "man" / "depollueur.8").read_text(), re.M)))
# Only with an argument behind; "postfix has closed the connection", "postconf {} failed", "mount the disk" are sentences.
BEGINS = (rf"(?:(?:{'|'.join(PROGRAMS)}) (?=[a-z\d_./{{'$-])|postconf (?=-)|postfix (?=check|reload|start|stop)|"
          rf"depollueur (?=(?:{'|'.join(OURS)})\b(?!:))(?!drop \d)|mount (?=[-/]))")
LINK = re.compile(r"https://drop\.example\.org/[a-z2-7]{26}")


def documented() -> dict[str, set[str]]:
    """Each command, as it is printed, and the files that print it."""
    found: dict[str, set[str]] = defaultdict(set)
    for where, command in [*of_prose(), *of_manuals(), *of_comments(), *of_program(), *of_scripts()]:
        found[command].add(where)
    return found


def of_prose():
    for name in PROSE:
        text = (ROOT / name).read_text()
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S):
            yield from ((name, command) for command in lines_of_shell(block))
        text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
        for code in re.findall(r"`([^`\n]+)`", text):
            if re.match(BEGINS, code):
                yield name, code


def lines_of_shell(block: str):
    for line in block.replace("\\\n", " ").splitlines():
        if command := re.sub(r"(^|\s+)#\s.*$", "", line).strip():
            yield " ".join(command.split())


def of_manuals():
    for page in sorted((ROOT / "man").glob("*.[58]")):
        for line in re.findall(r"^\.Dl (.*)$", page.read_text(), re.M):
            command = line.replace(r"\(dq", '"').replace(r"\e", "\\").replace(r"\(aq", "'")
            if re.match(BEGINS, command):
                yield str(page.relative_to(ROOT)), command


def of_comments():
    for directory in COMMENTED:
        for path in sorted((ROOT / directory).rglob("*")):
            if path.is_file() and path.suffix not in (".json", ".md", ".yml"):
                yield from ((str(path.relative_to(ROOT)), command) for command in of_text(path.read_text(errors="replace")))


def of_text(text: str):
    """Commands in comments: between quotes or backticks, in parentheses, or after a colon up to the end of the sentence."""
    for line in re.findall(r"^\s*(?:#|//)\s?(.*)$", text, re.M):
        for quoted in re.findall(rf"[`\"]({BEGINS}[^`\"]+)[`\"]", line):
            yield quoted
        for said in re.findall(rf"(?::|\(|^) ?({BEGINS}[^,;()]*?)(?:[,;)]|\.? *$)", re.sub(r"`[^`]*`", "", line)):
            yield re.split(r"\. (?=[A-Z])", said)[0].strip()


def of_program():
    """What doctor, setup and messages tell to type: text of the program that begins with a command, outside of its tests."""
    for path in sorted((ROOT / "src").rglob("*.rs")):
        text = path.read_text().split("#[cfg(test)]")[0]
        if path.name == "tests.rs":
            continue
        text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
        text = re.sub(r"\\\n\s*", "", text)
        for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', text):
            literal = literal.replace('\\"', '"').replace("\\n", "\n").replace("{{", "{").replace("}}", "}")
            for line in literal.splitlines():
                if told := re.search(rf"(?:^\s*|type: |see |then: |do: |: )({BEGINS}[^;\n]*)", line):
                    # After the command the sentence goes on.
                    command = re.split(r", (?=then |or |and |as |\[)| says why", told.group(1))[0]
                    yield str(path.relative_to(ROOT)), re.sub(r"\s+#\s.*$", "", command).strip().rstrip(".")


def of_scripts():
    for path in sorted((ROOT / "packaging" / "debian").iterdir()):
        for line in re.findall(r'echo "(.*)"', path.read_text()):
            for told in re.findall(rf"(?:: |, )({BEGINS}[^\",]*)", line):
                yield str(path.relative_to(ROOT)), told.strip().rstrip(".")


# ---- what is typed instead of a placeholder

def filled(command: str, **values: str) -> str:
    """The command with what it names replaced by what is there: links, addresses, places of the examples."""
    link, digest = values.pop("link", ""), values.pop("digest", "")
    if LINK.search(command):
        assert link, f'a link must be given for "{command}"'
        command = LINK.sub(link, command)
    if found := re.search(r"\b[0-9a-f]{64}\b", command):
        command = command.replace(found.group(), digest)
    # With a blank behind it, for a name that ends the command.
    command += " "
    for shown, real in {**REAL, **values}.items():
        command = command.replace(f"{{{shown}}}", real).replace(shown, real)
    return command.removesuffix(" ")


REAL = {
    "./target/package/out/depollueur_": "./depollueur_",
    "--login alice ": "--login alice@asso.example ",
    "alice@example.org": "alice@asso.example",
    "/home/alice/Maildir": "/var/vmail/asso.example/bob/Maildir",
    "drop.example.org": "drop.asso.example",
}


def wrong() -> list[str]:
    """What the table and the documents do not agree on."""
    from typed import BY_STORY, NOT_TYPED
    from story import all_stories
    told = {f"{one.topic}.{one.tell.__name__}" for one in all_stories()}
    printed = documented()
    found = [f'"{command}" is printed by {", ".join(sorted(files))}, and no story types it (tests/host/typed.py)'
             for command, files in sorted(printed.items()) if command not in BY_STORY and command not in NOT_TYPED]
    found += [f'"{command}" is in the table, and no document prints it' for command in sorted({**BY_STORY, **NOT_TYPED}) if command not in printed]
    found += [f'"{command}" is in the table twice' for command in sorted(BY_STORY.keys() & NOT_TYPED.keys())]
    found += [f'"{command}" is typed by "{name}", which is no story' for command, name in sorted(BY_STORY.items()) if name not in told]
    return found


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    if "--list" in sys.argv:
        for command, files in sorted(documented().items()):
            print(f"{command}\n    {', '.join(sorted(files))}")
        return 0
    complaints = wrong()
    for line in complaints:
        print(f"FAIL  {line}")
    print(f"{len(documented())} commands")
    print(f"{0 if complaints else 1} passed, {len(complaints)} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
