"""Mail as people send and read it: what is sent to the living host, and what arrives inside and outside.

    sent = host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])   # by submission, as a user of ours
    sent = host.send(DAVE, [BOB], files=[pdf(700_000)], sign=True)       # from the outside, with DKIM
    sent.accepted, sent.code, sent.text
    got = host.outside(sent)      # what dehors.example got; got.links, got.dkim_valid, got.files, got.text
    got = host.inbox(BOB, sent)
"""

from __future__ import annotations

import base64
import email
import email.policy
import json
import random
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from commands import filled
from machine import ADDRESS, OUTSIDE_ADDRESS, Machine
from root import debs

ALICE, BOB, CAROL, CONTACT = (f"{name}@asso.example" for name in ("alice", "bob", "carol", "contact"))
DAVE = "dave@dehors.example"
VIRUS = b"LAB-VIRUS-0123456789"
AGENT = "/usr/bin/python3 /usr/local/lib/lab/agent"
ARRIVES_WITHIN = 60
# A token has 26 letters and digits of Base32; with `drop.end_to_end` the key follows a "#".
LINK = re.compile(r"https?://[\w.:-]+/(?:[\w-]+/)*[a-z2-7]{26}(?:#[\w-]+)?")


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    kind: str = "application/octet-stream"


def pdf(size: int, name: str = "rapport.pdf") -> File:
    """A file that no compression makes smaller, the same for the same size."""
    return File(name, b"%PDF-1.4\n" + random.Random(size).randbytes(size), "application/pdf")


def virus(size: int = 700_000, name: str = "facture.pdf") -> File:
    """A heavy file that the scanner of the host refuses."""
    clean = pdf(size).content
    return File(name, clean[: size // 2] + VIRUS + clean[size // 2:], "application/pdf")


@dataclass(frozen=True)
class Sent:
    """What Postfix answered to a message."""
    message_id: str
    code: int
    text: str
    stage: str = "data"

    @property
    def accepted(self) -> bool:
        return self.code == 250

    @property
    def queue_id(self) -> str:
        found = re.search(r"queued as (\w+)", self.text)
        return found.group(1) if found else ""


@dataclass
class Received:
    """A message as its reader has it. `dkim`: each signature, with `valid`, `domain`, `selector`, `reason`."""
    raw: bytes
    dkim: list[dict] = field(default_factory=list)

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def text(self) -> str:
        """All text that is shown, of all parts."""
        parts = (part for part in self.message.walk() if part.get_content_maintype() == "text" and not part.get_filename())
        return "\n".join(part.get_content() for part in parts)

    @property
    def links(self) -> list[str]:
        return list(dict.fromkeys(LINK.findall(self.text)))

    @property
    def files(self) -> dict[str, bytes]:
        """Attachments that are still in the mail."""
        return {part.get_filename(): part.get_payload(decode=True) for part in self.message.walk() if part.get_filename()}

    @property
    def dkim_valid(self) -> bool:
        """It has a signature, and all hold."""
        return bool(self.dkim) and all(signature["valid"] for signature in self.dkim)

    def header(self, name: str) -> str:
        return "\n".join(str(value) for value in self.message.get_all(name, []))


def compose(sender: str, to: list[str], *, subject: str = "Compte rendu", files: list[File] = (), text: str | None = None,
            html: bool = True, headers: dict[str, str] | None = None) -> tuple[str, bytes]:
    """A message as mail programs write them; its Message-ID without angles, and its bytes."""
    message = EmailMessage(policy=email.policy.SMTP.clone(max_line_length=998))
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), subject
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "asso.example")
    message["Date"] = formatdate(localtime=True)
    message.set_content(text or "Bonjour,\n\nvoici le compte rendu.\n\n-- \nCelle qui envoie\n")
    if html:
        message.add_alternative("<html><body><p>Bonjour,</p><p>voici le <b>compte rendu</b>.</p></body></html>", subtype="html")
    for file in files:
        maintype, subtype = file.kind.split("/")
        message.add_attachment(file.content, maintype=maintype, subtype=subtype, filename=file.name)
    for name, value in (headers or {}).items():
        del message[name]
        message[name] = value
    return message["Message-ID"].strip("<>"), message.as_bytes()


# Units that are up before they serve, and where they then listen.
SERVING = {"rspamd": "127.0.0.1:11332", "labclamd": "127.0.0.1:3310", "postfix": "192.0.2.10:25", "laboutside": "198.51.100.20:25",
           "dovecot": "127.0.0.1:143", "labdns": "127.0.0.1:53",
           "opendkim": "127.0.0.1:8891", "mailman3": "127.0.0.1:8024"}
