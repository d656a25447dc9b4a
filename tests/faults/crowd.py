"""Scenario: a crowd of strangers holds all that readers may have, beside mail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import crowds
from lab import wait_until
from resources import descriptors_for_us, open_files
from trial import pause, scenario, supervised

# Downloads may have seven eighths of all slots.
READERS, DOWNLOADS, FILES = 130, 870, 120
# How much more memory than before is still "back", and when that must be so.
BACK, BACK_SECONDS = 1.6, 20


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
