#!/usr/bin/env python3
"""Of the messages with a heavy file that is clear to all, how many are left alone without need, and why.

    tests/e2e/left_alone.py [--threshold BYTES] [--max PERCENT] [--list] DIRECTORY...

A file is clear if Python's email, MIME-tools, GMime and the oracle see the same leaves, and of this one the same type
and bytes; if its encoding is a known one; if it is an attachment by its field or has a name and is no text; and if nothing
protects it: signatures, encryption, reports, invitations, TNEF, an HTML text that shows it, a choice of the same text.
Each message goes through `depollueur rewrite --explain`; what stays of these files is counted by the reason that the
program gives. Messages that break the letter where more readers than these three differ (a NUL or a bare CR in a
header: RFC 5322, section 2.2; a boundary of more than 70 characters: RFC 2046, section 5.1.1; parts nested deeper than
limits.depth_max) are counted apart. Ends with 1 if the share is above the maximum.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab import binary  # noqa: E402
from readers import Other, Python  # noqa: E402
from oracle import first, read_a, read_b, to_crlf, walk  # noqa: E402

READING = threading.Lock()
OPAQUE = re.compile(r"multipart/(signed|encrypted|report|digest|appledouble)|message/|text/calendar|text/html")
PROTECTED = re.compile(r"application/(x-)?(pkcs7|pgp|ics|ms-tnef|vnd\.ms-tnef|autocrypt)|message/(?!rfc822|global$)|text/calendar")
DEPTH_MAX = 64  # the default of limits.depth_max
NAMES = re.compile(r"\.(p7[mscz])$|^winmail.*\.dat$|^win\.dat$|(encrypted|pgpexch.*)\.(asc|pgp)$|gpgol_", re.I)


def says(leaf, name: str) -> str:
    """The value of a field of a leaf's header."""
    return (first(leaf.fields, name) or "").strip()


def name_of(leaf) -> str:
    """The name as it is written; what it means does not matter here."""
    text = ";" + says(leaf, "content-disposition") + ";" + says(leaf, "content-type")
    found = re.search(r"(?i)[;\s](?:file)?name\*?\d*\*?\s*=\s*\"?([^\";\r\n]+)", text)
    return found[1] if found else ""


def above(leaf):
    while leaf.parent is not None:
        leaf = leaf.parent
        yield leaf


def agreed(path: Path, readers) -> list[tuple] | None:
    """The leaves that all readers see: depth and type, and the digest of the text if they agree on that."""
    with READING:
        seen = [reader.read(path) for reader in readers]
    if len({tuple(leaf[:2] for leaf in leaves) for leaves in seen}) != 1:
        return None
    return [leaves[0] if len({leaf[3] for leaf in leaves}) == 1 else None for leaves in zip(*seen)]


def clear_files(raw: bytes, threshold: int, leaves_of_all: list) -> set[str]:
    """The paths of the heavy files that nobody can miss."""
    try:
        seen, _ = read_a(raw)
        tree = read_b(raw)
    except Exception:  # a reader that fails sees nothing clearly
        return set()
    leaves = [node for node in walk(tree) if node.is_leaf()]
    if len(seen) != len(leaves) or len(leaves_of_all) != len(leaves):
        return set()
    shown = {found.lower() for found in re.findall(rb"(?i)cid:([^\"'>\s)]+)", b"".join(
        leaf.decode() for leaf in leaves if (leaf.ctype or "") == "text/html"))}
    found = set()
    for (kind, data), leaf, of_all in zip(seen, leaves, leaves_of_all):
        kind_b, around = leaf.ctype or "text/plain", list(above(leaf))
        if kind != kind_b or data is None or len(data) < threshold or data.rstrip(b"\r\n") != leaf.decode().rstrip(b"\r\n"):
            continue
        if of_all is None or leaf.cte() not in ("7bit", "8bit", "binary", "base64", "quoted-printable"):
            continue
        attached = leaf.disposition() == "attachment"
        if not attached and (kind.startswith("text/") or not name_of(leaf)):
            continue
        protected = PROTECTED.match(kind) or NAMES.search(name_of(leaf))
        opaque = any(OPAQUE.match(node.ctype or "") for node in around)
        is_choice = any((node.ctype or "") == "multipart/alternative" for node in around[:1]) and not attached
        cid = says(leaf, "content-id").strip("<>").lower().encode()
        if not (protected or opaque or is_choice or cid in shown or says(leaf, "content-location")):
            found.add(leaf.path)
    return found


