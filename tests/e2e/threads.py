#!/usr/bin/env python3
"""No thread that works on mail or on readers waits for a file, whatever a message makes the drop do.

    tests/e2e/threads.py            every check
    tests/e2e/threads.py crowd      only the checks whose sentence contains the word

A daemon runs under strace, which tells each system call with the thread that made it: the workers are called `mail` and
`web`, the threads that may wait `mail-disk`, `web-disk` and `aside`. No Postfix: the test speaks milter itself. Needs
strace.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Daemon, free_port, wait_until  # noqa: E402
from milter_client import Milter, body_of, split  # noqa: E402
from scan import Clamd, scans  # noqa: E402

CHECKS = []
WORKERS = {"mail", "web"}
# A read that does not wait (RWF_NOWAIT), and what the kernel keeps in memory for an open file.
ALLOWED = {"preadv2"}
CALLS = ("%file,read,write,readv,writev,pread64,pwrite64,preadv,pwritev,preadv2,pwritev2,fsync,fdatasync,syncfs,ftruncate,fallocate,"
         "fadvise64,sync_file_range,flock,fcntl,getdents64,close")
# How long each removal takes in the check of the crowd, in microseconds.
REMOVAL = 50_000


def check(sentence: str):
    """Registers a check: a function that raises when the sentence does not hold."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


@contextlib.contextmanager
def traced(work: Path, *options: str, **settings):
    """A daemon under strace, from its first call on, and the file with its calls."""
    daemon = Daemon(None, work, {"web_misses_per_minute": 1000, **settings})
    calls = work / "calls"
    # With -D the daemon is our child, and strace watches from beside.
    daemon.prefix = ["strace", "-D", "-f", "-q", "-y", "-Y", "-s", "256", "-o", str(calls), *options]
    with daemon:
        yield daemon, calls
    wait_until(lambda: "+++ exited with" in calls.read_text(errors="replace").splitlines()[-1], "the end of the trace")


def by_workers(daemon: Daemon, calls: Path) -> list[str]:
    """The calls of workers that are about files of the drop and the spool."""
    seen, found = set(), []
    for line in calls.read_text(errors="replace").splitlines():
        told = re.match(r"\d+<([^>]*)>\s+(?:<\.\.\. )?(\w+)", line)
        if not told:
            continue
        thread, call = told.groups()
        seen.add(thread)
        if thread in WORKERS and str(daemon.drop) in line and call not in ALLOWED:
            found.append(line)
    assert WORKERS | {"mail-disk", "web-disk", "aside"} <= seen, f"the threads are {seen}"
    return found


def parts(count: int, size: int) -> list[bytes]:
    return [m.attachment(m.noise(size, seed=n), f"{n}.bin", "application/octet-stream") for n in range(count)]


def send(daemon: Daemon, message: bytes):
    with Milter(daemon.settings["milter_listen"]) as milter:
        milter.open()
        return milter.message(message)


def links(daemon: Daemon, replies) -> set[str]:
    url = daemon.settings["web_public_url"]
    text = body_of(replies).replace(b"=\r\n", b"").decode(errors="replace")
    return set(re.findall(re.escape(url) + "[a-z2-7]{26}", text))


def mixed(*pieces: bytes) -> bytes:
    text = m.part("text/plain; charset=utf-8", b"Bonjour")
    return m.message(m.multipart("mixed", text, *pieces), to="bob@example.com")


@check("a mail that is detached, one that is given up, a download, an end and a sweep: no worker waits for a file")
def _(work: Path):
    with traced(work, "-e", f"trace={CALLS}", spool_memory=65_536, detach_threshold=1000) as (daemon, calls):
        kept = m.part("text/plain; charset=utf-8", b"Une ligne qui reste.\r\n" * 20_000)
        [link] = links(daemon, send(daemon, mixed(kept, *parts(3, 200_000), *parts(5, 2000))))
        files = daemon.manifest(link)["files"]
        assert len(files) == 8, files
        for number in range(1, 9):
            assert daemon.get(f"{link}/{number}")[0] == 200, number
        assert daemon.get(f"{link}/all.zip")[0] == 200
        # Given up in the middle, by us and by the client; many small ones; a copy, whose files are not needed.
        send(daemon, mixed(*parts(3, 200_000), spoiled()))
        with Milter(daemon.settings["milter_listen"]) as milter:
            milter.open()
            fields, body = split(mixed(*parts(3, 200_000)))
            milter.envelope()
            milter.header(fields)
            milter.body([body[:400_000]])
        send(daemon, mixed(*parts(1001, 1500)))
        copy = mixed(*parts(2, 200_000))
        assert links(daemon, send(daemon, copy)) == links(daemon, send(daemon, copy))
        assert daemon.run("drop", "revoke", link, "--destroy").returncode == 0
        assert daemon.get(link)[0] == 410
        daemon.process.send_signal(1)
        wait_until(lambda: "configuration" in daemon.log(), "the reload")
    found = by_workers(daemon, calls)
    assert not found, f"{len(found)} calls, such as\n" + "\n".join(found[:20])


