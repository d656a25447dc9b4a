#!/usr/bin/env python3
"""Stories of a drop whose blobs lie in S3: a real Postfix, and moto in the place of the service.

    tests/e2e/s3.py             all of them
    tests/e2e/s3.py killed      those whose sentence contains a word
    tests/e2e/s3.py --list

It makes a virtual environment and installs moto from PyPI into it; `MOTO` names the Python of one that has it
already. Where PyPI cannot be reached, one line says so, and with CI=true that is a failure. `S3_ENDPOINT` names a running
service in its place, which has the bucket `depollueur` for the key `S3_KEY_ID` with the secret `S3_SECRET`: tests/s3/garage
makes one. By moto's clock each object is two hours old, so that a sweep finds left-overs at once; the stories that need this,
or its log, are left out with another service.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import ROOT, Lab, free_port, wait_until  # noqa: E402
from milter_client import CHUNK_MAX, Milter, split  # noqa: E402
from stories import NotHere, check_rewritten, check_untouched, link_in, story  # noqa: E402

stories.STORIES.clear()

KEY_ID, SECRET = os.environ.get("S3_KEY_ID", "test"), os.environ.get("S3_SECRET", "test")
# `moto[server]` has thrice as much, for all the other services.
PACKAGES = ("moto[s3]==5.2.5", "flask", "flask-cors")
# Its objects are as old as a sweep wants them, and so are they all.
SERVER = """
import datetime, sys, moto.s3.models as models, moto.server
now = models.utcnow
models.utcnow = lambda: now() - datetime.timedelta(hours=2)
moto.server.main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


class Missing(Exception):
    """There is no service to be had."""


