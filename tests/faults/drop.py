#!/usr/bin/env python3
"""The drop when it is killed, and when the system refuses: a process is killed at every system call that
changes something, and each such call fails in turn; disks are full, read-only, out of inodes; descriptors run out.

What must hold after each: a link that was given out leads to its file, whole; a message that is not changed
comes out as it went in; one sweep later there is no file without a record and no draft; the drop works again.

    tests/faults/drop.py [WORD]      only the tests whose sentence contains the word

Needs strace; as root, the tests with file systems of their own run too.
"""

from __future__ import annotations

import hashlib
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import stored  # noqa: E402
from lab import binary  # noqa: E402
from machine import fill, mounted  # noqa: E402

TESTS = []
URL = "https://drop.lab.test/"
CHANGING = ["write", "pwrite64", "fsync", "fdatasync", "syncfs", "renameat2", "linkat", "link", "rename", "mkdir", "unlink",
            "ftruncate", "exit_group"]


def test(sentence: str):
    def register(function):
        TESTS.append((sentence, function))
        return function
    return register


class Drop:
    """A drop below a directory, and the program that works on it."""

    def __init__(self, home: Path, seed: int = 1):
        self.directory = home / "drop"
        noise = random.Random(seed).randbytes
        self.files = {"a.bin": noise(70_000), "b.bin": noise(5_000)}
        self.message = self.mail()

    def mail(self) -> bytes:
        import base64
        lines = [b"From: a@example.org", b"To: b@example.com", b"Subject: x", b"MIME-Version: 1.0",
                 b'Content-Type: multipart/mixed; boundary="b"', b"", b"--b", b"Content-Type: text/plain", b"", b"Hello"]
        for name, content in self.files.items():
            lines += [b"--b", b"Content-Type: application/octet-stream",
                      b'Content-Disposition: attachment; filename="%s"' % name.encode(),
                      b"Content-Transfer-Encoding: base64", b"", base64.encodebytes(content).strip()]
        return b"\n".join([*lines, b"--b--", b""]).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def command(self, *words: str) -> list[str]:
        settings = [f"drop.directory={self.directory}", "detach.threshold=1 kB", f"web.public_url={URL}",
                    "quota.free_space_min=0", "quota.free_inodes_min=0", "notice.language=en"]
        return [binary(), *words, *(w for s in settings for w in ("--set", s))]

    def rewrite(self, *before: str, **options) -> tuple[int, bytes]:
        """Runs a message through a fresh process: its exit code, and what it wrote."""
        done = subprocess.run([*before, *self.command("rewrite", "--deposit")], input=self.message, capture_output=True,
                              timeout=120, **options)
        return done.returncode, done.stdout

    def run(self, *words: str, **options) -> str:
        done = subprocess.run(self.command("drop", *words), capture_output=True, text=True, timeout=120, **options)
        assert done.returncode == 0, f"drop {words[0]}: {done.stderr}"
        return done.stdout

    def links(self, output: bytes) -> list[str]:
        return [m.decode() for m in set(re.findall(re.escape(URL).encode() + rb"[a-z2-7]{26}", output))]

    def fetch(self, link: str) -> None:
        """A link must lead to all of its files, whole."""
        with tempfile.TemporaryDirectory() as into:
            self.run("get", link, "--into", into)
            found = {p.name: p.read_bytes() for p in Path(into).iterdir()}
        assert found == self.files, f"{link} leads to {[(n, len(c)) for n, c in found.items()]}"

    def judge(self, code: int, output: bytes) -> bool:
        """What came out of a run that may have been killed. True when the message was changed whole."""
        links = self.links(output)
        for link in links:
            self.fetch(link)
        if code == 0:
            assert links or output == self.message, "the message is neither changed nor as it was"
        return bool(links)

    def settle(self) -> None:
        """Ages what was left over, sweeps once, and looks at what is stored."""
        stored.age(self.directory)
        self.run("sweep")
        wrong = stored.disagreements(self.directory)
        assert not wrong, wrong

    def works(self) -> None:
        code, output = self.rewrite()
        assert code == 0 and self.judge(code, output), "nothing is deposited any more"


