#!/usr/bin/env python3
"""Stories of two hosts: a milter whose store is the drop of another daemon, through a real Postfix.

    tests/e2e/remote.py             all of them
    tests/e2e/remote.py killed      those whose sentence contains a word
    tests/e2e/remote.py --list

Whatever goes wrong between the two, the mail goes out as it came (or the sender is told to try again,
if so configured), nothing is lost, and nothing is left in the drop after its sweep. What the real
daemon cannot be made to do, a relay between the two does: it cuts, hangs, slows down, flips a bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import Lab, free_port, wait_until  # noqa: E402
from stories import (NotHere, check_rewritten, check_untouched, link_in, refused_with, story)  # noqa: E402

stories.STORIES.clear()


def leftovers(daemon) -> set[str]:
    """The files of packages in a drop, committed or not."""
    kinds = [daemon.drop / "blobs", daemon.drop / "drafts"]
    return {str(p.relative_to(daemon.drop)) for kind in kinds for p in kind.rglob("*") if p.is_file()}


class Relay:
    """Passes connections on to a port. `up` and `down` see each piece of data, may change it, may wait,
    and cut the connection by returning None."""

    def __init__(self, target: int, up=None, down=None):
        self.target, self.up, self.down = target, up, down
        self.tls = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.tls:
                try:
                    client = self.tls.wrap_socket(client, server_side=True)
                except OSError:
                    continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            seen: dict = {}
            for source, sink, change in ((client, server, self.up), (server, client, self.down)):
                threading.Thread(target=self._pass, args=(source, sink, change, seen), daemon=True).start()

    @staticmethod
    def _pass(source, sink, change, seen):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                data = change(data, seen) if change else data
                if data is None:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


class Hosts:
    """A drop host and a milter host; the relay stands between them."""

    def __init__(self, lab: Lab, *, up=None, down=None, quota=None, **settings):
        self.lab = lab
        self.deposit_port = free_port()
        self.drop = lab.daemon(deposit_listen=f"127.0.0.1:{self.deposit_port}",
                               web_public_url="https://far.lab.test/")
        self.drop.configure(milter_listen=f"unix:{self.drop.directory}/milter.sock")
        self.relay = Relay(self.deposit_port, up, down)
        self.settings, self.quota, self.starts = settings, quota, 1

    def __enter__(self):
        self.drop.start()
        quota = ["--quota-per-day", self.quota] if self.quota else []
        added = self.drop.run("drop", "token", "add", "mx1", *quota)
        assert added.returncode == 0, added.stderr.decode()
        token = self.drop.directory / "token"
        token.write_bytes(added.stdout)
        token.chmod(0o600)
        self.milter = self.lab.daemon(store_kind="remote", remote_url=f"http://127.0.0.1:{self.relay.port}/",
                                      remote_token_file=str(token), **self.settings)
        self.milter.start(wait=False)
        wait_until(lambda: self.lab.milter.exists() and "ready" in self.milter.log(), "the milter", 30)
        return self

    def __exit__(self, kind, *_):
        self.relay.close()
        for daemon in (self.milter, self.drop):
            daemon.__exit__(kind)

    def over_tls(self, directory: Path) -> Path:
        """From here on the relay speaks TLS; the certificate of its authority is returned."""
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
        key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=lab authority")
        openssl("req", *key[:-2], "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=drop")
        (directory / "names").write_text("subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "names", "-out", "cert.pem")
        self.relay.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.relay.tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        return directory / "ca.pem"

    def restart_milter(self, **settings):
        self.milter.stop()
        self.milter.configure(**settings)
        self.milter.start(wait=False)
        self.starts += 1
        wait_until(lambda: self.milter.log().count(" ready: ") == self.starts, "the milter", 30)

    def mail(self, size: int = 1_000_000) -> tuple[bytes, str]:
        to = self.lab.address()
        return m.report(to, size), to

    def goes_untouched(self, size: int = 1_000_000, word: str = "could not detach"):
        message, to = self.mail(size)
        self.lab.submit(message, to)
        check_untouched(self.lab, message, self.lab.receive(to))
        assert self.lab.received_count(to) == 1
        assert word in self.milter.log(), f"{word!r} is not in the log:\n{self.milter.log()}"

    def goes_rewritten(self, size: int = 1_000_000):
        message, to = self.mail(size)
        self.lab.submit(message, to)
        check_rewritten(self.drop, message, self.lab.receive(to), {"report.pdf": m.pdf(size)})
        assert self.lab.received_count(to) == 1

    def nothing_is_left(self, but: int = 0):
        wait_until(lambda: len(leftovers(self.drop)) == but, f"{but} files, not {leftovers(self.drop)}", 30)

    def nothing_is_left_after_a_sweep(self):
        """As the sweeper would find it in two hours."""
        for path in (self.drop.drop / "drafts").iterdir():
            os.utime(path, (0, 0))
        swept = self.drop.run("drop", "sweep")
        assert swept.returncode == 0, swept.stderr
        assert not leftovers(self.drop), leftovers(self.drop)


def once(action):
    """Calls `action` in the first piece of data for which it is due, and never again."""
    done = []
    turn = threading.Lock()

    def call(data, seen):
        with turn:
            if not done and action(data, seen):
                done.append(True)
        return data
    return call


@story("two hosts: the files of a mail go to the drop of the other one, whose link stands in it")
def _(lab):
    with Hosts(lab) as hosts:
        hosts.goes_rewritten()
        hosts.goes_rewritten(20_000_000)
        assert hosts.milter.admin("/readyz")[0] == 200
        assert not leftovers(hosts.milter), "the milter's own drop is not empty"
        hosts.nothing_is_left(but=2)
        listed = hosts.drop.run("drop", "token", "list", "--json").stdout
        assert b'"bytes_today":21000000' in listed, listed
        assert "far.lab.test" not in hosts.milter.log() + hosts.drop.log(), "a link stands in a log"


@story("two hosts: over TLS, with an authority that is trusted, and with one that is not")
def _(lab):
    with Hosts(lab) as hosts:
        authority = hosts.over_tls(hosts.drop.directory)
        url = f"https://127.0.0.1:{hosts.relay.port}/"
        hosts.restart_milter(remote_url=url, remote_ca_file=str(authority))
        hosts.goes_rewritten()
        hosts.restart_milter(remote_ca_file="")
        hosts.goes_untouched(word="certificate")
        hosts.nothing_is_left(but=1)


@story("two hosts: a rule sends the files of one partner to the other drop, all others stay; no drop stands in for it")
def _(lab):
    with Hosts(lab) as hosts:
        hosts.milter.stop()
        hosts.milter.configure(store_kind="embedded")
        hosts.milter.config.write_text(hosts.milter.config.read_text() + '[[rule]]\nname = "far"\n'
                                       'recipient = "@partner.example"\nstore = "remote"\n')
        hosts.milter.start(wait=False)
        wait_until(lambda: hosts.milter.log().count("ready: ") == 2, "the milter", 30)
        assert hosts.milter.admin("/readyz")[0] == 200
        for to, drop, files in (("zoe@partner.example", hosts.drop, m.report), (lab.address(), hosts.milter, m.report)):
            message = files(to)
            lab.submit(message, to)
            check_rewritten(drop, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert len(leftovers(hosts.drop)) == 1 and len(leftovers(hosts.milter)) == 1
        hosts.drop.stop()
        hosts.relay.close()
        message = m.report("yann@partner.example")
        lab.submit(message, "yann@partner.example")
        check_untouched(lab, message, lab.receive("yann@partner.example"))
        assert len(leftovers(hosts.milter)) == 1, "it went to the wrong drop"
        wait_until(lambda: hosts.milter.admin("/readyz")[0] == 503, "the milter to say that a store is down", 20)


@story("two hosts: a token that everybody can read, or that is missing, is named in one line, exit code 69")
def _(lab):
    token = lab.dir / "open-token"
    token.write_text("dpl_x")
    token.chmod(0o644)
    for path in (token, lab.dir / "no-token"):
        stories.fails(stories.alone(lab, store_kind="remote", remote_url="https://drop.lab.test/",
                                    remote_public_url="https://drop.lab.test/",
                                    remote_token_file=str(path)), 69, str(path))


@story("two hosts: depollueur rewrite --deposit uses the other one's drop too, and leaves nothing when it fails")
def _(lab):
    with Hosts(lab) as hosts:
        message, _ = hosts.mail()
        rewritten = hosts.milter.run("rewrite", "--deposit", data=message)
        assert rewritten.returncode == 0 and b"https://far.lab.test/" in rewritten.stdout
        hosts.nothing_is_left(but=1)


@story("two hosts: the drop is down: the mail goes out untouched, and is rewritten when the drop is back")
def _(lab):
    with Hosts(lab) as hosts:
        hosts.drop.stop()
        hosts.goes_untouched(word="could not reach drop")
        assert hosts.milter.admin("/readyz")[0] == 503
        hosts.drop.start()
        hosts.goes_rewritten()
        hosts.nothing_is_left(but=1)


@story("two hosts: the drop is down and on_failure is tempfail: the client is told 451")
def _(lab):
    with Hosts(lab, detach_on_failure="tempfail") as hosts:
        hosts.drop.stop()
        message, to = hosts.mail()
        refused_with(451, lambda: lab.submit(message, to))
        hosts.drop.start()
        lab.submit(message, to)
        check_rewritten(hosts.drop, message, lab.receive(to), {"report.pdf": m.pdf(1_000_000)})


@story("two hosts: the drop is killed in the middle of a file: the mail goes out untouched")
def _(lab):
    def kill(data, seen):
        seen["up"] = seen.get("up", 0) + len(data)
        if seen["up"] < 2_000_000:
            return False
        hosts.drop.kill()
        return True
    with Hosts(lab, up=once(kill)) as hosts:
        hosts.goes_untouched(5_000_000)
        hosts.drop.start()
        hosts.nothing_is_left_after_a_sweep()
        hosts.goes_rewritten()


@story("two hosts: the drop restarts between the file and the commit: the mail goes out untouched")
def _(lab):
    def restart(data, seen):
        if b'"sha256"' not in data:
            return False
        # The file is durable over there; the milter hears of it when the drop is back.
        hosts.drop.stop()
        hosts.drop.start()
        return True
    with Hosts(lab, down=once(restart)) as hosts:
        hosts.goes_untouched(word="(404)")
        hosts.nothing_is_left()
        hosts.goes_rewritten()


@story("two hosts: a token that was removed: 401, the mail goes out untouched")
def _(lab):
    with Hosts(lab) as hosts:
        assert hosts.drop.run("drop", "token", "remove", "mx1").returncode == 0
        hosts.goes_untouched(word="refused (401)")
        hosts.nothing_is_left()
        assert "a deposit was refused" in hosts.drop.log()


@story("two hosts: the quota is used up in the middle of a file: 507, the mail goes out untouched")
def _(lab):
    with Hosts(lab, quota="3 MB") as hosts:
        hosts.goes_rewritten(2_000_000)
        hosts.goes_untouched(2_000_000, word="refused (507)")
        hosts.nothing_is_left(but=1)
        hosts.goes_rewritten(900_000)


@story("two hosts: the drop's disk is full: 507, the mail goes out untouched")
def _(lab):
    hosts = Hosts(lab)
    hosts.drop.configure(quota_free_space_min=0, quota_free_inodes_min=0)
    hosts.drop.drop.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", hosts.drop.drop],
                             capture_output=True)
    if mounted.returncode:
        raise NotHere("mount(8) is not permitted")
    try:
        with hosts:
            hosts.goes_untouched(5_000_000, word="refused (507)")
            hosts.nothing_is_left()
            hosts.goes_rewritten(500_000)
    finally:
        hosts.drop.kill()
        subprocess.run(["umount", "-l", hosts.drop.drop], check=True)


@story("two hosts: the drop hangs: the mail is held up no longer than milter.deadline, and goes out untouched")
def _(lab):
    with Hosts(lab, milter_deadline="3 s") as hosts:
        os.kill(hosts.drop.process.pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            message, to = hosts.mail()
            lab.submit(message, to)
            assert time.monotonic() - begun < 20
        finally:
            os.kill(hosts.drop.process.pid, signal.SIGCONT)
        check_untouched(lab, message, lab.receive(to))
        hosts.nothing_is_left()
        hosts.goes_rewritten()


@story("two hosts: a drop that takes nothing of a file is given up after remote.timeout")
def _(lab):
    released = threading.Event()

    def stop(data, seen):
        seen["up"] = seen.get("up", 0) + len(data)
        if seen["up"] > 1_000_000:
            released.wait(60)
        return data
    with Hosts(lab, up=stop, remote_timeout="1 s") as hosts:
        hosts.goes_untouched(20_000_000, word="did nothing for 1 s")
        released.set()
        hosts.nothing_is_left()


@story("two hosts: a slow drop slows the mail down, and takes it all the same")
def _(lab):
    def slow(data, seen):
        time.sleep(len(data) / 3_000_000)
        return data
    with Hosts(lab, up=slow) as hosts:
        hosts.goes_rewritten(5_000_000)


@story("two hosts: a bit flips on the way: the mail goes out untouched")
def _(lab):
    flipped = threading.Event()

    def flip(data, seen):
        seen["up"] = seen.get("up", 0) + len(data)
        if seen["up"] < 500_000 or flipped.is_set():
            return data
        flipped.set()
        at = data.index(b"%") if b"%" in data else len(data) // 2
        # The PDF of the tests is random: one byte of it, not of a chunk's length in front.
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    with Hosts(lab, up=flip) as hosts:
        hosts.goes_untouched(2_000_000)
        assert "did not receive a file as it was sent" in hosts.milter.log() or \
            "refused (400)" in hosts.milter.log(), hosts.milter.log()
        hosts.nothing_is_left()


@story("two hosts: the answer to a commit is lost: it is asked for again, and there is one package")
def _(lab):
    cut = threading.Event()

    def lose(data, seen):
        if b'"created"' in data and not cut.is_set():
            cut.set()
            return None
        return data
    with Hosts(lab, down=lose) as hosts:
        hosts.goes_rewritten()
        assert cut.is_set()
        hosts.nothing_is_left(but=1)


@story("two hosts: the answer to a commit never comes: the mail goes out untouched, the package is taken back")
def _(lab):
    swallowed = threading.Event()

    def swallow(data, seen):
        if b'"created"' in data:
            swallowed.set()
            return b""
        return data
    with Hosts(lab, down=swallow, remote_timeout="2 s") as hosts:
        hosts.goes_untouched(word="did nothing for 2 s")
        assert swallowed.is_set()
        hosts.nothing_is_left()
        assert "taken back" in hosts.drop.log()


@story("two hosts: a link that leads elsewhere does not get into mail, and the log says where it leads")
def _(lab):
    with Hosts(lab, remote_public_url="https://drop.lab.test/") as hosts:
        hosts.goes_untouched(word='its link begins with "https://far.lab.test/" and not with remote.public_url = "https://drop.lab.test/"')
        hosts.nothing_is_left()
        hosts.restart_milter(remote_public_url="https://far.lab.test/")
        hosts.goes_rewritten()


@story("two hosts: where no address is pinned, a link without https, with a user, or of 50,000 bytes does not get into mail")
def _(lab):
    base, now = b"https://far.lab.test/", []

    def change(data, seen):
        """The answers have their lengths: a link that is longer or shorter is made up for in the header."""
        if base not in data:
            return data
        head, body = data.replace(base, now[0]).split(b"\r\n\r\n", 1)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        return b"\r\n".join([*lines, b"content-length: %d" % len(body)]) + b"\r\n\r\n" + body
    with Hosts(lab, down=change) as hosts:
        for link, word in ((b"http://far.lab.test/", "it must be https, or remote.allow_http must be true"),
                           (b"https://far.lab.test@evil.lab.test/", "its link is not one of this package"),
                           (b"https://far.lab.test/" + 50_000 * b"a" + b"/", "its link has 50048 bytes, more than 400")):
            now[:] = [link]
            hosts.goes_untouched(word=word)
        hosts.nothing_is_left()
        now[:] = [base]
        hosts.goes_rewritten()


@story("two hosts: by the name of its token all that it deposited is found, revoked and taken down, and nothing else")
def _(lab):
    def package(by: str) -> str:
        message, to = hosts.mail()
        hosts.lab.submit(message, to)
        link = link_in(lab.receive(to), hosts.drop)
        shown = json.loads(told("drop", "show", link, "--json"))
        assert (shown["uploader"], shown["login"]) == (by, "alice"), shown
        return link

    def told(*words: str) -> str:
        done = hosts.drop.run(*words)
        assert done.returncode == 0, done
        return done.stdout.decode()

    with Hosts(lab) as hosts:
        first = package("mx1")
        token = hosts.milter.directory / "token"
        token.write_text(told("drop", "token", "add", "mx2"))
        token.chmod(0o600)
        hosts.restart_milter(remote_token_file=str(token))
        second = package("mx2")
        for uploader in ("mx1", "mx2"):
            found = json.loads(told("drop", "list", "--uploader", uploader, "--json"))
            assert [one["uploader"] for one in found] == [uploader], found
            assert f" uploader={uploader}\n" in told("drop", "audit"), told("drop", "audit")
        told("drop", "revoke", "--uploader", "mx1", "--reason", "stolen token")
        assert [hosts.drop.get(link)[0] for link in (first, second)] == [410, 200]
        told("drop", "restore", "--uploader", "mx1")
        assert [hosts.drop.get(link)[0] for link in (first, second)] == [200, 200]
        assert "mx2" in told("drop", "takedown", "--uploader", "mx2", "--reason", "case 1", "--answer", "en")
        assert [hosts.drop.get(link)[0] for link in (first, second)] == [200, 410]


@story("two hosts: who has no token is cut in the middle of what it sends, within seconds")
def _(lab):
    with Hosts(lab) as hosts, socket.create_connection(("127.0.0.1", hosts.deposit_port)) as stranger:
        stranger.settimeout(30)
        stranger.sendall(b"PUT /v1/packages/00112233445566778899aabbccddeeff/files/0 HTTP/1.1\r\nHost: drop\r\n"
                         b"Authorization: Bearer dpl_" + 43 * b"A" + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        begun = time.monotonic()
        try:
            while time.monotonic() < begun + 30:
                stranger.sendall(b"1\r\nx\r\n")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() < begun + 30, "a stranger holds a connection of uploaders"
        hosts.goes_rewritten()


@story("two hosts: what answers is no drop: the mail goes out untouched")
def _(lab):
    answers = {
        "makes no sense": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
        "refused (302)": b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
        "could not reach drop": b"220 mail.example.org ESMTP\r\n",
        "did nothing for 2 s": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
    }
    now = []

    def answer(data, seen):
        return now[0]
    with Hosts(lab, down=answer, remote_timeout="2 s") as hosts:
        for word, text in answers.items():
            now[:] = [text]
            hosts.goes_untouched(word=word)


if __name__ == "__main__":
    sys.exit(stories.main())
