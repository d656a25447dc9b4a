#!/usr/bin/env python3
"""The stories: real mail through a real Postfix, judged by an oracle that knows nothing of our code.

    tests/e2e/stories.py             all of them
    tests/e2e/stories.py browser     those whose sentence contains a word
    tests/e2e/stories.py --list

Needs root (Postfix does), Debian's packages `postfix`, `openssl`, `unzip`, `chromium` and
`chromium-driver`, and the release build (or `$DEPOLLUEUR`).
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import hashlib
import io
import os
import re
import resource
import smtplib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from browser import Browser  # noqa: E402
from lab import (Daemon, Lab, ROOT, free_port, judge, wait_until, without_trace)  # noqa: E402
from milter_client import Milter, body_of, check_order, split  # noqa: E402

STORIES = []


def story(sentence: str):
    """Registers a test; the sentence is what must hold."""
    def register(function):
        STORIES.append((sentence, function))
        return function
    return register


class NotHere(Exception):
    """This machine cannot tell the story (it lacks a right that the story needs)."""


# ---------------------------------------------------------------- what the stories share


def link_in(received: bytes, daemon: Daemon) -> str:
    """The one link of the drop in the texts of a message."""
    links = set()
    base = re.escape(daemon.settings["web_public_url"])
    for part in email.message_from_bytes(received, policy=email.policy.default).walk():
        if part.get_content_maintype() == "text" and not part.get_filename():
            links |= set(re.findall(base + r"[A-Za-z0-9_-]{20,}", part.get_content()))
    assert len(links) == 1, f"expected one link, found {sorted(links)}"
    return links.pop()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def served(daemon: Daemon, link: str) -> dict[str, str]:
    """SHA-256 of each file that a link really gives, by its name."""
    found = {}
    for file in daemon.manifest(link)["files"]:
        status, headers, body = daemon.get(file["url"])
        assert status == 200, f"{file['url']} answers {status}"
        assert len(body) == file["size"] == int(headers["content-length"])
        assert sha256(body) == file["sha256"]
        found[file["name"]] = file["sha256"]
    return found


def check_rewritten(daemon: Daemon, before: bytes, received: bytes, files: dict[str, bytes], **kw):
    """The oracle agrees, and the link gives exactly these files."""
    assert b"\r\nX-Depollueur:" in received, "the field X-Depollueur is missing"
    info = judge(daemon, before, received, **kw)
    assert len(info["removed"]) == len(files), f"removed: {info['removed']}"
    link = link_in(received, daemon)
    assert served(daemon, link) == {name: sha256(data) for name, data in files.items()}
    return link


def control(lab: Lab, message: bytes) -> bytes:
    """What arrives when the same message goes the same way and no milter is asked."""
    to = lab.address("control")
    lab.inject(message, to, port="plain")
    return without_trace(lab.receive(to))


def check_untouched(lab: Lab, message: bytes, received: bytes):
    arrived = without_trace(received)
    assert arrived == control(lab, message), "the message differs from one that met no milter"


def leftovers(daemon: Daemon) -> set[str]:
    """The files in the drop other than its database, its key and what its sweeper sets aside."""
    return {str(p.relative_to(daemon.drop)) for p in daemon.drop.rglob("*")
            if p.is_file() and not re.fullmatch(r"drop\.(key|sqlite3(-wal|-shm)?)|spare", p.name)}


def refused_with(code: int, send) -> str:
    """Sends; the server must refuse with this code. Returns its words."""
    try:
        send()
    except smtplib.SMTPResponseException as e:
        assert e.smtp_code == code, f"refused with {e.smtp_code} {e.smtp_error!r}, not {code}"
        return e.smtp_error.decode()
    except smtplib.SMTPRecipientsRefused as e:
        codes = {c for c, _ in e.recipients.values()}
        assert codes == {code}, f"refused with {codes}, not {code}"
        return ""
    raise AssertionError("the message was accepted")


# ---------------------------------------------------------------- messages of all kinds


@story("a 25 MB PDF from an authenticated client arrives as a link")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(25_000_000), lab.address()
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(data)), to=to)
        lab.submit(message, to)
        received = lab.receive(to)
        assert len(received) < 10_000, f"{len(received)} bytes arrived"
        check_rewritten(daemon, message, received, {"report.pdf": data})


@story("two attachments beside text and HTML: both bodies show one link to both files")
def _(lab):
    with lab.daemon() as daemon:
        first, second, to = m.pdf(400_000, 1), m.noise(700_000, 2), lab.address()
        message = m.message(m.multipart(
            "mixed", m.multipart("alternative", m.TEXT, m.HTML, boundary="=_alt"),
            m.attachment(first), m.attachment(second, "photos.zip", "application/zip")), to=to)
        lab.submit(message, to)
        received = lab.receive(to)
        link = check_rewritten(daemon, message, received, {"report.pdf": first, "photos.zip": second})
        assert received.count(link.encode()) >= 2
        status, _, body = daemon.get(link + "/all.zip")
        assert status == 200
        archive = zipfile.ZipFile(io.BytesIO(body))
        assert {n: sha256(archive.read(n)) for n in archive.namelist()} == {
            "report.pdf": sha256(first), "photos.zip": sha256(second)}
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(body)
            file.flush()
            subprocess.run(["unzip", "-tq", file.name], check=True, capture_output=True)


@story("a text in ISO-8859-1, quoted-printable, stays in its charset and encoding")
def _(lab):
    with lab.daemon(notice_language="fr") as daemon:
        text = "Chère Zoé,\r\n\r\nvoici le compte rendu de l'été.\r\n\r\n-- \r\nAndré\r\n"
        part = m.part("text/plain; charset=iso-8859-1", m.quoted(text, "iso-8859-1"),
                      "Content-Transfer-Encoding: quoted-printable")
        data, to = m.pdf(300_000), lab.address()
        message = m.message(m.multipart("mixed", part, m.attachment(data, "compte-rendu.pdf")), to=to)
        lab.submit(message, to)
        received = lab.receive(to)
        check_rewritten(daemon, message, received, {"compte-rendu.pdf": data})
        assert b"charset=iso-8859-1" in received and b"=E9t=E9" in received


@story("a text in UTF-8, base64, is opened, kept and closed again")
def _(lab):
    with lab.daemon() as daemon:
        text = "Здравствуйте,\r\n\r\nотчёт за лето – 夏の報告書。\r\n"
        part = m.part("text/plain; charset=utf-8", m.base64_lines(text.encode()),
                      "Content-Transfer-Encoding: base64")
        data, to = m.pdf(300_000), lab.address()
        message = m.message(m.multipart("mixed", part, m.attachment(data)), to=to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": data})


@story("a message that is only an attachment becomes a text with the link")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(500_000), lab.address()
        message = m.message(m.attachment(data, "scan.pdf"), to=to, sender="scanner@lab.test")
        lab.submit(message, to, sender="scanner@lab.test")
        received = lab.receive(to)
        check_rewritten(daemon, message, received, {"scan.pdf": data})
        parsed = email.message_from_bytes(without_trace(received), policy=email.policy.default)
        assert parsed.get_content_type() == "text/plain"


@story("an S/MIME signed message is not touched by a byte, and its signature still holds")
def _(lab):
    with lab.daemon() as daemon, tempfile.TemporaryDirectory() as directory:
        to = lab.address()
        message = signed(Path(directory), m.multipart("mixed", m.TEXT, m.attachment(m.pdf(400_000))), to)
        lab.submit(message, to)
        received = lab.receive(to)
        check_untouched(lab, message, received)
        assert without_trace(received) == message
        verified = subprocess.run(["openssl", "smime", "-verify", "-noverify"], input=received,
                                  capture_output=True)
        assert verified.returncode == 0, verified.stderr.decode()
        assert leftovers(daemon) == set()


def signed(directory: Path, content: bytes, to: str) -> bytes:
    """A message signed by OpenSSL with a fresh certificate, with CRLF."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Alice",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    made = subprocess.run(["openssl", "smime", "-sign", "-signer", certificate, "-inkey", key,
                           "-crlfeol"], input=content, check=True, capture_output=True).stdout
    made = re.sub(rb"(?<!\r)\n", b"\r\n", made).removeprefix(b"MIME-Version: 1.0\r\n")
    return m.message(made, to=to)


