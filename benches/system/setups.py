"""The set-ups: a Postfix each, the same but for its milter, and what that milter is.

Each says which processes are its filter, proves with one message that it does the job, and counts what it stored, so
that none is timed as fast that let mail through instead.
"""

from __future__ import annotations

import os
import re
import shutil
import socketserver
import subprocess
import threading
from pathlib import Path

from figures import HERE, processor_seconds, tree
from measure import Message, Sent, send
from lab import Daemon, Postfix, free_port, port_is_open, stop_pid, tail, wait_until, without_trace
from machine import SYNC, Shim
from scan import Clamd, scans

LINKS = "https://drop.lab.test"
THRESHOLD = 1000
NEVER = 10**9
CHECKER = "check@check.test"
RECIPIENT = "bob@example.com"

MAIN_CF = """\
default_transport = smtp:[127.0.0.1]:{sink}
transport_maps = inline:{{ {{ check.test = smtp:[127.0.0.1]:{checker} }} }}
smtp_connection_cache_on_demand = no
milter_content_timeout = 300s
smtpd_milters = {milters}
"""


class JobError(Exception):
    """A set-up does not do what it is measured for."""


# ---- where mail ends

class Checker(socketserver.ThreadingTCPServer):
    """An SMTP server that keeps the messages it gets; those that are looked at are sent to it."""

    daemon_threads = allow_reuse_address = True

    def __init__(self):
        self.messages: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Conversation)
        self.port = self.server_address[1]
        # Postfix closes connections as it likes.
        self.handle_error = lambda *_: None
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.say(b"220 check")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"DATA":
                self.say(b"354 go on")
                self.server.messages.append(self.message())
            self.say(b"250 yes" if command != b"QUIT" else b"221 bye")

    def say(self, line):
        self.wfile.write(line + b"\r\n")

    def message(self) -> bytes:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


class Sink:
    """smtp-sink: takes mail and forgets it, the cheapest real delivery there is.

    Postfix's `discard` would be cheaper, but then a body that was made small would save Postfix no work, which is a
    part of what such a milter does to a mail server.
    """

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_until(lambda: port_is_open(self.port), "smtp-sink")

    def stop(self):
        self.process.kill()
        self.process.wait()


# ---- set-ups

