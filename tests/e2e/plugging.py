#!/usr/bin/env python3
"""`depollueur plug` and `unplug` that are ended on the way, in a private Postfix: by Ctrl-C, SIGTERM, SIGHUP, kill -9.

    tests/e2e/plugging.py            at each step of plug
    tests/e2e/plugging.py --short    at one of them: what continuous integration runs
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import COMMANDS, Lab, binary, wait_until  # noqa: E402

STEPS = ("milters of today", "in its place", "milters as they are")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
IS_SHORT = "--short" in sys.argv
# The second is that with a second depollueur.
TRIED = STEPS[1:2] if IS_SHORT else STEPS
STORIES = []


def story(function):
    """Registers a test; its name is what must hold."""
    STORIES.append(function)
    return function


class Place:
    """A Postfix that asks no milter, and a daemon that waits to be asked."""

    def __init__(self, lab: Lab, daemon):
        self.postfix = lab.first.directory / "etc"
        self.config = Path(daemon.config)
        self.record = self.config.with_name("plugged.json")
        master = (self.postfix / "master.cf").read_text()
        master = re.sub(r"^127\.0\.0\.1:(%d|%d|%d) inet.*\n(  -o .*\n)*" % tuple(lab.ports[name] for name in ("plain", "tcp", "xclient")),
                        "", master, flags=re.M)
        (self.postfix / "master.cf").write_text(master)
        main = (self.postfix / "main.cf").read_text()
        (self.postfix / "main.cf").write_text(re.sub(r"^(non_)?smtpd_milters = .*\n", "", main, flags=re.M))
        subprocess.run([f"{COMMANDS}/postfix", "-c", self.postfix, "reload"], check=True, capture_output=True)

    def files(self) -> tuple[str, str]:
        return tuple((self.postfix / name).read_text() for name in ("main.cf", "master.cf"))

    def command(self, name: str, *options: str) -> list[str]:
        return [binary(), name, "--config", str(self.config), "--postfix-config", str(self.postfix), *options]

    def run(self, name: str, *options: str) -> str:
        done = subprocess.run(self.command(name, *options), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout + done.stderr

    def ended(self, step: str, number: int) -> tuple[int, str]:
        """`plug`, sent a signal once it says a step and has begun to change master.cf for it."""
        before = self.files()[1]
        plug = subprocess.Popen(self.command("plug", "--yes", "--domain", "lab.test"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, start_new_session=True)
        said = ""
        for line in plug.stdout:
            said += line
            if step in line:
                break
        wait_until(lambda: self.files()[1] != before or plug.poll() is not None, "a service of the trial")
        # As a terminal does it: to all that run in the foreground.
        os.killpg(plug.pid, number)
        said += plug.stdout.read()
        return plug.wait(), said

    def trial_daemons(self) -> list[str]:
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = place.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "--ends-with" in words and words[0] == binary():
                found.append(" ".join(words))
        return found


@story
def a_signal_at_any_step_takes_everything_back(place: Place):
    before = place.files()
    for step, number in zip(TRIED, SIGNALS):
        status, said = place.ended(step, number)
        assert status == 69 and f"interrupted by {number.name}; all was taken back" in said, (status, said)
        assert place.files() == before and not place.record.exists(), said
        wait_until(lambda: not place.trial_daemons(), "the second depollueur to end")


@story
def after_kill_9_the_next_command_says_so_and_repairs_it(place: Place):
    before = place.files()
    for step in TRIED:
        status, said = place.ended(step, signal.SIGKILL)
        assert status == -signal.SIGKILL, (status, said)
        assert place.files() != before and place.record.exists(), said
        wait_until(lambda: not place.trial_daemons(), "the second depollueur to end")
        findings = {f["check"]: f for f in json.loads(place.run("doctor", "--json"))["findings"]}
        assert findings["plug.whole"]["fix"][0] == "depollueur unplug" and "interrupted" in findings["plug.whole"]["message"], findings["plug.whole"]
        assert "interrupted" in place.run("plug", "--show")
        left = place.files()
        said = place.run("unplug")
        assert "was interrupted" in said and "Done." in said, said
        assert place.files() == before and not place.record.exists(), said
        kept = sorted(place.config.parent.glob("interrupted-*"))
        assert {file.read_text() for file in kept} <= set(left) and kept, kept
        for file in kept:
            file.unlink()


@story
def plug_repairs_what_a_plug_before_it_left_and_goes_on(place: Place):
    before = place.files()
    place.ended(STEPS[1], signal.SIGKILL)
    said = place.run("plug", "--yes", "--domain", "lab.test")
    assert "was interrupted" in said and "depollueur is in the chain" in said, said
    assert "depollueur-trial" not in place.files()[1]
    assert "as it was before" in place.run("unplug")
    assert place.files() == before


def main() -> int:
    words = [word for word in sys.argv[1:] if word != "--short"]
    chosen = [function for function in STORIES if all(word in function.__name__ for word in words)]
    failed = 0
    with Lab() as lab, lab.daemon(web_public_url="https://drop.lab.test/") as daemon:
        place = Place(lab, daemon)
        for function in chosen:
            try:
                function(place)
                print(f"ok    {function.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {function.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
