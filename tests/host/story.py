"""The registry of stories, and what runs them.

A story is a function of a host, named after the sentence that must hold; it fails by an exception:

    @story(on="live")
    def an_infected_file_is_still_refused(host):
        assert host.send(ALICE, [DAVE], login=ALICE, files=[virus()]).code == 554

It has a host of its own in the state `on` (mailhost.py), and may do to it what it likes. Stories with `shared=True` follow each
other on one host, and leave it as they found it. `short=True` puts it into the selection that each change must pass.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailhost import STATES, Hosts
from root import SUITES, Impossible, shelf
from typed import BY_STORY

STORIES: list[Story] = []


@dataclass(frozen=True)
class Story:
    tell: Callable
    on: str
    shared: bool
    short: bool
    suites: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return self.tell.__name__.replace("_", " ")

    @property
    def topic(self) -> str:
        return self.tell.__module__.rpartition(".")[2]


def story(*, on: str, shared: bool = False, short: bool = False, suites: tuple[str, ...] = SUITES):
    """Registers a story."""
    assert on in STATES, f'"{on}" is none of {", ".join(STATES)}'

    def register(function):
        STORIES.append(Story(function, on, shared, short, suites))
        return function
    return register


def all_stories() -> list[Story]:
    import stories
    for module in sorted(module.name for module in pkgutil.iter_modules(stories.__path__)):
        importlib.import_module(f"stories.{module}")
    return STORIES


class Run:
    """The stories of one suite, in order. Those that share a host come together."""

    def __init__(self, suite: str, chosen: list[Story], keep: bool):
        self.suite, self.keep = suite, keep
        self.chosen = sorted((one for one in chosen if suite in one.suites), key=lambda one: (one.topic, not one.shared, one.on))
        self.passed = self.failed = 0

    def tell_all(self):
        scratch = Path(tempfile.mkdtemp(prefix=f"run-{self.suite}-", dir=shelf()))
        hosts = Hosts(self.suite, scratch)
        host, shares = None, None
        try:
            for one in self.chosen:
                place = (one.topic, one.on) if one.shared else None
                if host and (place is None or place != shares):
                    hosts.discard(host)
                    host = None
                host = host or hosts.boot(one.on)
                good = self.tell(one, host)
                # What a story leaves that failed is no place for another.
                shares = place if good else None
                if shares is None and not (self.keep and not good):
                    hosts.discard(host)
                    host = None
        except Impossible as reason:
            self.failed += 1
            print(f"FAIL  {self.suite}: the stories were not told to their end: {reason}", flush=True)
        finally:
            hosts.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def tell(self, one: Story, host) -> bool:
        begun = time.monotonic()
        host.typed.clear()
        try:
            one.tell(host)
            name = f"{one.topic}.{one.tell.__name__}"
            left = [command for command, by in BY_STORY.items() if by == name and command not in host.typed]
            assert not left, f"it is to type these commands of our documents, and did not: {left}"
        except Exception as error:  # a story fails in its own way
            self.failed += 1
            print(f"FAIL  {self.suite}, {one.topic}: {one.sentence}", flush=True)
            frames = traceback.extract_tb(error.__traceback__)
            where = next((frame for frame in reversed(frames) if "stories" in frame.filename), frames[-1])
            print(f"      {Path(where.filename).name}:{where.lineno}: {where.line}\n      {type(error).__name__}: {error}", flush=True)
            if self.keep:
                input(f"      it is kept: nsenter -t {host.pid} -a -r -w bash\n      Enter ends it ")
            return False
        self.passed += 1
        print(f"ok    {self.suite}, {one.topic}: {one.sentence} ({time.monotonic() - begun:.0f} s)", flush=True)
        return True
