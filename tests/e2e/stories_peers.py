#!/usr/bin/env python3
"""The stories of who is at the other end: clients of any address, and those who read reports, with a real Postfix.

    tests/e2e/stories_peers.py             all of them
    tests/e2e/stories_peers.py address     those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.client
import json
import re
import socket
import struct
import sys
import threading
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import free_port, wait_until  # noqa: E402
from milter_client import Milter  # noqa: E402
from stories import check_rewritten, check_untouched, leftovers, link_in, main, story  # noqa: E402

# The others are told by their own file.
stories.STORIES.clear()


# ---------------------------------------------------------------- clients and their addresses



@story("mail of a client whose address Postfix does not know is accepted and loses its attachment")
def _(lab):
    with lab.daemon() as daemon:
        for address in ("[UNAVAILABLE]", "192.0.2.1"):
            to = lab.address()
            message = m.report(to)
            with lab.smtp("xclient") as client:
                code, said = client.docmd("XCLIENT", f"ADDR={address} NAME=[UNAVAILABLE]")
                assert code == 220, f"XCLIENT ADDR={address} is answered {code} {said!r}"
                client.ehlo_resp = client.helo_resp = None
                client.sendmail("zoe@elsewhere.test", [to], message)
            check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert "session is ended" not in daemon.log(), daemon.log()
        assert daemon.metric("depollueur_milter_sessions_ended_total") == 0


@story("a session that we end is told of once in the log, with the reason, and counted")
def _(lab):
    with lab.daemon(milter_timeout="1 s") as daemon:
        for reason, cause, data in (
                ("packet", 'the packet "?" could not be read', struct.pack(">I", 1) + b"?"),
                ("packet", 'the packet "E" is not without content', struct.pack(">I", 2) + b"Ex"),
                ("timeout", "the mail server let us wait for too long", b"\0")):
            before = daemon.metric("depollueur_milter_sessions_ended_total")
            with Milter(daemon.settings["milter_listen"]) as milter:
                milter.open()
                milter.socket.sendall(data)
                while milter.socket.recv(4096):
                    pass
            wait_until(lambda: daemon.metric("depollueur_milter_sessions_ended_total") == before + 1, "the count", 10)
            told = re.findall(rf"WARN.*session is ended.*{re.escape(cause)}.*", daemon.log())
            assert len(told) == 1 and f"reason={reason}" in told[0].replace('"', ""), f"{told}\n{daemon.log()}"


# ---------------------------------------------------------------- where mail goes


@story("with links that work on this machine only, what leaves it goes out as it came, with one warning")
def _(lab):
    far = "bob@far.test"
    for url in ("http://127.0.0.1:8025/", "http://drop.lab.test/", "https://localhost/"):
        with lab.daemon(web_public_url=url) as daemon:
            count = lab.received_count(far)
            message = m.report(far)
            lab.submit(message, far)
            check_untouched(lab, message, lab.receive(far, count=count + 1))
            warned = re.findall(r"WARN.*local-links.*", daemon.log())
            assert len(warned) == 1 and url in warned[0] and "systemctl restart" in warned[0], daemon.log()
            name = r'depollueur_messages_total\{outcome="passed",reason="local-links"\} 1'
            assert re.search(name, daemon.admin("/metrics")[1].decode()), daemon.admin("/metrics")[1].decode()
            assert not leftovers(daemon)

            # Mail without anything heavy is nothing to warn of; nor is what stays on this machine.
            light = m.report(far, 1000)
            lab.submit(light, far)
            lab.receive(far, count=count + 2)
            near = lab.address()
            lab.submit(m.report(near), near)
            assert b"\r\nX-Depollueur:" in lab.receive(near)
            assert len(re.findall(r"WARN.*local-links.*", daemon.log())) == 1
            findings = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
            assert any(f["check"] == "links.address" and f["level"] == "error" for f in findings), findings


@story("one recipient elsewhere is enough, and with https all is as ever")
def _(lab):
    far, near = "carol@far.test", lab.address()
    with lab.daemon(web_public_url="http://127.0.0.1:8025/") as daemon:
        message = m.report(near)
        with lab.smtp("submission", login="alice") as client:
            client.sendmail("alice@lab.test", [near, far], message)
        check_untouched(lab, message, lab.receive(near))
        check_untouched(lab, message, lab.receive(far))
        assert "local-links" in daemon.log()
    with lab.daemon() as daemon:
        message = m.report(far)
        lab.submit(message, far)
        check_rewritten(daemon, message, lab.receive(far, count=2), {"report.pdf": m.pdf(300_000)})
        assert "local-links" not in daemon.log()


# ---------------------------------------------------------------- reports of content


def report_page(daemon, link: str, text: str, contact: str = "me@example.org"):
    """Fills in the form as a browser does."""
    body = urllib.parse.urlencode({"reason": "fraud", "text": text, "contact": contact, "share": "yes"})
    connection = http.client.HTTPConnection("127.0.0.1", daemon.web_port, timeout=30)
    try:
        connection.request("POST", urllib.parse.urlsplit(link).path + "/report", body,
                           {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        assert answer.status == 303, f"the report is answered {answer.status}"
        return answer.getheader("location")
    finally:
        connection.close()


def fetched(daemon, place: str, language: str) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", daemon.web_port, timeout=30)) as connection:
        connection.request("GET", place, headers={"Accept-Language": language})
        return connection.getresponse().read().decode()


def a_link(lab, daemon) -> str:
    to = lab.address()
    lab.submit(m.report(to), to)
    return link_in(lab.receive(to), daemon)


def shown(message: bytes):
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert parsed.get_content_type() == "text/plain", parsed.get_content_type()
    return parsed, parsed.get_content().replace("\r\n", "\n")


@story("a report reaches the mailbox of those who are to read it, through the milter that it is about")
def _(lab):
    abuse, second = lab.address("abuse"), lab.address("second")
    relay = f"127.0.0.1:{lab.ports['incoming']}"
    with lab.daemon(web_report_to=[abuse, second], mail_relay=relay, detach_threshold=0) as daemon:
        link = a_link(lab, daemon)
        page = daemon.get(link + "/report", {"Accept-Language": "en"})[2].decode()
        assert "An administrator will read your report" in page
        report_page(daemon, link, "Fausse facture\r\n.\r\nBcc: x@example.com\x07\u202eévil", "me@x.org\r\nBcc: y@example.com")
        for to in (abuse, second):
            message, text = shown(lab.receive(to))
            assert message["Auto-Submitted"] == "auto-generated" and message["X-Depollueur"] is None
            assert message["Return-Path"] == "<>", message["Return-Path"]
            assert message["From"] == "depollueur@drop.lab.test" and abuse in message["To"] and second in message["To"]
            assert re.fullmatch(r"\[depollueur\] Report [0-9a-f]{32} \(fraud\)", message["Subject"]), message["Subject"]
            assert message["Bcc"] is None and message["Date"] and message["Message-ID"]
            assert "> Fausse facture\n> .\n> Bcc: x@example.comévil\n" in text, text
            assert link in text and "Contact:   me@x.org  Bcc: y@example.com" in text, text
        answer = daemon.run("doctor", "--report", "--json")
        found = [f for f in json.loads(answer.stdout)["findings"] if f["check"] == "report.relay"]
        assert [f["level"] for f in found] == ["ok", "ok"], found
        for to in (abuse, second):
            assert "doctor --report" in shown(lab.receive(to, count=2))[1]


@story("a report waits for a mail server that is down, and one that refuses is told of")
def _(lab):
    abuse, port = lab.address("abuse"), lab.ports["plain"]
    nobody = free_port()
    with lab.daemon(web_report_to=abuse, mail_relay=f"127.0.0.1:{nobody}") as daemon:
        link = a_link(lab, daemon)
        report_page(daemon, link, "wait")
        wait_until(lambda: "a report waits: the mail server" in daemon.log(), "the warning", 20)
        findings = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
        told = [f for f in findings if f["check"] == "report.relay"]
        assert told[0]["level"] == "error" and "refused" in told[0]["message"], told
        assert lab.received_count(abuse) == 0
        # The mail server comes up: what arrives there is handed on to the one of the lab.
        with Forward(nobody, port):
            _, text = shown(lab.receive(abuse))
            assert "> wait\n" in text, text
            wait_until(lambda: "sent a report" in daemon.log(), "the word that it is sent", 20)
        assert lab.received_count(abuse) == 1

    with lab.daemon(web_report_to=abuse, mail_relay=f"127.0.0.1:{lab.ports['submission']}") as daemon:
        link = a_link(lab, daemon)
        report_page(daemon, link, "refused")
        wait_until(lambda: re.search(r"ERROR.*a report was not sent.*refuses: 554", daemon.log()), "the error", 20)
        audit = daemon.run("drop", "audit", "--json").stdout.decode()
        assert "fraud: refused" in audit, audit


@story("where nobody is told of reports, no page promises that somebody reads, and check and doctor warn")
def _(lab):
    with lab.daemon() as daemon:
        link = a_link(lab, daemon)
        for language, promise in (("en", "will read"), ("fr", "lira")):
            page = daemon.get(link + "/report", {"Accept-Language": language})[2].decode()
            assert promise not in page, page
            place = report_page(daemon, link, "x")
            thanks = fetched(daemon, place, language)
            assert place.partition("done=")[2] in thanks, thanks
            assert promise not in thanks, thanks
        assert "web.report_to is empty" in daemon.run("check", "--quiet").stderr.decode()
        findings = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
        assert any(f["check"] == "report.receiver" and f["level"] == "warning" for f in findings), findings


class Forward:
    """Hands connections to one port of this machine on to another."""

    def __init__(self, port: int, to: int):
        self.to, self.server = to, socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def _accept(self):
        try:
            while True:
                here, _ = self.server.accept()
                there = socket.create_connection(("127.0.0.1", self.to))
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


if __name__ == "__main__":
    sys.exit(main())
