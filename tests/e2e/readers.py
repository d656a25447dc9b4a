#!/usr/bin/env python3
"""What the program changes, all readers of mail must see as it does.

    tests/e2e/readers.py [COUNT [FIRST_SEED]] [--threshold BYTES] [--big] [--no-corpus]

Messages made up by devious.py, and those of the corpus, go through the program (corpus.py says how). Whatever comes out
changed is read by Python's email, MIME-tools, GMime and mail-parser (Stalwart's), before and after. They must agree on the leaves before
(type, depth, decoded bytes); and each must see the same leaves after, without those that are in the drop
and with the notice. The oracle judges the changed ones too. A message that comes out as it went in is right:
to leave alone what is doubtful is the program's promise. How many were changed is printed.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from corpus import Case, Pass, files, generated, known, oracle  # noqa: E402
from devious import make  # noqa: E402
from lab import PUBLIC_URL, ROOT  # noqa: E402

HERE = Path(__file__).resolve().parent

# depth, type, SHA-256 of the bytes, SHA-256 with LF line ends, whether the link is in it
Leaf = tuple[int, str, str, str, int]


class Python:
    """Python's email package."""

    name, is_exact = "email", True

    def read(self, path: Path) -> list[Leaf]:
        leaves: list[Leaf] = []
        self._walk(email.message_from_bytes(path.read_bytes()), 0, leaves)
        return leaves

    def _walk(self, part, depth, leaves):
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            for child in part.get_payload():
                self._walk(child, depth + 1, leaves)
            return
        data = b"" if part.is_multipart() else part.get_payload(decode=True)
        text = data.replace(b"\r\n", b"\n")
        leaves.append((depth, part.get_content_type(), hashlib.sha256(data).hexdigest(),
                       hashlib.sha256(text).hexdigest(), int(PUBLIC_URL.encode() in data)))

    def close(self):
        pass


class Other:
    """A reader in a process of its own: file names in, one line of JSON out for each. One that is not exact decodes some parts
    as no other reader does, and panics at some mail: it says which parts there are, where it sees those that all see."""

    def __init__(self, name: str, *command, is_exact: bool = True):
        self.name, self.is_exact, self.alike = name, is_exact, 0
        self.process = subprocess.Popen([*map(str, command), PUBLIC_URL], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read(self, path: Path) -> list[Leaf] | None:
        """`None` if it panics."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        leaves = json.loads(self.process.stdout.readline())
        return None if leaves is None else [tuple(leaf) for leaf in leaves]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def shape(leaves: list[Leaf]) -> list[tuple]:
    """What readers must agree on: the leaves there are. How they decode what stays is not our doing."""
    return [leaf[:2] for leaf in leaves]


def is_file(leaf: Leaf, file: dict, line_feeds: dict[str, str] | None) -> bool:
    """Whether a leaf is a file of the drop. Some readers turn all line ends of text into LF, and an embedded
    message is not one leaf to all of them. Without `line_feeds` the type is all that is looked at."""
    if leaf[1].startswith("message/") or line_feeds is None:
        return file["type"] == leaf[1]
    return file["sha256"] == leaf[2] or line_feeds.get(file["sha256"]) == leaf[3]


def fits(before: list[Leaf], files: list[dict], after: list[Leaf], line_feeds: dict[str, str] | None) -> bool:
    """Whether `after` is `before` without the files, with the notice put into texts or in parts of its own."""

    def goes(at, taken):
        return at < len(before) and taken < len(files) and is_file(before[at], files[taken], line_feeds)

    def gone(states):
        """The states, and those behind leaves that went; files are in the order of the message."""
        todo, found = list(states), set(states)
        while todo:
            at, taken = todo.pop()
            if goes(at, taken):
                todo.append((at + 1, taken + 1))
                found.add(todo[-1])
        return found

    states = gone({(0, 0)})
    for leaf in after:
        depth, kind, exact, text, link = leaf
        following = set()
        for at, taken in states:
            if at < len(before):
                opaque = kind.startswith("message/")
                same = before[at] == leaf or opaque and before[at][:2] == leaf[:2]
                words = kind in ("text/plain", "text/html") and before[at][:2] == (depth, kind)
                # What stood behind a text is named at its end; the oracle looks at what is said.
                if same or words and (link or goes(at + 1, taken)):
                    following.add((at + 1, taken))
            if link and kind == "text/plain":
                following.add((at, taken))
        states = gone(following)
    return (len(before), len(files)) in states


def agree(readers, before: Path, after: Path, files: list[dict]) -> list[str]:
    """What the readers disagree about."""
    wrong, first = [], readers[0].read(before)
    line_feeds = {leaf[2]: leaf[3] for leaf in first}
    shown = " ".join(f"{file['type']}:{file['sha256'][:6]}" for file in files)
    for reader in readers:
        seen = reader.read(before)
        if seen is None or shape(seen) != shape(first):
            if reader.is_exact:
                wrong.append(f"before: {readers[0].name} and {reader.name} differ: {brief(first)} / {brief(seen or [])}")
            continue
        if not reader.is_exact:
            reader.alike += 1
        leaves = reader.read(after)
        if leaves is None:
            wrong.append(f"{reader.name}: panics at it afterwards")
        elif not fits(seen, files, leaves, line_feeds if reader.is_exact else None):
            wrong.append(f"{reader.name}: before {brief(seen)} after {brief(leaves)} files [{shown}]")
    return wrong


def brief(leaves) -> str:
    return "[" + " ".join(f"{leaf[0]}:{leaf[1]}:{leaf[2][:6]}" for leaf in leaves) + "]"


def sources(options) -> list[Case]:
    """The messages, made up and of the corpus; their names are those of files."""
    seeds = range(options.seed, options.seed + options.count)
    if options.big:
        found = generated(options.count, options.seed)
    else:
        made = ((seed, *make(seed)) for seed in seeds)
        found = [Case(f"seed-{seed}", data, kinds=kinds, is_generated=True) for seed, data, kinds in made]
    corpora = [ROOT / "tests" / "messages", ROOT.parent / "shared" / "corpus", Path(os.environ.get("CORPUS", "/nonexistent"))]
    for corpus in corpora if options.corpus else []:
        for case in files(corpus):
            found.append(Case(case.name.replace("/", "%"), case.data))
    return found


def link_in(text: bytes) -> str | None:
    """The link in a rewritten message, wherever it is and however encoded."""
    for part in email.message_from_bytes(text).walk():
        data = b"" if part.is_multipart() else part.get_payload(decode=True)
        start = data.find(PUBLIC_URL.encode())
        if start >= 0:
            token = bytes(b for b in data[start + len(PUBLIC_URL):][:64].split(b"\n")[0])
            end = next((i for i, b in enumerate(token) if not (chr(b).isalnum() or b in b"-_")), len(token))
            return PUBLIC_URL + token[:end].decode()
    return None


def mail_parser() -> Path:
    """The program around Stalwart's reader, built."""
    name = "reader-mail-parser"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--example", name], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "examples" / name


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=4000)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--threshold", type=int, default=1000)
    parser.add_argument("--big", action="store_true", help="with attachments of up to 1.2 MB")
    parser.add_argument("--no-corpus", dest="corpus", action="store_false")
    options = parser.parse_args()
    readers = [Python(), Other("MIME-tools", "perl", HERE / "readers.pl"),
               Other("GMime", "/usr/bin/python3", HERE / "readers_gmime.py"),
               Other("mail-parser", mail_parser(), is_exact=False)]
    cases = {case.name: case for case in sources(options)}
    with tempfile.TemporaryDirectory(prefix="readers-") as work:
        run = Run(Path(work), options.threshold, readers)
        changed, judged = run.all(cases)
        for reader in readers:
            reader.close()
    for name, reasons in sorted(run.failures.items()):
        print(f"FAIL  {name} ({' '.join(sorted(cases[name].kinds)) or 'nothing odd'})\n      " + "\n      ".join(reasons))
    print(f"{changed} of {len(cases)} messages were changed, {judged} of them judged by the oracle too; "
          f"mail-parser reads {readers[-1].alike} of them as the others do")
    if is_blind := readers[-1].alike < changed * 0.9:
        print("FAIL  mail-parser has nothing to say of too many messages")
    print(f"{len(cases) - len(run.failures)} passed, {len(run.failures) + is_blind} failed")
    return 1 if run.failures or is_blind else 0


