"""Can the account tell right from wrong? Real messages, a real daemon; what went wrong is made up here."""

from __future__ import annotations

import base64
import os
import tempfile
import traceback
from pathlib import Path

import leaks
import stored
from account import Account
from lab import Daemon
from letters import THRESHOLD
from load import Letter
from remote import Relay

TESTS = []


def test(sentence: str):
    def register(function):
        TESTS.append((sentence, function))
        return function
    return register


class Bench:
    """A daemon, a Maildir, and messages as Postfix would have delivered them."""

    def __init__(self, judges, place: Path):
        self.judges = judges
        self.daemon = Daemon(None, place / "daemon", {"detach_threshold": THRESHOLD, "quota_free_space_min": 0, "quota_free_inodes_min": 0,
                                                      "notice_language": "en"})
        self.inbox = place / "inbox"
        (self.inbox / "new").mkdir(parents=True)
        self.letters: list[Letter] = []
        self.relay = None

    def letter(self, kind: str, **outcome) -> Letter:
        number = len(self.letters) + 1
        letter = Letter(number, kind, f"n{number}@example.com", "alice@lab.test", **{"accepted": True, **outcome})
        self.letters.append(letter)
        return letter

    def treated(self, letter: Letter) -> bytes:
        done = self.daemon.run("rewrite", "--deposit", data=letter.message())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def deliver(self, letter: Letter, message: bytes | None = None):
        """Puts it into the Maildir, as it was sent if nothing else is said."""
        trace = (f"Return-Path: <{letter.sender}>\r\nX-Original-To: {letter.to}\r\nDelivered-To: {letter.to}\r\n"
                 "Received: from x (x [127.0.0.1])\r\n\tby mx.lab.test; Mon, 23 Nov 2026 10:00:00 +0000\r\n").encode()
        path = self.inbox / "new" / f"{len(list((self.inbox / 'new').iterdir()))}-{letter.number}"
        path.write_bytes((trace + (message or letter.message())).replace(b"\r\n", b"\n"))

    def treat(self, kind: str = "heavy") -> Letter:
        letter = self.letter(kind)
        self.deliver(letter, self.treated(letter))
        return letter

    def account(self) -> Account:
        port = self.relay.port if self.relay else self.daemon.web_port
        account = Account(self.inbox, self.judges, base=self.daemon.settings["web_public_url"], web_port=port)
        account.know(self.letters)
        return account

    def is_blamed(self, *words: str):
        """Exactly one message is blamed, in these words; beside it there are good ones."""
        self.deliver(self.letter("plain"))
        self.treat()
        wrong = self.account().close()
        assert wrong and all(word in "\n".join(wrong) for word in words), wrong
        assert len({why.split(":")[0].split(" was ")[0] for why in wrong}) == 1, wrong


@test("mail that arrived as it should is not blamed")
def _(b):
    for kind in ("plain", "alternative", "light", "signed", "encrypted"):
        b.deliver(b.letter(kind))
    for kind in ("heavy", "two", "scan", "latin", "3MB"):
        b.treat(kind)
    b.letter("plain", accepted=False, refused="552 5.3.4 too big")
    unanswered = b.letter("plain", unknown=1)
    b.deliver(unanswered)
    b.deliver(unanswered)
    b.deliver(b.letter("heavy"))
    account = b.account()
    wrong = account.close(refused_allowed=True)
    assert not wrong, wrong
    assert account.how == {"unchanged": 7, "rewritten": 5, "let-through": 1}, account.how
    assert not list((b.inbox / "new").iterdir()), "what is right is not removed"


@test("a lost message is blamed")
def _(b):
    b.letter("heavy")
    b.is_blamed("was accepted and is lost")


@test("a doubled message is blamed")
def _(b):
    letter = b.letter("plain")
    b.deliver(letter)
    b.deliver(letter)
    b.is_blamed("was delivered 2 times, accepted 1 times")


@test("more copies than tries without a reply are blamed")
def _(b):
    letter = b.letter("plain", unknown=1)
    for _ in range(3):
        b.deliver(letter)
    b.is_blamed("was delivered 3 times")


@test("a message that was refused and yet delivered is blamed")
def _(b):
    b.deliver(b.letter("plain", accepted=False, refused="550 no"))
    b.is_blamed("was delivered 1 times", "was refused for good")


@test("a message that is still put off at the end is blamed")
def _(b):
    b.letter("plain", accepted=False, put_off=["451 4.7.1 later"])
    b.is_blamed("still put off", "451")


@test("a message of nobody is blamed")
def _(b):
    b.deliver(Letter(99, "plain", "n99@example.com", "x@lab.test"))
    b.is_blamed("nobody sent")


@test("one flipped bit in an untouched message is blamed")
def _(b):
    letter = b.letter("plain")
    message = bytearray(letter.message())
    message[5000] ^= 1
    b.deliver(letter, bytes(message))
    b.is_blamed("changed though there is nothing to detach")


@test("a message that is cut is blamed")
def _(b):
    letter = b.letter("signed")
    b.deliver(letter, letter.message()[:-1000])
    b.is_blamed("changed though there is nothing to detach")


@test("another text in a rewritten message is blamed")
def _(b):
    letter = b.letter("heavy")
    b.deliver(letter, b.treated(letter).replace(b"Hello,", b"Hallo,"))
    b.is_blamed("E-")


