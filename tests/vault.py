#!/usr/bin/env python3
"""Reads a drop with its link and without depollueur, and without the link not at all.

Files are deposited by the program, then found and decrypted by what `src/drop/vault.rs` documents, written a
second time from that text with Python's `cryptography`. Then all that is stored is searched for what must not
be there. `vault_tink.py` beside this file lets Google's Tink decrypt; it is on no Debian system.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import sqlite3
import sys
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from cryptography.exceptions import InvalidTag  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from drop import Drop, given  # noqa: E402

SEGMENT, TAG = 65536, 16
SIZES = [1_000, 65_479, 65_480, 65_481, 131_000, 131_001, 300_000]
NAME = "Lohnabrechnung-{}.pdf"


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256, for at most 32 bytes."""
    key = hmac.digest(salt, secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


class Link:
    """What a link unlocks."""

    def __init__(self, link: str):
        self.text = link.rsplit("/", 1)[1]
        self.token = base64.b32decode(self.text.upper() + "======")
        self.record = self.derive(b"record id", 16)

    def derive(self, label: bytes, length: int) -> bytes:
        return hkdf(self.token, b"depollueur drop 1", label, length)

    def manifest(self, directory: Path) -> list[dict]:
        with closing(sqlite3.connect(directory / "drop.sqlite3")) as database:
            query = "SELECT manifest FROM package WHERE id = ?"
            (sealed,), = database.execute(query, (self.record,)).fetchall()
        opener = AESGCM(self.derive(b"manifest key", 32))
        return json.loads(opener.decrypt(sealed[:12], sealed[12:], self.record))

    def blob(self, directory: Path, number: int) -> Path:
        return directory / "blobs" / f"{self.record[0]:02x}" / f"{self.record.hex()}-{number}"

    def open(self, sealed: bytes, number: int) -> bytes:
        """Tink's AES256-GCM-HKDF streaming AEAD with segments of 64 KiB."""
        length, salt, prefix = sealed[0], sealed[1:33], sealed[33:40]
        if length != 40:
            raise InvalidTag
        opener = AESGCM(hkdf(self.derive(b"content key", 32), salt, number.to_bytes(4, "big"), 32))
        borders = [40, *range(SEGMENT, len(sealed), SEGMENT), len(sealed)]
        plain = b""
        for index, (start, end) in enumerate(zip(borders, borders[1:])):
            nonce = prefix + index.to_bytes(4, "big") + bytes([end == len(sealed)])
            plain += opener.decrypt(nonce, sealed[start:end], None)
        return plain


def is_refused(link: Link, sealed: bytes, number: int) -> bool:
    try:
        link.open(sealed, number)
    except InvalidTag:
        return True
    return False


def decrypt(drop: Drop, link: Link) -> int:
    """Decrypts every file; what is changed, cut or swapped is no ciphertext."""
    files = link.manifest(drop.directory)
    sealed = {file["number"]: link.blob(drop.directory, file["number"]).read_bytes() for file in files}
    for file in files:
        number = file["number"]
        plain = link.open(sealed[number], number)
        assert plain == drop.files[file["name"]], file["name"]
        assert (len(plain), hashlib.sha256(plain).hexdigest(), zlib.crc32(plain)) \
            == (file["size"], file["sha256"], file["crc32"]), file["name"]
        assert file["media_type"] == "application/octet-stream"
        bad = bytearray(sealed[number])
        bad[-1] ^= 1
        for other in [bytes(bad), sealed[number][:-1], sealed[number][:len(sealed[number]) // 2], sealed[(number + 1) % len(files)]]:
            assert is_refused(link, other, number), file["name"]
    assert {file["name"] for file in files} == set(drop.files)
    return len(files)


def secrets(drop: Drop, link: Link) -> dict[str, bytes]:
    """What whoever steals the disk must not find, in every spelling."""
    found = {"type": b"octet-stream", "name": b"Lohnabrechnung"}
    for name, raw in [("token", link.token), *((f"digest of {n}", hashlib.sha256(c).digest())
                                               for n, c in drop.files.items())]:
        found |= {name: raw, f"{name} in hex": raw.hex().encode(), f"{name} in HEX": raw.hex().upper().encode(),
                  f"{name} in base64": base64.b64encode(raw).rstrip(b"="),
                  f"{name} in base64url": base64.urlsafe_b64encode(raw).rstrip(b"=")}
    found |= {"link": link.text.encode(), "LINK": link.text.upper().encode()}
    for name, content in drop.files.items():
        found |= {f"content of {name} at {at}": content[at:at + 16] for at in (0, len(content) // 2, len(content) - 16)}
    return found


def steal(drop: Drop, link: Link) -> int:
    stolen = {path: path.read_bytes() for path in drop.directory.rglob("*") if path.is_file()}
    assert {"drop.sqlite3", "drop.sqlite3-wal", "drop.key"} <= {path.name for path in stolen}, list(stolen)
    for what, secret in secrets(drop, link).items():
        for path, content in stolen.items():
            assert secret not in content, f"{path.name} tells the {what}"
            assert secret not in bytes(path), f"the name of {path} tells the {what}"
    return len(stolen)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        drop = Drop(Path(home))
        noise = random.Random(3).randbytes
        drop.files = {NAME.format(size): noise(size) for size in SIZES}
        drop.message = drop.mail()
        link = Link(given(drop))
        print(f"ok    {decrypt(drop, link)} files are read by an independent implementation, given the link")
        drop.fetch(link.text)
        drop.run("extend", link.text, "--until", "60 days")
        drop.run("revoke", link.text, "--reason", "a test")
        drop.run("restore", link.text, "--until", "9 days")
        print(f"ok    {steal(drop, link)} stolen files tell no name, no type, no content, no digest and no token")
        print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
