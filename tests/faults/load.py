"""A client that sends mail as other mail servers and mail programs do, and writes down what it was told.

A message that is refused for the moment is sent again on a new connection, as a queue would; one whose
connection breaks between the final dot and the reply is sent again, too, and may then arrive more than once
(RFC 1047): such tries are counted apart.
"""

from __future__ import annotations

import base64
import itertools
import random
import socket
import threading
import time
from dataclasses import dataclass, field

from lab import PASSWORD, Lab
from letters import MIXED, deck, is_heavy, make

REPLY_SECONDS = 150
# How long a message is tried again after the load was told to stop, that is after the fault ended.
PATIENCE_SECONDS = 90
PAUSE_SECONDS = 0.15


@dataclass
class Letter:
    """What became of one message."""
    number: int
    kind: str
    to: str
    sender: str
    accepted: bool = False
    # Tries whose reply after the final dot did not come.
    unknown: int = 0
    # Replies of the kind "try again later", and connections that broke before the final dot.
    put_off: list[str] = field(default_factory=list)
    refused: str = ""
    # From the final dot to the reply.
    seconds: float = 0.0
    at: float = 0.0

    def message(self) -> bytes:
        return make(self.kind, self.number, self.to)


class PutOff(Exception):
    """A 4xx reply, or a connection that broke before anything was accepted."""


class Refused(Exception):
    """A 5xx reply."""


class Unknown(Exception):
    """The connection broke after the final dot: the server may have the message."""


