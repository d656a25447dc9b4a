#!/usr/bin/env python3
"""The stories of the admin's commands, with a real Postfix: what they touch, in whose name, and what they say.

    tests/e2e/stories_admin.py             all of them
    tests/e2e/stories_admin.py revoke      those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import wait_until  # noqa: E402
from stories import NotHere, check_rewritten, link_in, main, refused_with, story  # noqa: E402

# The others are told by their own file.
stories.STORIES.clear()

NOBODY = 65534


def report(to: str, size: int = 300_000) -> bytes:
    return m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(size), "report.pdf")), to=to)


def deposited(lab, daemon, size: int = 300_000, **kind) -> str:
    """A package of alice's; its link."""
    to = lab.address()
    lab.submit(report(to, size), to, **kind)
    return link_in(lab.receive(to), daemon)


def listed(daemon, *words: str) -> list[dict]:
    done = daemon.run("drop", "list", "--json", *words)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def fails(done, code: int, *words: str):
    said = done.stderr.decode()
    assert done.returncode == code, f"exit code {done.returncode}: {said}"
    assert all(word in said for word in words), said


def owners(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in [directory, *directory.rglob("*")]}


def needs_root():
    if os.geteuid():
        raise NotHere("only root can become another user")


@story("rewrite shows what would come out and deposits nothing; with --deposit its link works")
def _(lab):
    daemon = lab.daemon()
    shown = daemon.run("rewrite", data=report("x@example.com"))
    assert shown.returncode == 0 and b"dry-run-dry-run" in shown.stdout, shown.stderr
    assert b"--deposit" in shown.stderr and not daemon.drop.exists(), shown.stderr
    with daemon:
        again = daemon.run("rewrite", "--explain", "--json", data=report("x@example.com"))
        parts = json.loads(again.stderr)
        assert not parts["deposited"] and parts["parts"][-1]["would_detach"], parts
        assert listed(daemon) == []
        real = daemon.run("rewrite", "--deposit", data=report("x@example.com"))
        assert daemon.get(link_in(real.stdout, daemon))[0] == 200
        daemon.configure(detach_mode="dry-run")
        assert b"dry-run-dry-run" in daemon.run("rewrite", data=report("x@example.com")).stdout
        untouched = daemon.run("rewrite", "--deposit", data=report("x@example.com"))
        assert untouched.stdout == report("x@example.com")


@story("root who types rewrite, run or a command about the drop leaves nothing of root's in it")
def _(lab):
    needs_root()
    daemon = lab.daemon()
    daemon.drop.mkdir(mode=0o700)
    os.chown(daemon.drop, NOBODY, NOBODY)
    out = daemon.directory / "out"
    done = daemon.run("rewrite", "--deposit", data=report("x@example.com"))
    assert done.returncode == 0, done.stderr
    link = link_in(done.stdout, daemon)
    for words in (["list"], ["show", link], ["get", link, "--into", str(out)], ["audit"], ["sweep"],
                  ["token", "add", "mx"], ["revoke", link], ["restore", link]):
        done = daemon.run("drop", *words)
        assert done.returncode == 0, (words, done.stderr)
    done = daemon.run("stats", "--html", str(daemon.directory / "page.html"))
    assert done.returncode == 0, done.stderr
    assert owners(daemon.drop) == {NOBODY}, owners(daemon.drop)
    assert {path.lstat().st_uid for path in out.iterdir()} == {0}, "what root fetched is not root's"
    assert (daemon.directory / "page.html").stat().st_uid == 0


@story("who is neither root nor the owner of the drop is told so, and what to type")
def _(lab):
    needs_root()
    daemon = lab.daemon()
    daemon.drop.mkdir(mode=0o700)
    for words in (["drop", "list"], ["stats"], ["rewrite", "--deposit"]):
        done = subprocess.run(daemon.command(*words), input=b"", capture_output=True, user=NOBODY, group=NOBODY,
                              extra_groups=[])
        fails(done, 77, str(daemon.drop), "nobody", "root", "sudo")
        assert b"drafts" not in done.stderr


