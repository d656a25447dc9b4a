#!/usr/bin/env python3
"""`depollueur setup`, with flags and in a terminal, beside Postfix configurations of both kinds."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import tomllib
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import ROOT, binary  # noqa: E402

STORIES = []
SAMPLE = (ROOT / "config" / "depollueur.toml").read_text()


def story(sentence: str):
    """Registers a test; the sentence is what must hold."""
    def register(function):
        STORIES.append((sentence, function))
        return function
    return register


class Place:
    """A directory with a Postfix configuration and room for ours."""

    def __init__(self, directory: Path, chroot: str = "y", main: str = ""):
        self.config = directory / "depollueur.toml"
        self.postfix = directory / "postfix"
        self.postfix.mkdir(exist_ok=True)
        (self.postfix / "main.cf").write_text(f"compatibility_level = 3.6\n{main}")
        (self.postfix / "master.cf").write_text(
            f"smtp inet n - {chroot} - - smtpd\ncleanup unix n - {chroot} - 0 cleanup\n")

    def command(self, *options) -> list[str]:
        return [binary(), "setup", "--config", str(self.config), "--postfix-config", str(self.postfix), *options]

    def setup(self, *options):
        return subprocess.run(self.command(*options), capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def checked(self) -> str:
        """What `depollueur check` prints."""
        done = subprocess.run([binary(), "check", "--config", str(self.config)], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    def check(self) -> dict:
        """What `depollueur check` says that holds."""
        return tomllib.loads(self.checked())

    def values(self) -> dict:
        """What stands in the file."""
        return tomllib.loads(self.config.read_text())

    def lists(self) -> str:
        """What Postfix has."""
        return "".join((self.postfix / name).read_text() for name in ("main.cf", "master.cf"))

    def plugging(self) -> str:
        """What `depollueur plug` would change in Postfix."""
        done = subprocess.run([binary(), "plug", "--show", "--config", str(self.config), "--postfix-config", str(self.postfix)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, *lines: str, options: tuple = ()) -> tuple[int, str]:
        """Runs setup in a terminal of its own and types the lines; the exit code and the screen."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(binary(), self.command(*options))
        os.write(terminal, "".join(line + "\n" for line in lines).encode())
        screen = b""
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                break
            if not more:
                break
            screen += more
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), screen.decode()


@story("with flags: the file passes check, has what was said and nothing else, and is closed to others")
def _(place):
    done = place.setup("--domain", "Example.org", "--public-url", "https://files.example.org", "--threshold", "2MB",
                       "--expiry", "3 weeks", "--language", "en")
    assert done.returncode == 0 and not done.stderr, done.stderr
    values = place.check()
    assert values["web"]["public_url"] == "https://files.example.org/"
    assert values["web"]["operator"] == "example.org" and values["web"]["contact"] == "abuse@example.org"
    assert values["detach"]["threshold"] == "2 MB" and values["detach"]["mode"] == "dry-run"
    assert values["drop"]["expiry"] == "3 weeks" and values["notice"]["language"] == "en"
    set_lines = [line for line in place.config.read_text().splitlines() if line and line[0] not in "#["]
    assert len(set_lines) == 9 and values["web"]["report_to"] == ["abuse@example.org"], set_lines
    assert place.config.stat().st_mode & 0o777 == 0o640


@story("every comment of the sample stays, so that the file explains itself")
def _(place):
    assert place.setup("--domain", "example.org").returncode == 0
    written = set(place.config.read_text().splitlines())
    lost = [line for line in SAMPLE.splitlines() if line.startswith("# ") and line not in written]
    assert not lost, lost


@story("in a terminal: a wrong answer is explained and asked again, an empty one takes what is proposed")
def _(place):
    code, screen = place.answer("example", "example.org", "", "much", "1 MB", "", "de", "fr", "perhaps", "no", "", "", "", "")
    assert code == 0, screen
    assert 'is no domain' in screen and 'detach.threshold = "much": must be' in screen, screen
    assert 'notice.language = "de": must be' in screen and "[https://drop.example.org/]" in screen, screen
    values = place.check()
    assert values["web"]["public_url"] == "https://drop.example.org/"
    assert values["detach"]["threshold"] == "1 MB" and values["drop"]["expiry"] == "1 month"


