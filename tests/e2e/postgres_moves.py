#!/usr/bin/env python3
"""Records that are moved from SQLite to the real PostgreSQL of Debian, and back, while mail comes and readers fetch.

    tests/e2e/postgres_moves.py              all of it
    tests/e2e/postgres_moves.py killed       what has the word in its sentence
    PACKAGES=100000 tests/e2e/postgres_moves.py many    a large drop; without it, 5,000 packages

The server is that of postgres.py.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import wait_until  # noqa: E402
from postgres import Place, checks_of, deposit, fate, is_whole, main, must, refused, status  # noqa: E402
from scan import link_in, send  # noqa: E402
import messages as m  # noqa: E402

CHECKS: list = []
check = checks_of(CHECKS)
WAYS = ("postgresql", "sqlite")


class Load:
    """Mail with a fresh file each, and readers of all that was deposited, until it is stopped."""

    def __init__(self, daemon, links: list[str]):
        self.daemon, self.links, self.wrong = daemon, links, []
        self.sent = self.put_off = self.read = 0
        self.done = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self.write, self.fetch)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong[:5]

    def write(self):
        seed = random.randrange(10**9)
        while not self.done.is_set():
            seed += 1
            try:
                replies = send(self.daemon, ("report.pdf", m.pdf(150_000, seed)))
                if replies[-1][0] in "ac":
                    self.links.append(link_in(self.daemon, replies))
                    self.sent += 1
                else:
                    self.put_off += 1
            except Exception as error:  # told at the end
                self.wrong.append(f"mail: {type(error).__name__}: {error}")

    def fetch(self):
        while not self.done.is_set():
            for link in list(self.links)[-20:] + list(self.links)[:5]:
                found = status(self.daemon, link)
                self.read += 1
                if found != 200:
                    self.wrong.append(f"{link}: {found}")


def settings(place: Place, to: str) -> dict:
    """The keys that move the records to this kind of database."""
    if to == "sqlite":
        return {"drop_records": "sqlite", "drop_records_from": place.url}
    return {"drop_records": place.url, "drop_records_from": "sqlite"}


def records(daemon) -> list:
    return sorted((one["id"], one["state"], one["downloads"]) for one in json.loads(must(daemon, "drop", "list", "--json")))


def lies_in(daemon, kind: str):
    """The directory says that the records are in this kind of database, and holds nothing of the other one."""
    names = {path.name for path in daemon.drop.iterdir()}
    assert ("drop.postgres" in names) == (kind == "postgresql"), names
    assert ("drop.sqlite3" in names) == (kind == "sqlite"), names


@check("records are moved there and back while mail comes and readers fetch, and no link fails")
def _(place):
    daemon = place.daemon(drop_records="sqlite")
    links: list[str] = []
    with daemon:
        links += [deposit(daemon) for _ in range(5)]
        must(daemon, "drop", "revoke", links[0])
        gone = links.pop(0)
    for to in WAYS:
        daemon.configure(**settings(place, to))
        with daemon:
            assert "drop.moved" in daemon.run("doctor").stdout.decode()
            with Load(daemon, links) as load:
                wait_until(lambda: load.sent > 3, "mail before the move", 60)
                moved = daemon.run("drop", "migrate")
                assert moved.returncode == 0, moved
                sent = load.sent
                wait_until(lambda: load.sent > sent + 3, "mail after the move", 60)
            assert re.match(rb"rows=[1-9][0-9]* passes=[2-9]\n", moved.stdout), moved
            assert b"remove drop.records_from, and restart the daemon" in moved.stderr, moved
            lies_in(daemon, to)
            assert "the records were moved" in daemon.log()
            again = daemon.run("drop", "migrate")
            assert again.returncode == 0 and again.stdout == b"rows=0 passes=0\n", again
            assert status(daemon, gone) == 410
            is_whole(daemon)
            before = records(daemon)
        daemon.configure(drop_records_from="")
        with daemon:
            assert records(daemon) == before
            assert all(status(daemon, link) == 200 for link in links)
            links.append(deposit(daemon))
            assert len(records(daemon)) == len(links) + 1
            is_whole(daemon)


@check("many packages are moved there and back under load, and the sums are the same")
def _(place):
    count = int(os.environ.get("PACKAGES", "5000"))
    daemon = place.daemon(drop_records="sqlite")
    with daemon:
        links = [deposit(daemon)]
    fill(daemon.drop / "drop.sqlite3", count)
    for to in WAYS:
        daemon.configure(**settings(place, to))
        with daemon, Load(daemon, links) as load:
            begun = time.monotonic()
            moved = daemon.run("drop", "migrate", seconds=1800)
            took = time.monotonic() - begun
            assert moved.returncode == 0, moved
            print(f"      {count} packages to {to}: {moved.stdout.decode().strip()} in {took:.1f} s; meanwhile {load.sent} messages were"
                  f" taken, {load.put_off} put off, {load.read} pages read, none failed", flush=True)
        with daemon:
            live = [one for one in json.loads(must(daemon, "drop", "list", "--json")) if one["state"] == "live"]
            assert len(live) == count + len(links), len(live)
            stored = daemon.metric("depollueur_drop_stored_bytes")
            assert stored == sum(one["bytes"] for one in live), stored
            is_whole(daemon)


def fill(database: Path, count: int):
    """Puts packages into the records, each with two files, as if they had been deposited; nobody has their links."""
    now = int(time.time())
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO package (id, created, expires, manifest, queue_id, sender, direction, recipients, files, bytes, cost)"
            " VALUES (?, ?, ?, ?, ?, ?, 'outgoing', 1, 2, 300000, 300000)",
            ((random.randbytes(16), now, now + 2_000_000, random.randbytes(400), f"4{n:X}", f"user{n % 800}@example.org") for n in range(count)))
        connection.execute("INSERT INTO file (package, position, number, size, fingerprint)"
                           " SELECT id, n.value, n.value, 150000, randomblob(32) FROM package, (SELECT 0 AS value UNION SELECT 1) AS n"
                           " WHERE id NOT IN (SELECT package FROM file)")
    connection.close()


@check("a move that is killed at any moment is typed again, and nothing is lost")
def _(place):
    chance = random.Random(1)
    daemon = place.daemon(drop_records="sqlite")
    links: list[str] = []
    with daemon:
        links += [deposit(daemon) for _ in range(3)]
    fill(daemon.drop / "drop.sqlite3", 2000)
    for to in WAYS:
        daemon.configure(**settings(place, to))
        with daemon:
            begun = time.monotonic()
            killed = 0
            for _ in range(12):
                process = subprocess.Popen(daemon.command("drop", "migrate"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    process.wait(chance.uniform(0.02, 0.3))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    killed += 1
                links.append(deposit(daemon))
            assert killed, f"no move was cut in {time.monotonic() - begun:.0f} s"
            must(daemon, "drop", "migrate")
            assert all(status(daemon, link) == 200 for link in links)
            lies_in(daemon, to)
            assert len(json.loads(must(daemon, "drop", "list", "--json"))) == 2000 + len(links)
            is_whole(daemon)


@check("nothing is moved into the records of another drop, by two at once, or beside a daemon that does not know of it")
def _(place):
    with place.daemon() as other:
        deposit(other)
    daemon = place.daemon(drop_records="sqlite")
    with daemon:
        link = deposit(daemon)
        daemon.configure(**settings(place, "postgresql"))
        early = daemon.run("drop", "migrate")
        assert early.returncode == 69 and b"Type first: systemctl restart depollueur" in early.stderr, early
    with daemon:
        foreign = daemon.run("drop", "migrate")
        assert foreign.returncode == 69 and b"has the records of another drop: nothing was moved there" in foreign.stderr, foreign
        assert status(daemon, link) == 200
        lies_in(daemon, "sqlite")
        holder = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); time.sleep(60)"
        held = subprocess.Popen([sys.executable, "-c", holder, str(daemon.drop / "drop.moving")], stdout=subprocess.PIPE)
        held.stdout.readline()
        second = daemon.run("drop", "migrate")
        held.kill()
        held.wait()
        assert second.returncode == 69 and b"another depollueur drop migrate" in second.stderr, second


@check("a daemon of before the move puts mail off and names the cause, and does not start again")
def _(place):
    daemon = place.daemon(drop_records="sqlite")
    with daemon:
        link = deposit(daemon)
    # Its address is another one, so that the command does not find it, as on another host.
    mover = place.daemon(drop_directory=str(daemon.drop), **settings(place, "postgresql"))
    with daemon:
        must(mover, "drop", "migrate")
        assert fate(daemon) == "put off"
        assert status(daemon, link) == 503
        assert "has no records any more, they were moved: write drop.records = where they are now" in daemon.log(), daemon.log()
    refused(daemon, "its records are in PostgreSQL")
    daemon.configure(**settings(place, "postgresql"))
    with daemon:
        assert status(daemon, link) == 200


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], CHECKS, None))
