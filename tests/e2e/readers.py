#!/usr/bin/env python3
"""What the program changes, all readers of mail must see as it does.

    tests/e2e/readers.py [COUNT [FIRST_SEED]]

Messages made up by devious.py, and those of the corpus, go through `depollueur rewrite`. Whatever comes out
changed is read by Python's email, MIME-tools and GMime, before and after. They must agree on the leaves before
(type, depth, decoded bytes); and each must see the same leaves after, without those that are in the drop
and with the notice. The oracle judges the changed ones too. A message that comes out as it went in is right:
to leave alone what is doubtful is the program's promise. How many were changed is printed.
"""

from __future__ import annotations

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

from devious import make  # noqa: E402
from lab import ORACLE, PUBLIC_URL, ROOT, Daemon  # noqa: E402
from oracle import to_crlf  # noqa: E402

THRESHOLD = 1000
HERE = Path(__file__).resolve().parent

# depth, type, SHA-256 of the bytes, SHA-256 with LF line ends, whether the link is in it
Leaf = tuple[int, str, str, str, int]


class Python:
    """Python's email package."""

    name = "email"

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
    """A reader in a process of its own: file names in, one line of JSON out for each."""

    def __init__(self, name: str, *command):
        self.name = name
        self.process = subprocess.Popen([*map(str, command), PUBLIC_URL], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read(self, path: Path) -> list[Leaf]:
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return [tuple(leaf) for leaf in json.loads(self.process.stdout.readline())]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def shape(leaves: list[Leaf]) -> list[tuple]:
    """What readers must agree on: the leaves there are. How they decode what stays is not our doing."""
    return [leaf[:2] for leaf in leaves]


def is_file(leaf: Leaf, file: dict, line_feeds: dict[str, str]) -> bool:
    """Whether a leaf is a file of the drop. Some readers turn all line ends of text into LF, and an embedded
    message is not one leaf to all of them."""
    if leaf[1].startswith("message/"):
        return file["type"] == leaf[1]
    return file["sha256"] == leaf[2] or line_feeds.get(file["sha256"]) == leaf[3]


def fits(before: list[Leaf], files: list[dict], after: list[Leaf], line_feeds: dict[str, str],
         lenient: bool) -> bool:
    """Whether `after` is `before` without the files, with the notice put into texts or in parts of its own.
    Lenient where the message has no end: the last line end of its last part is the part's to some readers only."""

    def gone(states):
        """The states, and those behind leaves that went; files are in the order of the message."""
        todo, found = list(states), set(states)
        while todo:
            at, taken = todo.pop()
            if at < len(before) and taken < len(files) and is_file(before[at], files[taken], line_feeds):
                todo.append((at + 1, taken + 1))
                found.add(todo[-1])
        return found

    states = gone({(0, 0)})
    for leaf in after:
        depth, kind, exact, text, link = leaf
        following = set()
        for at, taken in states:
            if at < len(before):
                opaque = lenient or kind.startswith("message/")
                same = before[at] == leaf or opaque and before[at][:2] == leaf[:2]
                notice = link and kind in ("text/plain", "text/html") and before[at][:2] == (depth, kind)
                if same or notice:
                    following.add((at + 1, taken))
            if link and kind == "text/plain":
                following.add((at, taken))
        states = gone(following)
    return (len(before), len(files)) in states


def agree(readers, before: Path, after: Path, files: list[dict], lenient: bool) -> list[str]:
    """What the readers disagree about."""
    seen = {reader.name: reader.read(before) for reader in readers}
    wrong, first = [], readers[0].name
    line_feeds = {leaf[2]: leaf[3] for leaf in seen[first]}
    for name, leaves in seen.items():
        if shape(leaves) != shape(seen[first]):
            wrong.append(f"before: {first} and {name} differ: {brief(seen[first])} / {brief(leaves)}")
    shown = " ".join(f"{file['type']}:{file['sha256'][:6]}" for file in files)
    for reader in readers:
        leaves = reader.read(after)
        if not fits(seen[reader.name], files, leaves, line_feeds, lenient):
            wrong.append(f"{reader.name}: before {brief(seen[reader.name])} after {brief(leaves)} files [{shown}]")
    return wrong


def brief(leaves) -> str:
    return "[" + " ".join(f"{leaf[0]}:{leaf[1]}:{leaf[2][:6]}" for leaf in leaves) + "]"


def sources(work: Path, count: int, seed: int) -> dict[str, set[str]]:
    """Writes the messages to `before`; gives their names and deviances."""
    found = {}
    (work / "before").mkdir()
    for number in range(seed, seed + count):
        data, kinds = make(number)
        found[f"seed-{number}"] = kinds
        (work / "before" / f"seed-{number}").write_bytes(data)
    corpora = [ROOT / "tests" / "messages", ROOT.parent / "shared" / "corpus", Path(os.environ.get("CORPUS", "/nonexistent"))]
    for corpus in corpora:
        for path in sorted(corpus.rglob("*")):
            if path.is_file() and path.suffix not in (".tsv", ".md"):
                name = str(path.relative_to(corpus)).replace("/", "%")
                found[name] = set()
                (work / "before" / name).write_bytes(to_crlf(path.read_bytes()))
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


def oracle(work: Path, names: list[str], daemon: Daemon) -> dict[str, list[str]]:
    """What the oracle says of the changed messages; it knows no messages with LF."""
    for name in names:
        for kind in ("before", "after"):
            (work / "judge" / kind).mkdir(parents=True, exist_ok=True)
            (work / "judge" / kind / name).write_bytes((work / kind / name).read_bytes())
    judged = subprocess.run(
        [sys.executable, ORACLE, "--batch", work / "judge/before", work / "judge/after", "--json", "--fetch", "--manifest",
         "--base", PUBLIC_URL, "--rewrite-base", f"{PUBLIC_URL}=http://127.0.0.1:{daemon.web_port}/",
         "--strict-ambiguous", "--threshold", str(THRESHOLD)], capture_output=True, text=True)
    answers = [json.loads(line) for line in judged.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == len(names), judged.stderr
    return {answer["name"]: ["oracle: " + error for error in answer["errors"]] for answer in answers if answer["errors"]}


def main() -> int:
    count, seed = (list(map(int, sys.argv[1:])) + [4000, 0][len(sys.argv) - 1:])[:2]
    readers = [Python(), Other("MIME-tools", "perl", HERE / "readers.pl"),
               Other("GMime", "/usr/bin/python3", HERE / "readers_gmime.py")]
    failures: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="readers-") as work:
        work = Path(work)
        kinds = sources(work, count, seed)
        (work / "after").mkdir()
        daemon = Daemon(None, work / "daemon", {"detach_threshold": THRESHOLD, "detach_directions": "both"})

        def rewrite(name: str) -> str | None:
            """The name if the message was changed."""
            data = (work / "before" / name).read_bytes()
            done = daemon.run("rewrite", data=data)
            if done.returncode:
                failures[name] = [f"exit code {done.returncode}: {done.stderr.decode()}"]
            elif done.stdout != data:
                (work / "after" / name).write_bytes(done.stdout)
                return name
            return None

        with daemon, ThreadPoolExecutor(4) as pool:
            changed = [name for name in pool.map(rewrite, kinds) if name]
            for name in changed:
                after = work / "after" / name
                link = link_in(after.read_bytes())
                if link is None:
                    failures[name] = ["Python's email does not see the link"]
                    continue
                lenient = bool(kinds[name] & {"no-close", "no-outer-close", "close-without-eol"})
                wrong = agree(readers, work / "before" / name, after, daemon.manifest(link)["files"], lenient)
                if wrong:
                    failures[name] = wrong
            crlf = [name for name in changed if b"\r\n" in (work / "before" / name).read_bytes()[:200]]
            for name, errors in oracle(work, crlf, daemon).items():
                if any(kind.startswith("quoted-") for kind in kinds[name]):  # in what the author wrote
                    errors = [error for error in errors if "malformed quoted-printable" not in error]
                if errors:
                    failures.setdefault(name, []).extend(errors)
        for reader in readers:
            reader.close()
        if keep := os.environ.get("KEEP"):
            for name in failures:
                for kind in ("before", "after"):
                    if (work / kind / name).exists():
                        (Path(keep) / f"{name}.{kind}").write_bytes((work / kind / name).read_bytes())
    for name, reasons in sorted(failures.items()):
        print(f"FAIL  {name} ({' '.join(sorted(kinds[name])) or 'nothing odd'})\n      " + "\n      ".join(reasons))
    print(f"{len(changed)} of {len(kinds)} messages were changed, {len(crlf)} of them judged by the oracle too")
    print(f"{len(kinds) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