def strace(*expression: str) -> list[str]:
    # The exit code is the program's; a killed one kills strace by the same signal.
    return ["strace", "-f", "-qq", "-o", "/dev/null", *(w for e in expression for w in ("-e", e))]


def each_call(drop: Drop, call: str, what: str, seen) -> int:
    """Injects `what` into the first, second, … such call, until a run has fewer. Returns how many."""
    for number in range(1, 400):
        with tempfile.NamedTemporaryFile() as log:
            inject = ["strace", "-f", "-qq", "-o", log.name, "-e", f"trace={call}",
                      "-e", f"inject={call}:{what}:when={number}"]
            code, output = drop.rewrite(*inject)
            trace = Path(log.name).read_text(errors="replace")
        hit = "INJECTED" in trace or "killed by SIGKILL" in trace
        if not hit:
            return number - 1
        seen(code, output)
    raise AssertionError(f"{call} is called without end")


@contextmanager
def fresh(prefix: Path | None = None):
    with tempfile.TemporaryDirectory(dir=prefix) as home:
        yield Drop(Path(home))


@test("killed at any call that changes something, a link leads to its file and one sweep cleans up")
def _():
    points = changed = 0
    with fresh() as drop:
        drop.works()
        for call in CHANGING:
            def seen(code: int, output: bytes) -> None:
                nonlocal changed
                changed += drop.judge(code, output)
                drop.settle()
            points += each_call(drop, call, "signal=SIGKILL", seen)
        drop.works()
        drop.settle()
    assert points > 30, points
    return f"{points} places, the link was out at {changed} of them"


@test("killed at any call while the drop is made, it is made the next time")
def _():
    points = 0
    for call in CHANGING:
        for number in range(1, 400):
            with fresh() as drop, tempfile.NamedTemporaryFile() as log:
                code, output = drop.rewrite("strace", "-f", "-qq", "-o", log.name, "-e", f"trace={call}",
                                            "-e", f"inject={call}:signal=SIGKILL:when={number}")
                if "killed by SIGKILL" not in Path(log.name).read_text(errors="replace"):
                    break
                points += 1
                drop.judge(code, output)
                drop.works()
                drop.settle()
    assert points > 30, points
    return f"{points} places"


