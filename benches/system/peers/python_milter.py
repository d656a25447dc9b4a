#!/usr/bin/python3
"""depollueur's job in Python, as one writes it with Debian's python3-milter and the standard library.

    python_milter.py SOCKET DIRECTORY URL THRESHOLD

Parses the whole message with `email`, writes attachments of THRESHOLD bytes and more below DIRECTORY under their
SHA-256, puts a text part with a link in their place, and replaces the body. It does not sync what it writes.
"""

import email
import hashlib
import io
import os
import sys
from email.generator import BytesGenerator
from email.mime.text import MIMEText

import Milter

SOCKET, DIRECTORY, URL, THRESHOLD = sys.argv[1:]
PIECE = 65535


class Links(Milter.Base):
    @Milter.noreply
    def connect(self, *_):
        return Milter.CONTINUE

    @Milter.noreply
    def envfrom(self, *_):
        self.head, self.body_chunks = [], []
        return Milter.CONTINUE

    @Milter.noreply
    def header(self, name, value):
        self.head.append(f"{name}: {value}\n".encode("utf-8", "surrogateescape"))
        return Milter.CONTINUE

    @Milter.noreply
    def body(self, chunk):
        self.body_chunks.append(chunk)
        return Milter.CONTINUE

    def eom(self):
        raw = b"".join([*self.head, b"\n", *self.body_chunks])
        self.head, self.body_chunks = [], []
        message = email.message_from_bytes(raw)
        if not self.replace(message):
            return Milter.ACCEPT
        out = io.BytesIO()
        BytesGenerator(out, mangle_from_=False, policy=message.policy.clone(linesep="\r\n")).flatten(message)
        body = out.getvalue().partition(b"\r\n\r\n")[2]
        for start in range(0, len(body), PIECE):
            self.replacebody(body[start:start + PIECE])
        return Milter.ACCEPT

    @staticmethod
    def replace(message):
        """Whether a part was replaced."""
        replaced = False
        for part in message.walk():
            if not part.is_multipart() and part.get_filename():
                data = part.get_payload(decode=True)
                if len(data) >= int(THRESHOLD):
                    store(part, data)
                    replaced = True
        return replaced


def store(part, data):
    """Writes a part's bytes to a file, and makes a text part of it."""
    extension = os.path.splitext(part.get_filename())[1]
    name = hashlib.sha256(data).hexdigest() + extension
    path = os.path.join(DIRECTORY, name)
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)
    notice = MIMEText(f"The attachment was replaced by a link:\n\n{URL}/{name}\n", "plain", "us-ascii")
    for field in part.keys():
        del part[field]
    for field, value in notice.items():
        part[field] = value
    part.set_payload(notice.get_payload())


Milter.factory = Links
Milter.set_flags(Milter.CHGBODY + Milter.CHGHDRS)
os.umask(0)
Milter.runmilter("links", SOCKET, 600)
