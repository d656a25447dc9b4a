#!/usr/bin/env python3
"""The system calls that the unit allows are those of a day's work, and no programs' beside it.

A daemon works through a day under strace: it detaches, gives out, scans, asks postmap, takes a report, mails it and tells a
program of it, sends a copy of the audit log, reads its configuration again, and ends. `reload`, which the unit runs, and
`doctor`, as far as it is typed within the unit, run under strace, too. Each call must be one that `SystemCallFilter=`
of systemd/depollueur.service allows (systemd-analyze says what its groups hold); what the unit takes out of them must
stay out. No Postfix needs to run, but postmap must be there. Needs strace and systemd-analyze.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import ROOT, Daemon, wait_until  # noqa: E402
from milter_client import Milter  # noqa: E402
from stories_peers import report_page  # noqa: E402
from threads import links, mixed, parts  # noqa: E402

UNIT = ROOT / "systemd" / "depollueur.service"
# The units of a process for each part.
PARTS = [ROOT / "systemd" / f"depollueur-{part}.service" for part in ("milter", "web", "sweep")]
# Ways out of a sandbox, and into other processes, that no program here has any use for.
NEVER = ("io_uring_setup add_key keyctl request_key shmget semget msgget mq_open process_vm_readv process_vm_writev "
         "ptrace bpf userfaultfd perf_event_open unshare setns mount chroot setuid kexec_load init_module personality kcmp "
         "pidfd_getfd name_to_handle_at open_by_handle_at remap_file_pages setpriority chown").split()

# SQLite gives its files to the owner of the database, where it may.
AS_ROOT = {"fchown"} if os.geteuid() == 0 else set()


def group(name: str) -> set[str]:
    """What a group of systemd holds, all groups in it among that."""
    shown = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    words = {line.strip() for line in shown.splitlines()[1:] if not line.strip().startswith("#")}
    return {call for word in words for call in (group(word) if word.startswith("@") else {word}) if word}


def allowed(unit: Path) -> set[str]:
    """What the unit allows: each line adds to those before, or takes away."""
    calls: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.M):
        named = {call for word in words.lstrip("~").split() for call in (group(word) if word.startswith("@") else {word})}
        calls = calls - named if words.startswith("~") else calls | named
    return calls


class Smtp(socketserver.StreamRequestHandler):
    """Takes any mail."""

    def handle(self):
        self.wfile.write(b"220 lab\r\n")
        in_data = False
        for line in self.rfile:
            word = line[:4].upper().strip()
            if in_data and line != b".\r\n":
                continue
            self.wfile.write(b"354 go on\r\n" if word == b"DATA" else b"250 ok\r\n")
            in_data = word == b"DATA"
            self.server.mails += line == b".\r\n"


class Clamd(socketserver.StreamRequestHandler):
    """Finds nothing in any file."""

    def handle(self):
        command = b""
        while not command.endswith(b"\0"):
            command += self.rfile.read(1)
        if command == b"zVERSION\0":
            self.wfile.write(b"ClamAV 1.4.6/27450/Fri Nov 20 09:00:00 2026\0")
            return
        while length := int.from_bytes(self.rfile.read(4), "big"):
            self.rfile.read(length)
        self.wfile.write(b"stream: OK\0")


@contextlib.contextmanager
def served(handler):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.mails = True, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def strace(counts: Path) -> list[str]:
    return ["strace", "-D", "-f", "-qq", "-c", "-U", "name", "-o", str(counts)]


def traced(work: Path, daemon: Daemon, *words: str):
    """Another command of the program, its calls counted beside those of the daemon."""
    command = [*strace(work / f"counts-{words[0]}"), *daemon.command(*words)]
    return subprocess.run(command, capture_output=True, timeout=120)


def used_in(counts: Path) -> set[str]:
    """The calls that strace counted."""
    wait_until(lambda: counts.exists() and counts.stat().st_size, "the counts")
    words = set(counts.read_text().split()) - {"syscall", "total"}
    return {call for call in words if re.fullmatch(r"[a-z_0-9]+", call) and not call.isdigit()}


def day(work: Path, daemon: Daemon, smtp):
    with Milter(daemon.settings["milter_listen"]) as milter:
        milter.open()
        kept = m.part("text/plain; charset=utf-8", b"Une ligne qui reste.\r\n" * 20_000)
        [link] = links(daemon, milter.message(mixed(kept, *parts(2, 9_000_000), *parts(3, 2000))))
    assert daemon.get(f"{link}/1")[0] == 200 and daemon.get(f"{link}/all.zip")[0] == 200
    assert daemon.get(f"{link}/1", {"Range": "bytes=5-9"})[0] == 206
    report_page(daemon, link, "Fausse facture")
    wait_until(lambda: smtp.mails, "the report")
    daemon.configure(notice_language="fr")
    done = traced(work, daemon, "reload", "--pid", str(daemon.process.pid))
    assert done.returncode == 0, done.stderr
    # It finds fault with this machine, whose Postfix is none.
    done = traced(work, daemon, "doctor", "--postfix-config", str(work))
    assert done.returncode in (0, 1, 2) and b"drop" in done.stdout, done.stderr
    wait_until((work / "told").exists, "the program that is told of reports")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="depollueur-calls-") as place, served(Smtp) as smtp, served(Clamd) as clamd, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as copy:
        work = Path(place)
        copy.bind(str(work / "copy"))
        (work / "main.cf").write_text("compatibility_level = 3.6\nalias_maps =\nsmtpd_sender_login_maps = texthash:/dev/null\n")
        (work / "people").write_text("zoe@example.org yes\n")
        daemon = Daemon(None, work / "daemon", {
            "spool_memory": 65_536, "detach_threshold": 1000, "web_report_to": "abuse@lab.test", "quota_free_space_min": 1,
            "mail_relay": f"127.0.0.1:{smtp.server_address[1]}", "scan_clamd": f"inet:127.0.0.1:{clamd.server_address[1]}",
            "lookup_postfix_config": str(work), "users_opt_out": f"texthash:{work}/people",
            "audit_copy": f"{work}/copy", "web_report_command": ["/bin/sh", "-c", f"cat > {work}/told"]})
        daemon.prefix = strace(work / "counts")
        with daemon:
            day(work, daemon, smtp)
            assert b"action=deposit" in copy.recv(65536, socket.MSG_DONTWAIT), "a copy of the audit log"
        used = set().union(*(used_in(work / name) for name in ("counts", "counts-reload", "counts-doctor")))
        log = daemon.log()
    calls = allowed(UNIT)
    bad = 0
    for sentence, wrong in (
            ("the day went as days go", sorted({"syncfs", "renameat2", "unlink", "execve", "preadv2"} - used)),
            ("the unit allows each system call of a day", sorted(used - calls - AS_ROOT)),
            ("the unit allows none that no day needs", sorted(set(NEVER) & calls)),
            ("the units of its parts allow the same", [unit.name for unit in PARTS if allowed(unit) != calls])):
        bad += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '}  {sentence}" + (f": {' '.join(wrong)}\n{log}" if wrong else ""))
    print(f"{4 - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
