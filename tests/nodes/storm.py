"""The faults, one after the other by chance.

A process dies, a line is cut, the bucket hangs, all is restarted in turn, the standby takes over.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from cluster import DATABASES, MX, WEB, Cluster
from services import Part, pause

# Pairs of hosts that speak with each other.
LINES = [*((mx, other) for mx in MX for other in ("s1", *DATABASES)), *((web, other) for web in WEB for other in ("s1", *DATABASES, "lb")),
         DATABASES]


class Storm:
    """Strikes until its time is up, each kind of fault once at least. `struck` counts them by kind."""

    def __init__(self, cluster: Cluster, *, minutes: float, seed: int, is_long: bool):
        self.cluster, self.minutes, self.is_long = cluster, minutes, is_long
        self.dice = random.Random(seed)
        self.struck: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.told: list[str] = []
        self.begun = time.monotonic()
        self.stopping = threading.Event()

    def run(self):
        """In the caller's thread: what cannot be healed is an error of the trial."""
        end, dealt = self.begun + 60 * self.minutes, 0
        # All of the first deck is dealt: each kind has its turn, and each part is killed.
        while not dealt or time.monotonic() < end:
            for kind, what in self._deck():
                if dealt and time.monotonic() > end:
                    break
                self._say(kind, what)
                getattr(self, kind)(what)
                self.struck[kind] += 1
                pause(self.dice.uniform(0.2, 1.0 if not self.is_long else 4.0))
            dealt += 1
        self.cluster.heal()

    def _deck(self) -> list[tuple[str, object]]:
        lines = LINES if self.is_long else self.dice.sample(LINES, 5)
        cards = [("kill", part) for part in self.cluster.parts] + [("cut", line) for line in lines]
        cards += [("hang", None), ("roll", None), ("promote", None)]
        self.dice.shuffle(cards)
        return cards

    def _say(self, kind: str, what: object):
        name = what.name if isinstance(what, Part) else "-".join(what) if what else ""
        self.told.append(f"{time.monotonic() - self.begun:7.1f} s  {kind} {name}")

    def kill(self, part: Part):
        """SIGKILL, and started again as a service manager does."""
        part.kill()
        self.killed[part.name] += 1
        pause(self.dice.uniform(0.1, 1.5))
        part.start()

    def cut(self, line: tuple[str, str]):
        self.cluster.network.cut(*line)
        # Now and then the process at one end dies meanwhile, and comes up without the other.
        pause(self.dice.uniform(1, 3 if not self.is_long else 25))
        if self.dice.random() < 0.3:
            part = self.dice.choice([part for part in self.cluster.programs if part.host.name in line] or self.cluster.programs)
            self.kill(part)
        self.cluster.network.heal(*line)

    def hang(self, _):
        """The bucket's service takes connections, and does not answer."""
        self.cluster.bucket.freeze()
        pause(self.dice.uniform(1, 6 if not self.is_long else 20))
        self.cluster.bucket.thaw()

    def roll(self, _):
        """As for an upgrade: each part is stopped in order, started, and waited for before the next."""
        for part in self.cluster.parts:
            self._settle(part)
            part.stop()
            part.start()
            part.wait()

    def _settle(self, part: Part):
        """What was killed a moment ago is let come up: an admin looks before he goes on."""
        self.cluster.pair.settle()
        part.wait()

    def promote(self, _):
        """The primary is lost; later its host comes back as the standby."""
        pair = self.cluster.pair
        pair.settle()
        pair.promote()
        pause(self.dice.uniform(1, 3))
        pair.join()