def spoiled() -> bytes:
    """A file of which readers make different things: with it a message is left alone."""
    return (b"Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQ===Q\r\n")


@check("deposits of another host, one of which is given up, what readers extend and report, and a second scan: no worker waits for a file")
def _(work: Path):
    port = free_port()
    with Clamd(work / "clamd") as clamd, traced(work / "drop", "-e", f"trace={CALLS}", deposit_listen=f"127.0.0.1:{port}",
                                                scan_clamd=[clamd.socket], scan_rescan="1 s", drop_extension="2 months",
                                                web_report_to="abuse@lab.test") as (drop, calls):
        token = work / "token"
        token.write_bytes(drop.run("drop", "token", "add", "mx1").stdout)
        token.chmod(0o600)
        with Daemon(None, work / "milter", {"store_kind": "remote", "remote_url": f"http://127.0.0.1:{port}/", "detach_threshold": 1000,
                                            "remote_token_file": str(token)}) as milter:
            [link] = links(milter, send(milter, mixed(*parts(3, 200_000), *parts(5, 2000))))
            send(milter, mixed(*parts(3, 200_000), spoiled()))
        clamd.knows("Depollueur.Test.Other", b"nothing of ours has this in it")
        time.sleep(1.1)  # The scan of the deposit is then older than scan.rescan.
        before = scans(drop)["clean"]
        assert drop.get(f"{link}/1")[0] == 200 and scans(drop)["clean"] > before
        for form, fields in (("extend", ""), ("report", "reason=fraud&text=Fausse+facture")):
            assert post(drop, f"{link}/{form}", fields) in (200, 303), form
        assert "report" in drop.run("drop", "audit").stdout.decode()
    found = by_workers(drop, calls)
    assert not found, f"{len(found)} calls, such as\n" + "\n".join(found[:20])


def post(daemon: Daemon, link: str, fields: str) -> int:
    """The status of the answer to a form of our own page."""
    url = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.web_port, timeout=30)
    connection.request("POST", url.path, fields, {"Host": url.netloc, "Origin": f"{url.scheme}://{url.netloc}",
                                                  "Content-Type": "application/x-www-form-urlencoded"})
    with contextlib.closing(connection):
        return connection.getresponse().status


@check("while the files of a crowd of mails are removed, the mail of others goes on")
def _(work: Path):
    delay = f"inject=unlink,unlinkat:delay_enter={REMOVAL}"
    with traced(work, "-e", "trace=unlink,unlinkat", "-e", delay, detach_threshold=1000) as (daemon, _), \
            contextlib.ExitStack() as stack:
        fields, body = split(mixed(*parts(12, 70_000), spoiled()))
        whole, broken = body[:body.index(b"Q===Q")], body[body.index(b"Q===Q"):]
        crowd = []
        for _ in range(8):
            milter = stack.enter_context(Milter(daemon.settings["milter_listen"]))
            milter.open(login=f"user{len(crowd)}")
            milter.envelope()
            milter.header(fields)
            milter.body(whole[at:at + 60_000] for at in range(0, len(whole), 60_000))
            crowd.append(milter)
        drafts = daemon.drop / "drafts"
        wait_until(lambda: len(os.listdir(drafts)) == 12 * len(crowd), "all drafts")
        for milter in crowd:
            milter.body([broken])
        assert links(daemon, send(daemon, mixed(*parts(1, 5000)))), "it is not rewritten"
        left = len(os.listdir(drafts))
        assert left, "the mail of others waited until all was removed"
        wait_until(lambda: not os.listdir(drafts), "the removal", 60)


def main(words: list[str]) -> int:
    assert shutil.which("strace"), "strace is missing"
    good = bad = 0
    for sentence, function in CHECKS:
        if words and not all(word in sentence for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix="depollueur-threads-") as work:
            try:
                function(Path(work))
            except Exception as error:  # noqa: BLE001
                bad += 1
                print(f"FAIL  {sentence}\n      {error}", flush=True)
                traceback.print_exception(error)
            else:
                good += 1
                print(f"ok    {sentence}", flush=True)
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
