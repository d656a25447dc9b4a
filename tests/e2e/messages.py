"""Messages for the stories, made byte by byte so that a test knows what it sent."""

from __future__ import annotations

import base64
import quopri
import random

CRLF = b"\r\n"


def noise(size: int, seed: int = 1) -> bytes:
    """The same `size` random bytes for the same seed: nothing compresses or repeats them."""
    return random.Random(seed).randbytes(size)


def pdf(size: int, seed: int = 1) -> bytes:
    """`size` bytes that begin and end as a PDF does."""
    head, foot = b"%PDF-1.7\n", b"\n%%EOF\n"
    return head + noise(size - len(head) - len(foot), seed) + foot


def base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", CRLF)


def quoted(text: str, charset: str) -> bytes:
    return quopri.encodestring(text.replace("\r\n", "\n").encode(charset)).replace(b"\n", CRLF)


def part(content_type: str, body: bytes, *fields: str) -> bytes:
    """One part: `fields` are further header lines."""
    lines = [f"Content-Type: {content_type}", *fields]
    return "\r\n".join(lines).encode() + CRLF + CRLF + body


def attachment(data: bytes, name: str = "report.pdf", media_type: str = "application/pdf") -> bytes:
    return part(f'{media_type}; name="{name}"', base64_lines(data),
                "Content-Transfer-Encoding: base64",
                f'Content-Disposition: attachment; filename="{name}"')


def multipart(subtype: str, *parts: bytes, boundary: str = "=_story", extra: str = "") -> bytes:
    """A multipart as a part: header block, blank line, body."""
    delimiter = b"--" + boundary.encode()
    body = b"".join(delimiter + CRLF + p + (b"" if p.endswith(CRLF) else CRLF) for p in parts)
    head = f'Content-Type: multipart/{subtype};{extra} boundary="{boundary}"'.encode()
    return head + CRLF + CRLF + body + delimiter + b"--" + CRLF


def message(content: bytes, *, to: str, sender="alice@lab.test", subject="Report") -> bytes:
    """A whole message around a part."""
    head = (f"From: Alice <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n"
            "Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
            f"Message-ID: <{to}.story@lab.test>\r\nMIME-Version: 1.0\r\n")
    return head.encode("utf-8") + content


TEXT = part("text/plain; charset=utf-8", "Hello Bob,\r\n\r\nhere is the report.\r\n\r\n"
            "-- \r\nAlice\r\n".encode(), "Content-Transfer-Encoding: 7bit")
HTML = part("text/html; charset=utf-8", b"<html><body>\r\n<p>Hello Bob,</p>\r\n"
            b"<p>here is the report.</p>\r\n</body></html>\r\n", "Content-Transfer-Encoding: 7bit")


def report(to: str, size: int = 300_000, *, seed: int = 1, name: str = "report.pdf") -> bytes:
    """The everyday message: a text and a PDF."""
    return message(multipart("mixed", TEXT, attachment(pdf(size, seed), name)), to=to)