@test("the rewritten message of somebody else is blamed")
def _(b):
    letter, other = b.letter("heavy"), b.treat()
    b.deliver(letter, b.treated(other))
    b.is_blamed("E-")


@test("a link that leads nowhere is blamed")
def _(b):
    letter = b.letter("heavy")
    after = b.treated(letter)
    at = after.index(b"https://drop.lab.test/") + len(b"https://drop.lab.test/")
    b.deliver(letter, after.replace(after[at:at + 26], b"a" * 26))
    b.is_blamed("E-DEADLINK")


@test("a link to the file of another message is blamed")
def _(b):
    def link(message):
        at = message.index(b"https://drop.lab.test/")
        return message[at:at + 48]
    letter = b.letter("heavy")
    mine, other = b.treated(letter), b.treated(Letter(77, "heavy", "n77@example.com", "x@lab.test"))
    b.deliver(letter, mine.replace(link(mine), link(other)))
    b.is_blamed("E-FOREIGN")


@test("a link that serves wrong bytes is blamed")
def _(b):
    letter = b.letter("heavy")
    b.deliver(letter, b.treated(letter))
    needle = f"report.pdf of {letter.number} ".encode()

    def flip(data, seen):
        return data.replace(needle, needle.upper())
    b.relay = Relay(b.daemon.web_port, down=flip)
    b.is_blamed("E-LINK")


@test("a file whose blob is gone is blamed")
def _(b):
    letter = b.letter("heavy")
    b.deliver(letter, b.treated(letter))
    for blob in b.daemon.drop.glob("blobs/*/*"):
        blob.unlink()
    b.is_blamed("number 1")


@test("a draft, a blob without a record, a missing and a cut blob are found in a drop")
def _(b):
    b.treat()
    b.treat("two")
    b.daemon.stop()
    drop = b.daemon.drop
    assert stored.disagreements(drop) == []
    first, second, third = sorted(drop.glob("blobs/*/*"))
    (drop / "drafts" / "draft-x").write_bytes(b"x")
    os.rename(first, first.with_name("f" * 32 + "-0"))
    os.truncate(second, 100)
    wrong = "\n".join(stored.disagreements(drop))
    for word in ("a draft is left", "f-0 has no record", f"{first.name} is missing", f"{second.name} has 100 bytes"):
        assert word in wrong, (word, wrong)
    assert third.name not in wrong


@test("a secret is found in a drop, in whatever form and file it lies")
def _(b):
    b.treat()
    b.daemon.stop()
    for secret in (b"b4j6xqy2wfvn7zt3kd5hgsr2ae", b"q" * 26, base64.urlsafe_b64encode(b"\n\xff\x00" + bytes(range(29))).rstrip(b"=")):
        link = b"https://drop.example.org/" + secret if len(secret) == 26 else b"dpl_" + secret
        assert leaks.secrets_in(b"see " + link[:40] + b"=\r\n" + link[40:] + b"\r\n") == {secret}, secret
        assert leaks.leaks(b.daemon.drop, [secret]) == []
        raw = base64.b32decode(secret.upper() + b"======") if len(secret) == 26 else base64.urlsafe_b64decode(secret + b"=")
        coded = [code(before + data + b"z") for code in (base64.b64encode, base64.urlsafe_b64encode, bytes.hex)
                 for data in (secret, raw) for before in (b"", b"x", b"xy", b"xyz")]
        for text in (secret, raw, *(text.encode() if isinstance(text, str) else text for text in coded)):
            for name in ("drop.sqlite3", "blobs/planted", "drafts/planted"):
                path = b.daemon.drop / name
                before = path.read_bytes() if path.exists() else None
                path.write_bytes((before or b"") + b"\x00\xffx" + text + b"y\n")
                wrong = leaks.leaks(b.daemon.drop, [secret])
                assert len(wrong) == 1 and name in wrong[0], (secret, text, wrong)
                path.unlink() if before is None else path.write_bytes(before)


@test("a daemon that wrote a link into its drop does not stop well")
def _(b):
    letter = b.letter("heavy")
    (token,) = leaks.secrets_in(b.treated(letter))
    planted = b.daemon.drop / "drafts" / "planted"
    planted.write_bytes(b"GET /" + token)
    try:
        b.daemon.stop()
    except AssertionError as error:
        assert "drafts/planted holds a token" in str(error), error
        planted.unlink()
        return
    raise AssertionError("it stopped as if nothing were wrong")


@test("a damaged database is found in a drop")
def _(b):
    b.treat()
    b.daemon.stop()
    (b.daemon.drop / "drop.sqlite3-wal").unlink(missing_ok=True)
    data = bytearray((b.daemon.drop / "drop.sqlite3").read_bytes())
    data[4096:] = base64.b64encode(data[4096:])[:len(data) - 4096]
    (b.daemon.drop / "drop.sqlite3").write_bytes(data)
    try:
        wrong = stored.disagreements(b.daemon.drop)
    except Exception:
        return
    assert wrong


def main(judges) -> int:
    passed = failed = 0
    for sentence, function in TESTS:
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            bench = Bench(judges, Path(place))
            try:
                bench.daemon.start()
                function(bench)
                passed += 1
                print(f"ok    {sentence}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {sentence}\n{traceback.format_exc()}", flush=True)
            finally:
                bench.daemon.kill()
                if bench.relay:
                    bench.relay.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
