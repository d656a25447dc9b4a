#!/usr/bin/python3
"""Runs inside a machine: sends mail, and shows what arrived. An order comes as JSON on standard input, an answer goes
out as JSON; messages are Base64. The harness calls it, see mail.py; it stands in the machine as /usr/local/lib/lab/agent."""

import base64
import imaplib
import json
import os
import smtplib
import re
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

OUTSIDE = "/var/vmail-out/box/new"
PASSWORD = "secret"


def send(order):
    """Gives the message to Postfix as a client would; what it answered."""
    raw = base64.b64decode(order["raw"])
    if order["sign"]:
        raw = signed(raw) + raw
    if order["pickup"]:
        done = subprocess.run(["/usr/sbin/sendmail", "-oi", "-f", order["sender"], *order["to"]],
                              input=raw.replace(b"\r\n", b"\n"), capture_output=True)
        return {"code": 250 if done.returncode == 0 else 550, "text": done.stderr.decode(errors="replace")}
    source = (order["source"], 0) if order["source"] else None
    client = smtplib.SMTP(order["host"], order["port"], local_hostname=order["helo"], source_address=source, timeout=150)
    try:
        if order["login"]:
            client.starttls()
            client.login(order["login"], PASSWORD)
        return dialogue(client, order["sender"], order["to"], raw)
    finally:
        client.close()


def dialogue(client, sender, recipients, raw):
    client.ehlo_or_helo_if_needed()
    replies = [("mail", client.mail(sender))] + [("rcpt", client.rcpt(recipient)) for recipient in recipients]
    refused = next(((stage, reply) for stage, reply in replies if reply[0] >= 400), None)
    stage, (code, text) = refused or ("data", client.data(raw))
    return {"stage": stage, "code": code, "text": text.decode(errors="replace")}


def signed(raw):
    import dkim
    with open("/etc/lab/dehors.example.out.key", "rb") as key:
        return dkim.sign(raw, b"out", b"dehors.example", key.read(), canonicalize=(b"relaxed", b"relaxed"),
                         include_headers=[b"from", b"to", b"subject", b"date", b"message-id"])


def boxes(order):
    """Name and content of all messages that the outside, or a user of ours, has; the oldest first."""
    if order["user"] is None:
        names = sorted(os.listdir(OUTSIDE), key=lambda name: os.path.getmtime(f"{OUTSIDE}/{name}")) if os.path.isdir(OUTSIDE) else []
        for name in names:
            with open(f"{OUTSIDE}/{name}", "rb") as file:
                yield file.read()
        return
    client = imaplib.IMAP4("127.0.0.1")
    client.starttls()
    client.login(order["user"], PASSWORD)
    client.select(readonly=True)
    for number in client.search(None, "ALL")[1][0].split():
        yield client.fetch(number, "(BODY.PEEK[])")[1][0][1]


def receive(order):
    """The messages that have these bytes in them (all without), when there are as many as asked for, or at the deadline."""
    wanted = order["holding"].encode()
    deadline = time.monotonic() + order["within"]
    while True:
        found = [raw for raw in boxes(order) if wanted in raw]
        if len(found) >= order["count"] or time.monotonic() > deadline:
            return [{"raw": base64.b64encode(raw).decode(), "dkim": verified(raw)} for raw in found]
        time.sleep(0.1)


def download(order):
    """The page that a link leads to, then each file on it."""
    link = order["link"]
    page = fetch(link)[1].decode()
    path = urllib.parse.urlsplit(link).path
    wanted = dict.fromkeys(re.findall(rf'href="({re.escape(path)}/\d+)"', page))
    files = []
    for file in wanted:
        headers, content = fetch(urllib.parse.urljoin(link, file))
        name = re.search(r"filename\*=UTF-8''([^;]+)", headers["Content-Disposition"]) or re.search(r'filename="([^"]+)"', headers["Content-Disposition"])
        files.append({"name": urllib.parse.unquote(name.group(1)), "content": base64.b64encode(content).decode()})
    return files


def fetch(link):
    with urllib.request.urlopen(link, timeout=60, context=ssl.create_default_context()) as reply:
        return reply.headers, reply.read()


def verified(raw):
    """Each DKIM signature: does it hold, by the keys in DNS?"""
    import dkim
    import email
    found = []
    for number in range(len(email.message_from_bytes(raw).get_all("DKIM-Signature", []))):
        verifier = dkim.DKIM(raw)
        try:
            valid, reason = verifier.verify(idx=number), ""
        except dkim.DKIMException as error:
            valid, reason = False, str(error)
        name = lambda value: value.decode() if value else ""  # noqa: E731
        found.append({"valid": valid, "reason": reason, "domain": name(verifier.domain), "selector": name(verifier.selector)})
    return found


if __name__ == "__main__":
    order = json.load(sys.stdin)
    json.dump({"send": send, "receive": receive, "download": download}[order["what"]](order), sys.stdout)