@story("a message whose files are under the threshold is not touched by a byte")
def _(lab):
    with lab.daemon(detach_threshold=300_001) as daemon:
        to = lab.address()
        message = m.report(to, 300_000)
        lab.submit(message, to)
        received = lab.receive(to)
        check_untouched(lab, message, received)
        assert without_trace(received) == message
        assert leftovers(daemon) == set()


@story("many small files that are heavy together are detached, the largest first")
def _(lab):
    with lab.daemon(detach_threshold=1_000_000, detach_message_threshold=500_000) as daemon:
        to, files = lab.address(), {f"{n}.bin": m.noise(n * 100_000, n) for n in (1, 2, 3, 4)}
        parts = [m.attachment(data, name, "application/octet-stream") for name, data in files.items()]
        message = m.message(m.multipart("mixed", m.TEXT, *parts), to=to)
        lab.submit(message, to)
        del files["1.bin"], files["2.bin"]
        received = lab.receive(to)
        kept = {p.get_filename() for p in email.message_from_bytes(received).walk()} - {None}
        gone = {n: d for n, d in {f"{n}.bin": m.noise(n * 100_000, n) for n in (1, 2, 3, 4)}.items()
                if n not in kept}
        assert "4.bin" in gone and "1.bin" in kept, f"kept {sorted(kept)}"
        check_rewritten(daemon, message, received, gone, threshold=0, require=False)


@story("mail from outside is treated when directions say so")
def _(lab):
    with lab.daemon(detach_directions="both") as daemon:
        to = lab.address()
        message = m.report(to)
        lab.inject(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})


