#!/usr/bin/env python3
"""The virus scan, with the real clamd of Debian and a database of one signature.

    tests/e2e/scan.py            all of it
    tests/e2e/scan.py killed     what has the word in its sentence
    tests/e2e/scan.py --large    files of 1 GB, with the virus in all places; a few minutes and 2 GB of disk

The one signature is that of the EICAR test file, which is put together here while this runs: no scanner needs to
dislike this file. $CLAMD names a clamd that is not installed. No Postfix: the test speaks milter itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Daemon, free_port, is_alive, stop_pid, tail, wait_until  # noqa: E402
from milter_client import CHUNK_MAX, Milter, body_of, split  # noqa: E402

CLAMD = os.environ.get("CLAMD", "/usr/sbin/clamd")
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Depollueur.Test.EICAR.UNOFFICIAL"
CHECKS: list = []
LARGE: list = []
GIGABYTE = 1_000_000_000
# What the drop encrypts as one piece: the first segment of a file, and each further one.
FIRST, FULL = 65_480, 65_520


def check(sentence: str, checks=CHECKS):
    """Registers a check: a function that raises when the sentence does not hold."""
    def register(function):
        checks.append((sentence, function))
        return function
    return register


class Clamd:
    """A clamd of its own, on a unix socket and a port."""

    def __init__(self, directory: Path, **settings):
        directory.mkdir()
        (directory / "database").mkdir()
        (directory / "database" / "test.ndb").write_text(f"Depollueur.Test.EICAR:0:*:{EICAR.hex()}\n")
        self.directory, self.port = directory, free_port()
        self.socket = f"unix:{directory}/clamd.ctl"
        values = {"LocalSocket": directory / "clamd.ctl", "TCPSocket": self.port, "TCPAddr": "127.0.0.1",
                  "DatabaseDirectory": directory / "database", "TemporaryDirectory": directory, "Foreground": "yes",
                  "StreamMaxLength": "200M", "MaxFileSize": "200M", "MaxScanSize": "200M", **settings}
        (directory / "clamd.conf").write_text("".join(f"{key} {value}\n" for key, value in values.items()))
        self.process = None

    def __enter__(self):
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([CLAMD, "-c", self.directory / "clamd.conf"], stdout=log, stderr=log)
        wait_until(lambda: (self.directory / "clamd.ctl").exists() or not is_alive(self.process.pid), "clamd", 30)
        assert is_alive(self.process.pid), (self.directory / "log").read_text()
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGCONT)
        stop_pid(self.process.pid)
        self.process.wait()

    def signal(self, number: int):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def knows(self, name: str, signature: bytes):
        """Starts it again with another signature."""
        self.kill()
        (self.directory / "database" / "test.ndb").write_text(f"{name}:0:*:{signature.hex()}\n")
        self.__enter__()

    def kill(self):
        self.process.kill()
        self.process.wait()
        (self.directory / "clamd.ctl").unlink(missing_ok=True)


class Place:
    """Where one check has its daemons."""

    def __init__(self, directory: Path):
        self.directory, self.count = directory, 0

    def clamd(self, **settings) -> Clamd:
        self.count += 1
        return Clamd(self.directory / f"clamd-{self.count}", **settings)

    def daemon(self, *scanners: str, **settings) -> Daemon:
        self.count += 1
        if scanners:
            settings["scan_clamd"] = list(scanners)
        return Daemon(None, self.directory / f"daemon-{self.count}", {"quota_free_space_min": 0, "quota_free_inodes_min": 0, **settings})


def mail(*files: tuple[str, bytes]) -> bytes:
    attachments = [m.attachment(data, name) for name, data in files]
    return m.message(m.multipart("mixed", m.TEXT, *attachments), to="bob@example.com")


def send(daemon: Daemon, *files: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    with Milter(daemon.settings["milter_listen"]) as milter:
        milter.open()
        return milter.message(mail(*files))


def infected(size: int) -> bytes:
    """A file that has the signature at its end."""
    return m.pdf(size - len(EICAR)) + EICAR


def leftovers(daemon: Daemon) -> list[str]:
    kinds = [daemon.drop / "blobs", daemon.drop / "drafts"]
    return [path.name for kind in kinds for path in kind.rglob("*") if path.is_file()]


def check_nothing_left(daemon: Daemon, before: int = 0):
    """What is given up is removed by a thread of the drop, in a moment."""
    wait_until(lambda: len(leftovers(daemon)) == before, f"the drop to have {before} files", 10)


def check_rejected(daemon: Daemon, replies, before: int = 0):
    letter, text = replies[-1]
    assert letter == "y" and text.startswith(b"550 5.7.1 ") and b"virus" in text, f"{replies[-1]}\n{tail(daemon.log())}"
    check_nothing_left(daemon, before)


def check_put_off(daemon: Daemon, replies, why: str, before: int = 0):
    letter, text = replies[-1]
    assert letter == "t" or (letter == "y" and text.startswith(b"451")), replies[-1]
    check_nothing_left(daemon, before)
    assert why in daemon.log(), tail(daemon.log())


def check_untouched(daemon: Daemon, replies):
    assert [letter for letter, _ in replies if letter not in "p"] in (["a"], ["c"]), replies[-1]
    check_nothing_left(daemon)


def check_too_large(daemon: Daemon, replies, why: str):
    check_untouched(daemon, replies)
    assert why in daemon.log(), tail(daemon.log())


def link_in(daemon: Daemon, replies) -> str:
    body = body_of(replies).decode("latin-1").replace("=\r\n", "")
    base = daemon.settings["web_public_url"]
    assert base in body, replies[-1]
    return base + body.split(base, 1)[1][:26]


def check_linked(daemon: Daemon, replies, *files: tuple[str, bytes]):
    """The new body's link serves these files and no other."""
    assert replies[-1][0] in "ac", replies[-1]
    body, link = body_of(replies), link_in(daemon, replies)
    shown = daemon.manifest(link)["files"]
    assert [file["name"] for file in shown] == [name for name, _ in files], shown
    for number, (_, data) in enumerate(files, 1):
        status, _, served = daemon.get(f"{link}/{number}")
        assert status == 200 and served == data, f"{link}/{number} answers {status}"
    return body


