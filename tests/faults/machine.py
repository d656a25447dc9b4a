"""A machine that fails as it is told: disks, clock, memory, descriptors. Nothing here outlives its `with` block."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

SHIM = Path(__file__).resolve().parent / "shim.c"

# Kinds of calls, as in shim.c.
WRITE, SYNC, OPEN, READ, NAME = 1, 2, 4, 8, 16
CHANGES = WRITE | SYNC | OPEN | NAME


class Shim:
    """Stands between a program and libc; see shim.c. `prefix` goes before the program's command."""

    LAYOUT = struct.Struct("9q")

    def __init__(self, directory: Path, scope: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.library, self.file = directory / "shim.so", directory / "control"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.library, SHIM, "-ldl"], check=True)
        self.file.write_bytes(bytes(mmap.PAGESIZE))
        with self.file.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.prefix = ["env", f"LD_PRELOAD={self.library}", f"FAULTS_CONTROL={self.file}", f"FAULTS_SCOPE={scope}"]

    def put(self, index: int, *values: int):
        for number, value in enumerate(values, index):
            struct.pack_into("q", self.memory, 8 * number, value)

    def fail(self, calls: int, error: int = errno.EIO, one_in: int = 1):
        """From here on these kinds of calls fail, every `one_in`th of them."""
        self.put(2, error, one_in)
        self.put(1, calls)

    def delay(self, calls: int, seconds: float):
        self.put(5, int(seconds * 1e6))
        self.put(4, calls)

    def heal(self):
        """The disk works again."""
        self.put(1, 0)
        self.put(4, 0)

    def clock(self, seconds: int):
        """The time of day is so many seconds ahead of the true one."""
        self.put(0, seconds)

    def struck(self) -> int:
        """How many calls failed or were held up so far."""
        values = self.LAYOUT.unpack_from(self.memory)
        return values[7] + values[8]


@contextmanager
def mounted(options: str, place: Path | None = None):
    """A small file system in memory, at `place` or elsewhere; `None` where that is not allowed."""
    where = Path(tempfile.mkdtemp()) if place is None else place
    where.mkdir(mode=0o700, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", where]
    try:
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield where
        finally:
            subprocess.run(["umount", "-l", where], check=True)
    finally:
        if place is None:
            shutil.rmtree(where, ignore_errors=True)


def fill(place: Path) -> Path:
    """Takes all room of a file system; remove the file that is returned to give it back."""
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return filler


class Unavailable(Exception):
    """This machine cannot be made to fail in this way."""


@contextmanager
def group(controller: str, first: str, second: str, limit: int):
    """A control group with a limit, `first` and `second` being its names in versions 1 and 2 of the interface.

    Yields its directory; processes join it by being written to its cgroup.procs.
    """
    root, name = Path("/sys/fs/cgroup") / controller, first
    if not root.is_dir():
        root, name = Path("/sys/fs/cgroup"), second
    made = root / f"depollueur-faults-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as why:
        raise Unavailable(f"no control group can be made: {why}") from None
    try:
        try:
            (made / name).write_text(str(limit))
        except OSError as why:
            raise Unavailable(f"{controller} cannot be limited: {why}") from None
        yield made
    finally:
        made.rmdir()