def breaks_the_letter(raw: bytes) -> str | None:
    """Why a message may be left alone although three readers agree on it."""
    nodes = list(walk(read_b(raw)))
    headers = b"".join(node.header() for node in nodes)
    if b"\0" in headers:
        return "a NUL in a header"
    if b"\r" in headers.replace(b"\r\n", b""):
        return "a bare CR in a header"
    if any(len(node.params.get("boundary") or "") > 70 for node in nodes):
        return "a boundary of more than 70 characters"
    if max(len(list(above(node))) for node in nodes) > DEPTH_MAX:
        return "parts nested deeper than limits.depth_max"
    return None


def stays(path: Path, threshold: int, readers) -> tuple[str, set[str], str, Path] | None:
    """What is left of the clear files of a message: its name, their paths, the reason, itself; or `None` without such files."""
    raw = to_crlf(path.read_bytes())
    if not clear_files(raw, threshold, [()] * sum(node.is_leaf() for node in walk(read_b(raw)))):
        return None
    with tempfile.NamedTemporaryFile(suffix=".eml") as copy:
        copy.write(raw)
        copy.flush()
        leaves = agreed(Path(copy.name), readers)
    clear = leaves and clear_files(raw, threshold, leaves)
    if not clear:
        return None
    settings = {"detach.threshold": threshold, "detach.directions": "both", "web.public_url": "https://drop.example/d/"}
    command = [binary(), "rewrite", "--explain", "--json"]
    command += ["--set", "detach.marked_by=[]", "--set", 'detach.forwarded="treat"']
    for key, value in settings.items():
        command += ["--set", f"{key}={value}" if isinstance(value, int) else f'{key}="{value}"']
    done = subprocess.run(list(map(str, command)), input=raw, capture_output=True)
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("{")]
    if not lines:
        return path.name, clear, f"exit code {done.returncode}", path
    said = json.loads(lines[-1])
    parts = {part["path"]: part for part in said["parts"]}
    left = {place for place in clear if not (parts.get(place, {}).get("detached") or parts.get(place, {}).get("would_detach"))}
    whys = sorted({parts[place]["reason"] for place in left if place in parts})
    reason = said["reason"] or "detached"
    return path.name, left, f"{reason}: {', '.join(whys)}" if whys else reason, path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--threshold", type=int, default=1000)
    parser.add_argument("--max", type=float, default=1.0, help="in per cent")
    parser.add_argument("--list", action="store_true", help="names the messages")
    options = parser.parse_args()
    paths = sorted(path for directory in options.directories for path in directory.rglob("*")
                   if path.is_file() and path.suffix not in (".tsv", ".md"))
    here = Path(__file__).resolve().parent
    readers = [Python(), Other("MIME-tools", "perl", here / "readers.pl"),
               Other("GMime", "/usr/bin/python3", here / "readers_gmime.py")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [one for one in pool.map(lambda path: stays(path, options.threshold, readers), paths) if one]
    for reader in readers:
        reader.close()
    apart = Counter()
    for one in [one for one in found if one[1]]:
        why = breaks_the_letter(to_crlf(one[3].read_bytes()))
        if why:
            found.remove(one)
            apart[why] += 1
    for why, count in apart.most_common():
        print(f"{count:6}  left alone for its letter: {why}")
    left = [one for one in found if one[1]]
    for reason, count in Counter(reason for _, _, reason, _ in left).most_common():
        print(f"{count:6}  {reason}")
        for name in [name for name, _, other, _ in left if other == reason] if options.list else []:
            print(f"        {name}")
    share = 100 * len(left) / max(len(found), 1)
    print(f"{len(left)} of {len(found)} messages with a clear heavy file were left alone without need: {share:.2f} %")
    return 1 if share > options.max else 0


if __name__ == "__main__":
    sys.exit(main())