SERVES_WITHIN = 300


class MailMachine(Machine):
    """A machine that is a mail host. `typed` are the commands of our documents that were typed on it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.typed: set[str] = set()

    def boot(self):
        super().boot()
        self.serving()
        return self

    def documented(self, command: str, *answers: str, status: int | None = 0, terminal: bool = False, **values: str) -> str:
        """Types a command as a document prints it, with `values` for what it only names (commands.py); what was printed.

        With answers, or `terminal`, it is typed in a terminal; any `status` is good when it is None."""
        self.typed.add(command)
        typed = filled(command, **values)
        if terminal or answers:
            code, said = self.type(typed, *answers)
        else:
            done = self.run(typed)
            code, said = done.returncode, done.stdout + done.stderr
        assert status in (None, code), f"{typed}\nended with {code}: {said.strip()[-3000:]}"
        return said

    def packages(self, *names: str):
        """`apt install` of packages of Debian beyond those of the living host: it has no network, so they are there as files."""
        self.copy_in(debs(self.suite, *names), "/root/debs")
        self.must("apt-get -o Dpkg::Options::=--force-unsafe-io install -y --no-install-recommends ./debs/*.deb && rm -r debs", within=900)

    def serving(self):
        """Waits until the services that are up listen: after a boot, or a restart."""
        for unit, address in SERVING.items():
            self.until(f"! systemctl -q is-active {unit} || ss -Hltn src {address} | grep -q .", within=SERVES_WITHIN)

    def send(self, sender: str, to: list[str], *, login: str = "", sign: bool = False, pickup: bool = False, port: int = 0,
             raw: bytes | None = None, host: str = ADDRESS, source: str | None = None, helo: str = "", **content) -> Sent:
        """Sends a message: with `login` by submission, with `pickup` by sendmail(1), else as the outside's server.

        `sign` adds the DKIM signature of dehors.example; `raw` is sent as it is; else see `compose`."""
        if raw is None:
            message_id, raw = compose(sender, to, **content)
        else:
            found = re.search(rb"^Message-ID:\s*<([^>]*)>", raw, re.M | re.I)
            message_id = found.group(1).decode() if found else ""
        if source is None:
            source = "" if login else OUTSIDE_ADDRESS
        order = {"what": "send", "raw": base64.b64encode(raw).decode(), "sender": sender, "to": to, "login": login,
                 "sign": sign, "pickup": pickup, "host": host, "port": port or (587 if login else 25), "source": source,
                 "helo": helo or ("laptop.asso.example" if login else "mx.dehors.example")}
        return Sent(message_id=message_id, **self.agent(order))

    def outside(self, sent: Sent | str, *, within: float = ARRIVES_WITHIN) -> Received:
        """What the outside got of a message, or the message that holds these words."""
        return self.received(None, sent, within)

    def inbox(self, user: str, sent: Sent | str, *, within: float = ARRIVES_WITHIN) -> Received:
        """What a user of the host got of a message, or the message that holds these words."""
        return self.received(user, sent, within)

    def received(self, user: str | None, sent: Sent | str, within: float) -> Received:
        if isinstance(sent, Sent):
            assert sent.accepted, f"Postfix did not take it: {sent.code} {sent.text}"
        found = self.all_received(user, sent if isinstance(sent, str) else sent.message_id, count=1, within=within)
        assert found, f"nothing arrived for {user or 'the outside'}: {self.must('mailq')}\n{self.journal(lines=30)}"
        return found[-1]

    def all_received(self, user: str | None = None, holding: str = "", *, count: int = 0, within: float = 0) -> list[Received]:
        """All messages that a user, or without one the outside, has, which hold these words; waits for `count` of them."""
        order = {"what": "receive", "user": user, "holding": holding, "count": count, "within": within}
        return [Received(base64.b64decode(one["raw"]), one["dkim"]) for one in self.agent(order)]

    def nothing_is_queued(self):
        """Waits until all that was accepted has arrived somewhere."""
        self.until("test -z \"$(find /var/spool/postfix{,-out}/{incoming,active,deferred,maildrop} -type f)\"")

    def agent(self, order: dict):
        return json.loads(self.must(AGENT, input=json.dumps(order)))

    def download(self, link: str) -> dict[str, bytes]:
        """The files of a package by their names, fetched as a reader does: from the page to each file."""
        return {one["name"]: base64.b64decode(one["content"]) for one in self.agent({"what": "download", "link": link})}

    def status_of(self, link: str) -> int:
        """What the drop answers to a reader of a link."""
        return int(self.must(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 60 '{link}'"))
