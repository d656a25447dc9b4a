#!/usr/bin/env python3
"""Readers on a slow line: so many connections, each of which takes 4 KiB a second of an endless download.

    drop_readers.py PORT PATH COUNT

Says "open" when all have begun, then reads until its input ends, and says how many are still served.
"""

import selectors
import socket
import sys
import time

PIECE = 4096


def begin(port: int, path: str) -> socket.socket:
    reader = socket.socket()
    # So that little is on its way, as on a slow line.
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    reader.settimeout(60)
    reader.connect(("127.0.0.1", port))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: drop.lab.test\r\n\r\n".encode())
    assert reader.recv(PIECE).startswith(b"HTTP/1.1 200"), "refused"
    reader.setblocking(False)
    return reader


def take(reader: socket.socket) -> bool:
    """Whether it is still served."""
    try:
        return bool(reader.recv(PIECE))
    except BlockingIOError:
        return True
    except OSError:
        return False


def main(port: str, path: str, count: str):
    readers = [begin(int(port), path) for _ in range(int(count))]
    print("open", flush=True)
    ended = selectors.DefaultSelector()
    ended.register(sys.stdin, selectors.EVENT_READ)
    began = time.monotonic()
    rounds = 0
    while not ended.select(max(0.0, began + rounds - time.monotonic())):
        readers = [reader for reader in readers if take(reader)]
        rounds += 1
    print(len(readers), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
