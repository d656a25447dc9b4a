#!/usr/bin/env python3
"""What the daemon needs at most, held against the formula of depollueur(8): peak resident memory (VmHWM)
over that of the idle daemon, for mail that is large in each way that mail can be.

    tests/e2e/memory.py            everything
    tests/e2e/memory.py parts      only the cases whose name contains a word

Needs what `stories.py` needs. Each figure is that of a fresh process. What is larger than Postfix would
queue goes through the milter protocol, made on the fly.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Lab, tail  # noqa: E402
from milter_client import CHUNK_MAX, Milter, check_order  # noqa: E402

KIB, MIB, GB = 1 << 10, 1 << 20, 10**9
LINE = b"QmFzZTY0IGxpbmVzIG9mIHNldmVudHktc2l4IGNoYXJhY3RlcnMsIHJlcGVhdGVkIGZvciBldmVy"[:76] + b"\r\n"
CHUNK = LINE * 840
FIELDS = [(b"From", b" alice@example.com"), (b"Subject", b" large"), (b"MIME-Version", b" 1.0"),
          (b"Content-Type", b" multipart/mixed; boundary=\"=_b\"")]
TEXT = b"--=_b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
CLOSE = b"--=_b--\r\n"
LONGEST_NAME = b"n" * 251 + b".pdf"

# ---- the formula of src/filter.rs and depollueur(8), and the defaults of its limits

DEFAULTS = {"spool_memory": MIB, "limits_parts_max": 10_000, "limits_header_bytes_max": 64 * KIB,
            "limits_text_bytes_max": MIB}
# With these the formula's other terms are small, so that each case is held against its own.
SMALL = {"limits_parts_max": 100, "limits_header_bytes_max": 4 * KIB, "limits_text_bytes_max": 64 * KIB}


CONNECTION, TOP_HEADER, HEADER_MEMORY = 24 * KIB, 4 * MIB, 32 * MIB
PROCESS, MESSAGE, LONG_SPOOLS = 4 * MIB, MIB + 512 * KIB, 8


def bound(messages: int = 1, connections: int = 1, headers: int = 0, **limits) -> int:
    """Bytes that the daemon takes at most over what it takes when idle."""
    limit = {**DEFAULTS, **limits}
    spools = min(messages, LONG_SPOOLS) * limit["spool_memory"]
    return (PROCESS + connections * CONNECTION + headers * TOP_HEADER + spools + messages * (
        MESSAGE
        + 32 * limit["limits_header_bytes_max"]
        + 1216 * limit["limits_parts_max"]
        + 16 * limit["limits_text_bytes_max"]))


# ---- bodies

def pdf(name: bytes = b"a.pdf", subtype: bytes = b"pdf") -> bytes:
    return (b"--=_b\r\nContent-Type: application/" + subtype + b"; name=\"" + name + b"\"\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n")


def large_file(size: int):
    yield TEXT + pdf()
    yield from (CHUNK for _ in range(size // len(CHUNK)))
    yield CLOSE


def large_text(size: int):
    """All of it stays, and a file goes."""
    yield b"--=_b\r\nContent-Type: text/plain; name=a.txt\r\n\r\n"
    yield from (CHUNK for _ in range(size // len(CHUNK)))
    yield b"\r\n" + pdf() + CHUNK * 4 + CLOSE


def many(part: bytes, count: int):
    """Parts that stay, and a file that goes."""
    yield TEXT
    at_once = CHUNK_MAX // len(part)
    yield from (part * at_once for _ in range(count // at_once))
    yield part * (count % at_once) + pdf() + CHUNK * 4 + CLOSE


def header(field: bytes):
    """One part whose header is as long as it may be."""
    lines = field * ((64 * KIB - 8) // len(field))
    yield TEXT + b"--=_b\r\n" + lines + b"\r\n\r\n" + pdf() + CHUNK * 4 + CLOSE


def text(subtype: bytes, unit: bytes, encoding: bytes = b"7bit", raw: int = MIB):
    """Two texts as long as they may be to take the notice."""
    start = (b"--=_b\r\nContent-Type: text/" + subtype + b"; charset=windows-1252\r\n"
             b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n")
    yield start + unit * (raw // len(unit)) + b"\r\n"
    yield pdf() + CHUNK * 4 + CLOSE


# ---- ways into the daemon

def connections(lab: Lab, count: int, fields) -> int:
    """Peak KiB of a daemon with so many connections open at once, each with a header."""
    with lab.daemon() as daemon, ExitStack() as stack:
        for _ in range(count):
            milter = stack.enter_context(Milter(daemon.settings["milter_listen"]))
            milter.open()
            milter.envelope()
            # The last field of a header is not followed by its end.
            for name, value in fields:
                milter.step("L", name + b"\0" + value + b"\0")
        daemon.admin("/readyz")
        return daemon.peak_kib()


def idle_kib(lab: Lab, **settings) -> int:
    with lab.daemon(**settings) as daemon:
        return daemon.peak_kib()


def through_postfix(lab: Lab, at_once: int) -> int:
    """Peak KiB of a daemon that is given `at_once` messages of 25 MB at the same time."""
    with lab.daemon(detach_directions="both") as daemon:
        to = lab.address()
        with tempfile.NamedTemporaryFile(suffix=".eml") as file:
            content = m.multipart("mixed", m.TEXT, m.attachment(m.pdf(25_000_000)))
            file.write(m.message(content, to=to).replace(b"\r\n", b"\n"))
            file.flush()
            subprocess.run(["smtp-source", "-s", str(at_once), "-m", str(at_once), "-f",
                            "alice@lab.test", "-t", to, "-F", file.name,
                            f"127.0.0.1:{lab.ports['incoming']}"], check=True, timeout=600)
        lab.receive(to, count=at_once, seconds=300)
        return daemon.peak_kib()


def through_protocol(lab: Lab, make, changes: bool, at_once: int = 1, **settings) -> int:
    """Peak KiB of a daemon that is given such a body, or `at_once` of them: each waits before its last
    piece until all others are there too. `changes` says whether it is to be rewritten."""
    # Those that are there first wait in the middle of a message, longer than a Postfix may; and all are of one login.
    with lab.daemon(milter_timeout="10 min", milter_max_messages_per_login=max(8, at_once), **settings) as daemon:
        all_there = threading.Barrier(at_once)
        with ThreadPoolExecutor(at_once) as pool:
            for sent in [pool.submit(send, daemon, make(), changes, all_there)
                         for _ in range(at_once)]:
                sent.result()
        return daemon.peak_kib()


def send(daemon, body, changes: bool, all_there: threading.Barrier):
    last = b""
    with Milter(daemon.settings["milter_listen"], timeout=600) as milter:
        milter.open()
        milter.envelope()
        milter.header(FIELDS)
        for piece in body:
            for at in range(0, len(last), CHUNK_MAX):
                milter.body([last[at:at + CHUNK_MAX]])
            last = piece
        all_there.wait(600)
        for at in range(0, len(last), CHUNK_MAX):
            milter.body([last[at:at + CHUNK_MAX]])
        replies = milter.end()
    check_order(replies)
    is_changed = any(letter == "b" for letter, _ in replies)
    assert is_changed == changes, f"rewritten: {is_changed}\n{tail(daemon.log())}"


TINY = b"--=_b\r\n\r\n\r\n"
EMPTY_FILE = pdf(LONGEST_NAME, b"x" * 243) + b"\r\n"
SECTIONS = b"".join(b";\r\n filename*%d*=%%41" % n for n in range(2600))
PARAMETERS = b"".join(b";%d=b" % n for n in range(8000))
HIGH = base64.b64encode(b"\x80" * 57) + b"\r\n"
HEADERS = [
    ("the shortest fields", b"a:\r\n"),
    ("a name in many sections", b"Content-Disposition: attachment" + SECTIONS + b"\r\n"),
    ("many parameters", b"Content-Type: a/b" + PARAMETERS + b"\r\n"),
]
TEXTS = [
    ("HTML, all nested", b"html", b"<b>"),
    ("HTML, all of it tags", b"html", b"<p a=b c=d>"),
    ("text, all of it lines", b"plain", b"\r\n"),
    ("text, all of it escaped", b"plain", b"=E9" * 24 + b"=\r\n", b"quoted-printable",
     3 * MIB - KIB),
    ("HTML, in base64", b"html", LINE, b"base64", 2 * MIB - KIB),
    ("HTML, three bytes for each", b"html", HIGH, b"base64", 2 * MIB - KIB),
    ("text, three bytes for each", b"plain", HIGH, b"base64", 2 * MIB - KIB),
]
CASES = [
    ("a message of 2 GB, all of it one file", lambda: large_file(2 * GB), True, SMALL),
    ("a message of 1 GB, most of which stays", lambda: large_text(GB), True, SMALL),
    # The message, its first text and its last file are parts too.
    ("a million parts, which may be", lambda: many(TINY, 999_997), True,
     {**SMALL, "limits_parts_max": 1_000_000}),
    ("a million parts, more than may be", lambda: many(TINY, 1_000_000), False,
     {**SMALL, "limits_parts_max": 10_000}),
    ("10,000 empty files with the longest names", lambda: many(EMPTY_FILE, 9_990), True,
     {**SMALL, "limits_parts_max": 10_000}),
    ("100,000 empty files with the longest names", lambda: many(EMPTY_FILE, 99_990), True,
     {**SMALL, "limits_parts_max": 100_000}),
    *((f"a header of {what}", partial(header, fields), True,
       {**SMALL, "limits_header_bytes_max": 64 * KIB}) for what, fields in HEADERS),
    *((f"the longest {what}", partial(text, *texts), True,
       {**SMALL, "limits_text_bytes_max": MIB}) for what, *texts in TEXTS),
    ("a message of 25 MB, with the default limits", lambda: large_file(25_000_000), True, {}),
]


def main(words: list[str]) -> int:
    passed = failed = 0

    def judge(what: str, measure, limit: int, idle: int):
        nonlocal passed, failed
        if not any(word in what for word in words or [""]):
            return
        used = (measure() - idle) * KIB
        good = used < limit
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'}  {what}: {used / MIB:.1f} MiB over an idle daemon's "
              f"{idle / KIB:.1f}; the formula allows {limit / MIB:.1f}", flush=True)

    with Lab() as lab:
        idle = idle_kib(lab)
        for what, make, changes, settings in CASES:
            judge(what, lambda: through_protocol(lab, make, changes, **settings),
                  bound(**settings), idle)
        judge("400 connections without a message", lambda: connections(lab, 400, []),
              PROCESS + 400 * CONNECTION, idle)
        fields = [(b"a", b" ")] * ((MIB - 1) // 50)
        judge("4 top-level headers of the shortest fields", lambda: connections(lab, 4, fields),
              PROCESS + 4 * (CONNECTION + TOP_HEADER), idle)
        judge("40 top-level headers of the shortest fields", lambda: connections(lab, 40, fields),
              PROCESS + 40 * 4 * CONNECTION + HEADER_MEMORY, idle)
        judge("32 messages of 25 MB at once, all there before their last piece",
              lambda: through_protocol(lab, lambda: large_file(25_000_000), True, 32), 64 * MIB, idle)
        judge("one message of 25 MB through Postfix", lambda: through_postfix(lab, 1), bound(), idle)
        judge("32 messages of 25 MB at once through Postfix", lambda: through_postfix(lab, 32),
              64 * MIB, idle)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