@story("in a terminal: a bucket, a Jirafeau and PostgreSQL are asked for, each secret is a file that one is told to make")
def _(place):
    secret = place.config.parent / "secret"
    usual = ("example.org", "", "", "", "", "", "", "")
    code, screen = place.answer(*usual, "no", "s3", "https://s3.example.org/", "", "", "GK1", str(secret),
                                "postgresql://u@db.example.org/drop", str(secret))
    assert code == 0, screen
    values = place.values()
    assert values["drop"]["blobs"] == "s3" and values["s3"]["endpoint"] == "https://s3.example.org/", values
    assert values["s3"]["bucket"] == "depollueur" and values["s3"]["region"] == "garage" and values["s3"]["access_key_id"] == "GK1", values
    assert values["drop"]["records"] == "postgresql://u@db.example.org/drop", values
    line = f"install -m 0640 -g depollueur /dev/stdin '{secret}'"
    assert f"Next, type:\r\n    {line}" in screen and "    depollueur check\r\n" in screen, screen
    assert "put it into Postfix now?" not in screen, screen
    secret.write_text("secret\n")
    secret.chmod(0o640)
    code, screen = place.answer(*usual, "no", "jirafeau", "https://jirafeau.example.org/", str(secret), "", options=("--force", "--no-plug"))
    assert code == 0 and line not in screen, screen
    values = place.values()
    assert values["store"]["kind"] == "jirafeau" and values["jirafeau"]["url"] == "https://jirafeau.example.org/", values
    assert "records" not in values.get("drop", {}), values


@story("with --set: any value is written, and takes the place of a question")
def _(place):
    secret = place.config.parent / "secret"
    store = ("drop.blobs=s3", "s3.endpoint=https://s3.example.org/", "s3.bucket=files", "s3.access_key_id=GK1",
             f"s3.secret_key_file={secret}", "detach.mode=live", "milter.max_messages=7")
    done = place.setup("--domain", "example.org", *(word for value in store for word in ("--set", value)))
    assert done.returncode == 0 and f"/dev/stdin '{secret}'" in done.stdout, done
    values = place.values()
    # What is the default stays a comment.
    assert values["s3"]["bucket"] == "files" and "mode" not in values.get("detach", {}), values
    assert values["milter"]["max_messages"] == 7 and "starts in dry-run" not in done.stdout, values
    for wrong, says in (("drop.blob=s3", 'unknown key "drop.blob"'), ("drop.blobs=s3", "must be set for drop.blobs"), ("nothing", "KEY=VALUE")):
        done = place.setup("--domain", "example.org", "--force", "--set", wrong)
        assert done.returncode in (64, 78) and says in done.stderr, done
        assert place.values() == values


@story("where mail is forwarded, outgoing mail only is treated; where lists run, the list server's mail is left alone too")
def _(place):
    for options, rules in ((["--forwarding"], 0), (["--outgoing"], 0), (["--lists"], 2)):
        assert place.setup("--domain", "example.org", "--force", *options).returncode == 0
        values = place.check()
        assert values["detach"]["directions"] == "outgoing", values["detach"]
        assert len(values.get("rule", [])) == rules, values.get("rule")
    place.config.unlink()
    code, screen = place.answer("example.org", "", "", "", "", "no", "no", "no", "", "")
    assert code == 0 and "mail from outside, too" in screen, screen
    assert place.check()["detach"]["directions"] == "outgoing"
    code, screen = place.answer("example.org", "", "", "", "", "yes", "no")
    assert code == 64 and "is there already" in screen, screen
    place.config.unlink()
    code, screen = place.answer("example.org", "", "", "", "", "yes", "no", "", "")
    assert code == 0 and "Do mailing lists run on this host" in screen, screen
    assert place.check()["detach"]["directions"] == "outgoing"


@story("check says on top what it means that mail from outside is treated, and the bounds that hold without a word of the admin")
def _(place):
    assert place.setup("--domain", "example.org").returncode == 0
    head = place.checked().partition("\n\n")[0].replace("\n# ", " ")
    for words in ("# Mail from outside is treated: strangers put files on this host", "1000000000 bytes from one network",
                  "10000000000 bytes in all", "detach.marked_by", "nothing that an alias forwards", 'detach.directions = "outgoing"'):
        assert words in head, (words, head)
    place.config.write_text(place.config.read_text().replace("[quota]\n", "[quota]\nincoming_client_per_day = \"3 MB\"\n", 1))
    assert "3000000 bytes from one network" in place.checked().replace("\n# ", " ")
    assert place.setup("--domain", "example.org", "--force", "--outgoing").returncode == 0
    assert "Mail from outside" not in place.checked()