@story("doctor finds a directory of another owner deep in the drop, and the line that mends it")
def _(lab):
    needs_root()
    with lab.daemon() as daemon:
        deposited(lab, daemon)
        shard = next(path for path in (daemon.drop / "blobs").iterdir())
        os.chown(shard, NOBODY, NOBODY)
        found = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
        wrong = [f for f in found if f["check"] == "drop.owners"]
        assert [f["level"] for f in wrong] == ["error"], wrong
        assert str(shard) in wrong[0]["message"], wrong
        subprocess.run(wrong[0]["fix"][0], shell=True, check=True)
        found = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
        assert [f["level"] for f in found if f["check"] == "drop.owners"] == ["ok"]


@story("a link is taken as mail programs show it, and from standard input")
def _(lab):
    with lab.daemon() as daemon:
        link = deposited(lab, daemon)
        head, tail = link[:-9], link[-9:]
        scheme, host = link.split("://")
        for text in (f"<{link}>", f"({link}).", f'"{link}",', f"{head}=\n{tail}", f"{head}\n {tail}",
                     scheme.upper() + "://" + host.split("/")[0].upper() + "/" + host.split("/")[1],
                     "mailto:?body=" + link.replace(":", "%3A").replace("/", "%2F")):
            done = daemon.run("drop", "show", text)
            assert done.returncode == 0 and b"report.pdf" in done.stdout, (text, done.stderr)
        done = daemon.run("drop", "show", "-", data=f"<{link}>\n".encode())
        assert done.returncode == 0 and b"report.pdf" in done.stdout, done.stderr
        other = deposited(lab, daemon)
        done = daemon.run("drop", "revoke", "-", "--reason", "x", data=f"{link}\n<{other}>\n".encode())
        assert done.returncode == 0 and len(listed(daemon, "--state", "revoked")) == 2, done.stderr
        fails(daemon.run("drop", "show", link[:-3]), 64, "23 characters of 26")
        elsewhere = "https://other.example.org/" + "b" * 25 + "a"
        fails(daemon.run("drop", "show", elsewhere), 1, "other.example.org", daemon.settings["web_public_url"])
        fails(daemon.run("drop", "get", elsewhere, "--into", "/nonexistent"), 1, "other.example.org")


@story("a stolen account: what was sent with its login since then ends, and nothing else; and it comes back")
def _(lab):
    with lab.daemon() as daemon:
        honest = deposited(lab, daemon)
        then = wait_until(lambda: later_than(listed(daemon)), "the next second", 10)
        stolen = [deposited(lab, daemon), deposited(lab, daemon, sender="other@lab.test")]
        fails(daemon.run("drop", "revoke"), 64, "--sender", "--login", "--since")
        words = ("--login", "alice", "--since", then)
        done = daemon.run("drop", "revoke", *words, "--reason", "stolen")
        assert done.returncode == 0, done.stderr
        assert [daemon.get(link)[0] for link in [honest, *stolen]] == [200, 410, 410]
        done = daemon.run("drop", "restore", *words)
        assert done.returncode == 0, done.stderr
        assert [daemon.get(link)[0] for link in [honest, *stolen]] == [200, 200, 200]
        fails(daemon.run("drop", "restore", *words), 1, "revoked")
        shown = json.loads(daemon.run("drop", "show", honest, "--json").stdout)
        assert (shown["login"], shown["client"]) == ("alice", "127.0.0.1"), shown


def later_than(packages: list[dict]) -> str | None:
    """A moment after all of them, once it has come: times of deposits are whole seconds."""
    from datetime import datetime, timezone
    last = max(p["created"] for p in packages)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return now if now > last else None


