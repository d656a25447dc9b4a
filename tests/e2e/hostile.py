#!/usr/bin/env python3
"""Milter clients that are no Postfix, against the real daemon, while another one sends good mail.

    tests/e2e/hostile.py            every attack, over the unix socket and over TCP
    tests/e2e/hostile.py silent     only the attacks whose name contains a word

Mail of the good client must come out right throughout, judged by the oracle. After each attack nothing may be left
of it: no session, no message in work, no spool, no descriptor; and the daemon must not have grown. Needs nothing but
the release build.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import resource
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import messages as m  # noqa: E402
from corpus import edited, oracle  # noqa: E402
from lab import Daemon, free_port, tail, wait_until  # noqa: E402
from milter_client import Milter, check_order  # noqa: E402

MIB = 1 << 20
THRESHOLD = 100_000
# What Postfix may let us wait for in the middle of a message: the attacks are as long as this.
TIMEOUT = 2
# More than the daemon works on at once (the default), and as many as it serves at once.
MESSAGES, CONNECTIONS = 40, 2000
# What may stay resident of what attacks took, for an allocator keeps the room of 2,000 connections, and what may be
# resident at any time, over the daemon at rest.
GROWTH_MAX, PEAK_MAX = 96 * MIB, 256 * MIB


def packet(kind: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack(">I", len(data) + 1 if length is None else length) + kind + data


NEGOTIATION = packet(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
CONNECT = packet(b"C", b"client\0" + b"4" + struct.pack(">H", 2525) + b"192.0.2.1\0")
ENVELOPE = packet(b"M", b"<mallory@example.net>\0") + packet(b"R", b"<bob@example.com>\0") + packet(b"T")
HEADER = (packet(b"L", b"From\0 mallory@example.net\0") + packet(b"L", b"MIME-Version\0 1.0\0")
          + packet(b"L", b"Content-Type\0 multipart/mixed; boundary=b\0"))
FILE = b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
LINES = (b"QUJD" * 19 + b"\r\n") * 800
BEGUN = NEGOTIATION + CONNECT + ENVELOPE + HEADER + packet(b"N")


class Attacker:
    """A connection that is misused."""

    def __init__(self, address: str, buffer: int | None = None):
        kind, _, rest = address.partition(":")
        self.socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(30)
        self.socket.connect(rest if kind == "unix" else ("127.0.0.1", int(address.rpartition(":")[2])))

    def send(self, data: bytes) -> bool:
        """Whether the daemon took it; it may well close the connection."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def wait_for_end(self):
        """Reads until the daemon closes the connection, which it must, or we did."""
        try:
            while self.socket.recv(65536):
                pass
        except (ConnectionError, BrokenPipeError):
            pass
        except OSError as error:
            if error.errno != errno.EBADF:
                raise

    def close(self, reset: bool = False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with contextlib.suppress(OSError):  # it wakes a thread that reads
                self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Good:
    """Sends good mail, heavy and light, a connection for each two mails, until it is stopped."""

    def __init__(self, address: str):
        self.address, self.sent, self.slowest = address, [], 0.0
        self.error: BaseException | None = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.stopped.is_set():
                with Milter(self.address, timeout=60) as milter:
                    milter.open()
                    for size in (150_000, 5_000):
                        self._send(milter, size)
        except BaseException as error:  # shown with the attack during which it came
            self.error = error

    def _send(self, milter: Milter, size: int):
        to = f"bob{len(self.sent)}@example.com"
        data = m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(size, len(self.sent)))), to=to)
        begun = time.monotonic()
        replies = milter.message(data, recipients=(to,))
        self.slowest = max(self.slowest, time.monotonic() - begun)
        check_order(replies)
        assert replies[-1][0] == "a", f"the verdict is {replies[-1]}"
        after = edited(data, replies)
        assert (after != data) == (size > THRESHOLD), f"{size} bytes, changed: {after != data}"
        self.sent.append((data, after))

    def wait_for_more(self, count: int = 2):
        """Until so many mails more were begun and came out."""
        before = len(self.sent)
        wait_until(lambda: self.error or len(self.sent) > before + count, "good mail to get through", 60)
        if self.error:
            raise self.error

    def stop(self):
        self.stopped.set()
        self.thread.join(60)


ATTACKS = []


def attack(name: str):
    def note(function):
        ATTACKS.append((name, function))
        return function
    return note


@attack("packets of every letter and of impossible lengths")
def malformed(address: str):
    lengths = (0, 1, 2, 70_000, MIB - 1, MIB, MIB + 1, 0x7FFFFFFF, 0xFFFFFFFF)
    for begun in (b"", NEGOTIATION + CONNECT, BEGUN):
        for kind in map(bytes, ([k] for k in (*b"ABCDEHKLMNOQRTUx\0\xff",))):
            for length in lengths:
                attacker = Attacker(address)
                attacker.send(begun + packet(kind, b"abc\0", length))
                attacker.close(reset=length % 2 == 0)