@story("in a terminal it offers to plug, shows the change and asks for it; without a yes Postfix stays as it is")
def _(place):
    before = place.lists()
    code, screen = place.answer("example.org", "", "", "", "", "", "", "", "", "")
    assert code == 0 and "put it into Postfix now?" in screen and "    depollueur plug\r\n" in screen, screen
    assert "+smtpd_milters" not in screen and place.lists() == before, screen
    code, screen = place.answer("example.org", "", "", "", "", "", "", "", "", options=("--force", "--no-plug"))
    assert code == 0 and "put it into Postfix now?" not in screen, screen
    # Nobody answers at the socket here: what is missing is told, before anything is changed.
    code, screen = place.answer("example.org", "", "", "", "", "", "", "", "", "yes", options=("--force",))
    assert code == 69 and "+smtpd_milters = { unix:depollueur/milter.sock, default_action=tempfail }" in screen, screen
    assert "no milter answers at" in screen and place.lists() == before, screen
    place.check()


@story("without a terminal --plug asks nothing and plugs, and nothing is plugged without it")
def _(place):
    before = place.lists()
    done = place.setup("--domain", "example.org")
    assert done.returncode == 0 and "+smtpd_milters" not in done.stdout, done.stdout
    done = place.setup("--domain", "example.org", "--force", "--plug")
    assert done.returncode == 69 and "+smtpd_milters" in done.stdout and "no milter answers at" in done.stderr, done.stderr
    assert place.lists() == before


@story("a drop on a disk of its own: the lines that open it stand before the start, and a hidden place is refused")
def _(place):
    done = place.setup("--domain", "example.org", "--directory", "/srv/files/drop")
    assert done.returncode == 0, done.stderr
    assert place.values()["drop"]["directory"] == "/srv/files/drop"
    typed = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    assert typed[0] == "install -d -m 0700 -o depollueur -g depollueur '/srv/files/drop'", typed
    assert any("ReadWritePaths=/srv/files/drop" in line for line in typed[1:3]) and "systemctl daemon-reload" == typed[3], typed
    assert "ReadWritePaths" not in place.setup("--domain", "example.org", "--force", "--directory", "/var/lib/depollueur/files").stdout
    for directory, says in (("/home/drop", "hides this place"), ("drop", "--directory: drop.directory = \"drop\"")):
        done = place.setup("--domain", "example.org", "--force", "--directory", directory)
        assert done.returncode == 64 and says in done.stderr, done.stderr


@story("answers that end write nothing")
def _(place):
    code, screen = place.answer("example.org", "\x04")
    assert code == 64 and "nothing was written" in screen, screen
    assert not place.config.exists()


@story("a configuration that is there stays, unless --force is given")
def _(place):
    place.config.write_text("precious")
    done = place.setup("--domain", "example.org")
    assert done.returncode == 64 and "--force" in done.stderr, done.stderr
    assert place.config.read_text() == "precious"
    assert place.setup("--domain", "example.org", "--force").returncode == 0
    place.check()


@story("a wrong flag is named with its value, and nothing is written")
def _(place):
    for options, says in (
        (["--domain", "nothing"], '--domain: "nothing" is no domain'),
        (["--domain", "example.org", "--threshold", "much"], '--threshold: detach.threshold = "much"'),
        (["--domain", "example.org", "--expiry", "month"], '--expiry: drop.expiry = "month"'),
        (["--domain", "example.org", "--public-url", "drop"], '--public-url: web.public_url = "drop"'),
        ([], "give --domain"),
    ):
        done = place.setup(*options)
        assert done.returncode == 64 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not place.config.exists()


@story("without a chroot the socket stays where it is by default, and Postfix calls it by its path")
def _(place):
    place = Place(place.config.parent, chroot="n")
    assert place.setup("--domain", "example.org").returncode == 0
    assert place.check()["milter"]["listen"] == "unix:/run/depollueur/milter.sock"
    assert "+smtpd_milters = { unix:/run/depollueur/milter.sock, default_action=tempfail }\n" in place.plugging()


@story("what is to be typed next brings the milter in where it belongs, and leaves the others where they are")
def _(place):
    place = Place(place.config.parent, main="smtpd_milters = inet:localhost:11332, inet:localhost:8891\nnon_smtpd_milters = inet:localhost:8891\n")
    done = place.setup("--domain", "example.org")
    assert place.check()["milter"]["listen"] == "unix:/var/spool/postfix/depollueur/milter.sock"
    # No line that would replace a list: plug looks at what is there.
    assert "    depollueur plug\n" in done.stdout and "postconf" not in done.stdout, done.stdout
    us = "{ unix:depollueur/milter.sock, default_action=tempfail }"
    shown = place.plugging()
    assert f"+smtpd_milters = inet:localhost:11332, inet:localhost:8891, {us}\n" in shown, shown
    assert f"+non_smtpd_milters = {us}, inet:localhost:8891\n" in shown, shown


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    passed = failed = 0
    for sentence, function in STORIES:
        if not all(word in sentence for word in words):
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="depollueur-setup-") as directory:
                function(Place(Path(directory)))
            passed += 1
            print(f"ok    {sentence}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {sentence}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
