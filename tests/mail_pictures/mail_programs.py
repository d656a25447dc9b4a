"""Thunderbird, Evolution and Roundcube, each with a home of its own, on a screen that nobody sees.

Each is a context manager: `show` puts one message on the screen, `picture` takes what is there then. They listen on
loopback only and are stopped by their process ids.
"""

from __future__ import annotations

import email
import imaplib
import io
import json
import os
import pwd
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from browser import Browser  # noqa: E402
from lab import LabError, free_port, port_is_open, stop_pid, wait_until  # noqa: E402

WIDTH, HEIGHT = 1000, 800


def message_id(raw: bytes) -> str:
    return email.message_from_bytes(raw)["Message-ID"].strip()


class Screen:
    """An X display and a session bus, for programs with windows."""

    NUMBERS = threading.Lock()

    def __init__(self, home: Path, **environment: str):
        self.home = home
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TZ": "Europe/Paris",
            "XDG_RUNTIME_DIR": str(home / "runtime"), "GSETTINGS_BACKEND": "memory", "NO_AT_BRIDGE": "1",
            "LIBGL_ALWAYS_SOFTWARE": "1", **environment}
        self.processes: list[subprocess.Popen] = []

    def __enter__(self) -> Screen:
        (self.home / "runtime").mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = self.home / ".config" / "gtk-3.0"
        settings.mkdir(parents=True)
        (settings / "settings.ini").write_text("[Settings]\ngtk-cursor-blink=0\ngtk-enable-animations=0\n")
        # Two that look for a free number at the same time may take the socket from each other.
        with self.NUMBERS:
            self.environment["DISPLAY"] = ":" + self._told(
                "Xvfb", "-displayfd", "1", "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp")
            wait_until(lambda: self.ask("xdotool", "getdisplaygeometry"), "the display to answer", 30)
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = self._told("dbus-daemon", "--session", "--nofork", "--print-address")
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            stop_pid(process.pid)
            process.wait()

    def _told(self, *command: str) -> str:
        """Starts a program; the first line that it prints."""
        return self.start(*command, stdout=subprocess.PIPE).stdout.readline().decode().strip()

    def start(self, *command: str, stdout=None) -> subprocess.Popen:
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log)
        self.processes.append(process)
        return process

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout

    def windows(self, name: str) -> list[str]:
        """The visible windows whose title has this in it, a regular expression."""
        return self.ask("xdotool", "search", "--onlyvisible", "--name", name).split()

    def fill(self, window: str) -> None:
        """Gives a window the whole screen."""
        self.ask("xdotool", "windowmove", window, "0", "0", "windowsize", window, str(WIDTH), str(HEIGHT),
                 "windowraise", window, "windowfocus", window, "mousemove", str(WIDTH - 1), str(HEIGHT - 1))

    def close(self, window: str) -> None:
        """Closes a window. One that stays does no harm: the next is put above it."""
        try:
            self.press("ctrl+w", window, lambda: window not in self.windows("."), self.settled)
        except LabError:
            pass

    def look_and_close(self, window: str) -> Image.Image:
        """The picture of a window with a message, once there is something below its buttons."""
        self.fill(window)
        picture = wait_until(lambda: with_content(self.settled()), "the window to show something")
        self.close(window)
        return picture

    def press(self, key: str, window: str, answer: Callable, first: Callable = lambda: None):
        """Presses a key in a window, after something else, until it is answered: who is busy may miss either."""
        for _ in range(4):
            first()
            self.ask("xdotool", "windowfocus", "--sync", window, "key", key)
            try:
                return wait_until(answer, key, 10)
            except LabError:
                pass
        raise LabError(f"{key} was pressed four times, and nothing happened")

    def look(self) -> Image.Image:
        raw = subprocess.run(["import", "-silent", "-window", "root", "ppm:-"], env=self.environment,
                             stdout=subprocess.PIPE, check=True, timeout=60).stdout
        return Image.open(io.BytesIO(raw)).convert("RGB")

    def settled(self, seconds: float = 45.0) -> Image.Image:
        """What is on the screen once nothing on it moves."""
        return settled(self.look, seconds)


def settled(look: Callable[[], Image.Image], seconds: float = 45.0) -> Image.Image:
    """The first picture that stays the same for two seconds."""
    end, since, last = time.monotonic() + seconds, time.monotonic(), look()
    while time.monotonic() < end:
        time.sleep(0.3)
        new = look()
        if ImageChops.difference(new, last).getbbox():
            since = time.monotonic()
        elif time.monotonic() - since > 2:
            break
        last = new
    return last


