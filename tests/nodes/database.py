"""PostgreSQL on two hosts: a primary and a standby that streams from it, each commit on both.

The real server of Debian. It runs as nobody, speaks TLS under an authority of its own, and wants a password of the drop.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from lab import LabError, is_alive, tail, wait_until
from network import PREFIX, Host
from postgres import NOBODY, programs

AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
PORT = 5432
PASSWORD = "correct horse battery staple"

HBA = f"""\
local all all trust
host replication postgres {PREFIX}.0/24 trust
host all postgres {PREFIX}.0/24 trust
hostssl all drop {PREFIX}.0/24 scram-sha-256
"""


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        try:
            queue += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            pass
    return found


def kill_all(pid: int):
    """SIGKILL to a process and all below it; returns when they are gone."""
    pids = descendants(pid)
    for one in pids:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: not any(map(is_alive, pids)), f"process {pid} and its children to end", 20)


class Node:
    """The server on one host."""

    def __init__(self, host: Host, directory: Path):
        self.host, self.directory, self.data = host, directory, directory / "data"
        directory.mkdir(mode=0o755, parents=True)
        os.chown(directory, NOBODY, NOBODY)
        self.process: subprocess.Popen | None = None
        self.name = host.name

    def must(self, *command: object):
        done = self.host.run([*AS_NOBODY, *command], capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise LabError(f"{command[0]} on {self.name}: {done.stderr}")

    def start(self):
        with (self.directory / "log").open("ab") as log:
            self.process = self.host.popen(
                [*AS_NOBODY, programs() / "postgres", "-D", self.data, "-k", self.directory, "-p", PORT, "-c", "ssl=on",
                 "-c", "listen_addresses=*", "-c", "max_connections=200", "-c", "wal_keep_size=512MB",
                 "-c", "log_line_prefix=%m [%p] %q%u ", "-c", f"cluster_name={self.name}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

    def wait(self, seconds: float = 60):
        wait_until(self.answers, f"PostgreSQL on {self.name}\n{self.log()}", seconds)

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"PostgreSQL on {self.name} ended:\n{self.log()}")
        try:
            return self.sql("SELECT 1") == "1"
        except (LabError, subprocess.TimeoutExpired):
            return False

    def log(self) -> str:
        return tail((self.directory / "log").read_text(errors="replace"), 8)

    def kill(self):
        if self.process and self.process.poll() is None:
            kill_all(self.process.pid)
            self.process.wait()

    def stop(self):
        """Ends it as a service manager does, and every connection with it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def sql(self, text: str, database: str = "postgres", seconds: float = 30) -> str:
        """Asks on the host itself."""
        done = subprocess.run(["psql", "-XqtA", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-p", str(PORT),
                               "-U", "postgres", database, "-c", text], capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise LabError(done.stderr.strip())
        return done.stdout.strip()


class Pair:
    """The two servers; `primary` is the one that takes writes."""

    def __init__(self, hosts: list[Host], directory: Path):
        self.ca = directory / "ca.pem"
        self.password_file = directory / "password"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        self.nodes = [Node(host, directory / host.name) for host in hosts]
        self.primary, self.standby = self.nodes
        self.promotions = 0
        self._make(directory)

    def _make(self, directory: Path):
        primary = self.primary
        primary.must(programs() / "initdb", "-D", primary.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        (primary.data / "pg_hba.conf").write_text(HBA)
        self._certificates(directory)
        primary.start()
        primary.wait()
        primary.sql(f"CREATE ROLE drop LOGIN PASSWORD '{PASSWORD}'")
        primary.sql("CREATE DATABASE drop OWNER drop ENCODING 'UTF8' TEMPLATE template0")
        self.join()

    def _certificates(self, directory: Path):
        """An authority, and what it says of the addresses of both."""
        names = ",".join(f"IP:{node.host.address}" for node in self.nodes)
        leaf, key, data = directory / "leaf", directory / "ca.key", self.primary.data
        leaf.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        make = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

        def must(*command):
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
        must(*make, "-x509", "-days", "2000", "-subj", "/CN=test", "-keyout", key, "-out", self.ca)
        must(*make, "-subj", "/CN=database", "-keyout", data / "server.key", "-out", directory / "csr")
        must("openssl", "x509", "-req", "-days", "2000", "-in", directory / "csr", "-CA", self.ca, "-CAkey", key,
             "-CAcreateserial", "-extfile", leaf, "-out", data / "server.crt")
        for name in ("server.key", "server.crt"):
            os.chown(data / name, NOBODY, NOBODY)
        (data / "server.key").chmod(0o600)

    def join(self):
        """Makes the standby anew from the primary; from then on each commit is on both before it is answered."""
        primary, standby = self.primary, self.standby
        standby.kill()
        shutil.rmtree(standby.data, ignore_errors=True)
        standby.must(programs() / "pg_basebackup", "-h", primary.host.address, "-p", PORT, "-U", "postgres", "-D", standby.data,
                     "-R", "-X", "stream", "-c", "fast")
        standby.start()
        standby.wait()
        wait_until(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1",
                   "the standby to stream", 60)
        self.synchronous(primary, "*")

    @staticmethod
    def synchronous(node: Node, names: str):
        node.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        node.sql("SELECT pg_reload_conf()")

    def promote(self):
        """The primary is gone for good: the standby takes its place, alone until `join`."""
        self.primary.kill()
        # A server that waits for a standby that is not there yet would never end a commit.
        self.synchronous(self.standby, "")
        self.standby.sql("SELECT pg_promote(true, 60)", seconds=90)
        self.primary, self.standby = self.standby, self.primary
        self.promotions += 1

    def settle(self):
        """Both run, and the standby has all that the primary has."""
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
            node.wait()
        wait_until(lambda: self.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                                            " AND replay_lsn >= pg_current_wal_lsn()") == "1", "the standby to follow", 60)

    def url(self) -> str:
        """As `drop.records` names it: the one of the two that takes writes."""
        hosts = ",".join(f"{node.host.address}:{PORT}" for node in self.nodes)
        return f"postgresql://drop@{hosts}/drop?target_session_attrs=read-write"

    def close(self):
        for node in self.nodes:
            node.kill()

    def ask(self, text: str) -> list[list[str]]:
        """Rows of a query to the primary."""
        told = self.primary.sql(text, "drop")
        return [line.split("|") for line in told.splitlines()]
