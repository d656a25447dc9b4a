"""What lies in a drop's directory, against what its database says lies there."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

SEGMENT, HEADER, TAG = 65536, 40, 16


def sealed(size: int) -> int:
    """The length of a blob, of the size of its file."""
    first = SEGMENT - HEADER - TAG
    more = max(0, size - first)
    return HEADER + size + TAG * (1 + -(-more // (SEGMENT - TAG)))


def blobs(drop: Path) -> dict[str, int]:
    """The blobs by name, with their lengths."""
    return {path.name: path.stat().st_size for path in drop.glob("blobs/*/*")}


def drafts(drop: Path) -> list[str]:
    return [path.name for path in drop.glob("drafts/*")]


def age(drop: Path, hours: float = 2) -> None:
    """Makes everything older than what a sweep leaves to messages that are being worked on."""
    old = time.time() - hours * 3600
    for path in [*drop.glob("drafts/*"), *drop.glob("blobs/*/*")]:
        os.utime(path, (old, old))


def recorded(drop: Path) -> dict[str, int]:
    """The blobs that the database says there are, with the lengths that they must have."""
    with closing(sqlite3.connect(drop / "drop.sqlite3")) as database:
        sound = database.execute("PRAGMA integrity_check").fetchone()
        if sound != ("ok",):
            raise AssertionError(f"the database is damaged: {sound[0]}")
        sums = database.execute("SELECT (SELECT value FROM note WHERE name = 'stored_bytes'),"
                                " (SELECT coalesce(sum(bytes), 0) FROM package WHERE state = 'live')").fetchone()
        if sums[0] != sums[1]:
            raise AssertionError(f"stored_bytes is noted as {sums[0]}, and is {sums[1]}")
        query = "SELECT lower(hex(package)), number, size FROM file JOIN package ON package = id WHERE state = 'live'"
        return {f"{package}-{number}": sealed(size) for package, number, size in database.execute(query)}


def disagreements(drop: Path) -> list[str]:
    """What is wrong in a drop that was swept and that nobody has open: each blob has its record, and its length."""
    wrong = [f"a draft is left: {name}" for name in drafts(drop)]
    stored, expected = blobs(drop), recorded(drop)
    for name in sorted(stored.keys() | expected.keys()):
        found, length = stored.get(name), expected.get(name)
        if length is None:
            wrong.append(f"blob {name} has no record")
        elif found is None:
            wrong.append(f"blob {name} is missing")
        elif found != length:
            wrong.append(f"blob {name} has {found} bytes, not {length}")
    return wrong
