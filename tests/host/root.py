"""Roots of Debian systems, made once by debootstrap and kept; what is booted is a layer above one of them.

A root, and each layer of a state that takes long to reach, is a directory that nobody changes any more. They stand
in `target/host` (or `$HOST_ROOTS`), named after all that went into them, and are made again after some days.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from package import TARGET, Impossible, mirror, must  # noqa: E402

SUITES = ("bookworm", "trixie")
HERE = Path(__file__).resolve().parent
KEPT_FOR = 7 * 86_400
PACKAGES = HERE / "living" / "packages"


@dataclass(frozen=True)
class Image:
    """A system that is powered off: directories, the lowest first, each above the one before."""
    suite: str
    layers: tuple[Path, ...]

    def with_layer(self, layer: Path) -> Image:
        return Image(self.suite, (*self.layers, layer))

    @property
    def name(self) -> str:
        return self.layers[-1].name


def shelf() -> Path:
    """Where roots are kept."""
    place = Path(os.environ.get("HOST_ROOTS", TARGET / "host"))
    place.mkdir(parents=True, exist_ok=True)
    return place


def digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str):
    """Two runs must not make the same root at a time."""
    with open(shelf() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(name: str, make) -> Path:
    """The directory of this name: that of an earlier run, or what `make(directory)` fills."""
    with locked(name):
        place = shelf() / name
        if place.exists() and time.time() - place.stat().st_mtime < KEPT_FOR:
            return place
        shutil.rmtree(place, ignore_errors=True)
        new = shelf() / f".{name}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        make(new)
        os.replace(new, place)
        os.utime(place)
        return place


def packages(suite: str) -> list[str]:
    """What a root has beyond Debian's required packages; a line may end with the only suite that it is for."""
    lines = (line.split("#")[0].split() for line in PACKAGES.read_text().splitlines())
    return [words[0] for words in lines if words and words[1:] in ([], [suite])]


INSTALL = """
set -e
mount -t proc proc "$ROOT/proc"
for device in null zero full random urandom; do mount --bind "/dev/$device" "$ROOT/dev/$device"; done
cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' >"$ROOT/usr/sbin/policy-rc.d"
chmod 755 "$ROOT/usr/sbin/policy-rc.d"
echo 'postfix postfix/main_mailer_type select Internet Site' | chroot "$ROOT" debconf-set-selections
chroot "$ROOT" apt-get -qq update
chroot "$ROOT" apt-get -qq install -y --no-install-recommends "$@"
chroot "$ROOT" apt-get -qq clean
# What would wait for a network, and the daemons that a host starts when it is set up (living/setup.sh).
for unit in $(chroot "$ROOT" systemctl list-unit-files --state=enabled --no-legend 'clamav*' 'opendkim*' 'systemd-networkd*' | cut -d' ' -f1); do
  chroot "$ROOT" systemctl --quiet disable "$unit" 2>/dev/null
done
rm -f "$ROOT/usr/sbin/policy-rc.d" "$ROOT/etc/apt/apt.conf.d/70test"
"""


def pristine(suite: str) -> Image:
    """Debian with all packages of a mail host, none of them configured."""
    if suite not in SUITES:
        raise Impossible(f'"{suite}" is none of {", ".join(SUITES)}')
    names = packages(suite)
    root = kept(f"{suite}-{digest(INSTALL, *names)}", lambda place: debootstrap(suite, names, place))
    return Image(suite, (root,))


def debootstrap(suite: str, names: list[str], place: Path):
    print(f"      makes a root of {suite}: some minutes", flush=True)
    cache = shelf() / "debs"
    cache.mkdir(exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "ROOT": str(place)}
    must("debootstrap", "--variant=minbase", f"--cache-dir={cache}", "--include=ca-certificates", suite, place, mirror(), env=environment)
    (place / "etc/apt/apt.conf.d/70test").write_text(reaching_the_mirror() + 'Dpkg::Options { "--force-unsafe-io"; };\n')
    # Mounts in a namespace that ends with the command.
    must("unshare", "--mount", "sh", "-c", INSTALL, "install", *names, env=environment)
    for path in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(place / path, ignore_errors=True)
    (place / "var/lib/apt/lists/partial").mkdir(parents=True)
    (place / "var/cache/apt/archives/partial").mkdir(parents=True)


DOWNLOAD = """
set -e
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cp /etc/resolv.conf "$PLACE/root/etc/resolv.conf"
chroot "$PLACE/root" apt-get -qq update
chroot "$PLACE/root" apt-get -qq install -y --no-install-recommends --download-only "$@" >/dev/null
cp "$PLACE"/root/var/cache/apt/archives/*.deb "$PLACE/"
"""


def debs(suite: str, *names: str) -> Path:
    """A directory with packages of Debian, and those that they need beyond what a root has."""
    [root] = pristine(suite).layers

    def make(place: Path):
        for part in ("upper", "work", "root"):
            (place / part).mkdir()
        settings = place / "upper" / "etc" / "apt" / "apt.conf.d"
        settings.mkdir(parents=True)
        (settings / "70test").write_text(reaching_the_mirror())
        must("unshare", "--mount", "sh", "-c", DOWNLOAD, "download", *names,
             env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "ROOT": str(root), "PLACE": str(place)})
        for part in ("upper", "work", "root"):
            shutil.rmtree(place / part)

    return kept(f"{root.name}-debs-{digest(DOWNLOAD, *names)}", make)


def reaching_the_mirror() -> str:
    """How apt reaches the mirror on this machine: a proxy, for one."""
    return "\n".join(line for line in must("apt-config", "dump").splitlines() if line.startswith("Acquire::http")) + "\n"
