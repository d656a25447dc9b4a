"""Our own package, as it is installed on hosts."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import time
from pathlib import Path

from root import KEPT_FOR, digest, shelf
from package import must, pack


@functools.cache
def deb() -> Path:
    """The package of target/release/depollueur, packed by `cargo deb`; `$DEPOLLUEUR` takes the place of its program,
    and `$DEPOLLUEUR_DEB` that of all of it."""
    if ready := os.environ.get("DEPOLLUEUR_DEB"):
        return Path(ready).resolve()
    for old in shelf().glob("deb-*"):
        if time.time() - old.stat().st_mtime > KEPT_FOR:
            shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix="deb-", dir=shelf()))
    try:
        packed = pack(place)
        if program := os.environ.get("DEPOLLUEUR"):
            packed = with_program(packed, Path(program))
        name = f"depollueur_{must('dpkg-deb', '-f', packed, 'Version').strip()}_{must('dpkg-deb', '-f', packed, 'Architecture').strip()}.deb"
        made = place / "made" / name
        made.parent.mkdir()
        shutil.move(packed, made)
        final = shelf() / f"deb-{digest(made.read_bytes())}" / name
        final.parent.mkdir(exist_ok=True)
        os.replace(made, final)
        return final
    finally:
        shutil.rmtree(place, ignore_errors=True)


def with_program(package: Path, program: Path) -> Path:
    """The package with another program in it, stripped."""
    tree = package.parent / "tree"
    must("dpkg-deb", "-R", package, tree)
    must("strip", "-o", tree / "usr/bin/depollueur", program)
    made = package.parent / "with-program.deb"
    must("dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, made)
    return made
