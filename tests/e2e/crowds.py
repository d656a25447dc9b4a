"""A crowd of strangers: slow readers of pages and of downloads, and somebody who asks for a page beside them."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import resource
import socket
import threading
import time
from pathlib import Path

from lab import Daemon

ADDRESSES = [f"127.0.2.{n}" for n in range(1, 17)]
RATE = 1500
STRANGER_SECONDS = 20


def status_kib(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M).group(1))


def message(subject: str, to: str, parts: list[tuple[str, bytes]]) -> bytes:
    lines = [f"From: alice@lab.test\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
             "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n".encode()]
    for name, data in parts:
        lines.append(f"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; "
                     f"filename=\"{name}\"\r\n\r\n".encode() + data + b"\r\n")
    return b"".join([*lines, b"--b--\r\n"])


def tagged(to: str, files: int) -> bytes:
    parts = [(f"a file of a package of many files, number {n}.txt", b"x") for n in range(files)]
    return message("[DEPOLLUER] many", to, parts)


def request(path: str, close: bool = False) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: drop.lab.test\r\n{'Connection: close' if close else 'X-Slow: yes'}\r\n\r\n".encode()


def connect(port: int, address: str, path: str) -> socket.socket | None:
    one = socket.socket()
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.bind((address, 0))
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(("127.0.0.1", port))
        return one
    except OSError:
        one.close()
        return None


class Slow:
    """One of the crowd."""

    def __init__(self, port: int, address: str, path: str):
        self.port, self.address, self.path = port, address, path
        self.socket: socket.socket | None = None
        self.asked = False

    def step(self) -> bool:
        """Takes what it takes in a second; true when it was cut, or had all."""
        if self.socket is None:
            self.socket, self.asked = connect(self.port, self.address, self.path), False
            return False
        try:
            if not self.asked:
                self.socket.sendall(request(self.path))
                self.asked = True
            elif not self.socket.recv(RATE):
                return self.end()
        except BlockingIOError:
            pass
        except OSError:
            return self.end()
        return False

    def end(self) -> bool:
        self.socket.close()
        self.socket = None
        return True


def crowd(port: int, groups: list[tuple[int, str]], stop, cut):
    """A process full of slow readers: so many of each path."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    readers = []
    for count, path in groups:
        readers += [Slow(port, ADDRESSES[n % len(ADDRESSES)], path) for n in range(count)]
    while not stop.is_set():
        begun = time.monotonic()
        ended = sum(reader.step() for reader in readers)
        with cut.get_lock():
            cut.value += ended
        time.sleep(max(0.0, 1 - (time.monotonic() - begun)))


@contextlib.contextmanager
def crowded(port: int, groups: list[tuple[int, str]], figures):
    if not groups:
        yield
        return
    stop, cut = multiprocessing.Event(), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=crowd, args=(port, groups, stop, cut), daemon=True)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(30)
        if process.is_alive():
            process.kill()
        figures.cut = cut.value


class Stranger:
    """Somebody who asks for a page each second, from an address of his own."""

    def __init__(self, daemon: Daemon, path: str, figures):
        self.daemon, self.path, self.figures, self.ending = daemon, path, figures, threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def work(self):
        while not self.ending.wait(1):
            begun = time.monotonic()
            try:
                if self.ask():
                    self.figures.pages.append(time.monotonic() - begun)
                    continue
            except OSError:
                pass
            self.figures.never += 1

    def ask(self) -> bool:
        where = ("127.0.0.1", self.daemon.web_port)
        with socket.create_connection(where, STRANGER_SECONDS, source_address=("127.0.3.1", 0)) as connection:
            connection.settimeout(STRANGER_SECONDS)
            connection.sendall(request(self.path, close=True))
            answer = connection.makefile("rb").read()
        return answer.startswith(b"HTTP/1.1 200") and answer.rstrip().endswith(b"</html>")
