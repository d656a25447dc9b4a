"""The mail of the load: each message is made anew, byte for byte the same, from its kind and its number.

So nobody has to keep what was sent: whoever judges a message makes it again.
"""

from __future__ import annotations

import base64
import functools
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import messages as m  # noqa: E402

# From here on an attachment is heavy: `detach.threshold` of the daemons here.
THRESHOLD = 100_000

# How many of two hundred messages are of a kind. Most mail is small and few messages are most of the bytes:
# 0.7 MB on average, 35 of a hundred with something to detach.
MIXED = {"plain": 58, "alternative": 28, "light": 24, "heavy": 34, "two": 12, "scan": 10, "latin": 8, "signed": 10,
         "encrypted": 7, "3MB": 6, "10MB": 2, "25MB": 1}

# A day of a small provider's mail, by assumption: 80 kB on average, and four messages of a hundred have something
# to detach.
DAY = {"plain": 620, "alternative": 250, "light": 80, "heavy": 22, "two": 6, "scan": 4, "latin": 4, "signed": 8,
       "encrypted": 2, "3MB": 3, "10MB": 1}

HEAVY = {"heavy", "two", "scan", "latin", "3MB", "10MB", "25MB"}
SIZES = {"light": 60_000, "heavy": 300_000, "scan": 500_000, "latin": 250_000, "3MB": 3_000_000, "10MB": 10_000_000,
         "25MB": 25_000_000}
LINE = 57  # bytes in a line of base64


@functools.cache
def filling(size: int) -> bytes:
    """Random bytes in base64: all messages share them, and differ in their first line."""
    return m.base64_lines(random.Random(size).randbytes(size))


def file(number: int, size: int, name: str, media_type: str = "application/pdf") -> bytes:
    """An attachment that no other message has."""
    first = f"%PDF-1.7\n% {name} of {number} ".encode().ljust(LINE, b".")
    body = base64.b64encode(first) + m.CRLF + filling(size - LINE)
    return m.part(f'{media_type}; name="{name}"', body, "Content-Transfer-Encoding: base64",
                  f'Content-Disposition: attachment; filename="{name}"')


def text(number: int, size: int = 0) -> bytes:
    words = random.Random(number)
    lines = [f"Hello, this is number {number}.", ""]
    lines += [f"{words.getrandbits(256):064x}" for _ in range(size // 66)]
    body = "\r\n".join([*lines, "", "-- ", "Alice", ""]).encode()
    return m.part("text/plain; charset=utf-8", body, "Content-Transfer-Encoding: 7bit")


def html(number: int, size: int = 0) -> bytes:
    paragraphs = [f"<p>{n} of number {number}: {'word ' * 20}</p>" for n in range(1 + size // 140)]
    body = "\r\n".join(["<html><body>", *paragraphs, "</body></html>", ""]).encode()
    return m.part("text/html; charset=utf-8", body, "Content-Transfer-Encoding: 7bit")


def both(number: int, size: int = 0) -> bytes:
    return m.multipart("alternative", text(number), html(number, size), boundary="=_both")


def latin(number: int) -> bytes:
    said = f"Chère Zoé,\r\n\r\nvoici le nº {number} de l'été.\r\n\r\n-- \r\nAndré\r\n"
    return m.part("text/plain; charset=iso-8859-1", m.quoted(said, "iso-8859-1"),
                  "Content-Transfer-Encoding: quoted-printable")


def signed(number: int) -> bytes:
    """As a mail program signs; nobody here verifies it, but no byte of it may change."""
    signature = m.part('application/pgp-signature; name="signature.asc"',
                       b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEz\r\n-----END PGP SIGNATURE-----\r\n")
    content = m.multipart("mixed", text(number), file(number, 300_000, "contract.pdf"), boundary="=_in")
    return m.multipart("signed", content, signature, boundary="=_signed",
                       extra=' protocol="application/pgp-signature"; micalg=pgp-sha256;')


def encrypted(number: int) -> bytes:
    version = m.part("application/pgp-encrypted", b"Version: 1\r\n")
    sealed = m.part("application/octet-stream", b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + filling(200_000)
                    + b"-----END PGP MESSAGE-----\r\n")
    return m.multipart("encrypted", version, sealed, extra=' protocol="application/pgp-encrypted";')


def content(kind: str, number: int) -> bytes:
    match kind:
        case "plain":
            return text(number, 10_000)
        case "alternative":
            return both(number, 40_000)
        case "two":
            return m.multipart("mixed", both(number), file(number, 400_000, "report.pdf"),
                               file(number, 1_200_000, "photos.zip", "application/zip"))
        case "scan":
            return file(number, SIZES[kind], "scan.pdf")
        case "latin":
            return m.multipart("mixed", latin(number), file(number, SIZES[kind], "compte-rendu.pdf"))
        case "signed":
            return signed(number)
        case "encrypted":
            return encrypted(number)
        case _ if kind.startswith("exactly "):
            raise ValueError("its size is that of the whole message: see `sized`")
        case _:
            return m.multipart("mixed", text(number), file(number, SIZES[kind], "report.pdf"))


def make(kind: str, number: int, to: str) -> bytes:
    """A whole message with CRLF."""
    if kind.startswith("exactly "):
        return sized(int(kind.split()[1]), kind.split()[2], number, to)
    return m.message(content(kind, number), to=to, subject=f"Number {number}, {kind}")


def sized(size: int, what: str, number: int, to: str) -> bytes:
    """A message of exactly `size` bytes: with one large file, or with one large text only."""
    if what == "file":
        room = m.message(m.multipart("mixed", text(number), file(number, 200_000, "report.pdf")), to=to)
        attached = (size - len(room)) * LINE // 78 + 200_000 - 200
        made = m.message(m.multipart("mixed", text(number), file(number, attached, "report.pdf")), to=to)
    else:
        made = m.message(text(number, size - 2_000), to=to)
    # What is missing goes into a field of the header, folded.
    missing = size - len(made)
    field = b"X-Filling: "
    assert missing > 100, f"{missing} bytes are missing"
    words = bytearray(field + b"x" * (missing - len(field) - 2) + m.CRLF)
    for at in range(900, len(words) - 10, 900):
        words[at:at + 3] = b"\r\n "
    return bytes(words) + made


def deck(kinds: dict[str, int], seed: int):
    """Kinds without end, each as often as it says, in random order: those that are rare come too."""
    dice = random.Random(seed)
    cards = [kind for kind, count in kinds.items() for _ in range(count)]
    while True:
        dice.shuffle(cards)
        yield from cards


def is_heavy(kind: str) -> bool:
    return kind in HEAVY or kind.endswith(" file")