class Service:
    """A service that speaks S3, with one bucket."""

    def __init__(self, directory: Path):
        self.bucket = "depollueur"
        self.process = None
        self.log_path = directory / "s3.log"
        if endpoint := os.environ.get("S3_ENDPOINT"):
            self.port = int(endpoint.rstrip("/").rpartition(":")[2])
            return
        python = os.environ.get("MOTO") or self._install(directory)
        self.port = free_port()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([python, "-c", SERVER, str(self.port)], stdout=log, stderr=log)
        try:
            wait_until(self._answers, "moto", 60)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _install(directory: Path) -> str:
        subprocess.run([sys.executable, "-m", "venv", directory / "moto"], check=True)
        python = directory / "moto" / "bin" / "python"
        installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *PACKAGES], capture_output=True, text=True)
        if installed.returncode != 0:
            raise Missing(f"{PACKAGES[0]} cannot be had from PyPI: {installed.stderr.strip().splitlines()[-1:]}")
        return str(python)

    def _answers(self) -> bool:
        try:
            return self.ask("PUT", f"/{self.bucket}")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """A request without a signature, which moto takes and others do not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def needs_moto(self):
        if not self.process:
            raise NotHere("another service than moto")

    def objects(self) -> list[str]:
        """The names of all objects but those that say whose a place is, and those of the suite."""
        names = re.findall(r"<Key>(.*?)</Key>", self.ask("GET", f"/{self.bucket}?list-type=2")[1].decode())
        return [name for name in names if not name.endswith("/owner") and not name.startswith("suite/")]

    def unfinished(self) -> list[str]:
        return re.findall(r"<UploadId>(.*?)</UploadId>", self.ask("GET", f"/{self.bucket}?uploads")[1].decode())

    def requests(self, begun: int = 0) -> list[str]:
        """Methods and targets of the requests for objects and uploads since the log had this many."""
        # What is no plain success is in colour.
        log = re.sub(r"\x1b\[[0-9;]*m", "", self.log_path.read_text())
        found = re.findall(rf'"(PUT|GET|HEAD|POST|DELETE) /{self.bucket}/(\S+) HTTP', log)
        return [f"{method} {target}" for method, target in found if not re.search("/probe-|/owner$", target)][begun:]

    def close(self):
        if self.process:
            # There is nothing in it that it would have to save.
            self.process.kill()
            self.process.wait()


class S3Lab(Lab):
    """The laboratory, with a service beside it."""

    def __enter__(self):
        with contextlib.ExitStack() as made:
            self.directory = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="depollueur-s3-")))
            self.service = made.enter_context(contextlib.closing(Service(self.directory)))
            self.secret = self.directory / "secret"
            self.secret.write_text(SECRET + "\n")
            self.secret.chmod(0o600)
            lab = super().__enter__()
            self.made = made.pop_all()
        return lab

    def __exit__(self, *why):
        with self.made:
            return super().__exit__(*why)

    def bucket(self, prefix: str) -> dict:
        """The settings of the bucket, below this prefix."""
        return {"s3_endpoint": f"http://127.0.0.1:{self.service.port}", "s3_bucket": self.service.bucket, "s3_prefix": prefix,
                "s3_access_key_id": KEY_ID, "s3_secret_key_file": str(self.secret)}

    def drop(self, prefix: str, **settings):
        """A daemon whose blobs lie in the bucket, below this prefix."""
        return self.daemon(**{"drop_blobs": "s3", **self.bucket(prefix), **settings})


def deposit(lab, daemon, size: int) -> tuple[str, bytes]:
    """Sends a mail with a file of this size. Returns its link and the file."""
    to = lab.address()
    message = m.report(to, size)
    lab.submit(message, to)
    return check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(size)}), m.pdf(size)


@story("s3: the suite of stores of blobs holds in a bucket")
def _(lab):
    address = f"http://127.0.0.1:{lab.service.port}/{lab.service.bucket}"
    suite = subprocess.run(
        ["cargo", "test", "--quiet", "--locked", "--workspace", "--lib", "a_bucket_is_a_store_of_blobs", "--", "--nocapture"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "DEPOLLUEUR_TEST_S3": address,
                                                           "DEPOLLUEUR_TEST_S3_KEY": f"{KEY_ID} {SECRET}"})
    assert suite.returncode == 0, suite.stdout + suite.stderr
    assert "1 passed" in suite.stdout and "none  " not in suite.stdout, suite.stdout


@story("s3: a mail's files are fetched whole and in ranges, and the bucket holds ciphertext alone")
def _(lab):
    with lab.drop("mail/drop") as daemon:
        for size in (200_000, 20_000_000):
            link, content = deposit(lab, daemon, size)
            url = next(iter(daemon.manifest(link)["files"]))["url"]
            for start, end in ((0, 0), (size - 10, size - 1), (size // 2, size // 2 + 70_000)):
                status, _, body = daemon.get(url, {"Range": f"bytes={start}-{end}"})
                assert status == 206 and body == content[start:end + 1], f"{status}, {len(body)} bytes"
        if lab.service.process:
            names = lab.service.objects()
            assert len(names) == 2 and all(re.fullmatch(r"mail/drop/([0-9a-f]{2})/\1[0-9a-f]{30}-0", n) for n in names), names
            bodies = b"".join(lab.service.ask("GET", f"/{lab.service.bucket}/{name}")[1] for name in names)
            assert m.pdf(20_000_000)[1000:1100] not in bodies and b"report" not in bodies
        assert not any(path.is_file() for path in (daemon.drop / "blobs").rglob("*")), "a blob lies in the directory"


@story("s3: a deposit and a download take the requests that are documented, and no more")
def _(lab):
    lab.service.needs_moto()
    with lab.drop("count") as daemon:
        for size, uploads in ((200_000, 1), (12_000_000, 1 + 3 + 1)):
            begun = len(lab.service.requests())
            to = lab.address()
            lab.submit(m.report(to, size), to)
            link = link_in(lab.receive(to), daemon)
            made = lab.service.requests(begun)
            # One more looks for the object after the record.
            assert len(made) == uploads + 1 and made[-1].startswith("HEAD "), made

            begun = len(lab.service.requests())
            url = next(iter(daemon.manifest(link)["files"]))["url"]
            assert hashlib.sha256(daemon.get(url)[2]).digest() == hashlib.sha256(m.pdf(size)).digest()
            made = lab.service.requests(begun)
            assert [line[:4] for line in made] == ["GET "] * -(-size // (8 << 20)), made


@story("s3: what is revoked with --destroy is gone from the bucket, and a sweep keeps what is live and removes orphans")
def _(lab):
    lab.service.needs_moto()
    with lab.drop("sweep") as daemon:
        kept, _ = deposit(lab, daemon, 200_000)
        gone, _ = deposit(lab, daemon, 200_000)
        ours = {name for name in lab.service.objects() if name.startswith("sweep/")}
        revoked = daemon.run("drop", "revoke", "--destroy", gone)
        assert revoked.returncode == 0, revoked.stderr
        left = {name for name in lab.service.objects() if name.startswith("sweep/")}
        assert len(ours) == 2 and len(left) == 1 and left < ours, left

        orphan = f"sweep/0a/0a{30 * '1'}-3"
        others = {f"0a/0a{30 * '1'}-3", "sweep/0a/notes.txt"}
        for name in (orphan, *others):
            assert lab.service.ask("PUT", f"/{lab.service.bucket}/{name}", b"x")[0] == 200
        swept = daemon.run("drop", "sweep")
        # The daemon sweeps beside us, and may have been the faster.
        assert swept.returncode == 0, swept
        names = set(lab.service.objects())
        assert orphan not in names and names >= others | left, names
        assert daemon.get(kept)[0] == 200 and daemon.get(gone)[0] != 200


@story("s3: a daemon killed during an upload leaves nothing in the bucket after a sweep")
def _(lab):
    lab.service.needs_moto()
    before = set(lab.service.objects())
    daemon = lab.drop("kill")
    with daemon:
        milter = Milter(daemon.settings["milter_listen"])
        milter.open()
        fields, body = split(m.report("r@lab.test", 16_000_000))
        assert not milter.envelope() and not milter.header(fields)
        milter.body(body[start:start + CHUNK_MAX] for start in range(0, 12_000_000, CHUNK_MAX))
        wait_until(lambda: lab.service.unfinished(), "an upload in parts", 30)
        daemon.kill()
        milter.close()
        swept = daemon.run("drop", "sweep")
        assert swept.returncode == 0 and b"orphans=1" in swept.stdout, swept
        assert not lab.service.unfinished() and set(lab.service.objects()) == before
        daemon.start()


@story("s3: while the service is away mail goes out as it came, what is stored cannot be fetched, and nothing is lost")
def _(lab):
    lab.service.needs_moto()
    with lab.drop("away", s3_timeout="2 s", s3_connect_timeout="2 s") as daemon:
        link, _ = deposit(lab, daemon, 200_000)
        url = next(iter(daemon.manifest(link)["files"]))["url"]
        os.kill(lab.service.process.pid, 19)
        try:
            to = lab.address()
            message = m.report(to, 200_000)
            lab.submit(message, to)
            check_untouched(lab, message, lab.receive(to))
            assert "did nothing for 2 s (s3.timeout)" in daemon.log(), daemon.log()
            assert daemon.get(url)[0] >= 500
            swept = daemon.run("drop", "sweep")
            assert swept.returncode != 0 and b"s3.timeout" in swept.stderr, swept
        finally:
            os.kill(lab.service.process.pid, 18)
        assert daemon.get(url)[0] == 200
        deposit(lab, daemon, 200_000)


@story("s3: doctor tries the bucket, and says what is wrong with it")
def _(lab):
    lab.service.needs_moto()
    with lab.drop("doctor") as daemon:
        before = lab.service.objects()
        told = daemon.run("doctor").stdout.decode()
        assert "takes objects, gives them back, lists and deletes them" in told, told
        assert "its clock is within a minute of ours" in told, told
        assert lab.service.objects() == before, "doctor left something in the bucket"
        told = daemon.run("doctor", "--set", "s3.bucket=nowhere").stdout.decode()
        assert "the service has no bucket of this name: make it, or correct s3.bucket" in told, told


@story("s3: two drops do not share a place: the second one neither deposits nor sweeps there")
def _(lab):
    with lab.drop("shared/place") as first:
        link, _ = deposit(lab, first, 200_000)
        url = next(iter(first.manifest(link)["files"]))["url"]
    before = lab.service.objects() if lab.service.process else []
    second = lab.drop("shared/place").start(wait=False)
    wait_until(lambda: "ready: milter" in second.log(), "the milter", 30)
    assert second.admin("/readyz")[0] == 503
    to = lab.address()
    message = m.report(to, 200_000)
    lab.submit(message, to)
    check_untouched(lab, message, lab.receive(to))
    assert "another drop keeps its files there" in second.log(), second.log()
    swept = second.run("drop", "sweep")
    assert swept.returncode != 0 and b"write another s3.prefix" in swept.stderr, swept
    second.stop()
    with first:
        assert first.get(url)[0] == 200
        if lab.service.process:
            assert lab.service.objects() == before
        assert first.run("drop", "sweep").returncode == 0
        assert first.get(url)[0] == 200


@story("s3: a drop that has files in the other place says so, and how they are moved")
def _(lab):
    daemon = lab.daemon()
    with daemon:
        link, _ = deposit(lab, daemon, 200_000)
    daemon.configure(drop_blobs="s3", **lab.bucket("other"))
    with daemon:
        assert 'write drop.blobs_from = "directory", restart, and move them: depollueur drop migrate' in daemon.log()
        assert daemon.manifest(link)["files"], "the record is gone"
    daemon.configure(drop_blobs="directory")
    with daemon:
        assert 'write drop.blobs_from = "s3", restart' in daemon.log()


def fetching(daemon, expected: dict[str, bytes], wrong: list[str]) -> threading.Event:
    """Fetches files again and again until the event is set."""
    done = threading.Event()

    def fetch():
        while not done.is_set():
            for url, content in expected.items():
                status, _, body = daemon.get(url)
                if status != 200 or body != content:
                    wrong.append(f"{url}: {status}, {len(body)} bytes")
    reader = threading.Thread(target=fetch)
    reader.start()
    done.reader = reader
    return done


@story("s3: files are moved into the bucket and back while mail comes and readers fetch, and every link works")
def _(lab):
    daemon = lab.daemon()
    kept: dict[str, bytes] = {}

    def more(count: int):
        for _ in range(count):
            link, content = deposit(lab, daemon, 200_000)
            kept[next(iter(daemon.manifest(link)["files"]))["url"]] = content

    with daemon:
        more(6)
    for place, source in (("s3", "directory"), ("directory", "s3")):
        daemon.configure(drop_blobs=place, drop_blobs_from=source, **lab.bucket("moving"))
        with daemon:
            wrong: list[str] = []
            done = fetching(daemon, dict(kept), wrong)
            more(2)
            moved = daemon.run("drop", "migrate")
            more(2)
            done.set()
            done.reader.join()
            assert moved.returncode == 0, moved
            assert b"failed=0 unneeded=0" in moved.stdout and b"nothing is left there" in moved.stderr, moved
            assert not wrong, wrong
            again = daemon.run("drop", "migrate")
            assert again.stdout.startswith(b"files=0 "), again
            assert b"drop.moved" in daemon.run("doctor").stdout
        in_directory = [path for path in (daemon.drop / "blobs").rglob("*") if path.is_file()]
        assert (len(in_directory) == len(kept)) == (place == "directory"), in_directory
        if lab.service.process:
            in_bucket = [name for name in lab.service.objects() if name.startswith("moving/") and not name.endswith("/owner")]
            assert len(in_bucket) == (len(kept) if place == "s3" else 0), in_bucket
    daemon.configure(drop_blobs_from="")
    begun = len(daemon.log())
    with daemon:
        assert "drop.blobs_from" not in daemon.log()[begun:], daemon.log()[begun:]
        for url, content in kept.items():
            assert daemon.get(url)[2] == content


@story("s3: nothing is moved while a daemon runs that would not find it, or when nothing is named")
def _(lab):
    with lab.daemon() as daemon:
        deposit(lab, daemon, 200_000)
        nothing = daemon.run("drop", "migrate")
        assert nothing.returncode == 78 and b"drop.blobs_from and drop.records_from are empty" in nothing.stderr, nothing
        daemon.configure(drop_blobs="s3", drop_blobs_from="directory", **lab.bucket("early"))
        refused = daemon.run("drop", "migrate")
        assert refused.returncode == 69 and b"Type first: systemctl restart depollueur" in refused.stderr, refused
        assert [path for path in (daemon.drop / "blobs").rglob("*") if path.is_file()]


def main() -> int:
    try:
        return stories.main(S3Lab)
    except Missing as reason:
        print(f"none  {reason}")
        return 1 if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