@story("a field X-Depollueur that a stranger forged is gone from mail that is changed, logged and counted; our users' stays")
def _(lab):
    forged = b"X-Depollueur: detached=1; bytes=1\r\nx-depollueur: scanned by nobody\r\n"
    with lab.daemon(detach_directions="both") as daemon:
        for send, fields in ((lab.inject, 1), (lab.submit, 3)):
            to = lab.address()
            send(forged + m.report(to), to)
            received = lab.receive(to)
            assert link_in(received, daemon)
            head = received.partition(b"\r\n\r\n")[0]
            found = re.findall(rb"^x-depollueur:", head, re.M | re.I)
            assert len(found) == fields, head
        assert daemon.metric("depollueur_foreign_marks_total") == 2
        assert re.findall(r"foreign_marks=(\d+)", daemon.log()) == ["2"], daemon.log()
        # What is not changed keeps what it came with.
        to = lab.address()
        small = forged + m.report(to, 1000)
        lab.inject(small, to)
        check_untouched(lab, small, lab.receive(to))


@story("mail from outside is left alone when only outgoing mail is treated")
def _(lab):
    with lab.daemon(detach_directions="outgoing") as daemon:
        to, ours = lab.address(), lab.address()
        message = m.report(to)
        lab.inject(message, to)
        check_untouched(lab, message, lab.receive(to))
        lab.submit(message, ours)
        check_rewritten(daemon, message, lab.receive(ours), {"report.pdf": m.pdf(300_000)})


@story("8BITMIME: raw UTF-8 in the text and a name in RFC 2231 survive")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(300_000), lab.address()
        text = m.part("text/plain; charset=utf-8", "Voilà l'été, à bientôt.\r\n".encode(),
                      "Content-Transfer-Encoding: 8bit")
        file = m.part("application/pdf", m.base64_lines(data), "Content-Transfer-Encoding: base64",
                      "Content-Disposition: attachment; filename*=UTF-8''%C3%A9t%C3%A9.pdf")
        message = m.message(m.multipart("mixed", text, file), to=to)
        lab.submit(message, to, options=["BODY=8BITMIME"])
        check_rewritten(daemon, message, lab.receive(to), {"été.pdf": data})


@story("SMTPUTF8: addresses, subject and file name in raw UTF-8 survive")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(300_000), lab.address()
        content = m.multipart("mixed", m.TEXT, m.attachment(data, "facture-été.pdf"))
        message = m.message(content, to=to, sender="zoé@lab.test", subject="Été à Besançon")
        lab.submit(message, to, sender="zoé@lab.test", options=["SMTPUTF8", "BODY=8BITMIME"])
        received = lab.receive(to)
        check_rewritten(daemon, message, received, {"facture-été.pdf": data})
        assert "Subject: Été à Besançon".encode() in received


@story("malformed MIME goes out as it came")
def _(lab):
    names = [line.split("\t")[0] for line in
             (ROOT / "tests" / "messages" / "MANIFEST.tsv").read_text().splitlines()
             if "expect:keep" in line]
    assert names
    with lab.daemon(detach_threshold=1000, detach_directions="both") as daemon:
        for name in names:
            message, to = (ROOT / "tests" / "messages" / name).read_bytes(), lab.address()
            lab.inject(message, to)
            received, handed_over = lab.receive(to), control(lab, message)
            if without_trace(received) != handed_over:
                # Postfix cuts a field of a part at a NUL and makes blanks of bare CR: what a milter is
                # shown then is well-formed.
                assert handed_over != message, f"{name} was changed"
                judge(daemon, handed_over, received, threshold=1000)


@story("a message that comes back, as from a mailing list, is not changed again")
def _(lab):
    with lab.daemon(detach_directions="both") as daemon:
        to, again = lab.address(), lab.address()
        message = m.report(to)
        lab.submit(message, to)
        once = without_trace(lab.receive(to))
        lab.inject(once, again)
        assert without_trace(lab.receive(again)) == once
        assert len(served(daemon, link_in(once, daemon))) == 1


@story("the notice stands before the quoted mail, above or below the text, as the admin says")
def _(lab):
    text = m.part("text/plain; charset=utf-8",
                  b"Here it is.\r\n\r\nBob wrote:\r\n> can you send it?\r\n> thanks\r\n",
                  "Content-Transfer-Encoding: 7bit")
    places = {"before-quote": ["Here it is.", "LINK", "> can you"],
              "start": ["LINK", "Here it is.", "> can you"],
              "end": ["Here it is.", "> can you", "LINK"]}
    for position, order in places.items():
        with lab.daemon(notice_position=position) as daemon:
            data, to = m.pdf(300_000), lab.address()
            message = m.message(m.multipart("mixed", text, m.attachment(data)), to=to)
            lab.submit(message, to)
            received = lab.receive(to)
            link = check_rewritten(daemon, message, received, {"report.pdf": data})
            shown = received.decode()
            at = [shown.index(link if word == "LINK" else word) for word in order]
            assert at == sorted(at), f"{position}: {at}"


# ---------------------------------------------------------------- ways of mail


