"""Sweeps on all hosts, two at once, as their timers start them; now and then one is killed."""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter

from cluster import Cluster
from services import Program


class Sweeps:
    """Sweeps until its `with` block ends. `ended` counts how."""

    def __init__(self, cluster: Cluster, seed: int, pause: float = 1.5):
        self.cluster, self.dice, self.pause = cluster, random.Random(seed), pause
        self.ended: Counter[str] = Counter()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Sweeps":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(150)

    def _work(self):
        while not self.ending.wait(self.pause):
            begun = [begin(host) for host in self.dice.sample(self.cluster.programs, 2)]
            for sweep in begun:
                if self.dice.random() < 0.2:
                    self.ending.wait(self.dice.uniform(0.02, 0.2))
                    sweep.kill()
                    self.ended["killed"] += 1
            for sweep in begun:
                code = sweep.wait(120)
                self.ended["well" if code == 0 else "with an error" if code > 0 else "by the signal"] += 1


def begin(host: Program, *words: str, prefix: list[str] | None = None) -> subprocess.Popen:
    return host.host.popen([*(prefix or []), *host.line("drop", "sweep", *words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
