"""Real servers in which a hoster keeps its people: PostgreSQL, MariaDB and OpenLDAP of Debian, each private, on loopback.

Each is a context manager that gives the text of a Postfix map (pgsql_table(5), mysql_table(5), ldap_table(5)) which looks up
an address in a table `people (address, word)` and answers with the word.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from lab import free_port, port_is_open, stop_pid, wait_until

PASSWORD = "not a secret"


class Server:
    """A server that runs as a user of its own, with its data in `directory`."""

    def __init__(self, directory: Path, user: str):
        self.directory, self.user = directory, user
        directory.mkdir()
        shutil.chown(directory, user, user)
        self.port = free_port()
        self.log = directory.parent / f"{directory.name}.log"

    def run(self, *command: str | Path, text: str | None = None):
        """Runs a program as the server's user, to its end."""
        done = subprocess.run(["runuser", "-u", self.user, "--", *map(str, command)], input=text,
                              capture_output=True, text=True, cwd=self.directory)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    @contextmanager
    def serving(self, *command: str | Path):
        """The server's program, until the end of the block."""
        with self.log.open("w") as log:
            process = subprocess.Popen(list(map(str, command)), user=self.user, group=self.user, extra_groups=[],
                                       stdout=log, stderr=subprocess.STDOUT, cwd=self.directory)
        try:
            wait_until(lambda: port_is_open(self.port) or process.poll() is not None, f"port {self.port} of {command[0]}")
            assert process.poll() is None, f"{command[0]} has ended: {self.log.read_text()}"
            yield
        finally:
            stop_pid(process.pid)
            process.wait()


def program(name: str, *places: str) -> Path:
    """The newest program of this name below these places."""
    found = sorted(path for place in places for path in Path("/").glob(place.lstrip("/") + "/" + name))
    assert found, f"{name} is not installed"
    return found[-1]


def rows(people: dict[str, str]) -> str:
    return ", ".join(f"('{address}', '{word}')" for address, word in people.items())


@contextmanager
def postgresql(directory: Path, people: dict[str, str]):
    server = Server(directory, "postgres")
    programs = program("initdb", "/usr/lib/postgresql/*/bin").parent
    password = directory.parent / "password"
    password.write_text(PASSWORD)
    server.run(programs / "initdb", "--pgdata", directory / "data", "--auth", "scram-sha-256", "--pwfile", password,
               "--no-sync")
    with server.serving(programs / "postgres", "-D", directory / "data", "-k", directory, "-p", str(server.port),
                        "-c", "listen_addresses=127.0.0.1"):
        address = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
        wait_until(lambda: subprocess.run(["pg_isready", "--quiet", "--dbname", address]).returncode == 0, "PostgreSQL")
        server.run("env", f"PGPASSWORD={PASSWORD}", "psql", "--quiet", "--set", "ON_ERROR_STOP=1", address,
                   text=f"CREATE TABLE people (address text, word text); INSERT INTO people VALUES {rows(people)};")
        yield (f"hosts = 127.0.0.1:{server.port}\nuser = postgres\npassword = {PASSWORD}\ndbname = postgres\n"
               "query = SELECT word FROM people WHERE address = '%s'\n")


@contextmanager
def mariadb(directory: Path, people: dict[str, str]):
    server = Server(directory, "mysql")
    data = f"--datadir={directory / 'data'}"
    server.run("mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db")
    socket = directory / "mysqld.sock"
    with server.serving("/usr/sbin/mariadbd", "--no-defaults", data, f"--socket={socket}", f"--port={server.port}",
                        "--bind-address=127.0.0.1", "--skip-name-resolve", f"--pid-file={directory / 'pid'}"):
        server.run("mariadb", "--no-defaults", f"--socket={socket}", "--user=root", text=(
            "CREATE DATABASE mail; CREATE TABLE mail.people (address VARCHAR(200), word VARCHAR(20));"
            f"INSERT INTO mail.people VALUES {rows(people)};"
            f"CREATE USER 'reader'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON mail.* TO 'reader'@'127.0.0.1';"))
        yield (f"hosts = 127.0.0.1:{server.port}\nuser = reader\npassword = {PASSWORD}\ndbname = mail\n"
               "query = SELECT word FROM people WHERE address = '%s'\n")


@contextmanager
def openldap(directory: Path, people: dict[str, str]):
    server = Server(directory, "openldap")
    (directory / "data").mkdir()
    shutil.chown(directory / "data", server.user, server.user)
    configuration = directory / "slapd.conf"
    schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    configuration.write_text(
        f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"database mdb\nsuffix dc=test\ndirectory {directory / 'data'}\n"
        f'rootdn cn=admin,dc=test\nrootpw "{PASSWORD}"\naccess to * by users read by anonymous auth\n')
    entries = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n"
    for n, (address, word) in enumerate(people.items()):
        entries += (f"\ndn: cn=p{n},dc=test\nobjectClass: inetOrgPerson\ncn: p{n}\nsn: p{n}\n"
                    f"mail: {address}\nemployeeType: {word}\n")
    server.run("/usr/sbin/slapadd", "-f", configuration, text=entries)
    with server.serving("/usr/sbin/slapd", "-d", "0", "-f", configuration, "-h", f"ldap://127.0.0.1:{server.port}"):
        yield (f"server_host = ldap://127.0.0.1:{server.port}\nversion = 3\nbind = yes\nbind_dn = cn=admin,dc=test\n"
               f"bind_pw = {PASSWORD}\nsearch_base = dc=test\nquery_filter = mail=%s\nresult_attribute = employeeType\n")


# The type of Postfix's table, and the server that it asks.
SERVERS = {"pgsql": postgresql, "mysql": mariadb, "ldap": openldap}