@story("two messages on one connection do not mix")
def _(lab):
    with lab.daemon() as daemon:
        first, second = lab.address(), lab.address()
        one, two = m.report(first, 300_000, seed=1), m.report(second, 400_000, seed=2)
        with lab.smtp("submission", login="alice") as client:
            client.sendmail("alice@lab.test", [first], one)
            client.sendmail("alice@lab.test", [second], two)
        a = check_rewritten(daemon, one, lab.receive(first), {"report.pdf": m.pdf(300_000, 1)})
        b = check_rewritten(daemon, two, lab.receive(second), {"report.pdf": m.pdf(400_000, 2)})
        assert a != b


@story("twenty clients at once each get their own files")
def _(lab):
    with lab.daemon() as daemon:
        sent = {lab.address(): seed for seed in range(20)}
        threads = [threading.Thread(target=lambda to=to, seed=seed: lab.submit(
            m.report(to, 500_000, seed=seed), to)) for to, seed in sent.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for to, seed in sent.items():
            link = link_in(lab.receive(to), daemon)
            assert served(daemon, link) == {"report.pdf": sha256(m.pdf(500_000, seed))}


@story("local mail by sendmail(1) is treated like any other")
def _(lab):
    with lab.daemon(detach_directions="both") as daemon:
        to = lab.address()
        message = m.report(to)
        lab.sendmail(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})


@story("a TCP listener serves Postfix as a unix socket does")
def _(lab):
    with lab.daemon(milter_listen=f"127.0.0.1:{lab.ports['milter_port']}",
                    detach_directions="both") as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        lab.inject(message, to, port="tcp")
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(3_000_000)})


@story("a client that hangs up in the middle of a body leaves nothing behind")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        client = lab.smtp("submission", login="alice")
        client.mail("alice@lab.test")
        client.rcpt(to)
        client.docmd("DATA")
        client.send(message[:2_000_000])
        client.close()
        # Postfix shows a milter whole messages only; a milter client can stop halfway.
        fields, body = split(message)
        with Milter(daemon.settings["milter_listen"]) as milter:
            milter.open()
            milter.envelope()
            milter.header(fields)
            milter.body(body[i:i + 65000] for i in range(0, 2_000_000, 65000))
        lab.submit(message, to)
        received = lab.receive(to)
        check_rewritten(daemon, message, received, {"report.pdf": m.pdf(3_000_000)})
        assert lab.received_count(to) == 1
        wait_until(lambda: len(leftovers(daemon)) == 1, f"one blob, not {leftovers(daemon)}", 20)


# ---------------------------------------------------------------- failures


def without_store(daemon: Daemon):
    """Takes the drop's directory away and puts a file in its place: root cannot write there either."""
    daemon.drop.rename(daemon.drop.with_suffix(".away"))
    daemon.drop.write_text("not a directory")


def with_store(daemon: Daemon):
    daemon.drop.unlink()
    daemon.drop.with_suffix(".away").rename(daemon.drop)


@story("when the store cannot be written the message goes out untouched, and health says so")
def _(lab):
    with lab.daemon(detach_on_failure="deliver") as daemon:
        to, later = lab.address(), lab.address()
        message = m.report(to)
        without_store(daemon)
        lab.submit(message, to)
        received = lab.receive(to)
        check_untouched(lab, message, received)
        assert without_trace(received) == message
        wait_until(lambda: daemon.admin("/readyz")[0] == 503, "readiness to be withdrawn", 30)
        assert daemon.admin("/healthz")[0] == 200
        with_store(daemon)
        lab.submit(message, later)
        check_rewritten(daemon, message, lab.receive(later), {"report.pdf": m.pdf(300_000)})


@story("when the store cannot be written and on_failure is tempfail, the client is told 451")
def _(lab):
    with lab.daemon(detach_on_failure="tempfail") as daemon:
        to = lab.address()
        message = m.report(to)
        without_store(daemon)
        refused_with(451, lambda: lab.submit(message, to))
        assert lab.received_count(to) == 0
        with_store(daemon)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})


@story("a full disk: the message goes out untouched and no half file stays")
def _(lab):
    # It is the disk that refuses, not the quota that keeps it from getting full.
    daemon = lab.daemon(detach_on_failure="deliver", quota_free_space_min=0, quota_free_inodes_min=0)
    daemon.drop.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", daemon.drop],
                             capture_output=True)
    if mounted.returncode:
        raise NotHere("mount(8) is not permitted")
    try:
        with daemon:
            to, small = lab.address(), lab.address()
            message = m.report(to, 5_000_000)
            lab.submit(message, to)
            check_untouched(lab, message, lab.receive(to))
            wait_until(lambda: not leftovers(daemon), "an empty store", 20)
            message = m.report(small, 500_000)
            lab.submit(message, small)
            check_rewritten(daemon, message, lab.receive(small), {"report.pdf": m.pdf(500_000)})
    finally:
        daemon.kill()
        subprocess.run(["umount", "-l", daemon.drop], check=True)


