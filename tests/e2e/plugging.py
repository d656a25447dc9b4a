#!/usr/bin/env python3
"""`depollueur plug` and `unplug` that are ended on the way, in a private Postfix: by Ctrl-C, SIGTERM, SIGHUP, kill -9.

    tests/e2e/plugging.py            at each step of plug
    tests/e2e/plugging.py --short    at one of them: what continuous integration runs

What concerns rspamd is done in a mount namespace, as root, where /etc is a copy and `rspamadm` and `systemctl` note that they were called.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import COMMANDS, DAEMONS, Lab, binary, wait_until  # noqa: E402

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
        self.milter = lab.milter
        self.record = self.config.with_name("plugged.json")
        master = (self.postfix / "master.cf").read_text()
        master = re.sub(r"^127\.0\.0\.1:(%d|%d|%d) inet.*\n(  -o .*\n)*" % tuple(lab.ports[name] for name in ("plain", "tcp", "xclient")),
                        "", master, flags=re.M)
        (self.postfix / "master.cf").write_text(master)
        main = (self.postfix / "main.cf").read_text()
        (self.postfix / "main.cf").write_text(re.sub(r"^(non_)?smtpd_milters = .*\n", "", main, flags=re.M))
        self.reload()

    def files(self) -> tuple[bytes, bytes]:
        return tuple((self.postfix / name).read_bytes() for name in ("main.cf", "master.cf"))

    def reload(self):
        subprocess.run([f"{COMMANDS}/postfix", "-c", self.postfix, "reload"], check=True, capture_output=True)

    @contextlib.contextmanager
    def held(self):
        """A Postfix whose reload waits: `hold` is the file for which it does."""
        main = self.postfix / "main.cf"
        before = main.read_bytes()
        with tempfile.TemporaryDirectory(prefix="depollueur-held-") as home:
            programs, hold = Path(home) / "daemons", Path(home) / "hold"
            Path(home).chmod(0o755)
            programs.mkdir()
            for program in Path(DAEMONS).iterdir():
                (programs / program.name).symlink_to(program)
            (programs / "postfix-script").unlink()
            (programs / "postfix-script").write_text(f"""#!/bin/sh