def with_content(picture: Image.Image) -> Image.Image | None:
    """The picture, if there is more than one colour where a message is shown."""
    darkest, brightest = picture.crop((20, 130, WIDTH - 20, HEIGHT - 60)).convert("L").getextrema()
    return picture if brightest - darkest > 60 else None


class Thunderbird:
    """Each message is opened from its file, in a window of its own."""

    SETTINGS = {
        "app.donation.eoy.version.viewed": 999,
        "app.update.auto": False,
        "browser.shell.checkDefaultClient": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "mail.provider.suppress_dialog_on_startup": True,
        "mail.rights.version": 1,
        "mail.shell.checkDefaultClient": False,
        "mail.spotlight.firstRunDone": True,
        "mailnews.start_page.enabled": False,
        "messenger.startup.action": 0,
        "toolkit.telemetry.reportingpolicy.firstRun": False,
    }

    def __init__(self, home: Path, dark: bool):
        self.profile = home / "profile"
        self.profile.mkdir(parents=True)
        theme = "thunderbird-compact-dark@mozilla.org" if dark else "thunderbird-compact-light@mozilla.org"
        settings = self.SETTINGS | {"extensions.activeThemeID": theme, "ui.systemUsesDarkTheme": int(dark)}
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in settings.items()]
        (self.profile / "user.js").write_text("".join(lines))
        self.screen = Screen(home / "screen", MOZ_ENABLE_WAYLAND="0", MOZ_CRASHREPORTER_DISABLE="1")

    def __enter__(self) -> Thunderbird:
        self.screen.__enter__()
        self.screen.start("thunderbird", "--profile", str(self.profile))
        wait_until(lambda: self.screen.windows("Thunderbird"), "Thunderbird's window", 90)
        self.screen.fill(self.screen.windows("Thunderbird")[-1])
        self.empty = self.screen.settled()
        return self

    def __exit__(self, *error) -> None:
        self.screen.__exit__(*error)

    def show(self, raw: bytes, path: Path) -> Image.Image:
        known = set(self.screen.windows("."))
        self.screen.start("thunderbird", "--profile", str(self.profile), str(path))
        window = wait_until(lambda: set(self.screen.windows(".")) - known, f"Thunderbird to open {path.name}", 60).pop()
        return self.screen.look_and_close(window)


class Evolution:
    """The messages are in a Maildir; each is asked for by its Message-ID, in a window of its own."""

    SOURCES = {
        "account": "[Data Source]\nDisplayName=Pictures\nEnabled=true\nParent=\n\n[Mail Account]\nBackendName=maildir\n"
                   "IdentityUid=identity\n\n[Maildir Backend]\nPath={mail}\n",
        "identity": "[Data Source]\nDisplayName=Pictures\nEnabled=true\nParent=account\n\n[Mail Identity]\n"
                    "Address=yann@breizh.example\nName=Yann\n\n[Mail Submission]\nTransportUid=transport\n",
        "transport": "[Data Source]\nDisplayName=Pictures\nEnabled=true\nParent=account\n\n[Mail Transport]\n"
                     "BackendName=sendmail\n",
    }

    def __init__(self, home: Path, dark: bool, messages: list[bytes]):
        own = home / "screen"
        mail, sources = home / "mail", own / ".config/evolution/sources"
        for directory in (mail / "cur", mail / "new", mail / "tmp", sources):
            directory.mkdir(parents=True)
        for number, raw in enumerate(messages):
            (mail / "cur" / f"{1_700_000_000 + number}.{number}.pictures:2,S").write_bytes(raw)
        for name, text in self.SOURCES.items():
            (sources / f"{name}.source").write_text(text.format(mail=mail))
        self.screen = Screen(home / "screen", GTK_THEME="Adwaita:dark" if dark else "Adwaita", GIO_USE_VFS="local")

    def __enter__(self) -> Evolution:
        self.screen.__enter__()
        self.screen.start("evolution", "--component=mail", "--offline")
        self.main = wait_until(lambda: self.screen.windows("^Mail$"), "Evolution's window", 90)[0]
        self.screen.fill(self.main)
        self.empty = self.screen.settled()
        return self

    def __exit__(self, *error) -> None:
        self.screen.start("evolution", "--force-shutdown").wait(30)
        self.screen.__exit__(*error)

    def show(self, raw: bytes, path: Path) -> Image.Image:
        known = set(self.screen.windows("."))

        def search() -> None:
            self.screen.start("evolution", f"mid:{message_id(raw).strip('<>')}").wait(60)
            self.screen.settled()

        window = self.screen.press("ctrl+o", self.main, lambda: set(self.screen.windows(".")) - known, search).pop()
        return self.screen.look_and_close(window)