@story("when the daemon is killed the client is told 451, and the next try succeeds")
def _(lab):
    daemon = lab.daemon().start()
    to = lab.address()
    message = m.report(to)
    with lab.smtp("submission", login="alice") as client:
        daemon.kill()
        refused_with(451, lambda: client.sendmail("alice@lab.test", [to], message))
    with daemon:
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert lab.received_count(to) == 1


@story("killed at any instant: no accepted message has a link to a file that is not there")
def _(lab):
    daemon = lab.daemon()
    data, links = m.pdf(8_000_000), []
    for round_ in range(12):
        to = lab.address()
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(data)), to=to)
        daemon.start()
        outcome = []
        thread = threading.Thread(target=lambda: outcome.append(attempt(lab, message, to)))
        thread.start()
        time.sleep(0.03 * round_)  # the instant of the kill is what varies, nothing is awaited here
        daemon.kill()
        thread.join()
        daemon.start()
        if outcome == [250]:
            links.append(check_rewritten(daemon, message, lab.receive(to), {"report.pdf": data}))
        else:
            # 451, or Postfix's 454 to an AUTH without its milter.
            assert outcome[0] in (451, 454), f"round {round_}: answered {outcome}"
            assert lab.received_count(to) == 0
        daemon.stop()
    for name in leftovers(daemon):
        os.utime(daemon.drop / name, (0, 0))
    with daemon:
        assert daemon.run("drop", "sweep").returncode == 0
        drafts = [name for name in leftovers(daemon) if "draft" in name]
        assert not drafts, f"drafts stay: {drafts}"
        for link in links:
            assert served(daemon, link) == {"report.pdf": sha256(data)}


def attempt(lab: Lab, message: bytes, to: str) -> int:
    """The code that a client is answered."""
    try:
        lab.submit(message, to)
        return 250
    except smtplib.SMTPRecipientsRefused as e:
        return next(iter(e.recipients.values()))[0]
    except smtplib.SMTPResponseException as e:
        return e.smtp_code


# ---------------------------------------------------------------- faults of the machine


class Strace:
    """Watches the system calls of a running daemon, or makes some of them fail."""

    def __init__(self, daemon: Daemon, calls: str, *options: str):
        self.path = daemon.directory / "strace"
        self.command = ["strace", "-f", "-y", "-s", "4096", "-o", str(self.path), "-e", f"trace={calls}",
                        *options, "-p", str(daemon.process.pid)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        first = self.process.stderr.readline()
        if "attached" not in first:
            self.process.wait()
            raise NotHere(f"strace may not attach: {first.strip()}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def calls(self) -> list[str]:
        """The calls, each at the place of its end."""
        begun, done = {}, []
        for line in self.path.read_text(errors="replace").splitlines():
            pid, _, call = line.partition(" ")
            call = call.strip()
            if call.endswith("<unfinished ...>"):
                begun[pid] = call.removesuffix("<unfinished ...>")
            elif call.startswith("<..."):
                done.append(begun.pop(pid, "") + call.partition("resumed>")[2])
            else:
                done.append(call)
        return done


@story("files, their directory and their record are on stable storage before a link is sent")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        with Strace(daemon, "fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,write,writev,sendto,sendmsg"
                    ) as strace:
            lab.submit(message, to)
        calls = strace.calls()
        link = link_in(lab.receive(to), daemon)
        sent = next(i for i, call in enumerate(calls) if re.match("write|send", call) and link in call)
        synced = [re.sub(r"\w+\(\d+<(.*?)>.*", r"\1", call) for call in calls[:sent]
                  if re.match(r"(f(data)?sync|syncfs)\(.*= 0$", call)]
        moves = [i for i, call in enumerate(calls) if re.match("rename|link", call) and call.endswith("= 0")]
        assert moves and moves[-1] < sent, "the file is moved into place after its link is sent"
        assert any(Path(path).is_dir() and str(daemon.drop) in path for path in
                   (re.sub(r"\w+\(\d+<(.*?)>.*", r"\1", call) for call in calls[moves[-1]:sent]
                    if re.match(r"(f(data)?sync|syncfs)\(.*= 0$", call))), f"no directory is synced: {synced}"
        assert any("sqlite" in path or "db" in Path(path).name for path in synced), f"no record: {synced}"


@story("a disk that fails to sync: the message goes out untouched, and nothing is kept")
def _(lab):
    with lab.daemon() as daemon:
        to, later = lab.address(), lab.address()
        message = m.report(to, 1_000_000)
        with Strace(daemon, "fsync,fdatasync,syncfs", "-e", "inject=fsync,fdatasync,syncfs:error=EIO"):
            lab.submit(message, to)
            check_untouched(lab, message, lab.receive(to))
        wait_until(lambda: not leftovers(daemon), "an empty store", 20)
        lab.submit(message, later)
        check_rewritten(daemon, message, lab.receive(later), {"report.pdf": m.pdf(1_000_000)})


@story("a slow disk holds up only the messages that wait for it, and refuses none")
def _(lab):
    with lab.daemon() as daemon:
        to, light = lab.address(), lab.address()
        message = m.report(to, 1_000_000)
        with Strace(daemon, "fsync,fdatasync,syncfs", "-e", "inject=fsync,fdatasync,syncfs:delay_enter=700000"):
            lab.submit(message, to)
            lab.submit(m.report(light, 1000), light)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(1_000_000)})
        assert without_trace(lab.receive(light)) == m.report(light, 1000)


