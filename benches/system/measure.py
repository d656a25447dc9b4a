"""The messages, the load, the disk, and the end of a message at the milter protocol."""

from __future__ import annotations

import base64
import os
import random
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import figures  # noqa: F401  (it says where the lab is)
from milter_client import CHUNK_MAX, Milter, split

MARK = b"0000000000000000"
LINE = 57


# ---- messages

def kilobytes(size: str) -> int:
    """`10k` and `25M` in bytes on the wire."""
    return int(size[:-1]) * {"k": 10**3, "M": 10**6}[size[-1]]


@dataclass
class Message:
    """A message with one attachment in base64, and the place of the sixteen bytes that make it unlike the others."""

    size: str
    path: Path
    data: bytes
    mark: int

    @classmethod
    def make(cls, size: str, directory: Path) -> "Message":
        head = ("From: Alice <alice@lab.test>\r\nTo: Bob <bob@example.com>\r\nSubject: Report\r\n"
                "Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <report@lab.test>\r\n"
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n"
                "--=_part\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
                "Hello,\r\n\r\nhere is the report.\r\n\r\n-- \r\nAlice\r\n"
                "--=_part\r\nContent-Type: application/pdf; name=\"report.pdf\"\r\n"
                "Content-Disposition: attachment; filename=\"report.pdf\"\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n").encode()
        tail = b"--=_part--\r\n"
        lines = (kilobytes(size) - len(head) - len(tail)) // 78
        bytes_ = random.Random(size).randbytes(lines * LINE)
        body = bytearray(base64.encodebytes(bytes_).replace(b"\n", b"\r\n"))
        body[:len(MARK)] = MARK
        path = directory / f"{size}.eml"
        data = head + bytes(body) + tail
        path.write_bytes(data)
        return cls(size, path, data, len(head))

    def with_serial(self, serial: int) -> bytes:
        return self.data[:self.mark] + b"%016d" % serial + self.data[self.mark + len(MARK):]

    def attachment(self, serial: int) -> bytes:
        end = self.data.rindex(b"--=_part--")
        return base64.b64decode(self.with_serial(serial)[self.mark:end])


# ---- load

@dataclass
class Sent:
    """What the client saw: seconds for all; for each message from its last byte to the reply."""

    seconds: float
    ends: list[float]


def send(load: Path, port: int, message: Message, serial: int, count: int, connections: int, to: str,
         parameters: str) -> Sent:
    command = [load, str(port), message.path, str(message.mark), str(serial), str(count), str(connections), to,
               parameters]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the load failed: {done.stderr.strip()}")
    first, *lines = done.stdout.splitlines()
    return Sent(float(first), [int(line.split()[0]) / 1e6 for line in lines])


# ---- the disk

def fsync_seconds(directory: Path, size: int, times: int = 7) -> float:
    """The median of what one fsync takes after so many bytes were written to a new file."""
    block = random.Random(1).randbytes(min(size, 1 << 16))
    took = []
    for _ in range(times):
        with tempfile.TemporaryFile(dir=directory) as file:
            for _ in range(0, size, len(block)):
                file.write(block)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


# ---- at the milter protocol

def milter_end_seconds(socket: Path, message: Message, serial: int, detaches: bool) -> float:
    """From the last byte of the body to the last reply, without Postfix."""
    fields, body = split(message.with_serial(serial))
    with Milter(f"unix:{socket}", timeout=300) as milter:
        milter.open()
        if milter.envelope(queue_id=f"{serial:X}") or milter.header(fields):
            raise RuntimeError("the milter does not want the body")
        chunks = [body[i:i + CHUNK_MAX] for i in range(0, len(body), CHUNK_MAX)]
        if milter.body(chunks):
            raise RuntimeError("the milter ended the message before its body")
        began = time.perf_counter()
        replies = milter.end()
        took = time.perf_counter() - began
    letters = "".join(letter for letter, _ in replies)
    if letters[-1] not in "ac" or ("b" in letters) != detaches:
        raise RuntimeError(f"the milter replies {letters}")
    return took