class Setup:
    """Postfix alone, and what the others have in common with it."""

    key, title = "a", "Postfix alone"
    detaches = False
    # Whether clients say how large their messages are.
    declares_size = False

    def __init__(self, directory: Path, sink: Sink, checker: Checker, load: Path, binaries: dict[str, Path]):
        self.directory, self.checker, self.load, self.binaries = directory, checker, load, binaries
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        self.processes: list[subprocess.Popen] = []
        self.socket: Path | None = None
        self.serial = ord(self.key) * 10**9
        self.start_filter()
        self.port = free_port()
        milters = f"{{ unix:{self.socket}, default_action=tempfail, content_timeout=300s }}" if self.socket else ""
        self.postfix = Postfix(directory / "postfix", "mx",
                               MAIN_CF.format(sink=sink.port, checker=checker.port, milters=milters),
                               f"127.0.0.1:{self.port} inet n - n - - smtpd\n")
        self.postfix.start([self.port])

    def start_filter(self):
        pass

    def launch(self, *command, **options) -> subprocess.Popen:
        log = (self.directory / "log").open("ab")
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   **{"stdout": log, "stderr": log, **options})
        self.processes.append(process)
        return process

    def wait_for_socket(self):
        def listens():
            dead = [process for process in self.processes if process.poll() is not None]
            if dead:
                raise JobError(f"{self.title} ended:\n{self.log()}")
            return self.socket.exists()
        wait_until(listens, f"{self.title} to listen", 30)
        self.socket.chmod(0o666)

    def log(self) -> str:
        path = self.directory / "log"
        return tail(path.read_text(errors="replace")) if path.exists() else ""

    def stop(self):
        if hasattr(self, "postfix"):
            self.postfix.stop()
        left = tree(self.roots()) if self.processes else set()
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for pid in left - {process.pid for process in self.processes}:
            stop_pid(pid)

    # ---- what is measured

    def roots(self) -> list[int]:
        """The filter's processes; their children count, too."""
        return [process.pid for process in self.processes]

    def filter_seconds(self) -> float:
        return processor_seconds(self.roots())

    def all_seconds(self) -> float:
        return processor_seconds([self.postfix.master_pid, *self.roots()])

    def send(self, message: Message, count: int, connections: int, to=RECIPIENT) -> Sent:
        serial, self.serial = self.serial, self.serial + count
        parameters = f"SIZE={len(message.data)}" if self.declares_size else ""
        try:
            return send(self.load, self.port, message, serial, count, connections, to, parameters)
        except RuntimeError as error:
            raise JobError(f"{self.title}: {error}\n{self.complaints()}\n{self.log()}") from None

    def wait_delivered(self):
        """Until the queue is empty; nothing may have been put off."""
        queue = self.postfix.directory / "queue"
        waiting = [queue / name for name in ("maildrop", "incoming", "active")]
        wait_until(lambda: not any(map(has_files, waiting)), "an empty queue", 600)
        if has_files(queue / "deferred") or has_files(queue / "corrupt"):
            raise JobError(f"{self.title}: mail could not be delivered:\n{self.complaints()}")

    def complaints(self) -> str:
        """What Postfix has to say of what went wrong."""
        lines = self.postfix.log().splitlines()
        return tail("\n".join(line for line in lines if re.search("warning|error|fatal|reject|deferred", line)))

    # ---- whether the job is done

    def check(self, message: Message):
        """Sends one message that is looked at when it arrives."""
        serial, before = self.serial, len(self.checker.messages)
        self.send(message, 1, 1, CHECKER)
        wait_until(lambda: len(self.checker.messages) > before, f"mail from {self.title}")
        self.wait_delivered()
        received = without_trace(self.checker.messages.pop())
        if self.detaches:
            self.check_detached(message, serial, received)
        elif received != message.with_serial(serial):
            raise JobError(f"{self.title}: the message was changed")

    def check_detached(self, message: Message, serial: int, received: bytes):
        if len(received) > 8000 or b"\n\r\nHello,\r\n" not in received:
            raise JobError(f"{self.title}: this was received ({len(received)} bytes):\n{received[:3000].decode()}")
        link = re.search(re.escape(LINKS).encode() + rb"/[A-Za-z0-9._/-]+", received)
        if not link:
            raise JobError(f"{self.title}: no link in what was received:\n{received.decode()}")
        if self.fetch(link.group().decode()) != message.attachment(serial):
            raise JobError(f"{self.title}: the link does not give the attachment")

    def fetch(self, link: str) -> bytes:
        """What a link gives."""
        raise NotImplementedError

    def stored(self) -> list[Path]:
        """The files that it has stored."""
        return [path for path in self.files() if path.stat().st_size]

    def files(self) -> list[Path]:
        return []

    def clear(self):
        """Makes room. The files stay, empty: ext4 does not use a deleted file's inode again for minutes, and whoever makes
        a file meanwhile looks at all of them, which took a third of the filter's time."""
        for path in self.stored():
            os.truncate(path, 0)


def has_files(directory: Path) -> bool:
    """Whether there are files in a directory of the queue, or in those below it."""
    with os.scandir(directory) as entries:
        return any(has_files(Path(entry.path)) if entry.is_dir() else True for entry in entries)


class Floor(Setup):
    key, title = "b", "do-nothing milter"
    threads: tuple[str, ...] = ()

    def start_filter(self):
        self.socket = self.directory / "milter.sock"
        self.launch(self.binaries["floor"], self.socket, *self.threads, stdout=subprocess.PIPE)
        self.wait_for_socket()

    def stop(self):
        """It must have seen bodies, or it was no floor."""
        super().stop()
        taken = self.processes[0].stdout.read() if self.processes else b""
        if self.serial > ord(self.key) * 10**9 and not int(taken or 0):
            raise JobError(f"{self.title}: it saw no body")


class LeanFloor(Floor):
    """The same without the wake-ups across processors that tokio's default runtime has."""

    key, title, threads = "g", "do-nothing, one thread", ("1",)


class Passing(Setup):
    key, title = "c", "depollueur, passing"
    threshold = NEVER

    def start_filter(self):
        self.daemon = Daemon(None, self.directory / "daemon", {
            "quota_incoming_per_day": "off", "quota_incoming_client_per_day": "off", "quota_sender_per_day": "off",
            "detach_threshold": self.threshold, "web_public_url": LINKS + "/",
            "milter_listen": f"unix:{self.directory}/milter.sock", **self.settings()})
        self.socket = self.directory / "milter.sock"
        self.start_daemon()
        self.processes.append(self.daemon.process)

    def start_daemon(self):
        self.daemon.start()

    def settings(self):
        return {}

    def log(self):
        return tail(self.daemon.log())