@story("a suspended login: its packages end, its mail passes as it came or is refused; resumed, all comes back")
def _(lab):
    with lab.daemon() as daemon:
        link = deposited(lab, daemon)
        done = daemon.run("drop", "suspend", "--login", "alice", "--reason", "stolen")
        assert done.returncode == 0 and b"suspended; packages ended: 1" in done.stdout, done
        assert daemon.get(link)[0] == 410
        assert json.loads(daemon.run("drop", "suspended", "--json").stdout)[0]["login"] == "alice"
        to = lab.address()
        lab.submit(report(to), to)
        stories.check_untouched(lab, report(to), lab.receive(to))
        assert 'reason="suspended"' in daemon.admin("/metrics")[1].decode()
        done = daemon.run("drop", "resume", "--login", "Alice")
        assert done.returncode == 0 and b"resumed; packages brought back: 1" in done.stdout, done
        assert daemon.get(link)[0] == 200
        fails(daemon.run("drop", "resume", "--login", "alice"), 1, "drop suspended")
        fails(daemon.run("drop", "suspend", "--login", ""), 64, "must name somebody")
        deposited(lab, daemon)
        done = daemon.run("drop", "revoke", "--login", "alice", "--state", "live", "--queue-id", "none")
        assert done.returncode == 1, done
        done = daemon.run("drop", "revoke", "--login", "alice", "--state", "live", "--before", "2999-01-01")
        assert done.returncode == 0 and len(listed(daemon, "--state", "revoked", "--until", "2999-01-01")) == 2, done
    with lab.daemon(detach_on_suspended="reject") as daemon:
        daemon.run("drop", "suspend", "--login", "alice")
        to = lab.address()
        refused_with(550, lambda: lab.submit(report(to), to))
        assert lab.received_count(to) == 0


@story("what is held by order is fetched by nobody and not destroyed, until it is released")
def _(lab):
    with lab.daemon() as daemon:
        link, other = deposited(lab, daemon), deposited(lab, daemon)
        fails(daemon.run("drop", "hold", link), 64, "--reason")
        done = daemon.run("drop", "hold", link, "--reason", "court of Rennes, 26/1234")
        assert done.returncode == 0 and b" held " in done.stdout, done
        assert [daemon.get(link)[0], daemon.get(other)[0]] == [410, 200]
        held, = listed(daemon, "--state", "held")
        assert held["held"]["reason"] == "court of Rennes, 26/1234", held
        done = daemon.run("drop", "revoke", "--destroy", "--login", "alice")
        fails(done, 1, "not destroyed, for it is held by order", "court of Rennes, 26/1234", "drop release")
        assert {p["id"]: p["state"] for p in listed(daemon)}[held["id"]] == "held"
        assert sorted(p["state"] for p in listed(daemon)) == ["destroyed", "held"]
        fails(daemon.run("drop", "restore", held["id"]), 1, "held by order")
        with tempfile.TemporaryDirectory() as evidence:
            fails(daemon.run("drop", "get", link, "--into", f"{evidence}/copy"), 1, "drop get --ended")
            done = daemon.run("drop", "get", "--ended", link, "--into", f"{evidence}/copy")
            assert done.returncode == 0, done
            assert Path(f"{evidence}/copy/report.pdf").read_bytes() == m.pdf(300_000)
        assert b"court of Rennes" in daemon.run("drop", "audit", link).stdout
        done = daemon.run("drop", "release", "--state", "held", "--login", "alice")
        assert done.returncode == 0 and daemon.get(link)[0] == 200, done
        fails(daemon.run("drop", "release", "--login", "alice"), 1, "drop list --state held")
        fails(daemon.run("drop", "hold", other, "--reason", "1"), 1, "its files are destroyed")


