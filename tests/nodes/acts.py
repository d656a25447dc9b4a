"""What people do with packages while all runs: each is done from one host and must hold on every other, whatever fails meanwhile.

An act under faults may fail honestly, and is tried again; one that was answered must hold. Once more in calm, where it may not fail.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import random
import re
import smtplib
import socket
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import messages as m
from cluster import QUOTA, Cluster
from lab import PASSWORD, LabError, wait_until
from services import BASE, WEB, get

LINK = re.compile(BASE.encode() + rb"[a-z2-7]{26}")
NUMBERS = itertools.count(1)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Larger than what connections hold, and more than the pieces in which a bucket is read.
LARGE = 30_000_000
GONE = 410
HONEST = (OSError, http.client.HTTPException, LabError, smtplib.SMTPException, subprocess.TimeoutExpired)


class Undone(Exception):
    """An act could not be done: something refused honestly, or did not answer."""


class Slow:
    """A download that has begun, and takes no more until it is told."""

    def __init__(self, where: tuple[str, int], link: str):
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.connection.settimeout(20)
        self.connection.connect(where)
        path = link.removeprefix(BASE)
        self.connection.sendall(f"GET /{path}/1 HTTP/1.1\r\nHost: drop.lab.test\r\nConnection: close\r\n\r\n".encode())
        self.received = self.connection.recv(65536)
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise Undone(f"a download did not begin: {self.received[:40]!r}")

    def rest(self) -> int:
        """Takes what still comes. The length of all."""
        taken = len(self.received)
        try:
            while more := self.connection.recv(1 << 20):
                taken += len(more)
        except OSError:
            pass
        self.connection.close()
        return taken - self.received.find(b"\r\n\r\n") - 4


class Acts:
    """Does one act after the other from a thread of its own, until its `with` block ends; then `calm`, once each."""

    def __init__(self, cluster: Cluster, seed: int):
        self.cluster, self.dice = cluster, random.Random(seed)
        # What is wrong, by act.
        self.wrong: dict[str, list[str]] = {name: [] for name in ("revoke", "destroy", "block", "extend", "quota", "gone")}
        self.done: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        # Links that no host may serve again.
        self.gone: list[str] = []
        self.looks = 0
        self.seen: dict[str, bytes] = {}
        self.is_calm = False
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._work, self._watch)]
        self.calm_done: Counter[str] = Counter()
        self.verbs = {"revoke": self.revoke, "destroy": self.destroy, "block": self.block, "extend": self.extend,
                      "quota": self.quota}

    def __enter__(self) -> "Acts":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(180)

    def _work(self):
        for name in itertools.cycle(self.verbs):
            if self.ending.wait(0.2):
                return
            self._do(name)

    def _do(self, name: str):
        try:
            self.verbs[name]()
            self.done[name] += 1
        except (Undone, *HONEST) as why:
            self.undone[name] += 1
            self.reasons[f"{name}: {str(why)[:150]}"] += 1
            if self.is_calm:
                self.blame(name, f"in calm, {type(why).__name__}: {why}")
        except Exception as error:  # whatever it is, it is told
            self.blame(name, f"{type(error).__name__}: {error}")

    def blame(self, name: str, why: str):
        self.wrong[name].append(why)

    def calm(self):
        """Each act once, where nothing fails."""
        self.is_calm = True
        for name in self.verbs:
            before = self.done[name]
            self._do(name)
            self.calm_done[name] = self.done[name] - before

    def _watch(self):
        """What is gone stays gone, at each host and through the balancer."""
        while not self.ending.wait(0.3):
            if self.gone:
                link, where = self.dice.choice(self.gone), self.dice.choice(self.doors())
                try:
                    self.expect_gone(link, where)
                    self.looks += 1
                except HONEST:
                    pass

    # ---- what acts are made of

    def doors(self) -> list[tuple[str, int]]:
        webs = [(web.host.address, WEB) for web in self.cluster.webs]
        return [*webs, self.cluster.balancer.where]

    def status(self, where: tuple[str, int], link: str, what: str = "") -> int:
        return get(where, "/" + link.removeprefix(BASE) + what)[0]

    def expect_gone(self, link: str, where: tuple[str, int]) -> bool:
        """Whether it was told so; a server in trouble may not tell."""
        for what in ("", "/1", ".json"):
            status = self.status(where, link, what)
            if status == 200:
                self.blame("gone", f"{link}{what} is served at {where[0]}, and was ended before")
            elif status not in (GONE, 404) and status < 500:
                self.blame("gone", f"{link}{what} answers {status} at {where[0]}")
            elif status != GONE and (self.is_calm or status == 404):
                self.blame("gone", f"{link}{what} answers {status} at {where[0]}, not {GONE}")
        return True

    def end(self, link: str):
        """A link that was ended is gone at once and everywhere."""
        for where in self.doors():
            if self.is_calm:
                self.expect_gone(link, where)
                continue
            try:
                self.expect_gone(link, where)
            except HONEST:
                pass
        self.gone.append(link)

    def command(self, *words: object, seconds: float = 40) -> str:
        """A command of an admin on some host, again and again until it is done."""
        until = time.monotonic() + seconds
        while True:
            host = self.dice.choice(self.cluster.programs)
            done = host.command(*words)
            if done.returncode == 0:
                return done.stdout
            if self.is_calm or time.monotonic() > until or self.ending.is_set():
                raise Undone(f"{words[:2]} on {host.host.name} ended with {done.returncode}: {done.stderr[-300:]}")
            time.sleep(0.5)

    def send(self, login: str, message: bytes, to: str, host: str | None = None, seconds: float = 60) -> bytes:
        """Sends a message as a member does, or without a login as a stranger, again when it is put off; returns what arrives."""
        until = time.monotonic() + seconds
        ports = self.cluster.submission if login else self.cluster.ports
        names = [host] if host else list(ports)
        while True:
            try:
                with smtplib.SMTP(*ports[self.dice.choice(names)], timeout=40) as client:
                    client.ehlo()
                    if login:
                        client.login(login, PASSWORD)
                    client.sendmail(f"{login or 'zoe'}@lab.test", [to], message)
                break
            except (OSError, smtplib.SMTPException) as why:
                if time.monotonic() > until:
                    raise Undone(f"mail is put off: {why}") from None
                time.sleep(0.5)
        return wait_until(lambda: self.arrived(to), f"mail to {to}", 90)

    def arrived(self, to: str) -> bytes | None:
        new = self.cluster.acts / "new"
        for path in new.iterdir() if new.exists() else ():
            if path.name not in self.seen:
                with path.open("rb") as file:
                    found = re.search(rb"^Delivered-To: (.*)$", file.read(4096), re.M)
                self.seen[path.name] = found.group(1) if found else b""
            if self.seen[path.name] == to.encode():
                return path.read_bytes()
        return None

    def address(self) -> str:
        return f"act{next(NUMBERS)}@example.com"

    def deposit(self, size: int = 200_000) -> tuple[str, bytes]:
        """A link, and what is behind it. Mail may go out as it came while a store fails."""
        for _ in range(1 if self.is_calm else 5):
            to = self.address()
            data = m.pdf(size, self.dice.getrandbits(40))
            got = self.send(f"user{next(NUMBERS)}" if size <= QUOTA else "", self.mail(to, data), to)
            if found := LINK.search(got):
                return found.group().decode(), data
        raise Undone("mail goes out as it came")

    @staticmethod
    def mail(to: str, data: bytes) -> bytes:
        return m.message(m.multipart("mixed", m.TEXT, m.attachment(data)), to=to)

    # ---- the acts

    def revoke(self):
        """Ended by a command on one host, while one on another would have it live longer; sweeps, which run beside, destroy it."""
        link, _ = self.deposit()
        with ThreadPoolExecutor(1) as pool:
            host = self.dice.choice(self.cluster.programs)
            beside = pool.submit(host.command, "drop", "extend", "--until", "80 days", link)
            self.command("drop", "revoke", "--reason", "x", link)
            # Either it came first, or it is told that there is nothing to extend.
            beside.result()
        self.end(link)

    def destroy(self):
        """Downloads that run are ended, at both hosts and through the balancer."""
        link, _ = self.deposit(LARGE)
        slow = []
        for where in self.doors():
            try:
                slow.append((where, Slow(where, link)))
            except HONEST:
                if self.is_calm:
                    raise
        if not slow:
            raise Undone("no download began")
        self.command("drop", "revoke", "--destroy", "--reason", "x", link)
        for where, one in slow:
            taken = one.rest()
            if taken >= LARGE:
                self.blame("destroy", f"{link}: a download at {where[0]} went on to its end after it was destroyed")
        self.end(link)

    def block(self):
        """A file that is refused while it comes in at all hosts: no package holds it afterwards, and no mail sent later has a link to it."""
        link, data = self.deposit()
        digest = hashlib.sha256(data).hexdigest()
        mails = [(name, self.address()) for name in self.cluster.submission for _ in range(2)]
        with ThreadPoolExecutor(len(mails) + 1) as pool:
            racing = [pool.submit(self.send, f"user{to}", self.mail(to, data), to, name) for name, to in mails]
            self.command("drop", "block", digest, "--reason", "x")
            after = [(name, self.address()) for name in self.cluster.submission]
            later = [pool.submit(self.send, f"user{to}", self.mail(to, data), to, name) for name, to in after]
            before = [future.result() for future in racing]
            got = [future.result() for future in later]
        for (name, to), text in zip(after, got):
            if LINK.search(text):
                self.blame("block", f"{to}: sent through {name} after the file was blocked, and has a link to it")
        for text in before:
            if found := LINK.search(text):
                self.end(found.group().decode())
        self.end(link)
        listed = json.loads(self.command("drop", "list", "--state", "live", "--digest", digest, "--json"))
        if listed:
            self.blame("block", f"{len(listed)} live packages hold a file that is blocked")

    def extend(self):
        """Readers at both hosts and admins on two extend one package at once: the latest that was answered holds, everywhere."""
        link, _ = self.deposit()
        days = [self.dice.randint(65, 85) for _ in range(2)]
        pages = [(web.host.address, WEB) for web in self.cluster.webs]
        with ThreadPoolExecutor(4) as pool:
            clicks = [pool.submit(get, where, "/" + link.removeprefix(BASE) + "/extend", "POST", b"", FORM) for where in pages]
            hosts = self.dice.sample(self.cluster.programs, 2)
            told = [pool.submit(host.command, "drop", "extend", "--until", f"{n} days", link) for host, n in zip(hosts, days)]
            answers = [future.result() for future in told]
            clicked = [self.tried(future) for future in clicks]
        until = [found.group(1) for done in answers if done.returncode == 0
                 if (found := re.search(r"until (\S+)", done.stdout))]
        if self.is_calm and (not until or not any(one and one[0] == 303 for one in clicked)):
            self.blame("extend", f"{link}: nobody could extend: {clicked}, {[done.stderr for done in answers]}")
        if not until:
            raise Undone("no admin could extend")
        found = set()
        for where in pages:
            status, _, body = get(where, "/" + link.removeprefix(BASE) + ".json")
            if status != 200:
                raise Undone(f"the page answers {status}")
            found.add(json.loads(body)["expires"])
        if found != {max(until)}:
            self.blame("extend", f"{link}: extended until {sorted(until)}, and can be fetched until {sorted(found)}")

    @staticmethod
    def tried(future):
        try:
            return future.result()
        except HONEST:
            return None

    def quota(self):
        """One login sends through all hosts at once more than it may: only what was on its way may be too much; then no host takes more."""
        login, size = f"greedy{next(NUMBERS)}", 1_000_000
        data = [m.pdf(size, self.dice.getrandbits(40)) for _ in range(12)]
        names = list(self.cluster.submission)

        def stream(name: str, files: list[bytes]):
            for content in files:
                to = self.address()
                self.send(login, self.mail(to, content), to, name)
        with ThreadPoolExecutor(len(names)) as pool:
            streams = [pool.submit(stream, name, data[n::len(names)]) for n, name in enumerate(names)]
            for one in streams:
                one.result()
        taken = self.taken(login)
        most = QUOTA + len(names) * size
        if taken > most:
            self.blame("quota", f"{login} may deposit {QUOTA}, with what was on its way {most}, and has deposited {taken}")
        if taken + size <= QUOTA:
            if self.is_calm:
                self.blame("quota", f"{login} has deposited {taken} of {QUOTA} only: the act shows nothing")
            raise Undone("stores failed, the quota was not reached")
        for name in names:
            to = self.address()
            if LINK.search(self.send(login, self.mail(to, m.pdf(size, self.dice.getrandbits(40))), to, name)):
                self.blame("quota", f"{login} has used up its quota, and {name} takes more")

    def taken(self, login: str) -> int:
        """What the records say that a login has deposited."""
        query = f"SELECT coalesce(sum(cost), 0) FROM package WHERE login = '{login}'"
        try:
            return int(self.cluster.pair.ask(query)[0][0])
        except (LabError, IndexError) as why:
            raise Undone(f"the records could not be asked: {why}") from None