def scans(daemon: Daemon) -> dict[str, int]:
    lines = daemon.admin("/metrics")[1].decode().splitlines()
    found = [line for line in lines if line.startswith("depollueur_scans_total{")]
    return {line.split('"')[1]: int(line.rsplit(" ", 1)[1]) for line in found}


@check("a clean file is scanned and gets into the drop, an infected one is refused, logged, counted, and explained")
def _(place):
    with place.clamd() as clamd, place.daemon(clamd.socket) as daemon:
        clean = m.pdf(300_000)
        check_linked(daemon, send(daemon, ("report.pdf", clean)), ("report.pdf", clean))
        check_rejected(daemon, send(daemon, ("a.pdf", clean), ("b.pdf", infected(300_000))), before=1)
        assert scans(daemon) == {"clean": 2, "infected": 1, "failed": 0, "oversize": 0}, scans(daemon)
        assert daemon.metric(r'depollueur_deposit_errors_total\{kind="infected"\}') == 1
        assert f"a file is infected: {NAME}" in daemon.log(), tail(daemon.log())
        audit = daemon.run("drop", "audit").stdout.decode()
        assert "refuse" in audit and f"a file is infected: {NAME}" in audit, audit
        wanted = b"infected: the virus scan found something"
        wait_until(lambda: wanted in daemon.run("why", "4ABC").stdout, "the decision to be told", 10)