@attack("commands in any order")
def disorder(address: str):
    choose = random.Random(1)
    commands = [NEGOTIATION, CONNECT, packet(b"H", b"x\0"), packet(b"M", b"<a@b>\0"), packet(b"R", b"<c@d>\0"),
                packet(b"T"), packet(b"L", b"A\0b\0"), HEADER, packet(b"N"), packet(b"B", FILE + LINES),
                packet(b"E"), packet(b"A"), packet(b"K"), packet(b"U", b"XYZZY\0"), packet(b"D", b"Mi\0x\0"),
                packet(b"L"), packet(b"E", b"x"), packet(b"Q")]
    for _ in range(300):
        attacker = Attacker(address)
        attacker.send((NEGOTIATION if choose.random() < 0.8 else b"") + b"".join(choose.choices(commands, k=30)))
        attacker.send(packet(b"Q"))
        attacker.close()


@attack("a flood of tiny packets")
def flood(address: str):
    for packets in (packet(b"A"), packet(b"D", b"M"), packet(b"L", b"A\0\0"), packet(b"B", b"x"), packet(b"E")):
        attacker = Attacker(address)
        attacker.send(BEGUN)
        # What is answered is read by nobody: such a flood ends when the socket is full.
        threading.Thread(target=attacker.wait_for_end, daemon=True).start()
        for _ in range(10):
            attacker.send(packets * 5_000)
        attacker.close()


@attack("a flood of macros")
def macros(address: str):
    attackers = [Attacker(address) for _ in range(300)]
    few = b"".join(b"{%d}\0" % n + b"x" * 100 + b"\0" for n in range(64))
    many = b"".join(b"%x\0\0" % n for n in range(150_000))
    for number, attacker in enumerate(attackers):
        attacker.send(NEGOTIATION)
        for stage in (b"C", b"H", b"M", b"R", b"T", b"N", b"E"):
            attacker.send(packet(b"D", stage + (few if number % 2 else many)))
    for attacker in attackers:
        attacker.close()


@attack("300,000 header fields, and 100,000 recipients")
def fields(address: str):
    for flood in (packet(b"L", b"a\0\0") * 300_000, packet(b"R", b"<x@example.com>\0") * 100_000):
        attacker = Attacker(address)
        attacker.send(NEGOTIATION + CONNECT + packet(b"M", b"<a@example.com>\0"))
        threading.Thread(target=attacker.wait_for_end, daemon=True).start()
        attacker.send(flood)
        attacker.send(packet(b"N") + packet(b"B", FILE) + packet(b"E") + packet(b"Q"))
        attacker.close()


@attack("headers that are held without an end")
def headers(address: str):
    attackers = [Attacker(address) for _ in range(200)]
    field = packet(b"L", b"Subject\0 " + b"x" * 50_000 + b"\0")
    for attacker in attackers:
        attacker.send(NEGOTIATION + CONNECT + ENVELOPE + field * 18)
    for attacker in attackers:
        attacker.wait_for_end()
        attacker.close()


@attack("2,000 connections that are silent: before a word, in the middle of a packet, of a message")
def silent(address: str):
    beginnings = (b"", b"\0\0", NEGOTIATION + packet(b"M", b"<a", 1000), BEGUN + packet(b"B", b"x" * 1000, 60_000),
                  BEGUN)
    attackers = []
    for number in range(CONNECTIONS):
        attacker = Attacker(address)
        attacker.send(beginnings[number % len(beginnings)] if number % 100 < 5 else b"")
        attackers.append(attacker)
    for attacker in attackers:
        attacker.wait_for_end()
        attacker.close()


@attack("more messages than are worked on, a byte now and then")
def slow(address: str):
    attackers = [Attacker(address) for _ in range(MESSAGES)]
    for attacker in attackers:
        attacker.send(BEGUN)
    chunk = packet(b"B", FILE + LINES)
    for byte in chunk[:8 * TIMEOUT]:
        time.sleep(0.25)
        for attacker in attackers:
            attacker.send(bytes([byte]))
    for attacker in attackers:
        attacker.wait_for_end()
        attacker.close()


@attack("more messages than are worked on, and nobody reads the replies")
def deaf(address: str):
    text = packet(b"B", b"--b\r\n\r\n" + b"A line that stays.\r\n" * 3_000) + packet(
        b"B", b"A line that stays.\r\n" * 3_000) * 30
    body = text + packet(b"B", b"\r\n" + FILE) + packet(b"B", LINES) * 4 + packet(b"B", b"--b--\r\n")
    attackers = [Attacker(address, buffer=4096) for _ in range(MESSAGES)]

    def run(attacker):
        attacker.send(BEGUN + body + packet(b"E"))

    for attacker in attackers:
        threading.Thread(target=run, args=(attacker,), daemon=True).start()
    # They stay: good mail gets a turn only when the daemon gives them up.
    return attackers


@attack("3,000 clients that vanish in the middle of a body")
def vanish(address: str):
    body = packet(b"B", FILE) + packet(b"B", LINES) * 3
    for number in range(3_000):
        attacker = Attacker(address)
        attacker.send((BEGUN + body)[:len(BEGUN) + number * 61 % len(body)])
        attacker.close(reset=number % 2 == 0)


