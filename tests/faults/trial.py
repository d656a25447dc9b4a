"""A trial: a scenario with its own Postfix, a load, a daemon that is in trouble, and the account at the end."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import stored  # noqa: E402
from account import Account, counts, drain  # noqa: E402
from lab import Daemon, Lab, wait_until  # noqa: E402
from letters import THRESHOLD  # noqa: E402
from load import Load  # noqa: E402
from machine import Shim, Unavailable  # noqa: E402
from reader import Reader  # noqa: E402

SCENARIOS: list[tuple[str, bool, object]] = []
# Past every expiry and grace period, in seconds.
LATER = 600 * 86_400
# Messages a second of a load in the short selection.
SHORT_RATE = 10


def scenario(sentence: str, *, short: bool = True):
    """Registers a scenario; the sentence is what must hold. Those that are not short run with --long, or when named."""
    def register(function):
        SCENARIOS.append((sentence, short, function))
        return function
    return register


class Trial:
    """What a scenario works with."""

    def __init__(self, lab: Lab, judges, *, long: bool, seed: int = 1):
        self.lab, self.judges, self.long = lab, judges, long
        self.dice = random.Random(seed)
        self.seed = seed
        self.figures: dict = {}
        # Whether another trial can use the lab, and what earlier ones left in it.
        self.lab_is_as_before = True
        self.older = set(lab.dir.glob("daemon-*"))
        # Loads beside the main one.
        self.others: list[Load] = []
        self.readers: list[Reader] = []

    def times(self, short: int, long: int) -> int:
        return long if self.long else short

    def daemon(self, **settings) -> Daemon:
        """Not started yet."""
        return self.lab.daemon(**{"detach_threshold": THRESHOLD, "detach_directions": "both", "notice_language": "en",
                                  "quota_free_space_min": 0, "quota_free_inodes_min": 0, **settings})

    def shim(self, daemon: Daemon) -> Shim:
        """A disk and a clock for this daemon that do as they are told; `settle` does without them."""
        if not shutil.which("cc"):
            raise Unavailable("there is no C compiler")
        shim = Shim(daemon.directory / "shim", daemon.drop)
        daemon.prefix = shim.prefix
        return shim

    def load(self, **settings) -> Load:
        """The short selection is not for speed: what it sends must be judged, too."""
        return Load(self.lab, seed=self.seed, **{"rate": None if self.long else SHORT_RATE, **settings})

    @contextmanager
    def reader(self, daemon: Daemon):
        """Opens the links of what arrives, all the time until `settle`; fails when one gave something wrong."""
        with Reader(self.lab.maildir, daemon, self.seed) as reader:
            self.readers.append(reader)
            yield reader
        self.figures.update({f"reader_{name}": count for name, count in reader.counts.items()})
        blame(reader.wrong)

    def settle(self, load: Load, daemon: Daemon, *, store: Daemon | None = None, **allowed):
        """Accounts for all that the load sent, after a clean restart of where its links lead: `store`, or `daemon`.

        Then looks at what is stored. What is allowed: see `account`.
        """
        store = store or daemon
        for reader in self.readers:
            reader.stop()
        self.figures["load_s"] = round(load.ended_at - load.begun_at, 1)
        self.idle(daemon)
        self.restart_clean(store)
        blame(self.account(load, store, **allowed) + self.check_store(store))

    def account(self, load: Load, store: Daemon, *, let_through=False, refused_allowed=False,
                put_off_allowed=True, postfix_killed=False) -> list[str]:
        """What is wrong with what became of all that the load sent; `store` serves its links.

        With `let_through` messages may go out as they came because the store failed.
        """
        letters, begun = load.letters, time.monotonic()
        wrong = drain(self.lab)
        account = Account(self.lab.maildir, self.judges, base=store.settings["web_public_url"],
                          web_port=store.web_port)
        account.know(letters)
        wrong += account.close(refused_allowed=refused_allowed, postfix_killed=postfix_killed)
        self.figures.update(counts(letters, account))
        self.figures["account_s"] = round(time.monotonic() - begun, 1)
        if not let_through:
            wrong += [f"{account.name(to)} went out as it came" for to in account.let_through]
        if not put_off_allowed:
            wrong += [f"number {x.number} ({x.kind}) was put off: {x.put_off[0]}" for x in letters if x.put_off]
        if not account.how["rewritten"]:
            wrong.append("nothing was rewritten: the trial shows nothing")
        return wrong

    def idle(self, daemon: Daemon):
        """Nothing of a message may be left in a daemon that has none."""
        for name in ("depollueur_messages_in_work", "depollueur_spool_files", "depollueur_spool_bytes"):
            wait_until(lambda name=name: daemon.metric(name) == 0, f"{name} to be 0", 60)

    def restart_clean(self, daemon: Daemon):
        daemon.stop()
        daemon.prefix, daemon.pass_fds = [], ()
        daemon.start()

    def check_store(self, daemon: Daemon) -> list[str]:
        """What is wrong in a drop whose messages are all delivered: after a sweep, and after one past all grace."""
        daemon.stop()
        stored.age(daemon.drop)
        wrong = self.swept(daemon, [])
        self.figures["blobs"] = len(stored.blobs(daemon.drop))
        shim = Shim(daemon.directory / "later", daemon.drop)
        shim.clock(LATER)
        wrong += self.swept(daemon, shim.prefix)
        left = stored.blobs(daemon.drop)
        if left:
            wrong.append(f"{len(left)} blobs outlive their expiry and their grace")
        return wrong

    def swept(self, daemon: Daemon, prefix: list[str]) -> list[str]:
        command = [*prefix, *daemon.command("drop", "sweep", "--trust-clock")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            return [f"drop sweep ends with {done.returncode}: {done.stderr}"]
        return stored.disagreements(daemon.drop)


def blame(wrong: list[str]):
    """Fails when something is wrong."""
    if wrong:
        more = f"\n… and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise AssertionError(f"{len(wrong)} wrong:\n" + "\n".join(wrong[:20]) + more)


@contextmanager
def supervised(daemon: Daemon, *, alive: bool = False):
    """Starts a daemon, and ends it by force when the trial fails. `alive`: it need not be ready."""
    daemon.start(wait=not alive)
    if alive:
        wait_alive(daemon)
    try:
        yield daemon
    finally:
        daemon.kill()


def wait_alive(daemon: Daemon):
    """Waits until it serves, whether or not its drop can take anything."""
    def answers():
        if daemon.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {daemon.process.returncode}:\n{daemon.log()[-2000:]}")
        try:
            return daemon.admin("/healthz")[0] == 200
        except OSError:
            return False
    wait_until(answers, "the daemon to serve", 30)


@contextmanager
def postfix_settings(t, **settings):
    """Changes the first Postfix for the rest of the trial."""
    t.lab_is_as_before = False
    etc = t.lab.first.directory / "etc"
    words = [f"{name}={value}" for name, value in settings.items()]
    subprocess.run(["postconf", "-c", etc, "-e", *words], check=True)
    subprocess.run(["postfix", "-c", etc, "reload"], check=True, capture_output=True)
    yield


def reload(daemon: Daemon):
    """SIGHUP, and the line in the log that ends the reload."""
    before = len(daemon.log())
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in daemon.log()[before:], "the reload", 20)


def pause(seconds: float):
    """Lets a fault last: that is what a scenario is about, nothing is awaited."""
    time.sleep(seconds)


class Keeper:
    """Starts a daemon again whenever it ends, as a service manager does, until its `with` block ends."""

    def __init__(self, daemon: Daemon):
        self.daemon, self.codes = daemon, []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ending.wait(0.05):
            if self.daemon.process.poll() is not None:
                self.codes.append(self.daemon.wait())
                self.daemon.start(wait=False)

    def __enter__(self) -> "Keeper":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
