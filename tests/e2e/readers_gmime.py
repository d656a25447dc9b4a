#!/usr/bin/python3
"""The leaves of messages as GMime reads them: file names on standard input, one JSON array a line.

The argument is what to look for in a leaf. Used by readers.py; Debian's own Python has the binding.
"""

from __future__ import annotations

import hashlib
import json
import sys

import gi

gi.require_version("GMime", "3.0")
from gi.repository import GMime  # noqa: E402

MARK = sys.argv[1].encode()


def content(part) -> bytes:
    wrapper = part.get_content()
    if wrapper is None:
        return b""
    stream = GMime.StreamMem.new()
    wrapper.write_to_stream(stream)
    stream.flush()
    return bytes(stream.get_byte_array())


def walk(part, depth: int, leaves: list) -> None:
    kind = part.get_content_type()
    name = f"{kind.get_media_type()}/{kind.get_media_subtype()}".lower() if kind else "text/plain"
    if isinstance(part, GMime.Multipart) and part.get_count():
        for index in range(part.get_count()):
            walk(part.get_part(index), depth + 1, leaves)
        return
    data = content(part) if isinstance(part, GMime.Part) else b""
    text = data.replace(b"\r\n", b"\n")
    leaves.append([depth, name, hashlib.sha256(data).hexdigest(), hashlib.sha256(text).hexdigest(),
                   int(MARK in data)])


def main() -> None:
    GMime.init()
    for line in sys.stdin:
        leaves: list = []
        with open(line.rstrip("\n"), "rb") as file:
            stream = GMime.StreamMem.new_with_buffer(file.read())
        message = GMime.Parser.new_with_stream(stream).construct_message(None)
        if message is not None and message.get_mime_part() is not None:
            walk(message.get_mime_part(), 0, leaves)
        print(json.dumps(leaves), flush=True)


if __name__ == "__main__":
    main()
