"""The MTA's side of the milter protocol, raw: what a real Postfix never sends can be sent too.

    with Milter("unix:/run/depollueur/milter.sock") as milter:
        milter.open()
        replies = milter.message(header, chunks)

A reply is a pair of its command letter and its bytes. The letters that matter here: `c` continue,
`a` accept, `t` try again later, `s` skip the rest of the body; at the end of a message also `h`
add header, `m` change header, `i` insert header, `b` a piece of the new body, `p` progress.
"""

from __future__ import annotations

import socket
import struct

ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
NO_REPLY = {"C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000, "T": 0x10000, "L": 0x80,
            "N": 0x40000, "B": 0x80000}
NOT_WANTED = {"C": 0x1, "H": 0x2, "M": 0x4, "R": 0x8, "B": 0x10, "L": 0x20, "N": 0x40, "T": 0x200}
LEADING_SPACE = 0x100000
CHUNK_MAX = 65535


class Milter:
    """One connection to a milter."""

    def __init__(self, address: str, timeout: float = 120):
        kind, _, rest = address.partition(":")
        if kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            target = rest
        else:
            self.socket = socket.socket()
            host, _, port = address.rpartition(":")
            target = (host, int(port))
        self.socket.settimeout(timeout)
        self.socket.connect(target)
        self.steps = 0
        self.skipped = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # ---- packets

    def send(self, command: str, data: bytes = b""):
        self.socket.sendall(struct.pack(">I", len(data) + 1) + command.encode() + data)

    def receive(self) -> tuple[str, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        packet = self._exactly(length)
        return chr(packet[0]), packet[1:]

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the milter closed the connection")
            data += piece
        return bytes(data)

    def step(self, command: str, data: bytes = b"") -> str | None:
        """Sends what the milter asked for, and waits for the answer if it said it would answer.

        Returns the answer's letter; `None` when none was due.
        """
        if self.steps & NOT_WANTED.get(command, 0):
            return None
        self.send(command, data)
        if self.steps & NO_REPLY.get(command, 0):
            return None
        return self.receive()[0]

    # ---- the dialogue

    def open(self, *, login: str | None = "alice", daemon_name="ORIGINATING",
             actions=ALL_ACTIONS, steps=ALL_STEPS):
        """Negotiates and tells who is there, up to HELO."""
        self.login = login
        self.send("O", struct.pack(">III", 6, actions, steps))
        letter, data = self.receive()
        if letter != "O":
            raise ConnectionError(f"negotiation was answered {letter!r}")
        self.version, self.actions, self.steps = struct.unpack(">III", data[:12])
        if self.actions & ~actions or self.steps & ~steps:
            raise ConnectionError("the milter asks for what was not offered")
        self.macros("C", j="mx.lab.test", v="Postfix 3.7.11", _="localhost [127.0.0.1]",
                    daemon_name=daemon_name, client_addr="127.0.0.1", client_name="localhost")
        self.step("C", b"localhost\0" + b"4" + struct.pack(">H", 2525) + b"127.0.0.1\0")
        self.macros("H")
        self.step("H", b"client.lab.test\0")

    def macros(self, stage: str, **values):
        data = stage.encode()
        for name, value in values.items():
            name = name if len(name) == 1 else "{" + name + "}"
            data += name.encode() + b"\0" + str(value).encode() + b"\0"
        self.send("D", data)

    def envelope(self, sender="alice@lab.test", recipients=("bob@example.com",), queue_id="4ABC",
                 size: int | None = None) -> str | None:
        """MAIL, RCPT and DATA. Returns the letter if the milter accepted the message unseen."""
        auth = {"auth_authen": self.login, "auth_type": "PLAIN"} if self.login else {}
        self.macros("M", mail_addr=sender, **auth)
        arguments = f"<{sender}>\0" + (f"SIZE={size}\0" if size is not None else "")
        if self.step("M", arguments.encode()) in ("a", "t", "r", "d"):
            return "a"
        for recipient in recipients:
            self.macros("R", rcpt_addr=recipient, i=queue_id)
            self.step("R", f"<{recipient}>\0".encode())
        self.macros("T", i=queue_id)
        answer = self.step("T")
        return answer if answer == "a" else None

    def header(self, fields, queue_id="4ABC") -> str | None:
        """The top-level header as pairs of name and raw value (leading space, bare LF folds)."""
        for name, value in fields:
            if not self.steps & LEADING_SPACE and value.startswith(b" "):
                value = value[1:]
            answer = self.step("L", name + b"\0" + value + b"\0")
            if answer in ("a", "t"):
                return answer
        self.macros("N", i=queue_id)
        answer = self.step("N")
        return answer if answer in ("a", "t") else None

    def body(self, chunks) -> str | None:
        """Sends the body until the milter has seen enough of it."""
        if self.steps & NOT_WANTED["B"]:
            return None
        for chunk in chunks:
            answer = self.step("B", chunk)
            if answer == "s":
                return None
            if answer in ("a", "t"):
                return answer
        return None

    def end(self, queue_id="4ABC") -> list[tuple[str, bytes]]:
        """The end of the message: every reply, the last one is the verdict."""
        self.macros("E", i=queue_id)
        self.send("E")
        replies = []
        while not replies or replies[-1][0] not in "atrdyc":
            replies.append(self.receive())
        return replies

    def message(self, raw: bytes, **envelope) -> list[tuple[str, bytes]]:
        """One whole message in CRLF form; its replies at the end, or the early verdict alone."""
        fields, body = split(raw)
        chunks = (body[i:i + CHUNK_MAX] for i in range(0, len(body), CHUNK_MAX))
        early = self.envelope(**envelope) or self.header(fields) or self.body(chunks)
        return [(early, b"")] if early else self.end()


def split(raw: bytes):
    """Header fields as pairs, as Postfix hands them to a milter, and the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1] += b"\n" + line
        else:
            name, _, value = line.partition(b":")
            fields.append([name, value])
    return [(name, value) for name, value in fields], body


def body_of(replies) -> bytes:
    """The new body that the replies put together."""
    return b"".join(data for letter, data in replies if letter == "b")


def check_order(replies):
    """Progress and header edits first, then the body in one run, then one verdict.

    Postfix drops the change, or delivers half a body, at anything else between two pieces.
    """
    letters = "".join(letter for letter, _ in replies)
    body = letters.strip("ac").lstrip("phmi")
    assert set(body) <= {"b"}, f"replies come as {letters}"
    assert letters[-1] in "ac", f"replies end with {letters[-1]!r}"
    assert all(len(data) <= CHUNK_MAX for letter, data in replies if letter == "b")