# What a commit does once the file is whole: to hold it up holds up the end of a message.
MOVES = "rename,renameat,renameat2,link,linkat"


@story("a drop that hangs holds mail up no longer than milter.deadline: it goes out untouched, nothing is kept")
def _(lab):
    for calls in ("fsync,fdatasync", MOVES):
        with lab.daemon(milter_deadline="2 s") as daemon:
            to = lab.address()
            message = m.report(to, 1_000_000)
            with Strace(daemon, calls, "-e", f"inject={calls}:delay_enter=8000000"):
                lab.submit(message, to)
                check_untouched(lab, message, lab.receive(to))
            log = daemon.log()
            assert "delivered-untouched" in log and re.search("deadline|too slow", log), log
            wait_until(lambda: not leftovers(daemon), "an empty store", 60)


@story("while a drop is slow Postfix hears that we are alive; when it is gone by then, nothing is kept")
def _(lab):
    # Two calls are held up, on a busy machine for longer: the deadline is not what is tried here.
    with lab.daemon(milter_deadline="60 s") as daemon:
        message = m.report("bob@example.com", 1_000_000)
        with Strace(daemon, MOVES, "-e", f"inject={MOVES}:delay_enter=12000000"), \
                Milter(daemon.settings["milter_listen"]) as stays, Milter(daemon.settings["milter_listen"]) as leaves:
            for milter in (stays, leaves):
                milter.open()
                fields, body = split(message)
                assert not milter.envelope() and not milter.header(fields)
                assert not milter.body(body[i:i + 60_000] for i in range(0, len(body), 60_000))
            leaves.macros("E", i="4ABC")
            leaves.send("E")
            leaves.close()
            replies = stays.end()
            letters = [letter for letter, _ in replies]
            assert letters[0] == "p" and letters[-1] in "ac" and "b" in letters, letters
            check_order(replies)
            wait_until(lambda: "postfix-gone" in daemon.log(), "the daemon to see that Postfix is gone", 60)
        wait_until(lambda: len(leftovers(daemon)) == 1, "the file of the lost message to go", 60)


@story("five hundred idle connections hold up neither mail nor downloads")
def _(lab):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with lab.daemon() as daemon, contextlib.ExitStack() as idle:
        for _ in range(500):
            idle.enter_context(Milter(daemon.settings["milter_listen"]))
            idle.enter_context(socket.create_connection(("127.0.0.1", daemon.web_port)))
        to = lab.address()
        message = m.report(to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@story("out of file descriptors the daemon waits, and serves again when there are some")
def _(lab):
    with lab.daemon() as daemon:
        pid = daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        few = len(list(Path(f"/proc/{pid}/fd").iterdir())) + 8
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, before[1]))
        with contextlib.ExitStack() as crowd:
            for _ in range(40):
                crowd.enter_context(Milter(daemon.settings["milter_listen"]))
                crowd.enter_context(socket.create_connection(("127.0.0.1", daemon.web_port)))
            wait_until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) >= few - 1,
                       "the descriptors to run out", 20)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        to = lab.address()
        message = m.report(to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})


@story("a client that hangs up after its final dot and sends again gets two good copies")
def _(lab):
    with lab.daemon() as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        client = lab.smtp("submission", login="alice")
        client.mail("alice@lab.test")
        client.rcpt(to)
        client.docmd("DATA")
        client.send(message + b".\r\n")
        client.close()
        lab.submit(message, to)
        lab.receive(to)
        for count in range(1, lab.received_count(to) + 1):
            received = lab.receive(to, count)
            check_rewritten(daemon, message, received, {"report.pdf": m.pdf(3_000_000)})


# ---------------------------------------------------------------- restart and upgrade


@story("SIGTERM while a session is open: its message is still rewritten")
def _(lab):
    daemon = lab.daemon().start()
    to = lab.address()
    message = m.report(to)
    with lab.smtp("submission", login="alice") as client:
        daemon.terminate()
        client.sendmail("alice@lab.test", [to], message)
    received = lab.receive(to)
    assert daemon.wait() == 0, daemon.log()
    with daemon:
        check_rewritten(daemon, message, received, {"report.pdf": m.pdf(300_000)})


