"""The public listener with packages in it, without a mail system: for the tests and the pictures of the pages."""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
import time
import traceback
from pathlib import Path

import messages as m
from lab import Daemon, free_port

LOGO = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#0b6450"/>\
<path d="M9 20l7-10 7 10z" fill="#fff"/></svg>
"""
LEGAL = """\
Association Exemple, 12 rue des Lilas, 69001 Lyon.

Directrice de la publication : Camille Le Goff. Hébergeur : Association Exemple.
"""


class Site:
    """A running daemon; its pages are at `url`."""

    def __init__(self, **settings):
        self.home = tempfile.TemporaryDirectory(prefix="site-")
        directory = Path(self.home.name)
        (directory / "logo.svg").write_text(LOGO)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.daemon = Daemon(None, directory / "daemon", {
            "web_listen": f"127.0.0.1:{port}", "web_public_url": self.url,
            "web_operator": "Association Exemple", "web_contact": "abuse@exemple.org",
            "sender_domains": ["@exemple.org"],
            "web_logo": str(directory / "logo.svg"), "web_legal": LEGAL,
            "notice_time_zone": "Europe/Paris", "detach_threshold": 1, **settings})
        self.daemon.web_port = port

    def __enter__(self):
        self.daemon.__enter__()
        return self

    def __exit__(self, *error):
        self.daemon.__exit__(*error)
        self.home.cleanup()

    def deposit(self, *files: tuple[str, bytes], direction="outgoing", sender="camille@exemple.org") -> str:
        """A package as the filter makes it; its link."""
        parts = [m.attachment(data, name, "application/octet-stream") for name, data in files]
        message = m.message(m.multipart("mixed", m.TEXT, *parts), to="bob@example.com", sender=sender)
        done = self.daemon.run("rewrite", "--deposit", "--sender", sender, "--direction", direction, data=message)
        text = done.stdout.decode().replace("=\r\n", "").replace("=\n", "")
        link = re.search(re.escape(self.url) + "(?:e/[0-9a-f]{32}#)?[a-z2-7]{26}", text)
        if not link:
            raise AssertionError(done.stderr.decode() + done.stdout.decode()[:2000])
        return link.group()

    def expired(self, *files: tuple[str, bytes], **kind) -> str:
        """A package whose time is over, but not its grace period."""
        daemon = self.daemon
        before = daemon.settings.get("drop_expiry", "1 month")
        daemon.configure(drop_expiry="1 s")
        link = self.deposit(*files, **kind)
        daemon.configure(drop_expiry=before)
        while daemon.get(link)[0] != 410:
            time.sleep(0.1)
        return link

    def revoke(self, link: str):
        done = self.daemon.run("drop", "revoke", link)
        assert done.returncode == 0, done.stderr.decode()

    def audit(self) -> list[tuple]:
        """What the audit log has, oldest first: action, detail."""
        database = sqlite3.connect(f"file:{self.daemon.drop}/drop.sqlite3?mode=ro", uri=True)
        with database:
            return database.execute("SELECT action, detail FROM audit ORDER BY rowid").fetchall()


def tell(stories, site) -> int:
    """Runs the stories whose sentence contains one of the words of the command line, or all, each on a site of its
    own; the exit code."""
    words = sys.argv[1:]
    chosen = [(s, f) for s, f in stories if not words or any(word in s for word in words)]
    good = sum(_told(sentence, function, site) for sentence, function in chosen)
    print(f"{good} passed, {len(chosen) - good} failed")
    return 0 if chosen and good == len(chosen) else 1


def _told(sentence, function, site) -> bool:
    try:
        with site() as opened:
            function(opened)
    except Exception:
        print(f"FAIL  {sentence}")
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"ok    {sentence}", flush=True)
    return True
