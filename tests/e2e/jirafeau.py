#!/usr/bin/env python3
"""Stories of a drop whose files lie at a Jirafeau, through a real Postfix.

    JIRAFEAU_SOURCE=DIR tests/e2e/jirafeau.py      with the real one: DIR is a checkout of its source (4.3 and 4.5 were tried)
    tests/e2e/jirafeau.py                          with a server that answers as it did when it was measured
    tests/e2e/jirafeau.py revoked                  those whose sentence contains a word

The real one runs below PHP's own web server, on a copy of the checkout, and is a Jirafeau as it is installed, with an upload
password, and with the small limits of its Docker image.
"""

from __future__ import annotations

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
from lab import Lab, free_port, port_is_open, stop_pid, wait_until  # noqa: E402
from stories import check_untouched, link_in, story  # noqa: E402

stories.STORIES.clear()

SOURCE = os.environ.get("JIRAFEAU_SOURCE", "")
PASSWORD = "s3cret word"
# As in its Docker image: a file over 1 MiB goes in pieces.
UPLOAD_MAX, POST_MAX = 1 << 20, 2 << 20
DAY = 86_400


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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        limits = ["-d", f"upload_max_filesize={UPLOAD_MAX}", "-d", f"post_max_size={POST_MAX}"]
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


class RecordedJirafeau(http.server.ThreadingHTTPServer):
    """Answers as Jirafeau 4.5.0 did: uploads, transfers, downloads, removals."""

    daemon_threads = True

    def __init__(self, _directory: Path):
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.transfers: dict[str, list] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.port = free_port()
        self.running = False

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
            self.running = False

    def kept(self) -> int:
        return len(self.files) + len(self.transfers)


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
        constant = {"get_version": "4.5.0", "get_capacity": str(UPLOAD_MAX), "get_maximal_upload_size": "0"}
        if url.query in constant:
            return self.say(constant[url.query])
        found = self.server.files.get(asked.get("h", ""))
        if url.path == "/f.php":
            return self.say(f"<h2>{found[0]}</h2>" if found else "<p>Sorry, the requested file is not found</p>", "text/html")
        if not found:
            return self.say("Error 8")
        name, code, contents = found
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
            transfer[2] += parts["data"].get_payload(decode=True)
            transfer[1] = f"{next(server.numbers):04x}"
            return transfer[1]
        if query == "end_async":
            name, code, contents = server.transfers.pop(text["ref"])
            return self.keep(name, contents) if code == text["code"] else "Error: bad code for ending transfer"
        if not parts:
            return "Error 25"
        if text.get("upload_password") != PASSWORD:
            return "Error 20: Invalid password" if query else "Error 3: Invalid password"
        if query == "init_async":
            reference = f"{next(server.numbers):032x}"
            server.transfers[reference] = [text["filename"], f"{next(server.numbers):04x}", b""]
            return f"{reference}\n{server.transfers[reference][1]}"
        contents = parts["file"].get_payload(decode=True)
        return "Error 6 FIX ME" if len(contents) > UPLOAD_MAX else self.keep(parts["file"].get_filename(), contents)

    def keep(self, name: str, contents: bytes) -> str:
        link, code = f"{next(self.server.numbers):08d}", f"{next(self.server.numbers):05x}"
        self.server.files[link] = (name, code, contents)
        return f"{link}\n{code}\n"


def words_of(message: bytes) -> str:
    """All texts of a message."""
    parts = email.message_from_bytes(message, policy=email.policy.default).walk()
    return "\n".join(part.get_content() for part in parts if part.get_content_maintype() == "text")


class Site:
    """A Jirafeau, and a daemon that keeps its files there."""

    def __init__(self, lab: Lab, **settings):
        self.lab = lab
        directory = lab.dir / f"jirafeau-{free_port()}"
        directory.mkdir()
        self.jirafeau = (RealJirafeau if SOURCE else RecordedJirafeau)(directory)
        self.password = directory / "password"
        self.password.write_text(PASSWORD + "\n")
        self.password.chmod(0o600)
        self.daemon = lab.daemon(store_kind="jirafeau", jirafeau_url=self.jirafeau.url, jirafeau_timeout="5 s",
                                 jirafeau_upload_password_file=str(self.password), **settings)

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
        contents = m.pdf(size)
        assert (file["name"], file["size"]) == ("report.pdf", size), file
        assert file["sha256"] == hashlib.sha256(contents).hexdigest()
        page = self.fetch(file["url"])
        assert b"report.pdf" in page, page[:2000]
        assert self.fetch(file["url"].replace("/f.php?", "/script.php?")) == contents, "Jirafeau has other contents"
        return link

    def goes_untouched(self, word: str):
        to = self.lab.address()
        message = m.report(to, 1_500_000)
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


@story("jirafeau: a small file and one in pieces go there, the page of the mail leads to its pages, for 30 days to the second")
def _(lab):
    with Site(lab) as site:
        begun = int(time.time())
        for size in (300_000, 1_040_000, 1_060_000, 20_000_000):
            link = site.goes(size)
            expires = datetime.fromisoformat(site.daemon.manifest(link)["expires"]).timestamp()
            assert begun + 30 * DAY <= expires <= int(time.time()) + 30 * DAY, expires
        assert site.jirafeau.kept() == 4
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


if __name__ == "__main__":
    print(f"with the real Jirafeau in {SOURCE}" if SOURCE else
          "none  the real Jirafeau: JIRAFEAU_SOURCE is not set, its recorded answers stand in for it", flush=True)
    sys.exit(stories.main())
