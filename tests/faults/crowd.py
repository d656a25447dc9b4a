"""Scenarios: a crowd of strangers holds all that readers may have, beside mail; and one login sends what makes most work."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field

import crowds
from lab import wait_until
from milter_client import Milter
from resources import descriptors_for_us, open_files
from trial import pause, scenario, supervised

# Downloads may have seven eighths of all slots.
READERS, DOWNLOADS, FILES = 130, 870, 120
# How much more memory than before is still "back", and when that must be so.
BACK, BACK_SECONDS = 1.6, 20
# Messages of one login at once, and one file more in each than is detached.
TAGGED, TOO_MANY = 48, 1001


@dataclass
class Figures:
    """What the crowd, and the stranger beside it, got."""
    pages: list[float] = field(default_factory=list)
    never: int = 0
    cut: int = 0


def deposit(daemon, message: bytes) -> str:
    """Deposits the files of a message; the path of its page."""
    done = daemon.run("rewrite", "--deposit", "--sender", "alice@lab.test", "--direction", "outgoing", data=message)
    text = done.stdout.decode().replace("=\r\n", "").replace("=\n", "")
    link = re.search(re.escape(daemon.settings["web_public_url"]) + "([a-z2-7]{26})", text)
    assert link, done.stderr.decode()[-2000:]
    return "/" + link.group(1)


@scenario("slow readers of pages and downloads hold all slots beside mail: none is put off, a stranger's page comes, "
          "and memory comes back")
def crowd(t):
    descriptors_for_us()
    with supervised(t.daemon(web_trusted_proxies=[])) as daemon, t.load() as load:
        pid = daemon.process.pid
        many = deposit(daemon, crowds.tagged("b@example.com", FILES))
        contents = (b"0123456789abcdef" * 60 + b"\r\n") * 20_000
        large = deposit(daemon, crowds.message("large", "b@example.com", [("large.bin", contents)]))
        load.wait_accepted(5, heavy=True)
        before, figures = crowds.status_kib(pid, "VmRSS"), Figures()
        groups = [(READERS, many), (DOWNLOADS, large + "/1")]
        with crowds.crowded(daemon.web_port, groups, figures), crowds.Stranger(daemon, large, figures):
            wait_until(lambda: open_files(pid) > READERS + DOWNLOADS, "the crowd to hold all slots", 30)
            load.wait_accepted(t.times(10, 200), heavy=True)
            pause(t.times(5, 60))
            held = crowds.status_kib(pid, "VmRSS")
        load.stop()

        def is_back() -> bool:
            t.figures["memory_times"] = round(crowds.status_kib(pid, "VmRSS") / before, 2)
            return t.figures["memory_times"] < BACK

        t.figures.update(pages=len(figures.pages), memory_crowd_times=round(held / before, 2))
        assert figures.pages and not figures.never, f"{figures.never} pages never came, {len(figures.pages)} did"
        assert held > BACK * before, "the crowd took no memory: the trial shows nothing"
        wait_until(is_back, f"memory to come back from {held // 1024} MiB to less than {BACK} times {before // 1024}", BACK_SECONDS)
        t.settle(load, daemon, put_off_allowed=False)


@scenario("48 messages of 1,001 files of one byte, of one login and at once, keep no mail of others back, and leave nothing")
def tagged(t):
    with supervised(t.daemon()) as daemon, t.load() as load:
        text, answers = crowds.tagged("t@example.com", TOO_MANY), []

        def send():
            with Milter(daemon.settings["milter_listen"], timeout=120) as milter:
                milter.open(login="mallory")
                answers.append(milter.message(text)[-1][0])

        load.wait_accepted(5, heavy=True)
        for _ in range(t.times(1, 10)):
            crowd = [threading.Thread(target=send) for _ in range(TAGGED)]
            for one in crowd:
                one.start()
            load.wait_accepted(5, heavy=True)
            for one in crowd:
                one.join()
            load.wait_accepted(5, heavy=True)
        load.stop()
        # A message that waited too long for a turn of its login may be put off; none is changed.
        assert len(answers) == t.times(1, 10) * TAGGED and set(answers) <= set("acty"), answers
        t.figures["left_alone"] = len(re.findall('message passed .*reason="too-many-detached"', daemon.log()))
        assert t.figures["left_alone"], "none of them had too many files: the trial shows nothing"
        assert not os.listdir(daemon.drop / "drafts")
        t.settle(load, daemon, put_off_allowed=False)