class Roundcube:
    """In Chromium, over a Dovecot and PHP's own web server."""

    DOVECOT = """\
base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{dir}/mail
mail_uid = {user}
mail_gid = {user}
first_valid_uid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={dir}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
    CONFIGURATION = """<?php
$config = [
  'db_dsnw' => 'sqlite:///{dir}/roundcube.db?mode=0600',
  'imap_host' => '127.0.0.1:{port}',
  'des_key' => 'pictures-of-the-mail-1234',
  'skin' => 'elastic',
  'plugins' => [],
  'language' => 'en_US',
  'prefer_html' => true,
  'log_dir' => '{dir}/',
  'temp_dir' => '{dir}/',
  'enable_installer' => false,
];
"""

    def __init__(self, home: Path, dark: bool, messages: list[bytes]):
        self.home, self.dark, self.messages = home, dark, messages
        self.processes: list[subprocess.Popen] = []
        self.uids: dict[str, str] = {}

    def __enter__(self) -> Roundcube:
        (self.home / "mail").mkdir(parents=True)
        os.chown(self.home / "mail", *owner())
        self._start_dovecot()
        self._fill()
        self._start_roundcube()
        self.browser = Browser("en").__enter__()
        self._log_in()
        return self

    def __exit__(self, *error) -> None:
        if hasattr(self, "browser"):
            self.browser.__exit__(*error)
        for process in self.processes:
            stop_pid(process.pid)
            process.wait()

    def _start(self, port: int, *command: str, **options) -> None:
        with (self.home / "log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options))
        wait_until(lambda: port_is_open(port), command[0], 30)

    def _start_dovecot(self) -> None:
        self.imap = free_port()
        configuration = self.home / "dovecot.conf"
        configuration.write_text(self.DOVECOT.format(dir=self.home, port=self.imap, user=owner()[0]))
        self._start(self.imap, "dovecot", "-F", "-c", str(configuration))

    def _fill(self) -> None:
        with imaplib.IMAP4("127.0.0.1", self.imap) as imap:
            imap.login("yann", "secret")
            for raw in self.messages:
                imap.append("INBOX", r"(\Seen)", None, re.sub(rb"\r?\n", b"\r\n", raw))
                # The answer's last number is the UID (RFC 4315).
                self.uids[message_id(raw)] = imap.response("APPENDUID")[1][-1].decode().split()[-1]

    def _start_roundcube(self) -> None:
        database = sqlite3.connect(self.home / "roundcube.db")
        database.executescript(Path("/usr/share/roundcube/SQL/sqlite.initial.sql").read_text())
        database.close()
        configuration = self.home / "configuration"
        configuration.mkdir()
        (configuration / "config.inc.php").write_text(self.CONFIGURATION.format(dir=self.home, port=self.imap))
        (configuration / "defaults.inc.php").symlink_to("/etc/roundcube/defaults.inc.php")
        (configuration / "mimetypes.php").symlink_to("/etc/roundcube/mimetypes.php")
        self.http = free_port()
        self._start(self.http, "php", "-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-d", "display_errors=0",
                    "-d", "session.gc_probability=0", "-S", f"127.0.0.1:{self.http}",
                    "-t", "/var/lib/roundcube/public_html",
                    env=os.environ | {"ROUNDCUBE_CONFIG_DIR": str(configuration), "PHP_CLI_SERVER_WORKERS": "4"})

    def _log_in(self) -> None:
        self.browser.look(WIDTH, HEIGHT, dark=self.dark)
        self.browser.open(f"http://127.0.0.1:{self.http}/index.php")
        self.browser.type("#rcmloginuser", "yann")
        self.browser.type("#rcmloginpwd", "secret")
        self.browser.click("#rcmloginsubmit")
        wait_until(lambda: "_task=mail" in self.browser.script("return location.href"), "Roundcube's login", 30)
        self.empty = settled(self._look)

    def _look(self) -> Image.Image:
        shot = self.home / "shot.png"
        self.browser.picture(shot)
        with Image.open(shot) as picture:
            return picture.convert("RGB")

    def show(self, raw: bytes, path: Path) -> Image.Image:
        uid = self.uids[message_id(raw)]
        self.browser.open(f"http://127.0.0.1:{self.http}/index.php?_task=mail&_mbox=INBOX&_action=show&_uid={uid}")
        wait_until(lambda: self.browser.script("return document.readyState") == "complete", "Roundcube's page", 30)
        return settled(self._look)


def owner() -> tuple[int, int]:
    """Who owns the mail: Dovecot serves none of root's."""
    user = pwd.getpwnam("www-data" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    return user.pw_uid, user.pw_gid
