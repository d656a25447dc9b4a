#!/usr/bin/env python3
"""Stories of the daemon in several processes over one drop: `depollueur milter`, `depollueur web`, and sweeps beside them.

    tests/e2e/split.py              all of them
    tests/e2e/split.py killed       those whose sentence contains a word
    tests/e2e/split.py --list

Whatever happens to the process that the public touches, mail goes on; whatever happens to the one that takes mail, links
work. Needs what stories.py needs, but no browser; and unshare, to take from the web process what its unit takes from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import Daemon, Lab, judge, port_is_open, wait_until  # noqa: E402
from stories import link_in, story  # noqa: E402

stories.STORIES.clear()

SIZE = 300_000


@contextlib.contextmanager
def running(lab: Lab, **settings):
    """The two processes of a daemon."""
    milter, web = lab.daemon(**settings).split()
    with milter, web:
        yield milter, web


def deposited(lab: Lab, daemon: Daemon) -> str:
    """The link in a message that was sent through the milter."""
    to = lab.address()
    lab.submit(m.report(to, SIZE), to)
    return link_in(lab.receive(to), daemon)


def metrics(daemon: Daemon) -> str:
    return daemon.admin("/metrics")[1].decode()


def sockets(daemon: Daemon) -> set[str]:
    """The addresses at which a process listens; of a unix socket, the directory."""
    inodes = set()
    for file in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(file))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
            found.add(f"127.0.0.1:{int(words[1].split(':')[1], 16)}")
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        # Those that accept connections; what they accepted has the same name.
        if len(words) == 8 and words[3] == "00010000" and f"socket:[{words[6]}]" in inodes:
            # It is bound under another name in the same directory, and renamed.
            found.add(f"unix:{Path(words[7]).parent}")
    return found


class SlowReaders:
    """Downloads that have begun, and take no further byte."""

    def __init__(self, web: Daemon, link: str, count: int):
        self.connections = []
        url = urllib.parse.urlsplit(link + "/1")
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", web.web_port), 20)
            connection.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
            assert connection.recv(16).startswith(b"HTTP/1.1 200"), "a download does not begin"
            self.connections.append(connection)

    def close(self):
        for connection in self.connections:
            connection.close()


@story("mail that one process takes is read through the other; each has its own sockets, threads and metrics alone")
def _(lab):
    with running(lab) as (milter, web):
        to = lab.address()
        lab.submit(m.report(to, SIZE), to)
        received = lab.receive(to)
        judge(web, m.report(to, SIZE), received)

        key = milter.settings
        assert sockets(milter) == {f"unix:{lab.milter.parent}", key["admin_listen"]}, sockets(milter)
        assert sockets(web) == {key["web_listen"], key["admin_web_listen"]}, sockets(web)
        named = {path.read_text().strip() for path in Path(f"/proc/{milter.process.pid}/task").glob("*/comm")}
        assert "mail" in named and not [name for name in named if name.startswith("web")], named
        named = {path.read_text().strip() for path in Path(f"/proc/{web.process.pid}/task").glob("*/comm")}
        assert "web" in named and not [name for name in named if name.startswith("mail")], named

        of_mail, of_web = metrics(milter), metrics(web)
        assert milter.metric("depollueur_detached_parts_total") == 1
        assert milter.metric("depollueur_drop_free_bytes") > 0
        assert web.metric("depollueur_downloads_total") >= 1
        for name in ("messages", "drop_stored", "milter_sessions", "spool_files"):
            assert f"depollueur_{name}" in of_mail and f"depollueur_{name}" not in of_web, name
        for name in ("downloads", "http_responses"):
            assert f"depollueur_{name}" in of_web and f"depollueur_{name}" not in of_mail, name
        for name in ("build_info", "config_last_reload_successful", "scans"):
            assert f"depollueur_{name}" in of_web and f"depollueur_{name}" in of_mail, name


@story("the web process killed in the middle of downloads harms no message, and links work when it is back")
def _(lab):
    with running(lab, detach_threshold=100_000) as (milter, web):
        # More than the buffers of a connection hold.
        to = lab.address()
        lab.submit(m.report(to, 30_000_000), to)
        link = link_in(lab.receive(to), milter)
        readers, stop, sent, failures = SlowReaders(web, link, 20), threading.Event(), [], []

        def load():
            while not stop.is_set():
                to = lab.address("load")
                try:
                    lab.submit(m.report(to, SIZE), to)
                    sent.append(to)
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(sent) > 3, "mail to go through")
            web.process.send_signal(signal.SIGKILL)
            web.wait()
            before = len(sent)
            wait_until(lambda: len(sent) > before + 5, "mail to go on")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            readers.close()
        assert not failures, failures[:3]
        assert not port_is_open(web.web_port)
        assert milter.admin("/readyz")[0] == 200
        web.start()
        for to in sent:
            assert web.get(link_in(lab.receive(to), web) + "/1")[2] == m.pdf(SIZE)


@story("the milter killed leaves links alive, and its mail is put off until it is back")
def _(lab):
    with running(lab) as (milter, web):
        link = deposited(lab, milter)
        milter.process.send_signal(signal.SIGKILL)
        milter.wait()
        assert web.get(link + "/1")[2] == m.pdf(SIZE)
        to = lab.address()
        assert stories.attempt(lab, m.report(to, SIZE), to) // 100 == 4, "mail is not put off"
        assert web.admin("/readyz")[0] == 200
        milter.start()
        assert web.get(deposited(lab, milter) + "/1")[2] == m.pdf(SIZE)


@story("one command has both processes read their configuration again, and each takes what is its own")
def _(lab):
    with running(lab, web_operator="Association Avant") as (milter, web):
        milter.configure(web_operator="Association Apres", detach_threshold=SIZE * 2)
        done = milter.run("reload", "--pid", web.process.pid)
        assert done.returncode == 0 and done.stdout.startswith(b"depollueur-web: reloaded: "), done
        to = lab.address()
        assert b"Association Apres" in web.get("https://drop.lab.test/")[2]
        assert deposited(lab, milter), "the milter has read it, too"
        done = milter.run("reload")
        assert done.returncode == 0, done
        first, second = done.stdout.decode().splitlines()
        assert first.startswith("depollueur-milter: reloaded: ") and "detach.threshold" in first, done
        assert second == "depollueur-web: reloaded: no value has changed that takes effect now", done
        lab.submit(m.report(to, SIZE), to)
        assert b"drop.lab.test" not in lab.receive(to)

        milter.configure(web_listen="127.0.0.1:1")
        done = milter.run("reload")
        assert done.returncode == 1, done
        for name in ("depollueur-milter", "depollueur-web"):
            said = f"{name}: web.listen changed, which needs a restart: systemctl restart {name}"
            assert said in done.stderr.decode(), done
        done = milter.run("reload", "--pid", "1")
        assert done.returncode == 69 and b"not the daemon" in done.stderr, done


@story("a process that does not answer is told by reload, and the other one reloads")
def _(lab):
    milter, web = lab.daemon().split()
    with web:
        done = web.run("reload")
        assert done.returncode == 69 and b"no daemon answers at admin.listen" in done.stderr, done
        assert done.stdout.startswith(b"depollueur-web: reloaded"), done
    with milter:
        done = milter.run("reload")
        assert done.returncode == 69 and b"no daemon answers at admin.web_listen" in done.stderr, done
        assert done.stdout.startswith(b"depollueur-milter: reloaded"), done


@story("what a command ends, the web process gives out no more, at once; and it brings it back")
def _(lab):
    with running(lab) as (milter, web):
        link, other = deposited(lab, milter), deposited(lab, milter)
        assert milter.run("drop", "revoke", link, "--reason", "x").returncode == 0
        assert [web.get(one)[0] for one in (link, other)] == [410, 200]
        assert milter.run("drop", "suspend", "--login", "alice", "--reason", "x").returncode == 0
        assert web.get(other)[0] == 410
        to = lab.address()
        lab.submit(m.report(to, SIZE), to)
        stories.check_untouched(lab, m.report(to, SIZE), lab.receive(to))
        assert milter.run("drop", "resume", "--login", "alice").returncode == 0
        assert web.get(other)[0] == 200
        assert web.get(deposited(lab, milter))[0] == 200


@story("two sweeps at once destroy each package once, beside both processes, and the milter tells when")
def _(lab):
    with running(lab, drop_expiry="2 seconds", drop_grace="0 seconds") as (milter, web):
        links = [deposited(lab, milter) for _ in range(10)]
        wait_until(lambda: all(web.get(link)[0] == 410 for link in links), "the links to expire", 30)
        with ThreadPoolExecutor(4) as pool:
            swept = list(pool.map(lambda _: milter.run("drop", "sweep"), range(4)))
        assert [done.returncode for done in swept] == [0] * 4, swept
        blobs = [path for path in (milter.drop / "blobs").rglob("*") if path.is_file()]
        assert not blobs, blobs
        entries = json.loads(milter.run("drop", "audit", "--json").stdout)
        destroyed = [entry["id"] for entry in entries if entry["action"] == "destroy"]
        assert len(destroyed) == len(set(destroyed)) == len(links), destroyed
        assert milter.run("drop", "audit", "--verify").returncode == 0
        # It looks at its start, and each minute.
        milter.stop()
        milter.start()
        wait_until(lambda: milter.metric("depollueur_sweep_last_success_timestamp_seconds") > 0, "the time of the sweep", 20)
        assert milter.metric("depollueur_sweep_held") == 0


@story("the web process gives out files where it can neither write them nor reach the milter's socket")
def _(lab):
    milter, web = lab.daemon().split()
    with milter:
        link = deposited(lab, milter)
        blobs = milter.drop / "blobs"
        closed = (f"mount --bind {blobs} {blobs} && mount -o remount,bind,ro {blobs} && "
                  f"mount -t tmpfs -o mode=0 none {lab.milter.parent}")
        web.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f'{closed} && exec "$@"', "sh"]
        with web:
            assert web.get(link + "/1")[2] == m.pdf(SIZE)
            assert web.get(link + "/all.zip")[0] == 200
            again = deposited(lab, milter)
            assert web.get(again + "/1")[2] == m.pdf(SIZE)
            assert web.metric("depollueur_downloads_total") == 3
            assert web.run("drop", "revoke", again).returncode == 0 and web.get(again)[0] == 410


@story("a process of its own takes over its own sockets alone")
def _(lab):
    with running(lab) as (milter, web):
        link = deposited(lab, milter)
        successor = web.twin()
        successor.start("--takeover", wait=False)
        wait_until(lambda: "ready: web at" in successor.log() and successor.log().count("ready: ") == 2, "the successor", 30)
        web.stop()
        assert successor.get(link + "/1")[2] == m.pdf(SIZE)
        assert deposited(lab, milter)
        successor.stop()


if __name__ == "__main__":
    sys.exit(stories.main())
