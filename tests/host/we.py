"""Our own package, as it is installed on hosts."""

from __future__ import annotations

import functools
import os
import shutil
import time
from pathlib import Path

from package import ROOT, TARGET, Impossible, must, pack
from root import KEPT_FOR, digest, kept, shelf

# All that goes into it, beside the program.
PARTS = ("CHANGELOG.md", "Cargo.toml", "README.md", "config", "doc", "man", "packaging", "systemd")


@functools.cache
def deb() -> Path:
    """The package of target/release/depollueur, packed by `packaging/build`; `$DEPOLLUEUR` takes the place of its program,
    and `$DEPOLLUEUR_DEB` that of all of it. It is packed once for the same parts."""
    if ready := os.environ.get("DEPOLLUEUR_DEB"):
        return Path(ready).resolve()
    for old in shelf().glob("deb-*"):
        if old.is_dir() and time.time() - old.stat().st_mtime > KEPT_FOR:
            shutil.rmtree(old, ignore_errors=True)
    program = Path(os.environ.get("DEPOLLUEUR", TARGET / "release" / "depollueur")).resolve()
    if not program.exists():
        raise Impossible(f'"{program}" is not there: cargo build --release')
    files = sorted(path for part in PARTS for path in [ROOT / part, *(ROOT / part).rglob("*")] if path.is_file())
    name = "deb-" + digest(program.read_bytes(), *(part for path in files for part in (str(path.relative_to(ROOT)), path.read_bytes())))
    return next(kept(name, lambda place: make(place, program)).glob("*.deb"))


def make(place: Path, program: Path):
    packed = pack(place)
    if "DEPOLLUEUR" in os.environ:
        packed = with_program(packed, program)
    fields = [must("dpkg-deb", "-f", packed, field).strip() for field in ("Version", "Architecture")]
    os.rename(packed, place / f"depollueur_{'_'.join(fields)}.deb")
    (place / "1.deb").unlink(missing_ok=True)


def with_program(package: Path, program: Path) -> Path:
    """The package with another program in it, stripped."""
    tree = package.parent / "tree"
    must("dpkg-deb", "-R", package, tree)
    must("strip", "-o", tree / "usr/bin/depollueur", program)
    made = package.parent / "with-program.deb"
    must("dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, made)
    shutil.rmtree(tree)
    return made
