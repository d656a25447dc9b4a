#!/usr/bin/env python3
"""Messages through `depollueur rewrite`, each judged.

    tests/e2e/corpus.py [--thresholds 0,1000] [--generate COUNT [--seed FIRST]] [DIRECTORY...]

Messages are those of directories, of the generator (devious.py), or both. At each threshold each of them goes
through the program. What comes out changed is judged by the oracle, the links opened at a real web listener, and
goes through again: the second pass must change nothing. All else must come out as it went in, byte for byte.

What a directory's MANIFEST.tsv says of a message must hold; so must what real_mail.tsv says of public mail that is
not in this repository. Tags are:

    expect:strip, expect:keep    something is detached at 1,000 bytes; nothing is, at any threshold
    stays:TYPE, goes:TYPE        each part of this type stays or goes at threshold 0 (there is one)
    why:TYPE:WORDS               and this is why it stays; _ stands for a blank
    reason:LABEL                 the message passes at each threshold, and up to 1,000 bytes this is why; the milter
                                 counts it so too

A generated message without deviance must be changed wherever an attachment reaches the threshold. Those that a
Postfix could hand on go through the milter (a process for each would take too long), all others and all files
through the command. What each reason was counted for at the milters must come to the number of their messages.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from devious import make_big  # noqa: E402
from lab import ORACLE, PUBLIC_URL, Daemon  # noqa: E402
from milter_client import Milter, body_of, check_order, split  # noqa: E402
from oracle import to_crlf  # noqa: E402

HERE = Path(__file__).resolve().parent
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"


@dataclass
class Case:
    """A message and what is known of it."""

    name: str
    data: bytes
    tags: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    is_generated: bool = False
    largest: int | None = None  # the decoded size of the largest attachment, if nothing is odd

    def fits_milter(self) -> bool:
        """Whether a Postfix would hand it to a milter as it is."""
        head, blank, _ = self.data.partition(b"\r\n\r\n")
        field = re.compile(rb"[!-9;-~]+:[^\0\r\n]*|[ \t]+[^\0\r\n \t][^\0\r\n]*")
        lines = head.split(b"\r\n")
        return bool(blank) and all(map(field.fullmatch, lines)) and lines[0][:1] > b" "

    def reason(self) -> str | None:
        """The reason that its tags name."""
        return next((tag.removeprefix("reason:") for tag in self.tags if tag.startswith("reason:")), None)


@dataclass
class Result:
    """What came out."""

    data: bytes
    reason: str | None = None
    parts: list[dict] | None = None


# ---- where messages come from


def manifest(path: Path) -> dict[str, list[str]]:
    """The tags of each file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: (row["tags"] or "").split() for row in rows}


def files(directory: Path) -> list[Case]:
    tags, real = manifest(directory / "MANIFEST.tsv"), manifest(HERE / "real_mail.tsv")
    names = sorted(str(p.relative_to(directory)) for p in directory.rglob("*")
                   if p.is_file() and p.suffix not in (".tsv", ".md"))
    return [Case(name, to_crlf((directory / name).read_bytes()), tags.get(name, []) + real.get(name, []))
            for name in names]


def generated(count: int, seed: int) -> list[Case]:
    cases = []
    for number in range(seed, seed + count):
        data, kinds, largest = make_big(number)
        cases.append(Case(f"seed-{number}", data, kinds=kinds, is_generated=True, largest=largest))
    return cases


# ---- through the program


class Pass:
    """The program at one threshold."""

    def __init__(self, work: Path, threshold: int):
        self.threshold, self.work = threshold, work / str(threshold)
        # What filters of other hosts marked is as good a message as any; and a Postfix that is installed and not set
        # up takes a second to say so, each time.
        settings = {"detach_threshold": threshold, "detach_directions": "both", "detach_marked_by": [],
                    "detach_forwarded": "treat"}
        self.daemon = Daemon(None, self.work / "daemon", settings)
        self.local = threading.local()
        self.through_milter = Counter()

    def rewrite(self, case: Case, data: bytes) -> Result:
        if case.is_generated and case.fits_milter():
            return self.milter(data)
        done = self.daemon.run("rewrite", "--deposit", "--explain", "--json", data=data)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode()}")
        said = json.loads(done.stderr.decode().splitlines()[-1])
        return Result(done.stdout, said["reason"], said["parts"])

    def milter(self, data: bytes) -> Result:
        if not hasattr(self.local, "milter"):
            self.local.milter = Milter(self.daemon.settings["milter_listen"])
            self.local.milter.open()
        replies = self.local.milter.message(data)
        check_order(replies)
        self.through_milter["messages"] += 1
        if replies[-1][0] not in "ac":
            raise RuntimeError(f"the milter's verdict is {replies[-1]}")
        return Result(edited(data, replies))

    def counted(self) -> Counter:
        """How many messages the daemon counted for each reason."""
        text = self.daemon.admin("/metrics")[1].decode()
        found = re.findall(r'^depollueur_messages_total\{[^}]*reason="([^"]+)"[^}]*\} (\d+)', text, re.M)
        counted = Counter()
        for reason, count in found:
            counted[reason] += int(count)
        return counted


