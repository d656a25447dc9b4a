"""Scenarios: descriptors, memory, connections, sizes, time; and clients that are no good."""

from __future__ import annotations

import resource
import subprocess
from contextlib import ExitStack
from pathlib import Path

import messages as m
import stored
from lab import wait_until
from machine import SYNC, Unavailable, group
from milter_client import Milter, body_of, check_order, split
from trial import Keeper, pause, postfix_settings, scenario, supervised

HOUR, DAY = 3600, 86_400


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def descriptors_for_us():
    """This process holds the other ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 4096:
        raise Unavailable(f"{hard} descriptors are too few")


@scenario("out of file descriptors mail waits or is put off, and none is lost")
def descriptors(t):
    with supervised(t.daemon()) as daemon, t.load() as load:
        pid = daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        for spare in (2, 6, 12)[:t.times(2, 3)] * t.times(1, 5):
            load.wait_accepted(5)
            few = open_files(pid) + spare
            with ExitStack() as crowd:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, before[1]))
                for _ in range(spare):
                    crowd.enter_context(Milter(daemon.settings["milter_listen"]))
                pause(3)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        load.wait_accepted(5)
        load.stop()
        assert daemon.process.pid == pid and daemon.process.poll() is None
        t.settle(load, daemon, let_through=True)


@scenario("in a control group of 64 MiB it serves 8 connections and 25 MB messages without being killed", short=False)
def little_memory(t):
    with group("memory", "memory.limit_in_bytes", "memory.max", 64 << 20) as made, supervised(t.daemon()) as daemon:
        pid = daemon.process.pid
        (made / "cgroup.procs").write_text(str(pid))
        with t.load() as load:
            load.wait_accepted(t.times(60, 1000), seconds=1200)
            load.stop()
            assert daemon.process.pid == pid and daemon.process.poll() is None, "it was killed"
            t.figures["peak_mib"] = daemon.peak_kib() // 1024
            t.settle(load, daemon, put_off_allowed=False)


@scenario("out of memory mail is put off or goes out as it came at most, and none is lost")
def no_memory(t):
    """The limits are those of the address space in MiB; idle, with the small arenas that it then has, it takes 58."""
    daemon = t.daemon()
    with supervised(daemon), t.load() as load:
        for limit in (54, 50, 68, 46, 78)[:t.times(2, 5)] * t.times(1, 6):
            load.wait_accepted(3)
            daemon.stop()
            daemon.prefix = ["prlimit", f"--as={limit << 20}"]
            daemon.start(wait=False)
            with Keeper(daemon) as keeper:
                load.wait_tries(t.times(15, 40))
            t.figures["deaths"] = t.figures.get("deaths", 0) + len(keeper.codes)
            daemon.kill()
            daemon.prefix = []
            daemon.start()
        load.wait_accepted(3)
        load.stop()
        assert t.figures["deaths"], "memory was enough"
        assert "panicked at" not in daemon.log(), "it panicked"
        t.settle(load, daemon, let_through=True)


@scenario("started with too little memory for its threads it says so and ends")
def no_memory_for_threads(t):
    """In steps of half a MiB of address space, from too little to load the program to enough for all threads."""
    enough = 0
    with t.daemon() as daemon:
        daemon.stop()
        for kib in range(34 << 10, 200 << 10, 512):
            known = len(daemon.log())
            daemon.prefix = ["prlimit", f"--as={kib << 10}"]
            daemon.start(wait=False)
            wait_until(lambda: daemon.process.poll() is not None or "ready: " in daemon.log()[known:],
                       f"it starts or ends with {kib} KiB", 20)
            ended, said = daemon.process.poll(), daemon.log()[known:]
            assert "panicked at" not in said, f"with {kib} KiB it panicked: {said}"
            # Without memory to say so, it aborts.
            if "could not start threads" in said and "memory allocation" not in said:
                assert ended == 69, f"with {kib} KiB it ended with {ended}"
                t.figures["without_threads"] = t.figures.get("without_threads", 0) + 1
            daemon.kill()
            enough = enough + 1 if ended is None else 0
            if enough > 3:
                break
        daemon.prefix = []
        daemon.start()
    assert t.figures.get("without_threads"), "all threads were there each time"


@scenario("when no thread can be started mail is put off or goes out as it came, and none is lost", short=False)
def no_threads(t):
    with group("pids", "pids.max", "pids.max", 1000) as made, supervised(t.daemon()) as daemon:
        (made / "cgroup.procs").write_text(str(daemon.process.pid))
        letters = []
        for more in (0, 1, 3)[:t.times(2, 3)] * t.times(1, 5):
            # Idle threads end after ten seconds: then there are only those that never end.
            pause(12)
            (made / "pids.max").write_text(str(int((made / "pids.current").read_text()) + more))
            with t.load() as load:
                load.wait_tries(20)
                (made / "pids.max").write_text("1000")
                load.stop()
            letters += load.letters
        load.letters = letters
        t.figures["panics"] = daemon.log().count("OS can't spawn worker thread")
        t.settle(load, daemon, let_through=True)


@scenario("when its log cannot be written no mail is put off", short=False)
def no_log(t):
    daemon = t.daemon()
    daemon.prefix = ["bash", "-c", 'exec "$@" 2>/dev/full', "without-log"]
    with supervised(daemon), t.load() as load:
        load.wait_accepted(t.times(20, 200))
        load.stop()
        t.settle(load, daemon, put_off_allowed=False)


@scenario("beside 1,950 milter connections that say nothing real mail flows, and none is put off")
def silence(t):
    descriptors_for_us()
    with supervised(t.daemon()) as daemon, ExitStack() as silent:
        for _ in range(1950):
            silent.enter_context(Milter(daemon.settings["milter_listen"]))
        with t.load() as load:
            load.wait_accepted(t.times(25, 500))
            load.stop()
        silent.close()
        t.settle(load, daemon, put_off_allowed=False)


@scenario("with more silent connections than milter.max_connections mail is put off, and flows when they are gone",
          short=False)
def crowded(t):
    with supervised(t.daemon(milter_max_connections=50)) as daemon, \
            postfix_settings(t, milter_connect_timeout="5s", milter_command_timeout="5s"), t.load() as load:
        for _ in range(t.times(1, 5)):
            load.wait_accepted(5)
            with ExitStack() as silent:
                for _ in range(80):
                    silent.enter_context(Milter(daemon.settings["milter_listen"]))
                pause(12)
            load.wait_accepted(10)
        load.stop()
        t.settle(load, daemon)


@scenario("clients that vanish in the middle of a body leave nothing, and hold up no mail")
def vanishing(t):
    with supervised(t.daemon()) as daemon:
        address = daemon.settings["milter_listen"]
        fields, body = split(m.report("bob@example.com", 400_000))
        chunks = [body[at:at + 60_000] for at in range(0, len(body), 60_000)]
        files = open_files(daemon.process.pid)
        with t.load() as load:
            for number in range(t.times(400, 5000)):
                with Milter(address) as client:
                    client.open()
                    if not client.envelope() and not client.header(fields):
                        client.body(chunks[:1 + number % len(chunks)])
            load.stop()
        wait_until(lambda: not stored.drafts(daemon.drop), "the drafts to go", 30)
        wait_until(lambda: daemon.metric("depollueur_milter_sessions") == 0, "sessions to end", 30)
        t.figures["descriptors_more"] = open_files(daemon.process.pid) - files
        assert t.figures["descriptors_more"] < 20, "descriptors leak"
        t.settle(load, daemon, put_off_allowed=False)


@scenario("clients that send byte by byte are served, and hold up no mail", short=False)
def bytewise(t):
    with supervised(t.daemon()) as daemon, t.load() as load:
        message = m.report("bob@example.com", 101_000)
        for _ in range(t.times(1, 10)):
            with Slow(daemon.settings["milter_listen"]) as client:
                client.open()
                replies = client.message(message)
                check_order(replies)
                assert b"drop.lab.test" in body_of(replies)
        load.stop()
        t.settle(load, daemon, put_off_allowed=False)


class Slow(Milter):
    """Each byte is a packet of its own."""

    def send(self, command: str, data: bytes = b""):
        packet = (len(data) + 1).to_bytes(4, "big") + command.encode() + data
        for at in range(len(packet)):
            self.socket.send(packet[at:at + 1])


@scenario("clients that hang up after their final dot and send again get good copies, and nothing else")
def impatient(t):
    daemon = t.daemon()
    shim = t.shim(daemon)
    with supervised(daemon), t.load(impatient=0.3) as load:
        load.wait_accepted(10)
        shim.delay(SYNC, 0.2)
        load.wait_accepted(t.times(25, 500), seconds=600)
        shim.heal()
        load.stop()
        t.settle(load, daemon, put_off_allowed=False)
        assert t.figures["unanswered"], "nobody hung up"


LIMIT = 3_000_000
# What a field that is added to the header takes in Postfix's queue file, and the login that it notes itself.
FIELD_ROOM = 200


def largest_without_milter(t) -> int:
    """How large a message Postfix takes by itself: less than message_size_limit, which bounds its queue file, too."""
    low, high = LIMIT // 2, LIMIT + 1
    while high - low > 1:
        middle = (low + high) // 2
        load = t.load(kinds={f"exactly {middle} text": 1}, count=1, connections=1, ports=("plain",))
        with load:
            load.join()
        t.others.append(load)
        low, high = (middle, high) if load.accepted() else (low, middle)
    return low


@scenario("messages as large as Postfix takes without a milter go through, with and without files")
def largest(t):
    with supervised(t.daemon()) as daemon, postfix_settings(t, message_size_limit=LIMIT):
        size = largest_without_milter(t)
        t.figures["largest"] = size
        sizes = (size - FIELD_ROOM, LIMIT + 1)
        kinds = {f"exactly {size} {what}": 1 for size in sizes for what in ("file", "text")}
        with t.load(kinds=kinds, count=t.times(16, 200)) as load:
            load.join()
        wrong = [letter for letter in load.letters if bool(letter.refused) != (str(LIMIT + 1) in letter.kind)]
        assert not wrong, wrong[:3]
        for other in t.others:
            load.letters += other.letters
        t.settle(load, daemon, refused_allowed=True, put_off_allowed=False)


@scenario("a clock that jumps months ahead or back destroys no file, and all links work when it is right again")
def clock(t):
    daemon = t.daemon(drop_expiry="2 months")
    shim = t.shim(daemon)
    with supervised(daemon), t.load() as load:
        load.wait_accepted(5, heavy=True)
        held = 0
        jumps = (70 * DAY, 0, -31 * DAY, 2 * HOUR, 0, 400 * DAY, 0)
        for jump in jumps[:t.times(5, 7)] * t.times(1, 4):
            kept = stored.recorded(daemon.drop)
            shim.clock(jump)
            load.wait_accepted(1, heavy=True)
            for more in (0, 6 * HOUR, 23 * HOUR) if abs(jump) > DAY else (0, 600):
                shim.clock(jump + more)
                held += sweeps(daemon, shim)
            # The daemon sweeps when it starts.
            daemon.stop()
            daemon.start()
            load.wait_accepted(2)
            gone = kept.keys() - stored.blobs(daemon.drop).keys()
            assert not gone, f"{len(gone)} of {len(kept)} blobs were destroyed when the clock was {jump / DAY:+} days off"
        shim.clock(0)
        load.stop()
        t.figures["sweeps_held"] = held
        assert held, "no sweep was held up: the jumps were none"
        t.settle(load, daemon, let_through=True)


def sweeps(daemon, shim) -> int:
    """Sweeps with the clock as it is; 1 when the clock was not believed."""
    done = subprocess.run([*shim.prefix, *daemon.command("drop", "sweep")], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 75), f"drop sweep ends with {done.returncode}: {done.stderr}"
    return int(done.returncode == 75)