class PassingBySize(Passing):
    """Its clients declare the size, as nearly all do: what is under the threshold is not looked at."""

    key, title, declares_size = "h", "depollueur, by size", True


class Detaching(Passing):
    key, title = "d", "depollueur, detaching"
    detaches, threshold = True, THRESHOLD

    def fetch(self, link):
        status, _, body = self.daemon.get(f"{link}.json")
        if status != 200:
            raise JobError(f"{link}.json answers {status}")
        import json
        (file,) = json.loads(body)["files"]
        return self.daemon.get(file["url"])[2]

    def files(self):
        """Records stay: a drop that is in use has many. Nobody asks for the contents again."""
        return [path for path in (self.daemon.drop / "blobs").glob("*/*") if path.is_file()]


class Scanned(Detaching):
    """Each file goes through Debian's clamd before it is in the drop. It has one signature, so that what is measured is the
    way through it: the signatures of ClamAV add their own time, and 1 GB of memory."""

    key, title = "i", "depollueur, scanned"

    def start_filter(self):
        self.clamd = Clamd(self.directory / "clamd", MaxThreads=50)
        self.clamd.__enter__()
        self.processes.append(self.clamd.process)
        super().start_filter()

    def settings(self):
        return {"scan_clamd": [self.clamd.socket], "scan_timeout": "29 s"}

    def check(self, message):
        before = scans(self.daemon)["clean"]
        super().check(message)
        if scans(self.daemon)["clean"] != before + 1:
            raise JobError(f"{self.title}: the file was not scanned")

    def stop(self):
        super().stop()
        self.clamd.process.wait()


class SlowDisk(Detaching):
    """Each of its syncs takes as long as on a small host's disk, beside the time that it takes here. Neither Postfix nor what
    the milter only reads and writes is held up."""

    key, title = "j", "depollueur, slow disk"
    sync_seconds = 0.008

    def start_daemon(self):
        shim = Shim(self.directory / "shim", self.daemon.directory)
        shim.delay(SYNC, self.sync_seconds)
        self.daemon.prefix = shim.prefix
        super().start_daemon()


class Directory(Setup):
    """A peer that puts files into a directory that a web server would show."""

    detaches = True

    def start_filter(self):
        self.socket = self.directory / "milter.sock"
        self.root = self.directory / "www"
        self.root.mkdir()

    def fetch(self, link):
        return (self.root / link.removeprefix(LINKS + "/")).read_bytes()

    def files(self):
        return [path for path in self.root.iterdir() if not path.name.startswith(".")]


class MimeDefang(Directory):
    """Debian's MIMEDefang with ten workers, embedded Perl, its spool in memory, and queues for what finds no worker: at its
    best. It does not sync the files it stores."""

    key, title = "e", "MIMEDefang"

    def start_filter(self):
        super().start_filter()
        shutil.chown(self.directory, "defang")
        shutil.chown(self.root, "defang")
        memory = Path("/dev/shm")
        self.spool = (memory if memory.is_dir() else self.directory) / f"system-bench-{os.getpid()}"
        self.spool.mkdir(mode=0o750)
        shutil.chown(self.spool, "defang")
        rules = (HERE / "peers" / "mimedefang-filter").read_text()
        for name, value in {"THRESHOLD": str(THRESHOLD), "ROOT": str(self.root), "URL": LINKS}.items():
            rules = rules.replace(f"@{name}@", value)
        path = self.directory / "filter"
        path.write_text(rules)
        workers = self.spool / "mx.sock"
        self.launch("mimedefang-multiplexor", "-U", "defang", "-D", "-E", "-m", "2", "-x", "10", "-w", "0", "-q", "100",
                    "-Q", "300", "-b", "300", "-c", "300", "-z", self.spool, "-s", workers, "-F", path)
        wait_until(workers.exists, "MIMEDefang's workers", 30)
        self.launch("mimedefang", "-U", "defang", "-D", "-q", "-z", self.spool, "-m", workers, "-p", self.socket)
        self.wait_for_socket()

    def stop(self):
        super().stop()
        shutil.rmtree(getattr(self, "spool", self.directory / "none"), ignore_errors=True)


class Python(Directory):
    key, title = "f", "Python milter"

    def start_filter(self):
        super().start_filter()
        self.launch("/usr/bin/python3", HERE / "peers" / "python_milter.py", f"unix:{self.socket}", self.root, LINKS,
                    str(THRESHOLD))
        self.wait_for_socket()


SETUPS = (Setup, Floor, Passing, Detaching, MimeDefang, Python, LeanFloor, PassingBySize, Scanned, SlowDisk)
