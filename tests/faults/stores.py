"""Scenarios: the store fails, is full, is slow, is damaged, or is another host's."""

from __future__ import annotations

import errno
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

from lab import Daemon, wait_until
from letters import THRESHOLD
from machine import CHANGES, NAME, OPEN, READ, SYNC, WRITE, Unavailable, fill, mounted
from remote import Hosts
from trial import blame, pause, scenario, supervised, wait_alive

PAGE = 4096


def fails_at_times(t, sentence: str):
    """Some mail must have gone out as it came, or the fault was none."""
    assert t.figures["let_through"], f"{sentence}: the fault hit no message"


@scenario("on a disk that fills up and is emptied again, mail goes out as it came, and is rewritten once there is room")
def full(t):
    daemon = t.daemon()
    with mounted(f"size={t.times(256, 2048)}m,mode=700", daemon.drop) as place:
        if place is None:
            raise Unavailable("no file system can be mounted")
        with supervised(daemon), t.reader(daemon), t.load() as load:
            for number in range(t.times(2, 15)):
                load.wait_accepted(8)
                filler = fill(place)
                if number % 2:
                    daemon.kill()
                    daemon.start(wait=False)
                    wait_alive(daemon)
                for _ in range(t.times(2, 4)):
                    # Drafts that were given up make room again.
                    load.wait_accepted(2, heavy=True)
                    filler.unlink()
                    filler = fill(place)
                filler.unlink()
                wait_until(daemon._is_ready, "the drop to take packages again", 30)
            load.wait_accepted(8)
            load.stop()
            t.settle(load, daemon, let_through=True)
            fails_at_times(t, "full")


# Name, kinds of calls, error, one in so many.
REFUSALS = [
    ("read-only", CHANGES, errno.EROFS, 1),
    ("sync fails", SYNC, errno.EIO, 2),
    ("write fails", WRITE, errno.EIO, 5),
    ("quota", WRITE, errno.EDQUOT, 3),
    ("names fail", OPEN | NAME, errno.EIO, 4),
    ("read fails", READ, errno.EIO, 3),
    ("no descriptors", OPEN, errno.EMFILE, 2),
    ("all fails", CHANGES | READ, errno.EIO, 1),
]


@scenario("whatever the disk refuses, mail goes out as it came, and is rewritten once the disk works again")
def refusing(t):
    daemon = t.daemon()
    shim = t.shim(daemon)
    with supervised(daemon), t.reader(daemon), t.load() as load:
        for _ in range(t.times(1, 8)):
            for name, calls, error, one_in in REFUSALS:
                struck = shim.struck()
                shim.fail(calls, error, one_in)
                load.wait_accepted(t.times(4, 10), heavy=True)
                shim.heal()
                key = f"{name.replace(' ', '_').replace('-', '_')}_calls"
                t.figures[key] = t.figures.get(key, 0) + shim.struck() - struck
                load.wait_accepted(3)
        load.stop()
        t.settle(load, daemon, let_through=True, put_off_allowed=False)
        fails_at_times(t, "refusing")


@scenario("on a disk that refuses, with on_failure tempfail, mail is put off and none goes out as it came", short=False)
def refusing_tempfail(t):
    daemon = t.daemon(detach_on_failure="tempfail")
    shim = t.shim(daemon)
    with supervised(daemon), t.load() as load:
        for _ in range(t.times(1, 8)):
            for _, calls, error, one_in in REFUSALS:
                shim.fail(calls, error, one_in)
                load.wait_tries(t.times(8, 20))
                shim.heal()
                load.wait_accepted(3)
        load.stop()
        t.settle(load, daemon)
        assert t.figures["put_off"], "the fault hit no message"


@scenario("on a slow disk mail waits, and all of it is rewritten")
def slow(t):
    daemon = t.daemon(milter_max_messages=4)
    shim = t.shim(daemon)
    with supervised(daemon), t.reader(daemon), t.load() as load:
        for calls, seconds in ((SYNC, 0.3), (WRITE | SYNC, 0.003), (READ, 0.02)):
            shim.delay(calls, seconds)
            load.wait_accepted(t.times(12, 150))
        shim.heal()
        load.stop()
        t.settle(load, daemon, put_off_allowed=False)
        t.figures["calls_held_up"] = shim.struck()