@check("a virus is found in a ZIP, at the end of a large file, and where it is cut in two pieces; the memory stays bounded")
def _(place):
    with place.clamd() as clamd, place.daemon(f"inet:127.0.0.1:{clamd.port}") as daemon:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("noise", m.noise(300_000))
            file.writestr("test.com", EICAR)
        assert EICAR not in archive.getvalue()
        check_rejected(daemon, send(daemon, ("a.zip", archive.getvalue())))
        idle = daemon.peak_kib()
        check_rejected(daemon, send(daemon, ("a.pdf", infected(30_000_000))))
        assert daemon.peak_kib() - idle < 8 << 10, f"{daemon.peak_kib() - idle} KiB more"
        for before in (1, len(EICAR) // 2, len(EICAR) - 1):
            # The cut is where a line of base64, and a piece of 30 kB, ends.
            at = 57 * 2000 * 3
            data = m.pdf(at - before) + EICAR + m.noise(200_000)
            with Milter(daemon.settings["milter_listen"]) as milter:
                milter.open()
                fields, body = split(mail(("a.pdf", data)))
                assert not milter.envelope() and not milter.header(fields)
                cut = body.index(m.base64_lines(data[at:])[:76])
                first, rest = body[:cut], body[cut:]
                pieces = [first[i:i + 39_000] for i in range(0, len(first), 39_000)]
                milter.body([*pieces, *(rest[i:i + CHUNK_MAX] for i in range(0, len(rest), CHUNK_MAX))])
                check_rejected(daemon, milter.end())
        assert scans(daemon)["infected"] == 5, scans(daemon)


def stream(size: int, evil_at: int | None):
    """A file of noise in blocks, each of whole lines of base64, with the signature at an offset."""
    block = 57 * 17_000
    noise = m.noise(block)
    for start in range(0, size, block):
        data = noise[:min(block, size - start)]
        if evil_at is not None:
            # The part of the signature that lies in this block.
            first, last = max(evil_at, start), min(evil_at + len(EICAR), start + len(data))
            if first < last:
                data = data[:first - start] + EICAR[first - evil_at:last - evil_at] + data[last - start:]
        yield data


def send_blocks(daemon: Daemon, name: str, blocks) -> list[tuple[str, bytes]]:
    """A message with one file that nobody has in memory."""
    mark = b"=" * 57
    fields, body = split(mail((name, mark)))
    head, tail = body.split(m.base64_lines(mark).rstrip(), 1)

    def pieces():
        yield head
        for data in blocks:
            text = m.base64_lines(data)
            yield from (text[i:i + CHUNK_MAX] for i in range(0, len(text), CHUNK_MAX))
        yield tail
    with Milter(daemon.settings["milter_listen"], timeout=600) as milter:
        milter.open()
        assert not milter.envelope() and not milter.header(fields)
        milter.body(pieces())
        return milter.end()


@check("a virus is found on each side of, and across, a segment's border", CHECKS)
def _(place):
    with place.clamd() as clamd, place.daemon(clamd.socket) as daemon:
        for border in (FIRST, FIRST + FULL, 65_536):
            for before in (0, 1, len(EICAR) // 2, len(EICAR)):
                check_rejected(daemon, send_blocks(daemon, "a.bin", stream(300_000, border - before)))
        assert scans(daemon)["infected"] == 12, scans(daemon)


@check("a virus is found in 1 GB, wherever it is, and in a ZIP of 1 GB; 1 GB without one is served; the memory stays bounded", LARGE)
def _(place):
    # Noise is slow to scan. What clamd has to look at more than once counts more than once.
    limits = {"StreamMaxLength": "1500M", "MaxFileSize": "1500M", "MaxScanSize": "4000M", "MaxScanTime": 0, "AlertExceedsMax": "yes"}
    settings = {"scan_size_max": "1.2 GB", "scan_timeout": "200 s", "milter_deadline": "240 s"}
    with place.clamd(**limits) as clamd, place.daemon(clamd.socket, **settings) as daemon:
        idle = daemon.peak_kib()
        borders = FIRST + 7000 * FULL
        for at in (0, borders - 30, GIGABYTE // 2, GIGABYTE - len(EICAR)):
            begun = time.monotonic()
            check_rejected(daemon, send_blocks(daemon, "a.bin", stream(GIGABYTE, at)))
            print(f"      1 GB with the virus at {at} took {time.monotonic() - begun:.0f} s", flush=True)
        archive = place.directory / "large.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
            with file.open("noise", "w") as inside:
                for data in stream(GIGABYTE - 1_000_000, None):
                    inside.write(data)
            file.writestr("test.com", EICAR, zipfile.ZIP_DEFLATED)
        with archive.open("rb") as file:
            check_rejected(daemon, send_blocks(daemon, "a.zip", iter(lambda: file.read(57 * 17_000), b"")))
        replies = send_blocks(daemon, "a.bin", stream(GIGABYTE, None))
        link, digest = link_in(daemon, replies), hashlib.sha256()
        for data in stream(GIGABYTE, None):
            digest.update(data)
        (shown,) = daemon.manifest(link)["files"]
        assert (shown["size"], shown["sha256"]) == (GIGABYTE, digest.hexdigest()), shown
        assert scans(daemon) == {"clean": 1, "infected": 5, "failed": 0, "oversize": 0}, scans(daemon)
        print(f"      at most {daemon.peak_kib() >> 10} MiB were resident, {idle >> 10} when idle")
        assert daemon.peak_kib() - idle < 16 << 10, f"{daemon.peak_kib() - idle} KiB more"


@check("an infected message is delivered as it came, or loses its clean files only, where that is wished")
def _(place):
    clean, evil = ("a.pdf", m.pdf(300_000)), ("b.pdf", infected(200_000))
    with place.clamd() as clamd:
        with place.daemon(clamd.socket, scan_on_infected="deliver") as daemon:
            check_untouched(daemon, send(daemon, clean, evil))
        with place.daemon(clamd.socket, scan_on_infected="keep out") as daemon:
            body = check_linked(daemon, send(daemon, clean, evil, ("c.pdf", clean[1])), clean, ("c.pdf", clean[1]))
            assert m.base64_lines(evil[1]) in body, "the infected file is not in the message as it was"
            assert f"a file is infected: {NAME}" in daemon.log()


@check("a package in which a virus is known later is ended at its next download, and that is audited")
def _(place):
    files = ("a.pdf", infected(300_000))
    with place.clamd() as clamd, place.daemon(clamd.socket, scan_rescan="1 s") as daemon:
        clamd.knows("Depollueur.Test.Other", b"nothing of ours has this in it")
        link = link_in(daemon, send(daemon, files))
        clamd.knows("Depollueur.Test.EICAR", EICAR)
        # The scan of its deposit is then older than scan.rescan.
        wait_until(lambda: daemon.get(f"{link}/1")[0] == 410, "the package to be ended", 20)
        assert daemon.get(link)[0] == 410
        audit = daemon.run("drop", "audit").stdout.decode()
        assert "revoke" in audit and f"a file is infected: {NAME}" in audit, audit
        clean = ("b.pdf", m.pdf(300_000))
        link = link_in(daemon, send(daemon, clean))
        clamd.kill()
        wait_until(lambda: daemon.get(f"{link}/1")[0] == 503, "the scan to be due, and to fail", 20)
        with clamd:
            status, _, served = daemon.get(f"{link}/1")
            assert status == 200 and served == clean[1], status


@check("doctor says whether clamd answers and finds the test file")
def _(place):
    with place.clamd() as clamd:
        daemon = place.daemon(clamd.socket)
        with daemon:
            assert f'"{clamd.socket}" finds the test file of EICAR: ClamAV' in daemon.run("doctor").stdout.decode()
            clamd.knows("Depollueur.Test.Other", b"nothing of ours has this in it")
            assert "takes the test file of EICAR for clean" in daemon.run("doctor").stdout.decode()
            clamd.kill()
            said = daemon.run("doctor").stdout.decode()
            assert "could not reach clamd" in said and "systemctl start clamav-daemon" in said, said


@check("doctor says whether clamd takes a file of scan.size_max, and what to write where it does not")
def _(place):
    with place.clamd() as clamd, place.daemon(clamd.socket, scan_size_max=20_000_000) as daemon:
        assert f'"{clamd.socket}" takes a file of 20000000 bytes' in daemon.run("doctor").stdout.decode()
    with place.clamd(StreamMaxLength="10M") as clamd, place.daemon(clamd.socket, scan_size_max=20_000_000) as daemon:
        said = daemon.run("doctor").stdout.decode()
        assert f'"{clamd.socket}" does not take a file of 20000000 bytes' in said, said
        assert "in clamd.conf of its host: StreamMaxLength 20000000" in said, said
    with (place.clamd(MaxFileSize="10M", AlertExceedsMax="yes") as clamd,
          place.daemon(clamd.socket, scan_size_max=20_000_000) as daemon):
        said = daemon.run("doctor").stdout.decode()
        assert f'"{clamd.socket}" does not take a file of 20000000 bytes' in said and "MaxFileSize 20000000" in said, said


@check("the metrics say whether each clamd answers")
def _(place):
    nobody = "unix:/nonexistent/clamd.ctl"
    with place.clamd() as clamd, place.daemon(nobody, clamd.socket) as daemon:
        for line in (f'depollueur_clamd_up{{clamd="{nobody}"}} 0', f'depollueur_clamd_up{{clamd="{clamd.socket}"}} 1'):
            wait_until(lambda line=line: line in daemon.admin("/metrics")[1].decode(), line, 10)


@check("clamd that is killed in the middle of a file puts the message off, and when it is back the message goes through")
def _(place):
    files = ("a.pdf", m.pdf(3_000_000))
    with place.clamd() as clamd, place.daemon(clamd.socket) as daemon:
        with Milter(daemon.settings["milter_listen"]) as milter:
            milter.open()
            fields, body = split(mail(files))
            assert not milter.envelope() and not milter.header(fields)
            pieces = [body[i:i + CHUNK_MAX] for i in range(0, len(body), CHUNK_MAX)]
            milter.body(pieces[:20])
            clamd.kill()
            milter.body(pieces[20:])
            check_put_off(daemon, milter.end(), "broke off")
        check_put_off(daemon, send(daemon, files), "could not reach clamd")
        assert scans(daemon)["failed"] == 2, scans(daemon)
        with clamd:
            check_linked(daemon, send(daemon, files), files)


@check("without clamd, messages are delivered as they came, or their files deposited unscanned, where that is wished")
def _(place):
    files = ("a.pdf", m.pdf(300_000))
    nobody = f"inet:127.0.0.1:{free_port()}"
    with place.daemon(nobody, scan_on_failure="deliver") as daemon:
        check_untouched(daemon, send(daemon, files))
        assert 'outcome="failed",reason="unscanned"} 1' in daemon.admin("/metrics")[1].decode()
    with place.daemon(nobody, scan_on_failure="deposit") as daemon:
        check_linked(daemon, send(daemon, files), files)
        assert "it is deposited unscanned" in daemon.log()


@check("where one clamd is down, the next one is asked")
def _(place):
    with place.clamd() as clamd, place.daemon("unix:/nonexistent/clamd.ctl", clamd.socket) as daemon:
        check_rejected(daemon, send(daemon, ("a.pdf", infected(300_000))))
        assert "is asked" in daemon.log(), tail(daemon.log())


@check("clamd that hangs puts the message off after scan.timeout, and does not stop the others")
def _(place):
    files = ("a.pdf", m.pdf(300_000))
    with place.clamd() as clamd, place.daemon(clamd.socket, scan_timeout="1 s") as daemon:
        clamd.signal(signal.SIGSTOP)
        check_put_off(daemon, send(daemon, files), "did nothing for 1 s")
        clamd.signal(signal.SIGCONT)
        check_linked(daemon, send(daemon, files), files)


@check("a file past clamd's own limit is not taken for a clean one, and the log says which key to change")
def _(place):
    with place.clamd(StreamMaxLength="1M") as clamd, place.daemon(clamd.socket) as daemon:
        check_too_large(daemon, send(daemon, ("a.pdf", m.pdf(6_000_000))), "raise StreamMaxLength in clamd.conf")
    with place.clamd(MaxFileSize="1M", AlertExceedsMax="yes") as clamd, place.daemon(clamd.socket) as daemon:
        check_too_large(daemon, send(daemon, ("a.pdf", m.pdf(6_000_000))), "raise its limits (MaxFileSize")


@check("a file past scan.size_max stays in its message, or goes unscanned, where that is wished")
def _(place):
    files = ("a.pdf", infected(300_000))
    with place.clamd() as clamd:
        with place.daemon(clamd.socket, scan_size_max=299_999) as daemon:
            check_untouched(daemon, send(daemon, files))
            assert "of scan.size_max" in daemon.log()
        with place.daemon(clamd.socket, scan_size_max=299_999, scan_on_oversize="deposit") as daemon:
            check_linked(daemon, send(daemon, files), files)
            assert scans(daemon)["oversize"] == 1, scans(daemon)


@check("what another host deposits is scanned by the host of the drop, and refused by the one that has the mail")
def _(place):
    with place.clamd() as clamd:
        port = free_port()
        drop = place.daemon(clamd.socket, deposit_listen=f"127.0.0.1:{port}")
        with drop:
            added = drop.run("drop", "token", "add", "mx1")
            assert added.returncode == 0, added.stderr.decode()
            token = place.directory / "token"
            token.write_bytes(added.stdout)
            token.chmod(0o600)
            remote = {"store_kind": "remote", "remote_url": f"http://127.0.0.1:{port}/", "remote_token_file": str(token)}
            with place.daemon(**remote) as milter:
                check_rejected(drop, send(milter, ("a.pdf", infected(300_000))))
                assert f"a file is infected: {NAME}" in milter.log(), tail(milter.log())
            with place.daemon(**remote, scan_on_infected="keep out") as milter:
                replies = send(milter, ("a.pdf", infected(300_000)), ("b.pdf", m.pdf(300_000)))
                check_linked(drop, replies, ("b.pdf", m.pdf(300_000)))
            clamd.kill()
            with place.daemon(**remote) as milter:
                check_put_off(drop, send(milter, ("a.pdf", m.pdf(300_000))), "could not reach clamd", before=1)
            audit = drop.run("drop", "audit").stdout.decode()
            assert audit.count(f"a file is infected: {NAME}") == 2, audit


def main(words: list[str]) -> int:
    passed = failed = 0
    checks = LARGE if "--large" in words else CHECKS
    words = [word for word in words if word != "--large"]
    for sentence, function in checks:
        if not any(word in sentence for word in words or [""]):
            continue
        with tempfile.TemporaryDirectory(prefix="scan-") as directory:
            try:
                function(Place(Path(directory)))
                print(f"ok    {sentence}", flush=True)
                passed += 1
            except Exception as error:  # the next check is tried all the same
                print(f"FAIL  {sentence}: {type(error).__name__}: {error}", flush=True)
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