class Run:
    """The program at one threshold, and the readers."""

    def __init__(self, work: Path, threshold: int, readers):
        self.path, self.readers = Pass(work, threshold), readers
        self.before, self.after = self.path.work / "before", self.path.work / "after"
        self.failures: dict[str, list[str]] = {}

    def all(self, cases: dict[str, Case]) -> tuple[int, int]:
        """How many messages were changed, and how many of them the oracle judged."""
        changed, judged = 0, {}
        with self.path.daemon, ThreadPoolExecutor(4) as pool:
            self.before.mkdir(parents=True)
            self.after.mkdir()
            for case in filter(None, pool.map(self.rewrite, cases.values())):
                changed += 1
                self.read(case.name)
                if b"\r\n" in case.data[:200]:  # the oracle knows no messages with LF
                    judged[case.name] = case
                else:
                    (self.before / case.name).unlink()
                    (self.after / case.name).unlink()
            options = ("--strict-ambiguous",)
            for name, errors in oracle(self.path.work, list(judged), self.path.daemon, self.path.threshold, *options).items():
                if errors := known(judged[name], errors):
                    self.failures.setdefault(name, []).extend(errors)
        return changed, len(judged)

    def rewrite(self, case: Case) -> Case | None:
        """The message if it was changed."""
        try:
            after = self.path.rewrite(case, case.data).data
        except Exception as error:  # all that can go wrong is a failure of this message
            self.failures[case.name] = [f"{type(error).__name__}: {error}"]
            return None
        if after == case.data:
            return None
        (self.before / case.name).write_bytes(case.data)
        (self.after / case.name).write_bytes(after)
        return case

    def read(self, name: str):
        link = link_in((self.after / name).read_bytes())
        if link is None:
            self.failures[name] = ["Python's email does not see the link"]
        elif wrong := agree(self.readers, self.before / name, self.after / name, self.path.daemon.manifest(link)["files"]):
            self.failures[name] = wrong
        if name in self.failures:
            self.keep(name)

    def keep(self, name: str):
        """Leaves what is to be looked at in `$KEEP`."""
        for kind in (self.before, self.after) if "KEEP" in os.environ else ():
            (Path(os.environ["KEEP"]) / f"{name}.{kind.name}").write_bytes((kind / name).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