[ "$1" = reload ] && [ -e {hold} ] && : >{hold}.reached
while [ "$1" = reload ] && [ -e {hold} ]; do sleep 0.1; done
exec {DAEMONS}/postfix-script "$@"
""")
            (programs / "postfix-script").chmod(0o755)
            main.write_bytes(re.sub(rb"(?m)^daemon_directory = .*$", f"daemon_directory = {programs}".encode(), before))
            try:
                yield hold
            finally:
                hold.unlink(missing_ok=True)
                main.write_bytes(before)
                self.reload()

    def unplug_ended(self, hold: Path, number: int) -> tuple[int, str]:
        """`unplug`, sent a signal when it has given the files back and Postfix has not yet read them."""
        hold.touch()
        reached = hold.with_name("hold.reached")
        reached.unlink(missing_ok=True)
        unplug = subprocess.Popen(self.command("unplug"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        wait_until(lambda: reached.exists() or unplug.poll() is not None, "a reload of Postfix")
        os.killpg(unplug.pid, number)
        if number == signal.SIGKILL:
            unplug.wait()
        hold.unlink()
        said = unplug.stdout.read()
        return unplug.wait(), said

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
        assert {file.read_bytes() for file in kept} <= set(left) and kept, kept
        for file in kept:
            file.unlink()


@story
def plug_repairs_what_a_plug_before_it_left_and_goes_on(place: Place):
    before = place.files()
    place.ended(STEPS[1], signal.SIGKILL)
    said = place.run("plug", "--yes", "--domain", "lab.test")
    assert "was interrupted" in said and "depollueur is in the chain" in said, said
    assert b"depollueur-trial" not in place.files()[1]
    assert "as it was before" in place.run("unplug")
    assert place.files() == before


@story
def a_signal_during_unplug_is_held_until_it_is_done(place: Place):
    with place.held() as hold:
        before = place.files()
        for number in SIGNALS:
            assert "depollueur is in the chain" in place.run("plug", "--yes", "--domain", "lab.test")
            status, said = place.unplug_ended(hold, number)
            assert status == 0 and "this is done first" in said and "as it was before" in said, (status, said)
            assert place.files() == before and not place.record.exists(), said


@story
def after_kill_9_during_unplug_the_next_unplug_ends_it(place: Place):
    with place.held() as hold:
        before = place.files()
        assert "depollueur is in the chain" in place.run("plug", "--yes", "--domain", "lab.test")
        plugged = place.files()
        status, said = place.unplug_ended(hold, signal.SIGKILL)
        assert status == -signal.SIGKILL and place.files() == before and place.record.exists(), (status, said)
        findings = {f["check"]: f for f in json.loads(place.run("doctor", "--json"))["findings"]}
        assert findings["plug.whole"]["fix"][0] == "depollueur unplug", findings["plug.whole"]
        said = place.run("unplug")
        assert "was interrupted" in said and "as it was before" in said, said
        assert place.files() == before and not place.record.exists() and plugged != before, said
        for file in place.config.parent.glob("interrupted-*"):
            file.unlink()


@story
def comments_in_latin_1_are_kept_byte_by_byte(place: Place):
    main = place.postfix / "main.cf"
    own = main.read_bytes()
    main.write_bytes(own + "# Règles d'été\r\n#\tfin\n".encode("latin-1"))
    before = place.files()
    try:
        for _ in range(2):
            assert "depollueur is in the chain" in place.run("plug", "--yes", "--domain", "lab.test")
            assert "Règles d'été\r\n#\tfin".encode("latin-1") in place.files()[0]
            assert "as it was before" in place.run("unplug")
            assert place.files() == before
        # Ended on the way, it comes back from the record alone.
        place.ended(STEPS[1], signal.SIGKILL)
        assert "Done." in place.run("unplug") and place.files() == before
    finally:
        main.write_bytes(own)
        for file in place.config.parent.glob("interrupted-*"):
            file.unlink()


@story
def setup_plugs_in_when_it_is_told_so_and_it_holds(place: Place):
    before = place.files()
    written = place.config.read_bytes()
    told = ["--force", "--domain", "lab.test", "--plug"]
    environment = os.environ | {f"DEPOLLUEUR__{name}": value for name, value in (
        ("MILTER__LISTEN", tomllib.loads(written.decode())["milter"]["listen"]),)}
    try:
        done = subprocess.run(place.command("setup", *told), capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 and "depollueur is in the chain" in done.stdout, done.stdout + done.stderr
        assert place.files() != before
        assert "    depollueur doctor\n" in done.stdout and "    depollueur plug\n" not in done.stdout, done.stdout
        place.config.write_bytes(written)
        assert "as it was before" in place.run("unplug")
        assert place.files() == before
    finally:
        place.config.write_bytes(written)


IN_A_COPY = """\
set -e
mount -t tmpfs none {home}/over
mkdir {home}/over/upper {home}/over/work
mount -t overlay etc -o lowerdir=/etc,upperdir={home}/over/upper,workdir={home}/over/work /etc
rm -rf /etc/rspamd
cp -r {home}/rspamd /etc/rspamd
PATH={home}/bin:$PATH "$@" || echo "status $?"
cp -r /etc/rspamd {home}/after
"""


class Rspamd:
    """An /etc/rspamd of its own, for one command of ours in a mount namespace."""

    def __init__(self, home: str, files: dict[str, str]):
        self.home = Path(home)
        self.log = self.home / "log"
        for name in ("over", "bin", "rspamd"):
            (self.home / name).mkdir()
        for name, text in files.items():
            (self.home / "rspamd" / name).write_text(text)
        for program in ("rspamadm", "systemctl"):
            (self.home / "bin" / program).write_text(f'#!/bin/sh\necho "{program} $*" >>{self.log}\n')
            (self.home / "bin" / program).chmod(0o755)

    def run(self, *command: str) -> str:
        script = IN_A_COPY.replace("{home}", str(self.home))
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def after(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in (self.home / "after").iterdir()}

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


CONF = 'worker "rspamd_proxy" {\n  bind_socket = "127.0.0.1:11331";\n}\n'
INCLUDE = '.include "$LOCAL_CONFDIR/depollueur.conf"\n'


def kept(name: str, before: str | None, after: str | None) -> dict:
    return {"path": f"/etc/rspamd/{name}", "before": before, "after": after}


@story
def files_of_rspamd_that_were_left_half_done_are_put_back_and_rspamd_reads_them_again(place: Place):
    begun = [{"path": "/etc/rspamd/rspamd.conf.local", "text": "# own\n"}, {"path": "/etc/rspamd/depollueur.conf", "text": None}]
    place.record.write_text(json.dumps({"files": [], "begun": begun}))
    before = place.files()
    with tempfile.TemporaryDirectory() as home:
        rspamd = Rspamd(home, {"rspamd.conf.local": "# own\n" + INCLUDE, "depollueur.conf": CONF, "other": "x"})
        said = rspamd.run(*place.command("unplug"))
        assert "was interrupted, and left changes in /etc/rspamd/rspamd.conf.local, /etc/rspamd/depollueur.conf" in said, said
        assert rspamd.after() == {"rspamd.conf.local": "# own\n", "other": "x"}, rspamd.after()
        assert rspamd.calls() == ["rspamadm configtest -q", "systemctl reload rspamd"], rspamd.calls()
    found = sorted(place.config.parent.glob("interrupted-*"))
    assert {file.read_text() for file in found} == {"# own\n" + INCLUDE, CONF}, found
    for file in found:
        file.unlink()
    assert place.files() == before and not place.record.exists()


@story
def an_rspamd_whose_files_were_changed_since_signs_again_when_nobody_asks_the_second(place: Place):
    main = place.postfix / "main.cf"
    own = main.read_text()
    for lists, signs in ((own + "smtpd_milters =\n", True), (own + "smtpd_milters = inet:127.0.0.1:11331\n", False)):
        plugged = f"{lists}non_smtpd_milters = unix:{place.milter}\n"
        main.write_text(plugged)
        files = [{"path": str(main), "before": lists, "after": plugged}, kept("depollueur.lua", None, "-- condition\n"),
                 kept("depollueur.conf", None, CONF), kept("rspamd.conf.local", "", INCLUDE)]
        place.record.write_text(json.dumps({"files": files}))
        with tempfile.TemporaryDirectory() as home:
            rspamd = Rspamd(home, {"rspamd.conf.local": INCLUDE + "# mine\n", "depollueur.conf": CONF, "depollueur.lua": "-- condition\n"})
            said = rspamd.run(*place.command("unplug"))
            assert "Done." in said and main.read_text() == lists, said
            assert ("signs where it scans" in said, "keeps its second milter at 127.0.0.1:11331" in said) == (signs, not signs), said
            assert ("No condition" in rspamd.after()["depollueur.lua"]) == signs, rspamd.after()
            assert rspamd.after()["rspamd.conf.local"] == INCLUDE + "# mine\n"
        place.record.unlink(missing_ok=True)
    main.write_text(own)
    place.reload()


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
