"""Scenarios: the daemon is killed, stopped, reloaded, replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from lab import wait_until
from load import PutOff, Session
from trial import pause, postfix_settings, reload, scenario, supervised


@scenario("killed at random moments and started again, it loses no mail, doubles none, and every link works")
def killed(t):
    with supervised(t.daemon()) as daemon, t.reader(daemon), t.load() as load:
        killed_under(t, load, daemon)
        t.settle(load, daemon)


@scenario("of two processes, the one that readers touch is killed at random moments: no mail is put off, and every link works")
def pages_killed(t):
    milter, web = t.daemon().split()
    with supervised(milter), supervised(web), t.reader(web), t.load() as load:
        killed_under(t, load, web)
        t.settle(load, milter, store=web, put_off_allowed=False)


@scenario("of two processes, the one that takes mail is killed at random moments: no mail is lost, and links work all the time")
def mail_killed(t):
    milter, web = t.daemon().split()
    with supervised(milter), supervised(web), t.reader(web) as reader, t.load() as load:
        killed_under(t, load, milter)
        t.settle(load, milter, store=web)
        assert reader.counts["read"] and not reader.counts["cut_short"], reader.counts


def killed_under(t, load, daemon):
    """Kills a daemon again and again while mail comes, and starts it again."""
    kills = t.times(6, 100)
    for _ in range(kills):
        load.wait_accepted(2)
        pause(t.dice.random() * 1.5)
        daemon.kill()
        daemon.start(wait=False)
    wait_until(daemon._is_ready, "the daemon", 30)
    load.wait_accepted(2)
    load.stop()
    t.figures["kills"] = kills


@scenario("stopped for some seconds and continued, as on a machine that is suspended, it loses no mail", short=False)
def suspended(t):
    with supervised(t.daemon(milter_deadline="3 s")) as daemon, t.load() as load:
        for number in range(t.times(2, 20)):
            load.wait_accepted(4)
            daemon.process.send_signal(signal.SIGSTOP)
            pause((1, 5)[number % 2])
            daemon.process.send_signal(signal.SIGCONT)
        load.wait_accepted(5)
        load.stop()
        t.settle(load, daemon, let_through=True)


@scenario("when processes of Postfix are killed at random moments, what was accepted arrives, with links that work",
          short=False)
def postfix_killed(t):
    # Without its reports of all this to the postmaster.
    with supervised(t.daemon()) as daemon, postfix_settings(t, notify_classes=""), t.load() as load:
        kills = 0
        for _ in range(t.times(10, 200)):
            load.wait_accepted(1)
            pause(t.dice.random() / 2)
            found = [pid for pid in children(t.lab.first.master_pid) if name_of(pid) in ("smtpd", "cleanup")]
            # One may end by itself meanwhile.
            with contextlib.suppress(ProcessLookupError):
                if found:
                    os.kill(t.dice.choice(found), signal.SIGKILL)
                    kills += 1
        load.wait_accepted(5)
        load.stop()
        t.figures["kills"] = kills
        t.settle(load, daemon, postfix_killed=True)


def children(parent: int) -> list[int]:
    """The processes that it started and that are still there."""
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def name_of(pid: int) -> str | None:
    """The name of a process; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


@scenario("ended by SIGTERM and started again, it ends well each time, and no mail is lost")
def terminated(t):
    with supervised(t.daemon(milter_drain="2 s")) as daemon, t.load() as load:
        rounds, slowest = t.times(2, 20), 0.0
        for _ in range(rounds):
            load.wait_accepted(5)
            begun = time.monotonic()
            daemon.terminate()
            code = daemon.wait(30)
            assert code == 0, f"the daemon ended with {code}"
            slowest = max(slowest, time.monotonic() - begun)
            daemon.start()
        load.wait_accepted(5)
        load.stop()
        t.figures.update(stops=rounds, slowest_stop_s=round(slowest, 1))
        t.settle(load, daemon)


