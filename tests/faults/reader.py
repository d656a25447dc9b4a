"""A reader who opens the links of mail as it arrives, again and again, whatever happens to the drop meanwhile.

What a link gives is right or visibly cut short; a server in trouble may answer 5xx or not at all. But a link that
was given out never answers that there is nothing (404, 410), and no whole file has other bytes than its digest says.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import re
import threading
from collections import Counter
from pathlib import Path

from lab import Daemon, without_trace


class Reader:
    """Reads until its `with` block ends; `wrong` has what must not happen, `counts` how often what did."""

    def __init__(self, inbox: Path, daemon: Daemon, seed: int = 1):
        self.new, self.daemon, self.dice = inbox / "new", daemon, random.Random(seed)
        self.link = re.compile(re.escape(daemon.settings["web_public_url"]).encode() + rb"[a-z2-7]{26}")
        self.links: list[str] = []
        self.seen: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self) -> "Reader":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ending.set()
        self.thread.join()

    def work(self):
        while not self.ending.wait(0.1):
            self.look()
            if not self.links:
                continue
            try:
                self.open(self.dice.choice(self.links))
            except (OSError, http.client.HTTPException):
                # The daemon is down, or cut the answer short.
                self.counts["cut_short"] += 1
            except Exception as error:  # whatever it is, it is told
                self.wrong.append(f"a reader met {type(error).__name__}: {error}")

    def look(self):
        for path in self.new.iterdir() if self.new.exists() else ():
            if path.name in self.seen:
                continue
            self.seen.add(path.name)
            if path.stat().st_size < 100_000:
                self.links += {m.decode() for m in self.link.findall(without_trace(path.read_bytes()))}

    def open(self, link: str):
        status, _, body = self.daemon.get(link + ".json")
        if not self.is_served(status, link):
            return
        file = self.dice.choice(json.loads(body)["files"])
        status, _, body = self.daemon.get(file["url"])
        if not self.is_served(status, "a file of " + link):
            return
        if hashlib.sha256(body).hexdigest() != file["sha256"]:
            self.wrong.append(f"a file of {link} came whole with {len(body)} wrong bytes")
        self.counts["read"] += 1

    def is_served(self, status: int, what: str) -> bool:
        if status == 200:
            return True
        self.counts[f"answered_{status}"] += 1
        if status < 500:
            self.wrong.append(f"{what} answered {status}")
        return False
