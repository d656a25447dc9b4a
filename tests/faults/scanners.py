"""Scenarios: the virus scanner is down, hangs, breaks off, or says what is no verdict."""

from __future__ import annotations

import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

from lab import wait_until
from remote import Relay
from scan import Clamd, scans
from trial import scenario, supervised

MODES = ("reset", "mute", "garbage", "half", "hung", "killed")


class Wire:
    """What happens between the daemon and clamd at the moment."""

    def __init__(self):
        self.mode = "ok"

    def up(self, data: bytes, seen: dict) -> bytes | None:
        return None if self.mode == "reset" else data

    def down(self, data: bytes, seen: dict) -> bytes | None:
        """A verdict is `stream: OK` and a NUL."""
        changed = {"reset": None, "mute": b"", "garbage": b"stream: NOT OK\0", "half": data[:-1] or None}
        return changed.get(self.mode, data)


class Scanner:
    """Debian's clamd behind a wire that does as it is told."""

    def __init__(self, clamd: Clamd):
        self.clamd, self.wire = clamd, Wire()
        self.relay = Relay(clamd.port, up=self.wire.up, down=self.wire.down)
        self.address = f"inet:127.0.0.1:{self.relay.port}"

    @contextmanager
    def in_trouble(self, mode: str):
        if mode == "killed":
            self.clamd.kill()
            yield
            self.clamd.__enter__()
        elif mode == "hung":
            self.clamd.signal(signal.SIGSTOP)
            yield
            self.clamd.signal(signal.SIGCONT)
        else:
            self.wire.mode = mode
            yield
            self.wire.mode = "ok"


@contextmanager
def scanner():
    with tempfile.TemporaryDirectory(prefix="depollueur-clamd-") as place:
        Path(place).chmod(0o755)
        with Clamd(Path(place) / "clamd") as clamd:
            made = Scanner(clamd)
            try:
                yield made
            finally:
                made.relay.close()


def tormented(t, daemon, load, made: Scanner, during):
    """Each trouble hits at least one scan, and mail is rewritten as before when it is over."""
    for _ in range(t.times(1, 6)):
        for mode in MODES:
            before = scans(daemon)["failed"]
            with made.in_trouble(mode):
                during()
                wait_until(lambda before=before: scans(daemon)["failed"] > before, f"a scan to fail ({mode})", 60)
            hit = scans(daemon)["failed"] - before
            t.figures[f"scans_{mode}"] = t.figures.get(f"scans_{mode}", 0) + hit
            load.wait_accepted(2, heavy=True)


@scenario("whatever becomes of clamd mail is put off, none goes out as it came, and what is stored was scanned")
def put_off(t):
    with scanner() as made, supervised(t.daemon(scan_clamd=[made.address], scan_timeout="1 s")) as daemon, t.load() as load:
        load.wait_accepted(3, heavy=True)
        tormented(t, daemon, load, made, lambda: load.wait_tries(t.times(6, 20)))
        load.stop()
        found = scans(daemon)
        assert found["clean"] and not found["oversize"] and not found["infected"], found
        assert "deposited unscanned" not in daemon.log()
        t.settle(load, daemon)
        assert t.figures["put_off"], "the fault hit no message"


@scenario("with on_failure deliver, mail goes out as it came while clamd gives no verdict, and none is put off", short=False)
def delivered(t):
    settings = {"scan_timeout": "1 s", "scan_on_failure": "deliver"}
    with scanner() as made, supervised(t.daemon(scan_clamd=[made.address], **settings)) as daemon, t.load() as load:
        load.wait_accepted(3, heavy=True)
        tormented(t, daemon, load, made, lambda: load.wait_accepted(t.times(3, 10), heavy=True))
        load.stop()
        t.settle(load, daemon, let_through=True, put_off_allowed=False)
        assert t.figures["let_through"], "the fault hit no message"