@story("a new process takes over while the old one drains, and no mail is refused")
def _(lab):
    old = lab.daemon().start()
    inode = lab.milter.stat().st_ino
    new = old.twin()
    sent = [(lab.address(), seed) for seed in range(4)]
    with lab.smtp("submission", login="alice") as session:
        def send(client, index):
            to, seed = sent[index]
            client.sendmail("alice@lab.test", [to], m.report(to, 300_000, seed=seed))
        send(session, 0)
        new.start("--takeover", wait=False)
        wait_until(lambda: lab.milter.stat().st_ino != inode, "the new process's socket", 20)
        old.terminate()
        with lab.smtp("submission", login="alice") as other:
            send(other, 1)
        send(session, 2)
    assert old.wait() == 0, old.log()
    with lab.smtp("submission", login="alice") as other:
        send(other, 3)
    for to, seed in sent:
        message = m.report(to, 300_000, seed=seed)
        check_rewritten(new, message, lab.receive(to), {"report.pdf": m.pdf(300_000, seed)})
    new.stop()


@story("after a restart the old links open and new mail is treated")
def _(lab):
    daemon = lab.daemon()
    to, later = lab.address(), lab.address()
    with daemon:
        message = m.report(to)
        lab.submit(message, to)
        link = check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
    assert not lab.milter.exists(), "the socket stays behind"
    with daemon:
        assert served(daemon, link) == {"report.pdf": sha256(m.pdf(300_000))}
        message = m.report(later, seed=2)
        lab.submit(message, later)
        check_rewritten(daemon, message, lab.receive(later), {"report.pdf": m.pdf(300_000, 2)})


# ---------------------------------------------------------------- the reader of the mail


@story("a reader opens the link in a real browser, in French and in English, and gets the file")
def _(lab):
    port = free_port()
    with lab.daemon(web_listen=f"127.0.0.1:{port}",
                    web_public_url=f"http://127.0.0.1:{port}/") as daemon:
        daemon.web_port = port
        data, to = m.pdf(2_500_000), lab.address()
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(data, "compte rendu.pdf")), to=to)
        lab.submit(message, to)
        link = check_rewritten(daemon, message, lab.receive(to), {"compte rendu.pdf": data})
        file = daemon.manifest(link)["files"][0]
        for language, size in (("fr", r"2,[45]\d?\s?Mi?o"), ("en", r"2\.[45]\d?\s?Mi?B")):
            with Browser(language) as browser:
                browser.open(link)
                page = browser.text()
                if directory := os.environ.get("SCREENSHOTS"):
                    browser.screenshot(Path(directory) / f"page-{language}.png")
                assert "compte rendu.pdf" in page, page
                assert re.search(size, page), page
                assert browser.attribute("html", "lang").startswith(language)
                browser.click(f"a[href$='{file['url'].removeprefix(link)}']")
                saved = browser.downloaded(len(data))
                assert saved.name == "compte rendu.pdf"
                assert sha256(saved.read_bytes()) == sha256(data)


@story("a download can be taken up where it broke off")
def _(lab):
    with lab.daemon() as daemon:
        data, to = m.pdf(1_000_000), lab.address()
        lab.submit(m.message(m.multipart("mixed", m.TEXT, m.attachment(data)), to=to), to)
        url = daemon.manifest(link_in(lab.receive(to), daemon))["files"][0]["url"]
        status, headers, first = daemon.get(url, {"Range": "bytes=0-399999"})
        assert status == 206 and first == data[:400_000]
        validator = {k.lower(): v for k, v in headers.items()}["etag"]
        status, _, rest = daemon.get(url, {"Range": "bytes=400000-", "If-Range": validator})
        assert status == 206 and first + rest == data
        status, headers, body = daemon.get(url, method="HEAD")
        assert status == 200 and body == b""


@story("after its expiry a link says so, and the sweep destroys the file")
def _(lab):
    with lab.daemon(drop_expiry="3 seconds", drop_grace="0 seconds") as daemon:
        to = lab.address()
        message = m.report(to, 3_000_000)
        lab.submit(message, to)
        link = link_in(lab.receive(to), daemon)
        url = daemon.manifest(link)["files"][0]["url"]
        wait_until(lambda: daemon.get(link)[0] == 410, "the link to expire", 30)
        assert daemon.get(url)[0] == 410
        status, _, page = daemon.get(link, {"Accept-Language": "fr"})
        assert status == 410 and b"<html" in page
        assert daemon.run("drop", "sweep").returncode == 0
        assert leftovers(daemon) == set()
        assert daemon.get(link)[0] == 410


@story("a link that never was answers 404, and the public listener has no other door")
def _(lab):
    with lab.daemon() as daemon:
        for path in ("AAAAAAAAAAAAAAAAAAAAAA", "x", "../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
                     "AAAAAAAAAAAAAAAAAAAAAA/1", "AAAAAAAAAAAAAAAAAAAAAA.json", "metrics", "readyz"):
            status, headers, _ = daemon.get("https://drop.lab.test/" + path)
            assert status == 404, f"/{path} answers {status}"
            assert "set-cookie" not in {k.lower() for k in headers}
        for method in ("PUT", "DELETE"):
            assert daemon.get("https://drop.lab.test/x", method=method)[0] in (404, 405)
        assert daemon.admin("/metrics")[0] == 200


# ---------------------------------------------------------------- the protocol itself