def reading(daemon, link: str, path: str) -> socket.socket:
    """A reader of a file who has taken its first bytes, and takes no more for now."""
    daemon.learn(link.encode())
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(30)
    reader.connect(("127.0.0.1", daemon.web_port))
    url = urllib.parse.urlsplit(link)
    reader.sendall(f"GET {url.path}{path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
    assert reader.recv(1000).startswith(b"HTTP/1.1 200")
    return reader


def rest(reader: socket.socket) -> int:
    """How many bytes come until the end, however the connection ends; at most 1000 came before."""
    count = 1000
    with reader, contextlib.suppress(ConnectionError):
        while data := reader.recv(1 << 20):
            count += len(data)
    return count


@story("a download that is running is cut when a command destroys its package, and runs on when it revokes it")
def _(lab):
    size = 8_000_000
    with lab.daemon() as daemon:
        link, other = deposited(lab, daemon, size), deposited(lab, daemon, size + 1)
        destroyed = [reading(daemon, link, path) for path in ("/1", "/all.zip")]
        revoked = reading(daemon, other, "/1")
        assert daemon.run("drop", "revoke", other).returncode == 0
        assert daemon.run("drop", "revoke", link, "--destroy").returncode == 0
        # What sockets hold already comes still.
        assert all(rest(reader) < size / 2 for reader in destroyed)
        assert rest(revoked) > size


@story("without its key a drop is not opened, and no other key is made but on demand; what is blocked stays blocked")
def _(lab):
    with lab.daemon(detach_on_blocked="reject") as daemon:
        link, innocent = deposited(lab, daemon), deposited(lab, daemon, size=310_000)
        assert daemon.run("drop", "takedown", link, "--reason", "case 1").returncode == 0
        daemon.stop()
        key = daemon.drop / "drop.key"
        key.unlink()
        daemon.start(wait=False)
        assert daemon.wait() == 69 and "drop rekey" in daemon.log() and not key.exists(), daemon.log()
        done = daemon.run("drop", "rekey")
        assert done.returncode == 0 and key.exists(), done
        assert daemon.run("drop", "rekey").returncode, "a key is there"
        daemon.start()
        assert [daemon.get(one)[0] for one in (link, innocent)] == [410, 200]
        to = lab.address()
        refused_with(550, lambda: lab.submit(report(to), to))


@story("the audit log is whole until somebody changes it, and its copy has every line of daemon and commands")
def _(lab):
    with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{home}/log")
        os.chmod(home, 0o755), os.chmod(f"{home}/log", 0o666)
        receiver.settimeout(10)
        with lab.daemon(audit_copy=f"{home}/log") as daemon:
            link = deposited(lab, daemon)
            assert daemon.run("drop", "revoke", link, "--reason", "x\x1b[2J").returncode == 0
            lines = [receiver.recv(65536).decode() for _ in range(2)]
            assert "action=deposit by=mail" in lines[0] and "action=revoke by=admin" in lines[1], lines
            assert "\x1b" not in lines[1] and 'login="alice"' in lines[0], lines
            done = daemon.run("drop", "audit", "--verify")
            assert done.returncode == 0 and b"has 2 entries" in done.stdout, done
            head = re.search(r"^head (\d+:[0-9a-f]{64})$", done.stdout.decode(), re.M).group(1)
            assert "number={} digest={} ".format(*head.split(":")) in lines[1]
            assert daemon.run("drop", "restore", link).returncode == 0
            assert daemon.run("drop", "audit", "--verify", "--head", head).returncode == 0
            base = sqlite3.connect(daemon.drop / "drop.sqlite3")
            base.executescript("DROP TRIGGER audit_is_not_changed; UPDATE audit SET login = 'bob' WHERE number = 1")
            base.close()
            fails(daemon.run("drop", "audit", "--verify"), 1, "entry 1 is not what its digest says")


@story("a takedown: from a link, a login, a token's name, a sender and a digest to gone everywhere, with the answer in both languages")
def _(lab):
    with lab.daemon() as daemon:
        # From a link: the same file in another message goes, too, and comes back with none.
        link, copy, innocent = deposited(lab, daemon), deposited(lab, daemon), deposited(lab, daemon, size=310_000)
        fails(daemon.run("drop", "takedown", link), 64, "--reason")
        begun = time.monotonic()
        done = daemon.run("drop", "takedown", link, "--reason", "phishing, case 1", "--answer", "en")
        assert done.returncode == 0, done
        print(f"      from a link to gone, with the answer, in {time.monotonic() - begun:.2f} s", flush=True)
        assert [daemon.get(one)[0] for one in (link, copy, innocent)] == [410, 410, 200]
        said = done.stdout.decode()
        shown, = json.loads(daemon.run("drop", "answer", link, "--json").stdout)
        for fact in ("alice", "127.0.0.1", shown["message_id"], shown["queue_id"], "report.pdf", shown["contents"][0]["sha256"],
                     "not verified", "phishing, case 1", "complete download"):
            assert fact in said, (fact, said)
        said = daemon.run("drop", "answer", link, "--language", "fr").stdout.decode()
        assert "Adresse IP du client expéditeur" in said and "report.pdf" in said, said
        assert not links_of(lab, daemon), "a blocked file came back"
        # From a digest, of which nothing else is known.
        digest = json.loads(daemon.run("drop", "show", innocent, "--json").stdout)["contents"][0]["sha256"]
        done = daemon.run("drop", "takedown", "--digest", digest, "--reason", "case 2", "--destroy")
        assert done.returncode == 0 and f"blocked {digest}, which ended other packages: 0".encode() in done.stdout, done
        assert daemon.get(innocent)[0] == 410 and len(listed(daemon, "--state", "destroyed")) == 1
        # What is destroyed is named in the answer all the same, if its link is known.
        doomed, twin = deposited(lab, daemon, size=315_000), deposited(lab, daemon, size=315_000)
        digest = json.loads(daemon.run("drop", "show", doomed, "--json").stdout)["contents"][0]["sha256"]
        done = daemon.run("drop", "takedown", doomed, "--reason", "case 7", "--destroy", "--answer", "en")
        assert done.returncode == 0 and b"report.pdf" in done.stdout and digest.encode() in done.stdout, done
        assert daemon.get(twin)[0] == 410
        # A takedown that was a mistake is taken back as a whole.
        mistaken = [deposited(lab, daemon, size=316_000) for _ in range(2)]
        digest = json.loads(daemon.run("drop", "show", mistaken[0], "--json").stdout)["contents"][0]["sha256"]
        assert daemon.run("drop", "takedown", "--digest", digest, "--reason", "case 8").returncode == 0
        assert [daemon.get(one)[0] for one in mistaken] == [410, 410]
        assert daemon.run("drop", "restore", "--digest", digest).returncode, "it is still blocked"
        assert daemon.run("drop", "unblock", digest).returncode == 0
        assert daemon.run("drop", "restore", "--digest", digest).returncode == 0
        assert [daemon.get(one)[0] for one in mistaken] == [200, 200]
        # From an id, that no link goes with.
        one, same = (deposited(lab, daemon, size=320_000) for _ in range(2))
        named = json.loads(daemon.run("drop", "show", one, "--json").stdout)["id"]
        done = daemon.run("drop", "takedown", named, "--reason", "case 3")
        assert b"its files are not blocked" in done.stderr and done.returncode == 0, done
        assert [daemon.get(link)[0] for link in (one, same)] == [410, 410]
        # From a sender, then from a login: nothing of it comes in any more.
        links = [deposited(lab, daemon, size=330_000, sender=s) for s in ("thief@lab.test", "alice@lab.test")]
        assert daemon.run("drop", "takedown", "--sender", "thief@lab.test", "--reason", "case 4").returncode == 0
        assert [daemon.get(link)[0] for link in links] == [410, 200]
        assert daemon.run("drop", "takedown", "--login", "alice", "--reason", "case 5").returncode == 0
        assert [daemon.get(one)[0] for one in (links[1], *mistaken)] == [410, 410, 410]
        assert not listed(daemon, "--state", "live")
        assert not links_of(lab, daemon, size=340_000), "a login deposits after its takedown"
        # From the name of a token, with which another host deposited.
        fails(daemon.run("drop", "takedown", "--uploader", "mx1", "--reason", "case 6"), 1, "leads to nothing")
        daemon.run("drop", "resume", "--login", "alice")
        link = deposited(lab, daemon, size=350_000)
        base = sqlite3.connect(daemon.drop / "drop.sqlite3")
        base.executescript("UPDATE package SET uploader = 'mx1'")
        base.close()
        done = daemon.run("drop", "takedown", "--uploader", "mx1", "--state", "live", "--reason", "case 6")
        assert done.returncode == 0 and b"depollueur drop token remove mx1" in done.stderr, done
        assert daemon.get(link)[0] == 410


def links_of(lab, daemon, **kind) -> bool:
    """Whether what alice sends comes with a link."""
    to = lab.address()
    lab.submit(report(to, **kind), to)
    return daemon.settings["web_public_url"].encode() in lab.receive(to)


@story("a blocked file is refused with 550 when on_blocked is reject, and passes when it is deliver")
def _(lab):
    with lab.daemon(detach_on_blocked="reject") as daemon:
        link = deposited(lab, daemon)
        sha256 = json.loads(daemon.run("drop", "show", link, "--json").stdout)["contents"][0]["sha256"]
        assert daemon.run("drop", "block", sha256).returncode == 0
        to = lab.address()
        refused_with(550, lambda: lab.submit(report(to), to))
        assert lab.received_count(to) == 0
        assert 'reason="blocked"' in daemon.admin("/metrics")[1].decode()
        fails(daemon.run("rewrite", "--deposit", data=report(to)), 69, "blocked")
    with lab.daemon() as daemon:
        link = deposited(lab, daemon)
        sha256 = json.loads(daemon.run("drop", "show", link, "--json").stdout)["contents"][0]["sha256"]
        assert daemon.run("drop", "block", sha256).returncode == 0
        to = lab.address()
        lab.submit(report(to), to)
        stories.check_untouched(lab, report(to), lab.receive(to))


def why(daemon, *words: str, log: str = "") -> list[dict]:
    """What is said of a message, once it is written: what is decided gathers for a second."""
    mail_log = daemon.directory / "mail.log"
    mail_log.write_text(log)

    def asked():
        done = daemon.run("why", "--json", "--mail-log", mail_log, *words)
        answers = json.loads(done.stdout) if done.returncode == 0 else []
        return answers if any(a["decision"] for a in answers) else None
    return wait_until(asked, f"an answer to {words}", 20)


def queue_id_of(daemon) -> str:
    """The queue id of the message that was logged last."""
    return wait_until(lambda: re.findall(r'message (?:passed|rewritten|refused) queue_id="(\w+)"', daemon.log()),
                      "a line in the log", 10)[-1]


@story("why says what was decided, who sent it and what became of it, by queue id, Message-ID and link")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = b"Message-ID: <why-1@lab.test>\r\n" + report(to)
        lab.submit(message, to)
        link = link_in(lab.receive(to), daemon)
        queue_id = queue_id_of(daemon)
        assert daemon.get(link + "/1")[0] == 200
        for name in (queue_id, f"{queue_id}*", "<why-1@lab.test>", "why-1@lab.test", link, f"<{link}>."):
            [answer] = why(daemon, name)
            decision = answer["decision"]
            assert (decision["outcome"], decision["sender"], decision["login"], decision["client"]) == \
                ("rewritten", "alice@lab.test", "alice", "127.0.0.1"), decision
            assert decision["recipients"] == [to] and decision["message_id"] == "<why-1@lab.test>"
            assert [(p["fate"], p["rule"]) for p in decision["parts"]] == [("kept", None), ("detached", "default")]
            [package] = answer["packages"]
            assert package["state"] == "live" and [e["action"] for e in package["audit"]][0] == "deposit"
        assert why(daemon, link)[0]["packages"][0]["names"] == ["report.pdf"]
        assert why(daemon, queue_id)[0]["packages"][0]["names"] is None
        assert daemon.run("drop", "revoke", link).returncode == 0
        text = daemon.run("why", link).stdout.decode()
        assert all(word in text for word in ("revoked", "threshold reached", "alice", "report.pdf")), text
        for word in (b"alice@lab.test", to.encode(), b"report.pdf"):
            assert not [line for line in daemon.log().encode().splitlines() if word in line and b"audit" not in line]


KEEP = """
[[rule]]
name = "machines"
recipient = "tickets@example.com"
action = "keep"
"""


@story("why knows mail that passed unseen: small, of another direction, kept by a rule")
def _(lab):
    daemon = lab.daemon()
    daemon.config.write_text(daemon.config.read_text() + KEEP)
    with daemon:
        to = lab.address()
        small = m.message(m.TEXT, to=to)
        lab.submit(small, to, options=[f"size={len(small)}"])
        lab.receive(to)
        small_id = queue_id_of(daemon)
        [answer] = why(daemon, small_id)
        assert (answer["decision"]["outcome"], answer["decision"]["reason"]) == ("passed", "small"), answer
        assert answer["decision"]["recipients"] == [to]
        log = f"Nov 28 19:40:02 mx postfix/cleanup[2]: {small_id}: message-id=<small@lab.test>\n"
        [answer] = why(daemon, "<small@lab.test>", log=log)
        assert answer["queue_id"] == small_id and len(answer["postfix"]) == 1
        lab.submit(report("tickets@example.com"), "tickets@example.com")
        wait_until(lambda: queue_id_of(daemon) != small_id, "the next line", 10)
        [answer] = why(daemon, queue_id_of(daemon))
        assert (answer["decision"]["reason"], answer["decision"]["rule"]) == ("rules", "machines"), answer


@story("why says that nothing is known of a message, or that Postfix did not ask us")
def _(lab):
    with lab.daemon() as daemon:
        mail_log = daemon.directory / "mail.log"
        mail_log.write_text("Nov 28 19:40:02 mx postfix/cleanup[2]: 4XyZ: message-id=<a@lab.test>\n")
        fails(daemon.run("why", "4abc", "--mail-log", mail_log), 1, "4abc", "audit.decisions", "Postfix")
        done = daemon.run("why", "<a@lab.test>", "--mail-log", mail_log)
        assert done.returncode == 0 and b"did not ask us" in done.stdout, done.stderr
        fails(daemon.run("why", "two words"), 64, "queue id", "Message-ID", "link")
        fails(daemon.run("why", "4abc", "--mail-log", "/nonexistent"), 66, "/nonexistent")


@story("with audit.decisions off nothing is kept of what was decided")
def _(lab):
    with lab.daemon(audit_decisions="off") as daemon:
        to = lab.address()
        lab.submit(m.message(m.TEXT, to=to), to)
        lab.receive(to)
    assert not (daemon.drop / "decisions").exists()


@story("French units and dates are taken on the command line and in the configuration")
def _(lab):
    with lab.daemon(detach_threshold="100 ko", drop_expiry="1 mois", quota_total="1,5 Go") as daemon:
        to = lab.address()
        message = m.report(to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert len(listed(daemon, "--since", "01/01/2026")) == 1
        assert listed(daemon, "--until", "01/01/2026") == []
        assert len(listed(daemon, "--since", "2 heures")) == 1
        done = daemon.run("drop", "token", "add", "mx", "--expires", "1 an", "--quota-per-day", "2 Go")
        assert done.returncode == 0, done.stderr
        fails(daemon.run("drop", "list", "--since", "32/01/2026"), 64, "24/12/2026")
        assert daemon.run("stats", "--since", "01/2026").returncode == 0


@story("what takes long draws no progress where there is no terminal")
def _(lab):
    with lab.daemon() as daemon:
        deposited(lab, daemon)
        done = daemon.run("drop", "sweep")
        assert done.returncode == 0 and done.stderr == b"", done.stderr
        done = daemon.run("replay", str(daemon.directory))
        assert b"\x1b" not in done.stderr and b"%" not in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(main())
