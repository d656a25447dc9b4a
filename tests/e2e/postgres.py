#!/usr/bin/env python3
"""Records in PostgreSQL, with the real server of Debian on a socket of its own.

    tests/e2e/postgres.py            all of it: the tests of the code first, then the stories
    tests/e2e/postgres.py stopped    what has the word in its sentence
    tests/e2e/postgres.py --serve    starts a server, says how the tests of the code find it, and waits

The server runs as nobody when this is started by root, listens on loopback only, and has its files in a directory that
goes with it. No Postfix: the stories speak milter themselves.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from lab import Daemon, free_port, tail, wait_until  # noqa: E402
from scan import check_linked, link_in, send  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534
PASSWORD = "correct horse 'battery\" staple"
SEEDS = itertools.count(1)
# Tests of the drop that ask its SQLite file themselves, or are about its older schemas.
SQLITE_ONLY = (
    "a_log_of_before_stays_readable_and_the_chain_begins_behind_it",
    "what_an_earlier_version_writes_beside_this_one_is_taken_into_the_chain",
    "what_was_cut_or_changed_behind_the_programs_back_is_told_with_its_number",
    "the_audit_log_refuses_to_be_changed",
    "a_manifest_of_another_record_is_refused",
    "downloads_are_counted_by_file_and_package",
    "neither_an_admin_nor_its_uploader_destroys_a_package_that_is_held",
    "open::a_database_of_a_later_version_is_refused",
    "a_database_of_the_first_schema_is_brought_up_to_date",
    "a_database_that_is_none_is_refused",
    "a_drop_whose_records_cannot_be_written_probes_ill",
    "a_login_that_deposits_many_times_its_usual_is_told_of_once_a_day",
    "a_sweep_destroys_after_the_grace_period_and_forgets_later",
    "a_swept_manifest_stands_nowhere_any_more",
)
CHECKS: list = []


def checks_of(checks: list):
    """A decorator that registers a check: a function that raises when the sentence does not hold."""
    def check(sentence: str):
        def register(function):
            checks.append((sentence, function))
            return function
        return register
    return check


check = checks_of(CHECKS)


def programs() -> Path | None:
    """Where Debian has the server's programs, if it has them."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(found[-1]).parent if found else None