class Session:
    """One SMTP session."""

    def __init__(self, port: int | tuple[str, int], login: str | None):
        """`port` of this machine, or an address with its port."""
        where = port if isinstance(port, tuple) else ("127.0.0.1", port)
        try:
            self.socket = socket.create_connection(where, REPLY_SECONDS)
            self.file = self.socket.makefile("rb")
        except OSError as error:
            raise PutOff(f"connect: {error}") from None
        try:
            self.expect("2")
            self.command("EHLO client.lab.test")
            if login:
                words = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
                self.command(f"AUTH PLAIN {words}")
        except BaseException:
            self.close()
            raise

    def expect(self, good: str) -> str:
        """A reply that begins with this digit; its last line."""
        try:
            line = self.file.readline()
            while line[3:4] == b"-":
                line = self.file.readline()
        except OSError as error:
            raise PutOff(f"lost: {error}") from None
        said = line.decode("utf-8", "replace").strip()
        if said.startswith(good):
            return said
        if said.startswith("5"):
            raise Refused(said)
        raise PutOff(said or "lost: the connection was closed")

    def command(self, line: str, good: str = "2") -> str:
        self.write(line.encode() + b"\r\n")
        return self.expect(good)

    def write(self, data: bytes):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise PutOff(f"lost: {error}") from None

    def send(self, letter: Letter, hang_up: bool = False):
        """Raises when it was not accepted, or when the client hangs up after the final dot."""
        message = letter.message()
        self.command(f"MAIL FROM:<{letter.sender}> SIZE={len(message)}")
        self.command(f"RCPT TO:<{letter.to}>")
        self.command("DATA", "3")
        self.write(message.replace(b"\r\n.", b"\r\n.."))
        begun = time.monotonic()
        try:
            self.write(b".\r\n")
            if hang_up:
                raise Unknown("the client hung up")
            self.expect("2")
        except PutOff as why:
            if str(why).startswith("lost"):
                raise Unknown(str(why)) from None
            raise
        letter.at = time.monotonic()
        letter.seconds = letter.at - begun

    def quit(self):
        try:
            self.command("QUIT")
        except (PutOff, Refused):
            pass
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class Load:
    """Sends mail on several connections until its `with` block ends; what is begun is brought to an end then.

    `rate` bounds the messages per second of all connections together, `count` how many there are; `impatient` is
    the share of tries in which the client hangs up after the final dot, and then sends the message again.
    """

    numbers = itertools.count(1)

    def __init__(self, lab: Lab, *, connections: int = 8, kinds=MIXED, seed: int = 1, rate: float | None = None,
                 count: int | None = None, impatient: float = 0, ports=("submission", "incoming")):
        self.lab, self.ports, self.rate, self.impatient = lab, ports, rate, impatient
        self.cards = deck(kinds, seed)
        self.letters: list[Letter] = []
        self.left = count
        self.turn = threading.Condition()
        self.stopping = threading.Event()
        self.patience = PATIENCE_SECONDS
        self.tries = 0
        self.ended_at = 0.0
        self.next_at = time.monotonic()
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.work, args=(n, random.Random(seed * 1000 + n)), daemon=True)
                        for n in range(connections)]

    def __enter__(self) -> "Load":
        self.begun_at = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
            return
        # The trial failed, or was interrupted: nothing is brought to an end.
        self.patience = 0
        self.stopping.set()
        for thread in self.threads:
            thread.join(2)

    def stop(self):
        self.stopping.set()
        self.join()

    def join(self):
        """Waits until all is sent, if there is a count of it."""
        for thread in self.threads:
            thread.join()
        self.ended_at = self.ended_at or time.monotonic()
        if self.errors:
            raise self.errors[0]

    # ---- what happened so far

    def accepted(self, heavy: bool = False) -> int:
        """How many messages were accepted; of those that have something to detach."""
        return sum(letter.accepted for letter in list(self.letters) if not heavy or is_heavy(letter.kind))

    def put_off(self) -> int:
        """How many tries were put off; tries without a reply are not among them."""
        return sum(len(letter.put_off) for letter in list(self.letters))

    def wait_accepted(self, more: int, seconds: float = 120, heavy: bool = False):
        """Waits until so many more messages are accepted than at the moment."""
        self.wait_for(lambda base=self.accepted(heavy): self.accepted(heavy) >= base + more,
                      f"{more} more messages to be accepted", seconds)

    def wait_tries(self, more: int, seconds: float = 120):
        """Waits until so many more tries ended, well or not."""
        self.wait_for(lambda base=self.tries: self.tries >= base + more, f"{more} more tries", seconds)

    def wait_for(self, condition, what: str, seconds: float):
        with self.turn:
            if not self.turn.wait_for(lambda: condition() or self.errors, seconds):
                raise AssertionError(f"waited {seconds:.0f} s for {what}; {self.accepted()} were accepted so far")

    # ---- the connections

    def work(self, worker: int, dice: random.Random):
        try:
            while (letter := self.next_letter(dice)) is not None:
                self.session(letter, worker, dice)
        except BaseException as error:  # the main thread raises it again
            self.errors.append(error)
        with self.turn:
            self.turn.notify_all()

    def next_letter(self, dice: random.Random) -> Letter | None:
        with self.turn:
            if self.stopping.is_set() or self.left == 0:
                return None
            if self.left is not None:
                self.left -= 1
            wait = 0.0
            if self.rate:
                now = time.monotonic()
                self.next_at = max(self.next_at, now - 1) + 1 / self.rate
                wait = self.next_at - now
            kind, number = next(self.cards), next(self.numbers)
        if wait > 0 and self.stopping.wait(wait):
            return None
        sender = f"{dice.choice(('alice', 'bob', 'carol'))}@lab.test"
        letter = Letter(number, kind, f"n{number}@example.com", sender)
        self.letters.append(letter)
        return letter

    def session(self, letter: Letter, worker: int, dice: random.Random):
        """One SMTP session or more, until its messages are accepted, refused, or given up."""
        port = self.ports[worker % len(self.ports)]
        login = "alice" if port == "submission" else None
        left = dice.randint(1, 6)
        session = None
        try:
            session = self.connect(letter, port, login)
            while session is not None:
                if not self.attempt(session, letter, dice.random() < self.impatient):
                    session.close()
                    session = self.connect(letter, port, login) if self.again(letter) else None
                    continue
                left -= 1
                following = self.next_letter(dice) if left > 0 else None
                if following is None:
                    session.quit()
                    return
                letter = following
        finally:
            if session is not None:
                session.close()

    def connect(self, letter: Letter, port: str, login: str | None) -> Session | None:
        while True:
            try:
                return Session(self.lab.ports[port], login)
            except PutOff as why:
                letter.put_off.append(str(why))
            except Refused as why:
                letter.refused = str(why)
                return None
            if not self.again(letter):
                return None

    def attempt(self, session: Session, letter: Letter, hang_up: bool = False) -> bool:
        """True when the session may go on with another message."""
        try:
            session.send(letter, hang_up)
            letter.accepted = True
            return True
        except Refused as why:
            letter.refused = str(why)
        except Unknown:
            letter.unknown += 1
        except PutOff as why:
            letter.put_off.append(str(why))
        finally:
            with self.turn:
                self.tries += 1
                self.turn.notify_all()
        return False

    def again(self, letter: Letter) -> bool:
        """Whether a message is to be tried again, after a pause."""
        if letter.accepted or letter.refused:
            return False
        if self.stopping.is_set():
            self.ended_at = self.ended_at or time.monotonic()
            if time.monotonic() > self.ended_at + self.patience:
                return False
            time.sleep(PAUSE_SECONDS)
        else:
            self.stopping.wait(PAUSE_SECONDS)
        return True