# ---- what is left


class Level:
    """What the daemon has at a moment."""

    def __init__(self, daemon: Daemon):
        process = Path(f"/proc/{daemon.process.pid}")
        text = daemon.admin("/metrics")[1].decode()
        values = dict(re.findall(r"^(depollueur_\w+) (\S+)$", text, re.M))
        self.held = {name: int(values["depollueur_" + name]) for name in (
            "milter_sessions", "messages_in_work", "spool_files", "spool_bytes")}
        self.files = len(os.listdir(process / "fd"))
        self.resident = int((process / "statm").read_text().split()[1]) * resource.getpagesize()

    def is_rest(self, rest: "Level") -> bool:
        return not any(self.held.values()) and self.files <= rest.files


def has_decisions(daemon: Daemon) -> bool:
    """Whether the database of decisions is open, with its log: it is made some time after the first message."""
    links = (entry.resolve() for entry in Path(f"/proc/{daemon.process.pid}/fd").iterdir())
    return {"drop.sqlite3", "drop.sqlite3-wal", "drop.sqlite3-shm"} <= {link.name for link in links if link.parent.name == "decisions"}


def check_rest(daemon: Daemon, rest: Level) -> Level:
    """Waits until nothing is left of an attack."""
    def at_rest():
        level = Level(daemon)
        return level if level.is_rest(rest) else None

    try:
        level = wait_until(at_rest, "the daemon to be at rest", 30)
    except Exception:
        level = Level(daemon)
        raise AssertionError(f"held: {level.held}; descriptors: {level.files}, before: {rest.files}") from None
    grown = level.resident - rest.resident
    assert grown < GROWTH_MAX, f"{grown / MIB:.1f} MiB are still resident"
    return level


def check_mail(work: Path, daemon: Daemon, sent):
    """The oracle's word about all good mail."""
    names = [f"{number}.eml" for number in range(len(sent))]
    for directory, place in (("before", 0), ("after", 1)):
        (work / directory).mkdir(parents=True)
        for name, mail in zip(names, sent):
            (work / directory / name).write_bytes(mail[place])
    wrong = oracle(work, names, daemon, THRESHOLD)
    assert not wrong, f"of {len(sent)} good mails: {dict(list(wrong.items())[:3])}"


def run(transport: str, work: Path, words: list[str]) -> tuple[int, int]:
    passed = failed = 0
    settings = {"milter_listen": f"127.0.0.1:{free_port()}"} if transport == "TCP" else {}
    daemon = Daemon(None, work / "daemon", {
        "detach_threshold": THRESHOLD, "detach_directions": "both", "milter_timeout": f"{TIMEOUT} s",
        "milter_max_connections": CONNECTIONS, "log_level": "warn", **settings})
    address = daemon.settings["milter_listen"]
    with daemon:
        # What would take the machine's memory is to fail alone.
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (4 << 30, 4 << 30))
        # Once, so that what is made once is there: threads, the database's cache.
        good = Good(address)
        good.wait_for_more(4)
        good.stop()
        wait_until(lambda: has_decisions(daemon), "what was decided to be kept", 30)
        rest = check_rest(daemon, Level(daemon))
        sent = list(good.sent)
        for name, attack_it in ATTACKS:
            if not any(word in name for word in words or [""]):
                continue
            begun, good = time.monotonic(), Good(address)
            try:
                good.wait_for_more(0)
                held = attack_it(address) or []
                good.wait_for_more()
                for attacker in held:
                    attacker.close()
                good.stop()
                level = check_rest(daemon, rest)
                peak = daemon.peak_kib() * 1024 - rest.resident
                assert peak < PEAK_MAX, f"{peak / MIB:.1f} MiB were resident over {rest.resident / MIB:.1f}"
                print(f"ok    {transport}: {name}: {len(good.sent)} good mails, the slowest in {good.slowest:.2f} s; "
                      f"{(level.resident - rest.resident) / MIB:+.1f} MiB, peak {peak / MIB:+.1f}; "
                      f"{time.monotonic() - begun:.1f} s", flush=True)
                passed += 1
            except Exception as error:  # the next attack is tried all the same
                good.stop()
                print(f"FAIL  {transport}: {name}: {type(error).__name__}: {error}\n{tail(daemon.log())}", flush=True)
                failed += 1
            sent += good.sent
        for what, check in ((f"all {len(sent)} good mails are right", lambda: check_mail(work, daemon, sent)),
                            ("no panic in the log", lambda: check_log(daemon.log()))):
            try:
                check()
                print(f"ok    {transport}: {what}")
                passed += 1
            except Exception as error:
                print(f"FAIL  {transport}: {what}: {error}")
                failed += 1
    return passed, failed


def check_log(log: str):
    assert "panicked" not in log, tail(log)


def main(words: list[str]) -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as directory:
        for transport in ("unix", "TCP"):
            results.append(run(transport, Path(directory) / transport, words))
    passed, failed = (sum(column) for column in zip(*results))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