class Server:
    """A PostgreSQL with one role, `drop`, that needs a password over TCP and none on the socket."""

    def __init__(self, directory: Path):
        self.directory, self.data, self.port = directory, directory / "data", free_port()
        directory.chmod(0o755)
        self.process = None
        self.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self.as_user:
            os.chown(directory, NOBODY, NOBODY)
        self._must(programs() / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                   "--no-sync")
        self._certificates()
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all samehost scram-sha-256\n")

    def _must(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, cwd="/", **self.as_user)
        assert done.returncode == 0, done.stderr.decode()

    def _certificates(self):
        """An authority, and what it says of localhost."""
        ca, key = self.directory / "ca.pem", self.directory / "ca.key"
        leaf = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        (self.directory / "leaf").write_text(leaf)
        make = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._must(*make, "-x509", "-days", "2", "-subj", "/CN=test", "-keyout", key, "-out", ca)
        self._must(*make, "-subj", "/CN=localhost", "-keyout", self.data / "server.key", "-out", self.directory / "csr")
        self._must("openssl", "x509", "-req", "-days", "2", "-in", self.directory / "csr", "-CA", ca, "-CAkey", key,
                   "-CAcreateserial", "-extfile", self.directory / "leaf", "-out", self.data / "server.crt")
        (self.data / "server.key").chmod(0o600)

    def start(self):
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [programs() / "postgres", "-D", self.data, "-k", self.directory, "-p", str(self.port), "-c", "ssl=on",
                 "-c", "listen_addresses=localhost", "-c", "max_connections=200", "-c", "fsync=off"],
                stdout=log, stderr=log, cwd="/", **self.as_user)
        wait_until(self._is_ready, "PostgreSQL", 60)
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, tail((self.directory / "log").read_text())
        return subprocess.run(["psql", "-qtA", self.url("postgres", "postgres"), "-c", "SELECT 1"], capture_output=True).returncode == 0

    def stop(self):
        """Ends it, and every connection with it."""
        self.signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def signal(self, number: int):
        """Sends a signal to the server and to those of its processes that serve somebody."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def url(self, database: str, user: str = "drop") -> str:
        return f"postgresql://{user}@/{database}?host={self.directory}&port={self.port}"

    def sql(self, text: str, database: str = "postgres") -> str:
        done = subprocess.run(["psql", "-qtA", "-v", "ON_ERROR_STOP=1", self.url(database, "postgres"), "-c", text],
                              capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def cut(self):
        """Ends the connections of the drop."""
        self.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'drop'")


class Place:
    """Where one check has its database and its daemons."""

    def __init__(self, server: Server, directory: Path, number: int):
        self.server, self.directory, self.count = server, directory, 0
        self.database = f"story_{number}"
        server.sql(f"CREATE DATABASE {self.database} OWNER drop")

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    def tcp(self, mode: str, user: str = "drop", host: str = "localhost") -> str:
        return f"postgresql://{user}@{host}:{self.server.port}/{self.database}?sslmode={mode}"

    def password(self, text: str = PASSWORD) -> str:
        path = self.directory / f"password-{len(text)}"
        path.write_text(text + "\n")
        path.chmod(0o600)
        return str(path)

    def daemon(self, **settings) -> Daemon:
        self.count += 1
        return Daemon(None, self.directory / f"daemon-{self.count}",
                      {"drop_records": self.url, "detach_on_failure": "tempfail", "quota_free_space_min": 0,
                       "quota_free_inodes_min": 0, **settings})


def must(daemon: Daemon, *words: str) -> str:
    done = daemon.run(*words)
    assert done.returncode == 0, (words, done.stderr.decode())
    return done.stdout.decode()


def refused(daemon: Daemon, *wanted: str):
    """The daemon does not start, and says why in one line."""
    done = daemon.run("run", seconds=60)
    said = done.stderr.decode() + done.stdout.decode()
    assert done.returncode not in (0, 101), said
    for text in wanted:
        assert text in said, f"{text!r} is not in: {said}"
    assert PASSWORD not in said, said


def fresh() -> tuple[str, bytes]:
    """A file that no message had before: copies of one message share a package, and write nothing."""
    return "report.pdf", m.pdf(300_000, next(SEEDS))


def fate(daemon: Daemon) -> str:
    """What becomes of a message with a fresh file."""
    letter, text = send(daemon, fresh())[-1]
    if letter in "ac":
        return "taken"
    assert letter == "t" or (letter == "y" and text.startswith(b"451")), (letter, text)
    return "put off"


def put_off(daemon: Daemon, why: str):
    """A message is tempfailed, and the log names the cause."""
    assert fate(daemon) == "put off"
    assert why in daemon.log(), tail(daemon.log())


def deposit(daemon: Daemon) -> str:
    file = fresh()
    replies = send(daemon, file)
    check_linked(daemon, replies, file)
    return link_in(daemon, replies)


def status(daemon: Daemon, link: str) -> int:
    return daemon.get(f"{link}/1")[0]


def is_whole(daemon: Daemon):
    """The chain of the audit log is what it says."""
    assert "entries" in must(daemon, "drop", "audit", "--verify")


@check("a package is deposited, fetched, listed, shown, extended, revoked, restored, swept, and its log is a chain")
def _(place):
    with place.daemon() as daemon:
        link = deposit(daemon)
        (listed,) = json.loads(must(daemon, "drop", "list", "--json"))
        assert listed["state"] == "live", listed
        shown = json.loads(must(daemon, "drop", "show", link, "--json"))
        assert shown["id"] == listed["id"], shown
        must(daemon, "drop", "extend", "--until", "40 days", link)
        must(daemon, "drop", "revoke", link)
        assert status(daemon, link) == 410
        must(daemon, "drop", "restore", link)
        assert status(daemon, link) == 200
        must(daemon, "drop", "revoke", link)
        must(place.daemon(drop_grace="0 seconds", drop_directory=str(daemon.drop)), "drop", "sweep")
        wait_until(lambda: not [p for p in (daemon.drop / "blobs").rglob("*-*")], "the blobs to go", 10)
        (listed,) = json.loads(must(daemon, "drop", "list", "--json"))
        assert listed["state"] == "destroyed", listed
        audit = must(daemon, "drop", "audit")
        for action in ("deposit", "download", "extend", "revoke", "restore", "destroy"):
            assert action in audit, audit
        assert audit.count("destroy") == 1, audit
        is_whole(daemon)
        assert json.loads(must(daemon, "stats", "--json")), "no statistics"
        assert not (daemon.drop / "drop.sqlite3").exists()


@check("a login is suspended and resumed, a package is held and released")
def _(place):
    with place.daemon() as daemon:
        link = deposit(daemon)
        must(daemon, "drop", "suspend", "--login", "alice", "--reason", "stolen")
        assert json.loads(must(daemon, "drop", "suspended", "--json"))[0]["login"] == "alice"
        must(daemon, "drop", "resume", "--login", "alice")
        must(daemon, "drop", "hold", link, "--reason", "order 1")
        assert status(daemon, link) == 410
        must(daemon, "drop", "release", link)
        assert status(daemon, link) == 200


@check("a server that was stopped puts mail off, then takes it, and links work again; nothing is lost")
def _(place):
    with place.daemon() as daemon:
        link = deposit(daemon)
        place.server.stop()
        try:
            put_off(daemon, place.database)
            assert status(daemon, link) in (500, 503)
        finally:
            place.server.start()
        assert status(daemon, link) == 200
        assert status(daemon, deposit(daemon)) == 200
        is_whole(daemon)


@check("where detach.on_failure says so, mail passes as it came while the server is stopped")
def _(place):
    with place.daemon(detach_on_failure="deliver") as daemon:
        place.server.stop()
        try:
            letters = [letter for letter, _ in send(daemon, fresh()) if letter != "p"]
            assert letters in (["a"], ["c"]), letters
        finally:
            place.server.start()


@check("connections that are cut are made again, also in the middle of mail")
def _(place):
    with place.daemon() as daemon:
        link = deposit(daemon)
        for _ in range(3):
            place.server.cut()
            assert status(daemon, link) in (200, 500, 503)
            assert status(daemon, link) == 200
            deposit(daemon)
        assert len(json.loads(must(daemon, "drop", "list", "--json"))) == 4
        is_whole(daemon)


@check("a server that hangs puts mail off, holds up nothing for ever, and goes on as if nothing had been")
def _(place):
    with place.daemon(milter_deadline="2 s") as daemon:
        link = deposit(daemon)
        place.server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        try:
            assert fate(daemon) == "put off"
        finally:
            place.server.signal(signal.SIGCONT)
        assert time.monotonic() - begun < 10
        wait_until(lambda: status(daemon, link) == 200, "the link to work again", 30)
        deposit(daemon)
        is_whole(daemon)


@check("a database that is read-only puts mail off, and says so")
def _(place):
    with place.daemon() as daemon:
        deposit(daemon)
        place.server.sql(f"ALTER DATABASE {place.database} SET default_transaction_read_only = on")
        place.server.cut()

        wait_until(lambda: fate(daemon) == "put off" and "read-only" in daemon.log(), "the log to say so", 10)
        place.server.sql(f"ALTER DATABASE {place.database} RESET default_transaction_read_only")
        place.server.cut()
        wait_until(lambda: fate(daemon) == "taken", "mail to be taken again", 20)


@contextmanager
def small_disk(place, size: str):
    """A tablespace on a disk of this size."""
    disk = place.directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={NOBODY}", "none", disk], check=True)
    try:
        place.directory.chmod(0o755)
        place.server.sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        place.server.sql(f"ALTER DATABASE {place.database} SET TABLESPACE small")
        yield
    finally:
        place.server.sql(f"DROP DATABASE {place.database} WITH (FORCE)")
        place.server.sql("DROP TABLESPACE small")
        subprocess.run(["umount", disk], check=True)


@contextmanager
def session(place):
    """A connection that stays, as a function: a database on a full disk takes no new ones. It tells whether a statement was done."""
    with subprocess.Popen(["psql", "-qtA", place.server.url(place.database, "postgres")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as psql:
        def is_done(statement: str) -> bool:
            print(f"{statement};\n\\echo :ERROR", file=psql.stdin, flush=True)
            return psql.stdout.readline() == "false\n"
        yield is_done


@check("a disk that is full puts mail off, says so, and takes mail when there is room; what was stored is served")
def _(place):
    if os.geteuid() != 0:
        print("none  a full disk: only root can mount one")
        return
    with small_disk(place, "40m"):
        with place.daemon() as daemon:
            link = deposit(daemon)
            with session(place) as is_done:
                assert is_done("CREATE TABLE filler (text text) WITH (autovacuum_enabled = off)")
                for rows in (1000, 1):
                    while is_done(f"INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, {rows})"):
                        pass
                wait_until(lambda: fate(daemon) == "put off", "the last page to be full", 30)
                assert "No space left" in daemon.log(), tail(daemon.log())
                assert daemon.get(link)[0] == 200
                assert is_done("DROP TABLE filler")
            deposit(daemon)
            is_whole(daemon)


@check("a wrong password, a missing database, and a server that is not there are told apart")
def _(place):
    url = place.tcp("disable")
    refused(place.daemon(drop_records=url, drop_records_password_file=place.password("wrong")), "password authentication failed")
    refused(place.daemon(drop_records=url), "password missing")
    refused(place.daemon(drop_records=place.server.url("nowhere")), 'database "nowhere" does not exist')
    refused(place.daemon(drop_records=f"postgresql://drop@127.0.0.1:{free_port()}/drop"), "refused")
    refused(place.daemon(drop_records=url, drop_records_password_file="/nonexistent"), "drop.records_password_file", "/nonexistent")
    open_to_all = Path(place.password("open to all"))
    open_to_all.chmod(0o644)
    refused(place.daemon(drop_records=url, drop_records_password_file=str(open_to_all)), "everybody on this machine")


@check("with a password, in clear on this machine or by TLS under an own authority, and not under another")
def _(place):
    settings = {"drop_records_password_file": place.password()}
    with place.daemon(drop_records=place.tcp("disable"), **settings) as first:
        deposit(first)
        drop = first.settings["drop_directory"]
    ca = str(place.server.directory / "ca.pem")
    settings |= {"drop_directory": drop, "drop_records": place.tcp("require")}
    with place.daemon(drop_records_ca_file=ca, **settings) as daemon:
        deposit(daemon)
        encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'drop'"
        assert place.server.sql(encrypted) == "t"
    refused(place.daemon(**settings), "certificate")
    wrong_name = place.tcp("require", host="127.0.0.1")
    refused(place.daemon(drop_records_ca_file=ca, **(settings | {"drop_records": wrong_name})), "certificate")


@check("two daemons on one drop: what one takes the other serves, ends and sweeps, and each package is destroyed once")
def _(place):
    with place.daemon(drop_grace="0 seconds") as one:
        other = place.daemon(drop_grace="0 seconds", drop_directory=str(one.drop))
        with other:
            links = [deposit(daemon) for daemon in (one, other) for _ in range(5)]
            for link in links:
                assert status(one, link) == status(other, link) == 200
                must(one, "drop", "revoke", link)
                assert status(one, link) == status(other, link) == 410
            sweeps = [subprocess.Popen(daemon.command("drop", "sweep"), stdout=subprocess.DEVNULL) for daemon in (one, other)]
            assert [sweep.wait(60) for sweep in sweeps] == [0, 0]
            audit = must(one, "drop", "audit", "--json")
            assert audit.count('"destroy"') == len(links), audit
            is_whole(other)


@check("a dump that is put back into an empty database serves the links, with a chain of the log that is whole")
def _(place):
    dump = place.directory / "dump"
    with place.daemon() as daemon:
        link = deposit(daemon)
        subprocess.run(["pg_dump", "--format=custom", f"--file={dump}", place.server.url(place.database, "postgres")], check=True)
    place.server.sql(f"DROP DATABASE {place.database}")
    place.server.sql(f"CREATE DATABASE {place.database} OWNER drop ENCODING 'UTF8' TEMPLATE template0")
    subprocess.run(["pg_restore", "--dbname", place.server.url(place.database, "postgres"), dump], check=True)
    with daemon:
        assert status(daemon, link) == 200
        deposit(daemon)
        is_whole(daemon)


@check("a directory and a database that are not of one drop are kept apart")
def _(place):
    with place.daemon() as daemon:
        deposit(daemon)
    drop = str(daemon.drop)
    refused(place.daemon(drop_directory=drop, drop_records="sqlite"), "PostgreSQL")
    refused(place.daemon(), "another one", "drop.postgres")
    place.server.sql("CREATE DATABASE empty OWNER drop")
    refused(place.daemon(drop_directory=drop, drop_records=place.server.url("empty")), "knows nothing")
    with place.daemon(drop_records="sqlite") as embedded:
        pass
    refused(place.daemon(drop_directory=str(embedded.drop)), "drop.sqlite3")


def cargo(server: Server) -> bool:
    """Runs the tests of the code that want a server; the suite of the drop runs on it, too."""
    environment = {**os.environ, "DEPOLLUEUR_POSTGRES": server.url("postgres", "postgres")}
    skipped = [word for name in SQLITE_ONLY for word in ("--skip", name)]
    runs = (["postgres"], ["drop::tests", *skipped])
    return all([subprocess.run(["cargo", "test", "--quiet", "--locked", "--workspace", "--lib", "--", *run], cwd=ROOT, env=environment).returncode == 0
                for run in runs])


def main(words: list[str], checks: list, tests) -> int:
    if not programs():
        print("none  postgresql is not installed (apt-get install postgresql): nothing was tried")
        return 1 if os.environ.get("CI") == "true" else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        server = Server(Path(directory))
        server.start()
        try:
            if "--serve" in words:
                print(f"export DEPOLLUEUR_POSTGRES='{server.url('postgres', 'postgres')}'", flush=True)
                signal.pause()
            quoted = PASSWORD.replace("'", "''")
            server.sql(f"CREATE ROLE drop LOGIN PASSWORD '{quoted}'")
            if tests and not words and not tests(server):
                print("FAIL  the tests of the code, on PostgreSQL")
                failed += 1
            for number, (sentence, function) in enumerate(checks):
                if not any(word in sentence for word in words or [""]):
                    continue
                with tempfile.TemporaryDirectory(prefix="story-") as place:
                    try:
                        function(Place(server, Path(place), number))
                        print(f"ok    {sentence}", flush=True)
                        passed += 1
                    except Exception as error:  # the next check is tried all the same
                        print(f"FAIL  {sentence}: {type(error).__name__}: {error}", flush=True)
                        failed += 1
        finally:
            server.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], CHECKS, cargo))