@scenario("on a disk slower than milter.deadline mail goes out as it came, and is rewritten once the disk is fast again",
          short=False)
def too_slow(t):
    daemon = t.daemon(milter_deadline="2 s")
    shim = t.shim(daemon)
    with supervised(daemon), t.load() as load:
        for _ in range(t.times(1, 6)):
            load.wait_accepted(5)
            shim.delay(SYNC, 4)
            load.wait_accepted(25)
            shim.heal()
            load.wait_accepted(10)
        load.stop()
        t.settle(load, daemon, let_through=True)
        fails_at_times(t, "too slow")


LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path):
    """Another process holds the write lock of a database."""
    command = ["python3", "-c", LOCKER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline() != "locked\n":
                raise AssertionError("the database could not be locked")
            yield
        finally:
            process.kill()


@scenario("while another process locks the database mail goes out as it came, and is rewritten once it is free")
def database_locked(t):
    with supervised(t.daemon(milter_deadline="6 s")) as daemon, t.reader(daemon) as reader, t.load() as load:
        for _ in range(t.times(1, 8)):
            load.wait_accepted(8)
            with locked(daemon.drop / "drop.sqlite3"):
                served = reader.counts["read"]
                pause(t.times(7, 20))
                load.wait_accepted(4, heavy=True)
                read = reader.counts["read"] - served
                assert read > 3, f"what is stored is hardly served: {read} files were read"
                if t.long:
                    daemon.stop()
                    daemon.start(wait=False)
                    wait_alive(daemon)
                t.figures["read_while_locked"] = t.figures.get("read_while_locked", 0) + read
            load.wait_accepted(8)
        load.stop()
        t.settle(load, daemon, let_through=True)
        fails_at_times(t, "locked")


def damages(path: Path):
    """Ways to damage a database, by name."""
    def head(data: bytearray):
        data[0:100] = random.Random(1).randbytes(100)

    def pages(data: bytearray):
        for at in range(PAGE, len(data), PAGE):
            data[at:at + PAGE] = random.Random(at).randbytes(PAGE)

    def cut(data: bytearray):
        del data[len(data) // 2 // PAGE * PAGE + 100:]


    def text(data: bytearray):
        data[:] = b"this is no database\n" * 500

    def apply(change):
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
    return {f.__name__: lambda f=f: apply(f) for f in (head, pages, cut, text)}


def take_home(drop: Path) -> Path:
    """Brings all of a database that nobody has open into its one file, and returns a copy."""
    database = drop / "drop.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("drop.sqlite3-wal", "drop.sqlite3-shm"):
        (drop / name).unlink(missing_ok=True)
    copy = drop.parent / "copy.sqlite3"
    shutil.copyfile(database, copy)
    return copy


def give_back(drop: Path, copy: Path):
    for name in ("drop.sqlite3-wal", "drop.sqlite3-shm"):
        (drop / name).unlink(missing_ok=True)
    shutil.copyfile(copy, drop / "drop.sqlite3")


@scenario("with a damaged database the daemon says so, mail waits or goes out as it came, and none has a dead link")
def database_damaged(t):
    daemon = t.daemon()
    database = daemon.drop / "drop.sqlite3"
    with supervised(daemon), t.load() as load:
        for name, damage in damages(database).items():
            load.wait_accepted(5)
            daemon.stop()
            copy = take_home(daemon.drop)
            damage()
            before = len(daemon.log())
            daemon.start(wait=False)
            t.figures[f"starts_when_{name}"] = "no" if ends(daemon) else "yes"
            if t.figures[f"starts_when_{name}"] == "yes":
                load.wait_accepted(8)
                daemon.kill()
            else:
                load.wait_tries(4)
            said = daemon.log()[before:]
            assert "drop.sqlite3" in said, f"damage of the {name} is not told:\n{said}"
            assert "panicked" not in said, said
            give_back(daemon.drop, copy)
            daemon.start()
        load.wait_accepted(5)
        load.stop()
        t.settle(load, daemon, let_through=True)


@scenario("with a database that is damaged in places, every link that is given out works, and no mail is lost",
          short=False)
def database_damaged_in_places(t):
    daemon = t.daemon()
    database = daemon.drop / "drop.sqlite3"
    wrong = []
    with supervised(daemon):
        for every in (2, 3, 5, 9, 17)[:t.times(5, 5)]:
            with t.load() as load:
                load.wait_accepted(20, heavy=True)
                load.stop()
            wrong += t.account(load, daemon)
            clear(t.lab.maildir)
            daemon.stop()
            copy = take_home(daemon.drop)
            data = bytearray(database.read_bytes())
            for at in range(PAGE * (every + 1), len(data), PAGE * every):
                data[at:at + PAGE] = random.Random(at).randbytes(PAGE)
            database.write_bytes(data)
            daemon.start(wait=False)
            if not ends(daemon):
                with t.load() as load:
                    load.wait_accepted(10, heavy=True)
                    load.stop()
                found = t.account(load, daemon, let_through=True)
                wrong += [why for why in found if "shows nothing" not in why]
                t.figures[f"every_{every}"] = f"rewritten {t.figures['rewritten']} let through {t.figures['let_through']}"
                clear(t.lab.maildir)
                daemon.kill()
            else:
                t.figures[f"every_{every}"] = "does not start,"
            assert "panicked" not in daemon.log()
            give_back(daemon.drop, copy)
            daemon.start()
    blame(wrong)


def clear(maildir: Path):
    """Removes what is judged to be wrong, too."""
    for path in (maildir / "new").iterdir():
        path.unlink()


def ends(daemon: Daemon) -> bool:
    """Whether a daemon ends instead of serving; it must not end in another way than by saying so."""
    try:
        wait_alive(daemon)
        return False
    except AssertionError:
        code = daemon.wait()
        assert code == 69, f"the daemon ended with {code}, not 69: {daemon.log()[-1000:]}"
        return True


class Line:
    """What happens between the two hosts at the moment."""

    def __init__(self):
        self.mode = "ok"
        self.hit = 0
        self.changed = threading.Event()

    def be(self, mode: str):
        self.mode = mode
        self.changed.set()
        self.changed = threading.Event()

    def up(self, data: bytes, seen: dict) -> bytes | None:
        mode = self.mode
        if mode in ("hung", "reset", "slow", "flipped") and (mode != "flipped" or len(data) > 5_000):
            self.hit += 1
        if mode == "hung":
            self.changed.wait(60)
        if mode == "slow":
            time.sleep(len(data) / 2_000_000)
        if mode == "flipped" and len(data) > 5_000:
            at = len(data) // 2
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        return None if mode == "reset" else data

    def down(self, data: bytes, seen: dict) -> bytes | None:
        if self.mode == "broken":
            self.hit += 1
            return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        if self.mode == "mute":
            self.hit += 1
            return b""
        return None if self.mode == "reset" else data


@scenario("whatever becomes of the drop of another host, mail goes out as it came or with links that work")
def remote(t):
    line = Line()
    hosts = Hosts(t.lab, up=line.up, down=line.down, detach_threshold=THRESHOLD, detach_directions="both",
                  notice_language="en", remote_timeout="2 s", milter_deadline="8 s")
    with hosts, t.load() as load:
        try:
            for _ in range(t.times(1, 8)):
                for mode in ("reset", "broken", "hung", "flipped", "mute", "slow", "killed"):
                    hit = line.hit
                    trouble(hosts, line, mode, load, t.times(4, 10))
                    t.figures[f"hits_{mode}"] = t.figures.get(f"hits_{mode}", 0) + line.hit - hit
                    line.be("ok")
                    load.wait_accepted(4)
        finally:
            line.be("ok")
        load.stop()
        t.settle(load, hosts.milter, store=hosts.drop, let_through=True)
        fails_at_times(t, "remote")


def trouble(hosts: Hosts, line: Line, mode: str, load, count: int):
    if mode == "killed":
        hosts.drop.kill()
        load.wait_accepted(count, heavy=True)
        hosts.drop.start()
        return
    line.be(mode)
    load.wait_accepted(count, heavy=True)
