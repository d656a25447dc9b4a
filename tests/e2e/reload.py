#!/usr/bin/env python3
"""Reloading the configuration of a daemon that real mail goes through.

Needs what stories.py needs, but no browser.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Daemon, Lab, free_port, port_is_open, wait_until  # noqa: E402

STORIES = []
RELOADED = "configuration reloaded"
REFUSED = "configuration not reloaded, the old one stays"


def story(sentence: str):
    """Registers a test; the sentence is what must hold."""
    def register(function):
        STORIES.append((sentence, function))
        return function
    return register


def reload(daemon: Daemon, says: str) -> str:
    """Sends SIGHUP and waits for the line that ends the reload; what was logged meanwhile."""
    before = len(daemon.log())
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: says in daemon.log()[before:], f"the log to say {says!r}", 20)
    return daemon.log()[before:]


def is_detached(lab: Lab, message: bytes) -> bool:
    to = lab.address()
    lab.submit(message, to)
    return b"drop.lab.test" in lab.receive(to)


@story("under load no message is refused, and the threshold changes from one message to the next")
def _(lab):
    message = m.report("x@example.com")  # its PDF has 300,000 bytes
    with lab.daemon(detach_threshold=100_000) as daemon:
        stop, failures, sent = threading.Event(), [], []

        def load():
            while not stop.is_set():
                to = lab.address("load")
                try:
                    lab.submit(message, to)
                    sent.append(to)
                except Exception as e:
                    failures.append(e)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for threshold in (400_000, 100_000, 500_000, 200_000):
                daemon.configure(detach_threshold=threshold)
                said = reload(daemon, RELOADED)
                assert "detach.threshold changed" in said, said
                assert is_detached(lab, message) == (threshold < 300_000), threshold
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures, failures[:3]
        assert len(sent) > 4, sent
        for to in sent:
            lab.receive(to)


@story("a session that is open takes the new configuration with its next message")
def _(lab):
    message = m.report("x@example.com")
    with lab.daemon(detach_threshold=100_000) as daemon, lab.smtp("submission", login="alice") as client:
        before, after = lab.address(), lab.address()
        client.sendmail("alice@lab.test", [before], message)
        daemon.configure(detach_threshold=400_000)
        reload(daemon, RELOADED)
        client.sendmail("alice@lab.test", [after], message)
        assert b"drop.lab.test" in lab.receive(before)
        assert b"drop.lab.test" not in lab.receive(after)


@story("a broken file is refused in one line that names key, line and value; the old values stay")
def _(lab):
    message = m.report("x@example.com")
    with lab.daemon(detach_threshold=400_000) as daemon:
        good = daemon.config.read_text()
        for bad, says in [
            (good + "[detach]\n", "depollueur.toml:"),
            (good.replace("threshold = 400000", 'threshold = "much"'), 'detach.threshold = "much"'),
            (good.replace("[notice]", "[notce]") + "\n[notce]\n", 'unknown key "notce"'),
        ]:
            daemon.config.write_text(bad)
            said = reload(daemon, REFUSED)
            assert says in said and len(said.splitlines()) == 1, said
            assert not is_detached(lab, message)
        daemon.config.unlink()
        assert "could not read configuration" in reload(daemon, REFUSED)
        daemon.configure(detach_threshold=100_000)
        reload(daemon, RELOADED)
        assert is_detached(lab, message)


@story("changed listeners and a changed drop are named and wait for a restart; the rest takes effect")
def _(lab):
    message = m.report("x@example.com")
    with lab.daemon(detach_threshold=400_000) as daemon:
        other, elsewhere = free_port(), daemon.directory / "elsewhere"
        daemon.configure(web_listen=f"127.0.0.1:{other}", drop_directory=str(elsewhere),
                         detach_threshold=100_000)
        said = reload(daemon, RELOADED)
        for key in ("web.listen", "drop.directory"):
            assert f"{key} has changed, which needs a restart" in said, said
        assert is_detached(lab, message)
        assert port_is_open(daemon.web_port) and not port_is_open(other)
        assert not elsewhere.exists()


@story("pages follow a reload, on a connection that is kept open too")
def _(lab):
    with lab.daemon(web_operator="Association Avant") as daemon:
        connection = socket.create_connection(("127.0.0.1", daemon.web_port), 20)

        def home() -> bytes:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"</html>" not in answer:
                answer += connection.recv(65536)
            return answer

        assert b"Association Avant" in home()
        daemon.configure(web_operator="Association Apres")
        reload(daemon, RELOADED)
        assert b"Association Apres" in home()
        connection.close()


@story("the log tells more from a reload on")
def _(lab):
    with lab.daemon() as daemon:
        urllib.request.urlopen(f"http://127.0.0.1:{daemon.web_port}/").read()
        assert "DEBUG" not in daemon.log()
        daemon.configure(log_level="debug")
        reload(daemon, "log.level changed")
        urllib.request.urlopen(f"http://127.0.0.1:{daemon.web_port}/").read()
        wait_until(lambda: "DEBUG" in daemon.log(), "a line at debug", 20)


@story("the service manager hears when a reload begins and ends, well or not")
def _(lab):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "notify"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(str(path))
        manager.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = str(path)
        daemon = lab.daemon()
        try:
            daemon.start(wait=False)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        with Started(daemon):
            assert told(manager) == "READY=1\n"
            for text, says in ((daemon.config.read_text(), RELOADED), ("broken", REFUSED)):
                daemon.config.write_text(text)
                before = time.monotonic_ns() // 1000
                reload(daemon, says)
                began = told(manager).splitlines()
                assert began[0] == "RELOADING=1", began
                stamp = int(began[1].removeprefix("MONOTONIC_USEC="))
                assert before <= stamp <= time.monotonic_ns() // 1000
                assert told(manager) == "READY=1\n"


def told(manager: socket.socket) -> str:
    """What the service manager hears next, but for how things stand, which comes at any time."""
    while (said := manager.recv(4096).decode()).startswith("STATUS="):
        pass
    return said


class Started:
    """Ends a daemon that was started by hand."""

    def __init__(self, daemon: Daemon):
        self.daemon = daemon

    def __enter__(self):
        return self.daemon

    def __exit__(self, *error):
        self.daemon.__exit__(*error)


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    passed = failed = 0
    with Lab() as lab:
        for sentence, function in STORIES:
            if not all(word in sentence for word in words):
                continue
            try:
                function(lab)
                passed += 1
                print(f"ok    {sentence}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {sentence}\n{traceback.format_exc()}", flush=True)
                for daemon in list(lab._daemons):
                    daemon.kill()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
