#!/usr/bin/env python3
"""What the daemon needs at most: peak resident memory (VmHWM) for large mail, alone and at once.

Needs what `stories.py` needs. Each figure is that of a fresh process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Lab, tail  # noqa: E402
from milter_client import Milter, check_order, split  # noqa: E402

KIB_PER_MIB = 1024
LINE = b"QmFzZTY0IGxpbmVzIG9mIHNldmVudHktc2l4IGNoYXJhY3RlcnMsIHJlcGVhdGVkIGZvciBldmVy"[:76] + b"\r\n"
CHUNK = LINE * 840


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


def through_protocol(lab: Lab, body_bytes: int, at_once: int = 1) -> int:
    """Peak KiB of a daemon that is given messages of so many bytes, made on the fly. Each is half way
    when all others are."""
    with lab.daemon() as daemon:
        all_half_way = threading.Barrier(at_once)
        with ThreadPoolExecutor(at_once) as pool:
            send = partial(one_through_protocol, daemon, body_bytes, all_half_way)
            list(pool.map(lambda _: send(), range(at_once)))
        link_files = [p for p in daemon.drop.rglob("*") if p.stat().st_size > body_bytes // 2]
        assert len(link_files) == at_once, f"{len(link_files)} files are in the drop"
        return daemon.peak_kib()


def one_through_protocol(daemon, body_bytes: int, all_half_way: threading.Barrier) -> None:
    head, _, _ = m.report("bob@example.com", 100_000).partition(b"JVBERi0")
    fields, start = split(head)
    chunks = body_bytes // len(CHUNK)
    with Milter(daemon.settings["milter_listen"], timeout=600) as milter:
        milter.open()
        milter.envelope()
        milter.header(fields)
        milter.body([start])
        milter.body(CHUNK for _ in range(chunks // 2))
        all_half_way.wait(600)
        milter.body(CHUNK for _ in range(chunks - chunks // 2))
        milter.body([b"--=_story--\r\n"])
        replies = milter.end()
    check_order(replies)
    assert any(letter == "b" for letter, _ in replies), f"not rewritten:\n{tail(daemon.log())}"


def main() -> int:
    passed = failed = 0

    def judge(what: str, kib: int, limit_kib: int):
        nonlocal passed, failed
        good = kib < limit_kib
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'}  {what}: {kib / KIB_PER_MIB:.1f} MiB at most "
              f"(limit {limit_kib / KIB_PER_MIB:.1f})", flush=True)

    with Lab() as lab:
        judge("one message of 25 MB through Postfix", through_postfix(lab, 1), 32 * KIB_PER_MIB)
        judge("32 messages of 25 MB at once through Postfix", through_postfix(lab, 32),
              64 * KIB_PER_MIB)
        small = through_protocol(lab, 25_000_000)
        judge("one message of 25 MB through the milter protocol", small, 32 * KIB_PER_MIB)
        judge("32 messages of 25 MB through the protocol, all half way at once",
              through_protocol(lab, 25_000_000, 32), 64 * KIB_PER_MIB)
        judge("one message of 1 GB through the milter protocol", through_protocol(lab, 10**9),
              small + 4 * KIB_PER_MIB)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
