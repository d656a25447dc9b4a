#!/usr/bin/env python3
"""The files that stand beside a winmail.dat are those that Debian's tnef finds in it.

    tests/winmail.py [DIRECTORY...]

Messages are those of tests/messages, or of the directories, that have an application/ms-tnef. Each goes through
`depollueur rewrite --deposit`; where its winmail.dat goes, the files under the link must be those that tnef(1) writes,
byte for byte, under the same names but for what is not ASCII. Says so and passes where tnef is not installed.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("DEPOLLUEUR", ROOT / "target" / "release" / "depollueur")
BASE = "https://drop.example.org/"


def contents(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def ascii_names(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file() and path.name.isascii()}


def run(*arguments, data: bytes = b"") -> bytes:
    return subprocess.run([str(argument) for argument in arguments], input=data, check=True, capture_output=True).stdout


def compare(path: Path, data: bytes, work: Path) -> bool | None:
    """Whether both find the same files; None where the message keeps its winmail.dat."""
    settings = ("--config", work / "depollueur.toml")
    after = run(PROGRAM, "rewrite", "--deposit", *settings, data=data)
    link = re.search(re.escape(BASE).encode() + rb"[a-z2-7]+", after)
    if after == data or link is None or b"ms-tnef" in after:
        return None

    ours, parts, theirs = work / path.name / "ours", work / path.name / "parts", work / path.name / "theirs"
    theirs.mkdir(parents=True)
    run(PROGRAM, "drop", "get", link[0].decode(), "--into", ours, "--opened", *settings)
    run(PROGRAM, "drop", "get", link[0].decode(), "--into", parts, *settings)
    for part in email.message_from_bytes(data).walk():
        if part.get_content_type() == "application/ms-tnef":
            run("tnef", "--directory", theirs, "--number-backups", data=part.get_payload(decode=True))
    return (contents(ours) == sorted(contents(parts) + contents(theirs))
            and ascii_names(theirs) <= ascii_names(ours))


def main() -> int:
    if shutil.which("tnef") is None:
        print("none compared: tnef is not installed")
        return 0
    directories = [Path(name) for name in sys.argv[1:]] or [ROOT / "tests" / "messages"]
    paths = sorted(path for directory in directories for path in directory.rglob("*") if path.is_file())
    compared, wrong = 0, []
    with tempfile.TemporaryDirectory(prefix="winmail") as name:
        work = Path(name)
        (work / "depollueur.toml").write_text(
            f'[detach]\nthreshold = 0\ndirections = "both"\n[drop]\ndirectory = "{work}/drop"\n'
            f'[web]\npublic_url = "{BASE}"\n[quota]\nfree_space_min = 0\n', encoding="utf-8")
        for path in paths:
            data = path.read_bytes()
            if b"application/ms-tnef" not in data:
                continue
            same = compare(path, data, work)
            compared += same is not None
            wrong += [path.name] if same is False else []
    for name in wrong:
        print(f"other files than tnef finds: {name}")
    print(f"{compared} messages compared with tnef, {len(wrong)} differ")
    return 1 if wrong or not compared and not sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
