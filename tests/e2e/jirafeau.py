#!/usr/bin/env python3
"""Stories of a drop whose files lie at a Jirafeau, through a real Postfix.

    JIRAFEAU_SOURCE=DIR tests/e2e/jirafeau.py      with the real one: DIR is a checkout of its source (4.3 and 4.5 were tried)
    tests/e2e/jirafeau.py                          with a server that answers as it did when it was measured
    tests/e2e/jirafeau.py revoked                  those whose sentence contains a word

The real one runs below PHP's own web server, on a copy of the checkout, and is a Jirafeau as it is installed, with an upload
password, and with the small limits of its Docker image.
"""

from __future__ import annotations

import contextlib
import email
import email.parser
import email.policy
import hashlib
import http.client
import http.server
import itertools
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import Lab, free_port, port_is_open, stop_pid, toml, wait_until  # noqa: E402
from milter_client import Milter, split  # noqa: E402
from stories import check_untouched, link_in, refused_with, story  # noqa: E402

stories.STORIES.clear()

SOURCE = os.environ.get("JIRAFEAU_SOURCE", "")
PASSWORD = "s3cret word"
# As in its Docker image: a file over 1 MiB goes in pieces.
UPLOAD_MAX, POST_MAX = 1 << 20, 2 << 20
DAY = 86_400
MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()


class RealJirafeau:
    """A copy of a checkout, installed below `directory`, and PHP's own web server."""

    def __init__(self, directory: Path):
        if not shutil.which("php"):
            raise SystemExit("JIRAFEAU_SOURCE is set, and there is no php: apt-get install php-cli")
        self.port = free_port()
        self.root, self.var = directory / "jirafeau", directory / "jirafeau-files"
        shutil.copytree(SOURCE, self.root, ignore=shutil.ignore_patterns(".git"))
        for kind in ("files", "links", "async"):
            (self.var / kind).mkdir(parents=True)
        self.process: subprocess.Popen | None = None
        self.configure()

    def configure(self, more: str = ""):
        (self.root / "lib" / "config.local.php").write_text(
            f"<?php\n$cfg['web_root'] = '{self.url}';\n$cfg['var_root'] = '{self.var}/';\n$cfg['installation_done'] = true;\n"
            f"$cfg['upload_password'] = array('{PASSWORD}');\n{more}\n")

    def takes(self, megabytes: int):
        """Sets the largest file that it takes."""
        self.configure(f"$cfg['maximal_upload_size'] = {megabytes};")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        # Its cache would take a changed configuration for the old one, for seconds.
        limits = ["-d", "opcache.enable=0", "-d", f"upload_max_filesize={UPLOAD_MAX}", "-d", f"post_max_size={POST_MAX}"]
        self.process = subprocess.Popen(["php", *limits, "-S", f"127.0.0.1:{self.port}", "-t", str(self.root)],
                                        env={**os.environ, "PHP_CLI_SERVER_WORKERS": "8"}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: port_is_open(self.port), "PHP's web server", 20)

    def stop(self):
        if self.process:
            # Its workers are processes of their own.
            os.killpg(self.process.pid, 15)
            self.process.wait()
            stop_pid(self.process.pid)
            self.process = None

    def kept(self) -> int:
        """How many files it keeps, and how many transfers were begun."""
        kinds = [self.var / "links", self.var / "async"]
        found = [path for kind in kinds for path in kind.rglob("*") if path.is_file()]
        return sum(not path.name.endswith("_data") for path in found)

    def contents(self) -> int:
        """How many contents lie there; equal ones lie there once."""
        return sum(path.is_file() and not path.name.endswith("_count") for path in (self.var / "files").rglob("*"))

    def ends(self) -> list[int]:
        """The times at which it ends its files: the fifth line of what it notes of each."""
        return [int(path.read_text().split("\n")[4]) for path in (self.var / "links").rglob("*") if path.is_file()]