@test("killed at any moment, a link leads to its file and one sweep cleans up")
def _():
    rounds, changed, dice = 60, 0, random.Random(7)
    with fresh() as drop:
        begun = time.monotonic()
        drop.works()
        whole = time.monotonic() - begun
        for _ in range(rounds):
            with subprocess.Popen(drop.command("rewrite", "--deposit"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as process:
                process.stdin.write(drop.message)
                process.stdin.close()
                time.sleep(dice.random() * whole)
                process.send_signal(signal.SIGKILL)
                output = process.stdout.read()
                code = process.wait()
            changed += drop.judge(code, output)
        drop.settle()
        drop.works()
    return f"{rounds} kills, the link was out at {changed} of them"


@test("whatever call fails, a message is changed with a working link, or not at all")
def _():
    points = 0
    faults = [("fsync", "EIO"), ("fdatasync", "EIO"), ("syncfs", "EIO"), ("pwrite64", "ENOSPC"), ("renameat2", "ENOSPC"),
              ("mkdir", "ENOSPC"), ("openat", "EMFILE"), ("unlink", "EIO"), ("ftruncate", "ENOSPC")]
    with fresh() as drop:
        drop.works()
        for call, error in faults:
            def seen(code: int, output: bytes) -> None:
                drop.judge(code, output)
            points += each_call(drop, call, f"error={error}", seen)
            drop.settle()
        drop.works()
    assert points > 30, points
    return f"{points} places"


@test("out of descriptors, a message is changed with a working link, or not at all")
def _():
    changed = refused = 0
    with fresh() as drop:
        drop.works()
        for limit in range(3, 41):
            def few() -> None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            code, output = drop.rewrite(preexec_fn=few)
            if code < 0 or code == 127:
                continue  # the loader of the program itself had none
            changed += drop.judge(code, output)
            refused += not drop.links(output)
        drop.settle()
        drop.works()
    assert changed and refused, (changed, refused)
    return f"{refused} limits too low, {changed} high enough"


@test("a message with a blocked file goes out as it came, and the packages that hold it are gone")
def _():
    with fresh() as drop:
        link = given(drop)
        drop.run("block", hashlib.sha256(drop.files["b.bin"]).hexdigest())
        code, output = drop.rewrite()
        assert code == 0 and output == drop.message
        got = subprocess.run(drop.command("drop", "get", link, "--into", str(drop.directory.parent / "into")),
                             capture_output=True)
        assert got.returncode == 1, got
        drop.settle()
    return ""


# ---- file systems of their own


def refused(drop: Drop, link: str) -> None:
    """A disk that takes nothing: the message goes out as it came, and what is stored is served."""
    code, output = drop.rewrite()
    assert code == 0 and output == drop.message, (code, len(output))
    drop.fetch(link)


def given(drop: Drop) -> str:
    code, output = drop.rewrite()
    assert code == 0, f"rewrite exits with {code}"
    (link,) = drop.links(output)
    return link


@test("on a full disk mail goes out as it came, and what is stored is served")
def _():
    with mounted("size=4m") as place:
        if place is None:
            return None
        drop = Drop(place)
        link = given(drop)
        filler = fill(place)
        refused(drop, link)
        filler.unlink()
        drop.works()
        drop.settle()
    return "4 MB"


@test("what expired is destroyed though the disk is full")
def _():
    said = None
    for words in ([], ["--trust-clock"]):
        said = swept_when_full(words)
    return said


def swept_when_full(words: list[str]):
    with mounted("size=16m") as place:
        if place is None:
            return None
        drop = Drop(place)
        for _ in range(5):
            given(drop)
        # The first sweep sets room aside.
        drop.run("sweep")
        assert (drop.directory / "spare").stat().st_size > 0
        with sqlite3.connect(drop.directory / "drop.sqlite3") as database:
            database.execute("UPDATE package SET created = 1, expires = 2")
        database.close()
        fill(place)
        drop.run("sweep", *words)
        blobs = [p for p in (drop.directory / "blobs").rglob("*") if p.is_file()]
        assert not blobs, blobs
        drop.works()
    return "16 MB"


@test("at any size of disk, a message is changed with a working link, or not at all")
def _():
    changed = 0
    sizes = range(100, 900, 36)
    for size in sizes:
        with mounted(f"size={size}k") as place:
            if place is None:
                return None
            drop = Drop(place)
            code, output = drop.rewrite()
            changed += drop.judge(code, output)
            subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
            drop.works()
            drop.settle()
    assert 0 < changed < len(sizes), changed
    return f"{len(sizes)} sizes, {changed} large enough"


@test("out of inodes mail goes out as it came, and what is stored is served")
def _():
    with mounted("size=8m,nr_inodes=80") as place:
        if place is None:
            return None
        drop = Drop(place)
        link = given(drop)
        fillers = []
        try:
            for number in range(100):
                filler = place / f"filler-{number}"
                filler.touch()
                fillers.append(filler)
        except OSError:
            pass
        assert len(fillers) < 100
        refused(drop, link)
        for filler in fillers:
            filler.unlink()
        drop.works()
        drop.settle()
    return "80 inodes"


@test("on a read-only disk mail goes out as it came, and it works again afterwards")
def _():
    with mounted("size=8m") as place:
        if place is None:
            return None
        drop = Drop(place)
        link = given(drop)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        code, output = drop.rewrite()
        assert code == 0 and output == drop.message, (code, len(output))
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        drop.fetch(link)
        drop.works()
        drop.settle()
    return ""


def main() -> int:
    assert shutil.which("strace"), "strace is missing"
    passed = failed = 0
    for sentence, function in TESTS:
        if not all(word in sentence for word in sys.argv[1:]):
            continue
        try:
            said = function()
        except Exception as error:
            failed += 1
            print(f"FAIL  {sentence}\n      {type(error).__name__}: {error}", flush=True)
            continue
        passed += 1
        print(f"none  {sentence}: file systems cannot be mounted here" if said is None
              else f"ok    {sentence}{': ' if said else ''}{said}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
