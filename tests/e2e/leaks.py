"""Whether a secret lies in the files of a drop: the tokens of links, and the bearer tokens of other hosts.

The drop keeps neither: a stolen disk or a backup must open no package, and no listener. A test tells what secrets there are by using them
(`Daemon.get`, `Daemon.run`, mail that arrives); when a daemon is stopped, all files of its drop are searched for them, the
database's log too, in each form in which they could lie there.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import tempfile
from pathlib import Path

# A link's token: 128 bits in base32, whose last character stands for three of them. It ends a link's path or is its fragment.
TOKEN = re.compile(rb"[/#]([a-z2-7]{25}[aeimquy4])(?![a-z2-7])")
# 256 bits in base64.
BEARER = re.compile(rb"dpl_([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])")
SEARCH_SECONDS = 300
# grep takes 30 MB a second and core with so many forms: of more than this, the newest are looked at. What is no blob always is.
SECRETS_MAX, BLOB_BYTES_MAX = 400, 300_000_000
FILES_AT_ONCE = 1000


def secrets_in(text: bytes) -> set[bytes]:
    """The secrets that a message, an answer or an argument has."""
    text = text.replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"=")
    return set(TOKEN.findall(text)) | set(BEARER.findall(text))


def inside_base64(data: bytes) -> set[bytes]:
    """What base64 makes of bytes in the middle of others, as far as only these bytes count."""
    found = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        piece = encoded[-(-before * 8 // 6):(before + len(data)) * 8 // 6]
        found |= {piece, piece.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def forms(secret: bytes) -> set[bytes]:
    """A secret as it could lie in a file: as text, as its bytes, and both in base64 and hex."""
    if len(secret) == 26:
        plain = {secret, secret.upper(), base64.b32decode(secret.upper() + b"======")}
    else:
        plain = {secret, base64.urlsafe_b64decode(secret + b"=")}
    found = set(plain)
    for data in plain:
        in_hex = binascii.hexlify(data)
        found |= inside_base64(data) | {in_hex, in_hex.upper()}
    return found


def leaks(directory: Path, secrets: list[bytes]) -> list[str]:
    """The files below a directory that hold one of the secrets, a line each; the newest secret stands last."""
    patterns = {form for secret in secrets[-SECRETS_MAX:] for form in forms(secret)}
    files = chosen(directory)
    if not patterns or not files:
        return []
    # grep looks for many at once, and line by line: of what has a line's end in it, for the longest piece.
    pieces = {max(pattern.split(b"\n"), key=len) for pattern in patterns}
    found: list[Path] = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(sorted(pieces)))
        file.flush()
        for start in range(0, len(files), FILES_AT_ONCE):
            # A file that goes away meanwhile, as drafts do, is no error.
            done = subprocess.run(["grep", "-slaF", "-f", file.name, "--", *files[start:start + FILES_AT_ONCE]], capture_output=True,
                                  timeout=SEARCH_SECONDS, env={**os.environ, "LC_ALL": "C"})
            assert not done.stderr, done.stderr
            found += [Path(os.fsdecode(path)) for path in done.stdout.splitlines()]
    return [f"{path.relative_to(directory)} holds a token of a link or a bearer token" for path in found if holds(path, patterns)]


def chosen(directory: Path) -> list[Path]:
    """The files of a drop that are looked at, the newest first."""
    known: list[tuple[float, int, Path]] = []
    for path in directory.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            known.append((status.st_mtime, status.st_size, path))
    files, left = [], BLOB_BYTES_MAX
    for _, size, path in sorted(known, reverse=True):
        if path.relative_to(directory).parts[0] != "blobs":
            files.append(path)
        elif size <= left:
            left -= size
            files.append(path)
    return files


def holds(path: Path, patterns: set[bytes]) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return any(pattern in data for pattern in patterns)