class RecordedJirafeau(http.server.ThreadingHTTPServer):
    """Answers as Jirafeau 4.5.0 did: uploads, transfers, downloads, removals."""

    daemon_threads = True

    def __init__(self, _directory: Path):
        self.files: dict[str, tuple[str, str, bytes, int]] = {}
        self.transfers: dict[str, list] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.port = free_port()
        self.running = False
        self.connections: set[socket.socket] = set()
        self.megabytes_max = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        super().__init__(("127.0.0.1", self.port), RecordedAnswers)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.running = True

    def stop(self):
        if self.running:
            self.shutdown()
            self.server_close()
            # Those that are kept open would be answered for as long as they last.
            for connection in list(self.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.running = False

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def takes(self, megabytes: int):
        self.megabytes_max = megabytes

    def kept(self) -> int:
        return len(self.files) + len(self.transfers)

    def contents(self) -> int:
        return len(self.files)

    def ends(self) -> list[int]:
        return [end for *_, end in self.files.values()]


class RecordedAnswers(http.server.BaseHTTPRequestHandler):
    """The answers of `script.php` and `f.php`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, text: str | bytes, kind="text/plain; charset=utf-8", **headers):
        body = text if isinstance(text, bytes) else text.encode()
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # noqa: N802
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        constant = {"get_version": "4.5.0", "get_capacity": str(UPLOAD_MAX), "get_maximal_upload_size": str(self.server.megabytes_max)}
        if url.query in constant:
            return self.say(constant[url.query])
        found = self.server.files.get(asked.get("h", ""))
        if url.path == "/f.php":
            return self.say(f"<h2>{found[0]}</h2>" if found else "<p>Sorry, the requested file is not found</p>", "text/html")
        if not found:
            return self.say("Error 8")
        name, code, contents, _ = found
        if asked.get("d") == code:
            del self.server.files[asked["h"]]
            return self.say("Ok")
        self.say(contents, "application/octet-stream", Content_Disposition=f'attachment; filename="{urllib.parse.quote(name)}"')

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        query, server = urllib.parse.urlsplit(self.path).query, self.server
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in parsed.iter_parts()}
        if len(body) > POST_MAX:
            parts = {}
        text = {name: part.get_payload(decode=True).decode("utf-8", "replace") for name, part in parts.items()}
        with server.lock:
            self.say(self.answer(query, parts, text))

    def answer(self, query: str, parts: dict, text: dict) -> str:
        server = self.server
        if query == "push_async":
            transfer = server.transfers.get(text.get("ref", ""))
            if not transfer or transfer[1] != text.get("code"):
                return "Error: bad transfer code" if text else "Error 23"
            piece = parts["data"].get_payload(decode=True)
            if self.is_too_big(len(transfer[2]) + len(piece)):
                del server.transfers[text["ref"]]
                return "Error: file size is above upload limit"
            transfer[2] += piece
            transfer[1] = f"{next(server.numbers):04x}"
            return transfer[1]
        if query == "end_async":
            if text["ref"] not in server.transfers:
                return "Error"
            name, code, contents, end = server.transfers.pop(text["ref"])
            return self.keep(name, contents, end) if code == text["code"] else "Error: bad code for ending transfer"
        if not parts:
            return "Error 25"
        if text.get("upload_password") != PASSWORD:
            return "Error 20: Invalid password" if query else "Error 3: Invalid password"
        if text.get("time") != "month":
            return "Error 22" if query else "Error 4: The parameter time is invalid."
        end = int(time.time()) + 30 * DAY
        if query == "init_async":
            reference = f"{next(server.numbers):032x}"
            server.transfers[reference] = [text["filename"], f"{next(server.numbers):04x}", b"", end]
            return f"{reference}\n{server.transfers[reference][1]}"
        contents = parts["file"].get_payload(decode=True)
        if self.is_too_big(len(contents)):
            return "Error 5: Your file exceeds the maximum authorized file size."
        return "Error 6 FIX ME" if len(contents) > UPLOAD_MAX else self.keep(parts["file"].get_filename(), contents, end)

    def is_too_big(self, size: int) -> bool:
        return 0 < self.server.megabytes_max << 20 < size

    def keep(self, name: str, contents: bytes, end: int) -> str:
        link, code = f"{next(self.server.numbers):08d}", f"{next(self.server.numbers):05x}"
        self.server.files[link] = (name, code, contents, end)
        return f"{link}\n{code}\n"


def words_of(message: bytes) -> str:
    """All texts of a message."""
    parts = email.message_from_bytes(message, policy=email.policy.default).walk()
    return "\n".join(part.get_content() for part in parts if part.get_content_maintype() == "text")


class Site:
    """A Jirafeau, and a daemon that keeps its files there."""

    def __init__(self, lab: Lab, rules: str = "", **settings):
        self.lab = lab
        directory = lab.dir / f"jirafeau-{free_port()}"
        directory.mkdir()
        self.jirafeau = (RealJirafeau if SOURCE else RecordedJirafeau)(directory)
        self.password = directory / "password"
        self.password.write_text(PASSWORD + "\n")
        self.password.chmod(0o600)
        self.daemon = lab.daemon(store_kind="jirafeau", jirafeau_url=self.jirafeau.url, jirafeau_timeout="5 s",
                                 jirafeau_upload_password_file=str(self.password), **settings)
        self.daemon.config.write_text(toml(self.daemon.settings) + rules)

    def __enter__(self):
        self.jirafeau.start()
        self.daemon.start()
        return self

    def __exit__(self, kind, *_):
        self.jirafeau.stop()
        self.daemon.__exit__(kind)

    def goes(self, size: int = 300_000) -> str:
        """A mail whose file goes to Jirafeau; returns the link in it."""
        to = self.lab.address()
        message = m.report(to, size)
        self.lab.submit(message, to)
        received = self.lab.receive(to)
        assert b"\r\nX-Depollueur:" in received and len(received) < 20_000, "nothing was detached"
        assert "hiffré" not in words_of(received) and "ncrypted" not in words_of(received), "it claims that the file is encrypted"
        link = link_in(received, self.daemon)
        (file,) = self.daemon.manifest(link)["files"]
        expires = datetime.fromisoformat(self.daemon.manifest(link)["expires"])
        date = f"jusqu’au {expires.day} {MONTHS[expires.month - 1]} {expires.year} à {expires.hour} h {expires:%M}"
        assert date in " ".join(words_of(received).split()), f"{date!r} is not in\n{words_of(received)}"
        contents = m.pdf(size)
        assert (file["name"], file["size"]) == ("report.pdf", size), file
        assert file["sha256"] == hashlib.sha256(contents).hexdigest()
        page = self.fetch(file["url"])
        assert b"report.pdf" in page, page[:2000]
        assert self.fetch(file["url"].replace("/f.php?", "/script.php?")) == contents, "Jirafeau has other contents"
        if SOURCE:
            # What the button of its page does.
            assert self.fetch(file["url"] + "&d=1") == contents, "Jirafeau's page gives other contents"
        return link

    def goes_untouched(self, word: str, *sizes: int):
        to = self.lab.address()
        files = [m.attachment(m.pdf(size, seed), f"{seed}.pdf") for seed, size in enumerate(sizes or [1_500_000], 1)]
        message = m.message(m.multipart("mixed", m.TEXT, *files), to=to)
        self.lab.submit(message, to)
        check_untouched(self.lab, message, self.lab.receive(to))
        assert word in self.daemon.log(), f"{word!r} is not in the log:\n{self.daemon.log()}"

    def fetch(self, url: str) -> bytes:
        place = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        connection.request("GET", f"{place.path}?{place.query}")
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        return answer.read()

    def id_of(self, link: str) -> str:
        shown = self.daemon.run("drop", "show", link, "--json")
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)["id"]

    def nothing_is_left(self):
        wait_until(lambda: self.jirafeau.kept() == 0, f"nothing to be left at Jirafeau, not {self.jirafeau.kept()}", 20)
        assert self.jirafeau.contents() == 0, "the contents of a file are left at Jirafeau"


@story("jirafeau: a small file and one in pieces go there, the page of the mail leads to its pages, for 30 days to the second")
def _(lab):
    with Site(lab) as site:
        begun = int(time.time())
        for size in (300_000, 1_040_000, 1_060_000, 9_000_000):
            link = site.goes(size)
            expires = datetime.fromisoformat(site.daemon.manifest(link)["expires"]).timestamp()
            assert begun + 30 * DAY <= expires <= int(time.time()) + 30 * DAY, expires
        assert site.jirafeau.kept() == 4
        # The last mail's date is within a moment of what Jirafeau itself says, and never after it.
        assert expires <= max(site.jirafeau.ends()) <= expires + 60, (expires, site.jirafeau.ends())
        status, _, page = site.daemon.get(link)
        place = site.daemon.manifest(link)["files"][0]["url"]
        assert status == 200 and place.replace("&", "&amp;").encode() in page, page
        assert b"/extend" not in page, "a page of files that Jirafeau ends by itself offers more time"
        status, headers, _ = site.daemon.get(f"{link}/1")
        assert (status, {k.lower(): v for k, v in headers.items()}["location"]) == (303, place)
        code = (site.daemon.drop / "drop.sqlite3-wal").read_bytes() + (site.daemon.drop / "drop.sqlite3").read_bytes()
        assert place.split("h=")[1].encode() not in code, "a link of Jirafeau's stands in the database"
        assert PASSWORD not in site.daemon.log() and place.split("h=")[1] not in site.daemon.log()


@story("jirafeau: a revoked package is gone there at once, and one that cannot be removed is tried again by the sweep")
def _(lab):
    with Site(lab, drop_grace="0 s") as site:
        links = [site.goes(), site.goes(1_500_000)]
        ids = [site.id_of(link) for link in links]
        revoked = site.daemon.run("drop", "revoke", ids[0])
        assert revoked.returncode == 0, revoked.stderr
        assert site.jirafeau.kept() == 1
        site.jirafeau.stop()
        revoked = site.daemon.run("drop", "revoke", ids[1])
        assert revoked.returncode == 69 and b"depollueur drop sweep says why not" in revoked.stderr, revoked
        assert site.daemon.get(links[1])[0] == 410, "it is still shown"
        swept = site.daemon.run("drop", "sweep")
        assert b"could not reach Jirafeau" in swept.stderr + site.daemon.log().encode(), swept
        site.jirafeau.start()
        swept = site.daemon.run("drop", "sweep")
        assert swept.returncode == 0, swept.stderr
        assert site.jirafeau.kept() == 0
        rows = sqlite3.connect(site.daemon.drop / "drop.sqlite3").execute("SELECT state, locators FROM package").fetchall()
        assert rows == [("destroyed", None)] * 2, rows


@story("jirafeau: what a rule lets live for less time is removed there by the sweep when that is over")
def _(lab):
    rule = '[[rule]]\nrecipient = "*"\naction = "detach"\nretention = "4 seconds"\n'
    with Site(lab, rule, drop_grace="0 s") as site:
        to = lab.address()
        lab.submit(m.report(to), to)
        link = link_in(lab.receive(to), site.daemon)
        assert site.jirafeau.kept() == 1
        wait_until(lambda: site.daemon.get(link)[0] == 410, "the link to expire", 30)
        assert site.daemon.get(f"{link}/1")[0] == 410, "it still leads to Jirafeau"
        swept = site.daemon.run("drop", "sweep")
        assert swept.returncode == 0, swept.stderr
        assert (site.jirafeau.kept(), site.jirafeau.contents()) == (0, 0)


@story("jirafeau: what it refuses goes out as it came, the log says what to type, and nothing is left there")
def _(lab):
    with Site(lab) as site:
        site.password.write_text("another\n")
        site.daemon.stop()
        site.daemon.start()
        site.goes_untouched("write one of its upload_password there")
        assert "another" not in site.daemon.log()
        site.jirafeau.stop()
        site.goes_untouched("could not reach Jirafeau")
        site.jirafeau.start()
        site.nothing_is_left()


@story("jirafeau: a file too large for it, alone or after others, whole or in pieces, leaves nothing of its message there")
def _(lab):
    site = Site(lab)
    site.jirafeau.takes(2)
    with site:
        site.goes_untouched("maximal_upload_size", 300_000, 1_500_000, 2_500_000)
        site.nothing_is_left()
        site.goes()
        # Lowered, while the daemon believes what it was told: it is Jirafeau that refuses, and 4.3 says no more than "Error".
        site.jirafeau.takes(1)
        site.goes_untouched("failed queue_id=", 300_000, 1_900_000)
        assert site.daemon.log().count("could not detach: Jirafeau") == 2, site.daemon.log()
        wait_until(lambda: site.jirafeau.kept() == 1, "what was given up to be gone", 20)


@story("jirafeau: a message that its client gives up leaves nothing there, neither files nor begun ones")
def _(lab):
    with Site(lab) as site:
        files = [m.attachment(m.pdf(size), f"{size}.pdf") for size in (300_000, 6_000_000)]
        raw = m.message(m.multipart("mixed", m.TEXT, *files), to="bob@example.com")
        fields, body = split(raw)
        part = body[:5_000_000]
        with Milter(site.daemon.settings["milter_listen"]) as milter:
            milter.open()
            assert not milter.envelope() and not milter.header(fields)
            assert not milter.body(part[i:i + 65_000] for i in range(0, len(part), 65_000))
            wait_until(lambda: site.jirafeau.kept() == 2, "a file and a begun one to be at Jirafeau", 20)
        site.nothing_is_left()


@story("jirafeau: while it is down, mail is put off where the admin says so")
def _(lab):
    with Site(lab, detach_on_failure="tempfail") as site:
        site.jirafeau.stop()
        to = lab.address()
        refused_with(451, lambda: lab.submit(m.report(to), to))
        assert "could not reach Jirafeau" in site.daemon.log(), site.daemon.log()
        site.jirafeau.start()
        site.goes()
        assert lab.received_count(to) == 0


if __name__ == "__main__":
    print(f"with the real Jirafeau in {SOURCE}" if SOURCE else
          "none  the real Jirafeau: JIRAFEAU_SOURCE is not set, its recorded answers stand in for it", flush=True)
    sys.exit(stories.main())