def edited(data: bytes, replies) -> bytes:
    """The message with the replies of a milter acted upon, as Postfix does it."""
    if not any(letter in "bhmi" for letter, _ in replies):
        return data
    fields, body = split(data)
    for letter, edit in replies:
        if letter == "h":
            name, value = edit.split(b"\0")[:2]
            fields.append((name, value))
        elif letter == "m":
            (index,) = struct.unpack(">I", edit[:4])
            name, value = edit[4:].split(b"\0")[:2]
            places = [at for at, (other, _) in enumerate(fields) if other.lower() == name.lower()]
            at = places[index - 1]
            fields[at:at + 1] = [(fields[at][0], value)] if value else []
        elif letter == "i":
            raise RuntimeError("no field is inserted")
    if any(letter == "b" for letter, _ in replies):
        body = body_of(replies)
    head = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in fields)
    return head + b"\r\n" + body


# ---- the judges


def expectations(case: Case, threshold: int, result: Result) -> list[str]:
    """What the message's tags say and does not hold."""
    wrong, touched = [], result.data != case.data
    if case.largest is not None and abs(case.largest - threshold) > threshold / 20:
        if touched != (case.largest > threshold):
            wrong.append(f"largest attachment: {case.largest} bytes, touched: {touched}")
    for tag in case.tags:
        kind, _, value = tag.partition(":")
        if kind == "expect" and (value, touched) in {("strip", False), ("keep", True)}:
            if value == "keep" or threshold == 1000:
                wrong.append(f"{tag}, touched: {touched}, reason: {result.reason}")
        elif kind == "reason" and (touched or threshold <= 1000 and result.reason != value):
            wrong.append(f"{tag}, touched: {touched}, reason: {result.reason}")
        elif kind in ("stays", "goes", "why") and threshold == 0 and result.parts is not None:
            media_type, _, words = value.partition(":")
            parts = [part for part in result.parts if part["media_type"] == media_type]
            is_right = (lambda part: part["reason"] == words.replace("_", " ")) if kind == "why" else (
                lambda part: part["detached"] == (kind == "goes"))
            if not parts or not all(map(is_right, parts)):
                shown = [(part["media_type"], part["detached"], part["reason"]) for part in result.parts]
                wrong.append(f"{tag}: {shown} ({result.reason})")
    return wrong


def oracle(directory: Path, names: list[str], daemon: Daemon, threshold: int, *options) -> dict[str, list[str]]:
    """What the oracle says of messages in `before` and `after` of a directory."""
    if not names:
        return {}
    judged = subprocess.run(
        [sys.executable, ORACLE, "--batch", directory / "before", directory / "after", "--json", "--fetch",
         "--manifest", "--base", PUBLIC_URL, "--rewrite-base", f"{PUBLIC_URL}=http://127.0.0.1:{daemon.web_port}/",
         "--threshold", str(threshold), *options], capture_output=True, text=True)
    answers = [json.loads(line) for line in judged.stdout.splitlines() if line.startswith("{")]
    if len(answers) != len(names):
        raise RuntimeError(f"the oracle judged {len(answers)} of {len(names)} messages\n{judged.stderr}")
    return {answer["name"]: ["oracle: " + error for error in answer["errors"]] for answer in answers if answer["errors"]}


def names_in_drop(daemon: Daemon, data: bytes) -> list[str]:
    """The names of a changed message's files that could do harm; they stand in the manifest of its link."""
    link = re.search(re.escape(PUBLIC_URL.encode()) + rb"([A-Za-z0-9_-]{20,})", data)
    if not link:
        return []  # in a body that is encoded; the oracle finds it
    wrong = []
    for file in daemon.manifest(PUBLIC_URL + link[1].decode())["files"]:
        name = file["name"]
        odd = [c for c in name if ord(c) < 32 or 127 <= ord(c) < 160 or c in BIDI or c in "/\\"]
        if odd or not name or name in (".", "..") or len(name) > 255:
            wrong.append(f"a file is called {name!r}")
    return wrong


def known(case: Case, errors: list[str]) -> list[str]:
    """Without what the author of the message did."""
    if any(kind.startswith("quoted-") for kind in case.kinds):
        errors = [error for error in errors if "malformed quoted-printable" not in error]
    if case.kinds & {"signed", "encrypted", "report"}:  # in what stays whole, and is not looked into
        errors = [error for error in errors if "decode base64 differently" not in error]
    # Python takes a blank behind the encoding for a part of its name: such a part stays, and the others are clear to all.
    if re.search(rb"(?i)\ncontent-transfer-encoding:[^\r\n]*[^\s:][ \t]\r?\n", case.data):
        errors = [error for error in errors if not re.search("A and B decode [a-z0-9-]+ differently", error)]
    return errors