@scenario("reloaded under load with another configuration each time, no mail is put off")
def reloaded(t):
    with supervised(t.daemon()) as daemon, t.load() as load:
        rounds = t.times(8, 100)
        for number in range(rounds):
            load.wait_accepted(2)
            daemon.configure(notice_language=("fr", "en")[number % 2], notice_position=("start", "end")[number % 2],
                             spool_memory=("16 KiB", "1 MiB")[number % 2], milter_deadline=f"{20 + number % 10} s")
            reload(daemon)
        load.stop()
        t.figures["reloads"] = rounds
        t.settle(load, daemon, put_off_allowed=False)


@scenario("restarted while Postfix holds open sessions, their mail is put off at most, and arrives", short=False)
def open_sessions(t):
    with supervised(t.daemon(milter_drain="1 s")) as daemon, t.load() as load, ExitStack() as idle:
        held = [Session(t.lab.ports["incoming"], None) for _ in range(40)]
        for session in held:
            idle.callback(session.close)
        for number in range(t.times(1, 4)):
            load.wait_accepted(3)
            daemon.terminate()
            assert daemon.wait(30) == 0
            daemon.start()
            # Sessions that were open send their mail now; each is a message of the load like any other.
            for session in held[number * 10:number * 10 + 10]:
                letter = load.next_letter(t.dice)
                if load.attempt(session, letter):
                    continue
                while load.again(letter):
                    try:
                        again = Session(t.lab.ports["incoming"], None)
                    except PutOff as why:
                        letter.put_off.append(str(why))
                        continue
                    idle.callback(again.close)
                    load.attempt(again, letter)
        load.stop()
        t.settle(load, daemon)


@scenario("replaced by a new process with --takeover, no mail is put off")
def takeover(t):
    old = t.daemon()
    with supervised(old), ExitStack() as stack, t.load() as load:
        rounds = t.times(2, 20)
        for _ in range(rounds):
            load.wait_accepted(3)
            inode = t.lab.milter.stat().st_ino
            new = old.twin()
            new.start("--takeover", wait=False)
            stack.callback(new.kill)
            wait_until(lambda: t.lab.milter.stat().st_ino != inode, "the new process's socket", 30)
            pause(t.dice.random() / 2)
            old.terminate()
            load.wait_accepted(3)
            code = old.wait(60)
            assert code == 0, f"the old process ended with {code}"
            old = new
        load.stop()
        t.figures["takeovers"] = rounds
        t.settle(load, old, put_off_allowed=False)


@scenario("restarted with its socket held open by the service manager, no mail is put off; killed, little is")
def activated(t):
    """What depollueur.socket does: the connections wait in the backlog while nobody serves."""
    with tempfile.TemporaryDirectory(dir=t.lab.dir) as place, socket.socket(socket.AF_UNIX) as listener:
        os.chmod(place, 0o755)
        listener.bind(str(t.lab.milter))
        os.chmod(t.lab.milter, 0o666)
        listener.listen(1024)
        daemon = t.daemon()
        manager = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=milter exec "$@" 3<&' + str(listener.fileno())
        prefix = ["bash", "-c", manager, "manager"]

        def begin():
            daemon.prefix, daemon.pass_fds = prefix, (listener.fileno(),)
            return daemon
        with supervised(begin()), t.load() as load:
            for _ in range(t.times(2, 12)):
                load.wait_accepted(5)
                daemon.terminate()
                assert daemon.wait(60) == 0
                daemon.start()
            load.wait_accepted(5)
            t.figures["put_off_by_restarts"] = load.put_off()
            for _ in range(t.times(2, 12)):
                load.wait_accepted(3)
                daemon.process.send_signal(signal.SIGKILL)
                daemon.wait()
                daemon.start()
            load.stop()
            assert not t.figures["put_off_by_restarts"], f"{t.figures['put_off_by_restarts']} were put off by restarts"
            # The clean restart binds the path itself: the manager lets go of it.
            daemon.stop()
            listener.close()
            t.lab.milter.unlink()
            daemon.prefix, daemon.pass_fds = [], ()
            daemon.start()
            t.settle(load, daemon)