@story("replies at the end come as header edits, then one unbroken body, then accept")
def _(lab):
    with lab.daemon() as daemon:
        for size in (200_000, 5_000_000):
            with Milter(daemon.settings["milter_listen"]) as milter:
                milter.open()
                message = m.report("bob@example.com", size)
                for _ in range(2):
                    replies = milter.message(message)
                    check_order(replies)
                    assert link_in(m.message(m.multipart("mixed", m.TEXT), to="x")
                                   .split(b"\r\n\r\n")[0] + b"\r\n\r\n" + body_of(replies), daemon)
                untouched = milter.message(m.report("bob@example.com", 1000))
                assert [letter for letter, _ in untouched if letter not in "p"] in (["a"], ["c"])


@story("a milter peer out of its mind harms nobody else")
def _(lab):
    with lab.daemon() as daemon:
        address = daemon.settings["milter_listen"]
        packet = lambda command, data=b"": struct.pack(">I", len(data) + 1) + command + data  # noqa: E731
        hello = packet(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
        for bytes_ in (b"\xff\xff\xff\xffO", b"\0\0\0\0", packet(b"?", b"x" * 100), packet(b"B", b"x"),
                       packet(b"E"), packet(b"O", b""), hello + packet(b"E"),
                       hello + packet(b"B", b"--x") * 50 + packet(b"E"),
                       hello + packet(b"A") * 5 + packet(b"L", b"no end"), hello[:7],
                       hello + packet(b"L", b"Content-Type\0multipart/mixed; boundary=x\0") * 3000):
            with Milter(address) as milter:
                try:
                    milter.socket.sendall(bytes_)
                except OSError:
                    pass
                milter.socket.shutdown(socket.SHUT_WR)
                drain(milter.socket)
        to = lab.address()
        message = m.report(to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert "panicked" not in daemon.log()


def drain(connection):
    connection.settimeout(10)
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


# ---------------------------------------------------------------- an admin's mistakes


def fails(daemon: Daemon, code: int, word: str):
    """Starting must fail with one clear line that names the culprit, and leave nothing behind."""
    before = set(daemon.directory.rglob("*"))
    answer = daemon.run("run", seconds=20)
    said = (answer.stdout + answer.stderr).decode()
    assert answer.returncode == code, f"exit code {answer.returncode}, not {code}: {said}"
    assert len(said.splitlines()) == 1, f"not one line:\n{said}"
    assert word in said, f"{word!r} is not named in: {said}"
    left = {str(p.relative_to(daemon.directory)) for p in set(daemon.directory.rglob("*")) - before}
    assert not left, f"left behind: {sorted(left)}"
    return said


def alone(lab: Lab, **settings) -> Daemon:
    """A daemon that Postfix does not know of, and that has nothing to warn of."""
    return Daemon(None, Path(tempfile.mkdtemp(prefix="alone-", dir=lab.dir)), {"web_report_to": "abuse@next.test", **settings})


@story("a bad value in the configuration is named in one line, exit code 78")
def _(lab):
    fails(alone(lab, detach_threshold="lots"), 78, "lots")


@story("an unknown key in the configuration is named in one line, exit code 78")
def _(lab):
    fails(alone(lab, detach_treshold=5), 78, "treshold")


@story("a missing configuration file is named in one line, exit code 78")
def _(lab):
    daemon = alone(lab)
    daemon.config.unlink()
    fails(daemon, 78, str(daemon.config))


@story("a drop directory that cannot be made is named in one line, exit code 69")
def _(lab):
    daemon = alone(lab)
    wall = daemon.directory / "wall"
    wall.write_text("")
    daemon.configure(drop_directory=str(wall / "drop"))
    fails(daemon, 69, str(wall))


@story("a taken web port is named in one line, exit code 69")
def _(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(alone(lab, web_listen=f"127.0.0.1:{port}"), 69, str(port))


@story("a taken milter socket is named in one line, exit code 69, and its owner keeps it")
def _(lab):
    with lab.daemon() as daemon:
        fails(alone(lab, milter_listen=daemon.settings["milter_listen"]), 69, str(lab.milter))
        to = lab.address()
        message = m.report(to)
        lab.submit(message, to)
        check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})


@story("a missing directory of the milter socket is named in one line, exit code 69")
def _(lab):
    daemon = alone(lab, milter_listen="unix:/nonexistent/depollueur/milter.sock")
    fails(daemon, 69, "/nonexistent/depollueur")


# ---------------------------------------------------------------- the runner


def main(laboratory=Lab) -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    chosen = [s for s in STORIES if all(word in s[0] for word in words)]
    if "--list" in sys.argv:
        print("\n".join(sentence for sentence, _ in chosen))
        return 0
    passed = failed = 0
    with laboratory() as lab:
        for sentence, function in chosen:
            begun = time.monotonic()
            try:
                function(lab)
                passed += 1
                print(f"ok    {sentence} ({time.monotonic() - begun:.1f} s)", flush=True)
            except NotHere as reason:
                print(f"none  {sentence}: {reason}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {sentence}\n{traceback.format_exc()}", flush=True)
                for daemon in list(lab._daemons):
                    daemon.kill()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