# ---- all of it


class Run:
    def __init__(self, work: Path, cases: list[Case], thresholds: list[int]):
        self.work, self.cases = work, cases
        self.thresholds = [Pass(work, threshold) for threshold in thresholds]
        self.failures: dict[str, list[str]] = {}

    def fail(self, threshold: int, name: str, reasons):
        if reasons:
            self.failures.setdefault(f"{name} at {threshold}", []).extend(reasons)

    def at(self, path: Pass) -> tuple[int, Counter]:
        """All messages at one threshold."""
        with path.daemon, ThreadPoolExecutor(4) as pool:
            changed = [case for case in pool.map(lambda case: self.one(path, case), self.cases) if case]
            # The oracle knows no messages with LF alone.
            judged = {case.name: case for case in changed if b"\r\n" in case.data[:200]}
            for case in judged.values():
                before = path.work / "before" / case.name
                before.parent.mkdir(parents=True, exist_ok=True)
                before.write_bytes(case.data)
            for name, errors in oracle(path.work, list(judged), path.daemon, path.threshold).items():
                self.fail(path.threshold, name, known(judged[name], errors))
            counted = path.counted()
            if path is self.thresholds[0]:
                self.count_reasons(path)
        if counted.total() != path.through_milter["messages"]:
            self.fail(path.threshold, "(metrics)", [f"{path.through_milter} were counted as {counted}"])
        return len(changed), counted

    def count_reasons(self, path: Pass):
        """What is to pass for a reason passes at the milter too, and adds one to the count of this reason."""
        path = copy.copy(path)
        path.through_milter, path.local = Counter(), threading.local()
        for case in self.cases:
            if not case.reason() or not case.fits_milter():
                continue
            before = path.counted()
            result = path.milter(case.data)
            added = dict(path.counted() - before)
            if result.data != case.data or added != {case.reason(): 1}:
                self.fail(path.threshold, case.name, [f"counted at the milter: {added}, not {case.reason()}"])

    def one(self, path: Pass, case: Case) -> Case | None:
        """One message, twice if it is changed; gives it back then."""
        try:
            result = path.rewrite(case, case.data)
            self.fail(path.threshold, case.name, expectations(case, path.threshold, result))
            if result.data == case.data:
                return None
            if path.rewrite(case, result.data).data != result.data:
                self.fail(path.threshold, case.name, ["the second pass changed it"])
            self.fail(path.threshold, case.name, names_in_drop(path.daemon, result.data))
            if b"\r\n" in case.data[:200]:
                after = path.work / "after" / case.name
                after.parent.mkdir(parents=True, exist_ok=True)
                after.write_bytes(result.data)
            return case
        except Exception as error:  # all that can go wrong is a failure of this message
            self.fail(path.threshold, case.name, [f"{type(error).__name__}: {error}"])
            return None

    def all(self) -> int:
        counted = Counter()
        with ThreadPoolExecutor(min(len(self.thresholds), os.cpu_count() or 1)) as pool:
            for path, (changed, reasons) in zip(self.thresholds, pool.map(self.at, self.thresholds)):
                print(f"at {path.threshold} bytes {changed} of {len(self.cases)} messages were rewritten, "
                      "all others came out as they went in")
                counted += reasons
        if counted:
            print("counted at the milters: " + ", ".join(f"{reason} {count}" for reason, count in counted.most_common()))
        by_name = {case.name: case for case in self.cases}
        for name, reasons in sorted(self.failures.items()):
            case = by_name.get(name.rsplit(" at ", 1)[0])
            odd = f" ({' '.join(sorted(case.kinds))})" if case and case.kinds else ""
            print(f"FAIL  {name}{odd}\n      " + "\n      ".join(reasons))
        done = len(self.cases) * len(self.thresholds)
        print(f"{max(done - len(self.failures), 0)} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directories", nargs="*", type=Path)
    parser.add_argument("--thresholds", default="0,1000,100000,1000000")
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cases = [case for directory in options.directories for case in files(directory)]
    cases += generated(options.generate, options.seed)
    if not cases:
        parser.error("no message to judge: name a directory that holds some, or --generate COUNT")
    # Where one of the public messages is, all must be: a name that is not there would check nothing.
    real, names = set(manifest(HERE / "real_mail.tsv")), {case.name for case in cases}
    if real & names and (missing := real - names):
        raise SystemExit(f"real_mail.tsv names what is not there: {', '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory(prefix="corpus-") as work:
        return Run(Path(work), cases, list(map(int, options.thresholds.split(",")))).all()


if __name__ == "__main__":
    sys.exit(main())
