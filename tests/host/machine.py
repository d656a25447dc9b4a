"""A whole Debian, booted: systemd as PID 1 in namespaces of its own, with no network but its own.

A machine is a layer (overlayfs) above an image, thrown away at its end or frozen into an image of its own. All mounts
are made in its mount namespace, and all its processes live in its process namespace: both end with its PID 1, and that
ends with this process, however this one ends. It needs root, and neither systemd nor a network on the machine outside.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from root import Image, Impossible

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"HOME": "/root", "TERM": "xterm", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
# The host itself, and an outside of which it is not part (RFC 5737): no address of a loopback or private network.
ADDRESS, OUTSIDE_ADDRESS = "192.0.2.10", "198.51.100.20"
BOOTS_WITHIN = 120
COMMAND_ENDS_WITHIN = 300

BOOT = r"""
set -e
read -r _  # until this process is where it belongs
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ "$CGROUP" = v2 ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do : >dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
hostname mail; echo mail >etc/hostname
ip link set lo up
for address in $ADDRESSES; do ip address add "$address/32" dev lo; done
mkdir -p oldroot; pivot_root . oldroot; umount -l /oldroot; rmdir /oldroot 2>/dev/null || true
export container=other
exec /lib/systemd/systemd --system --log-target=console systemd.unit=multi-user.target </dev/null
"""


class Machine:
    """A system that runs. `scratch` is a directory on a file system that overlayfs can write to."""

    def __init__(self, image: Image, scratch: Path, name: str = "machine"):
        self.image, self.suite = image, image.suite
        self.place = scratch / name
        for part in ("upper", "work", "root"):
            (self.place / part).mkdir(parents=True)
        self.console = self.place / "console"
        self.outer: subprocess.Popen | None = None
        self.pid = 0
        self.cgroup: Path | None = None

    # ---- on and off

    def boot(self):
        kind, above = hierarchy()
        self.cgroup = above / f"depollueur-host-{os.getpid()}-{self.place.name}"
        self.cgroup.mkdir()
        lower = ":".join(str(layer) for layer in reversed(self.image.layers))
        environment = {**os.environ, "LOWER": lower, "PLACE": str(self.place), "CGROUP": kind,
                       "ADDRESSES": f"{ADDRESS} {OUTSIDE_ADDRESS}"}
        inner = ["unshare", "-C", "-m", "-n", "-u", "-i", "-p", "--fork", "--kill-child=KILL", "bash", "-c", BOOT]
        entering = f'echo $$ >"{self.cgroup}/cgroup.procs"; exec "$@"'
        with open(self.console, "wb") as console:
            self.outer = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "bash", "-ec", entering, "boot", *inner],
                                          stdin=subprocess.PIPE, stdout=console, stderr=subprocess.STDOUT, env=environment,
                                          start_new_session=True)
        try:
            self.pid = self.first_process()
            # Where there is only the unified hierarchy, a group with subgroups has no process of its own.
            (above / "cgroup.procs").write_text(str(self.outer.pid))
            self.outer.stdin.write(b"\n")
            self.outer.stdin.close()
            self.wait_for_systemd()
        except BaseException:
            self.kill()
            raise
        return self

    def first_process(self) -> int:
        """PID 1 of the machine, by its number outside."""
        children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        deadline = time.monotonic() + BOOTS_WITHIN
        while time.monotonic() < deadline and self.outer.poll() is None:
            for child in children.read_text().split():
                lines = Path(f"/proc/{child}/status").read_text()
                if re.search(r"^NSpid:\s+\d+\s+1$", lines, re.M):
                    return int(child)
            time.sleep(0.02)
        raise Impossible(f"a Debian cannot be booted here: {self.last_words()}")

    def wait_for_systemd(self):
        deadline = time.monotonic() + BOOTS_WITHIN
        while time.monotonic() < deadline:
            if self.outer.poll() is not None:
                break
            state = self.run("systemctl is-system-running --wait").stdout.strip()
            if state in ("running", "degraded"):
                return
            time.sleep(0.1)
        raise Impossible(f"a Debian cannot be booted here: {self.last_words()}")

    def last_words(self) -> str:
        text = self.console.read_text(errors="replace").strip().splitlines() if self.console.exists() else []
        return text[-1] if text else "its console says nothing"

    def power_off(self):
        """Lets it stop its services, then waits for its end."""
        if self.outer and self.outer.poll() is None:
            self.run("systemctl poweroff")
            try:
                self.outer.wait(timeout=90)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        """Ends it at once: when its PID 1 ends, so do all its processes and mounts."""
        if self.outer and self.outer.poll() is None:
            self.outer.kill()
        if self.outer:
            self.outer.wait()
        if self.pid:
            gone(self.pid)
        if self.cgroup and self.cgroup.exists():
            for directory in sorted((path for path in self.cgroup.rglob("*") if path.is_dir()), reverse=True):
                remove_group(directory)
            remove_group(self.cgroup)
        self.outer, self.pid, self.cgroup = None, 0, None

    def discard(self):
        """Ends it, and forgets what was changed."""
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def freeze(self, into: Path) -> Image:
        """Powers it off; what it changed becomes a layer."""
        self.power_off()
        os.rename(self.place / "upper", into)
        shutil.rmtree(self.place, ignore_errors=True)
        return self.image.with_layer(into)

    # ---- commands and files

    def entering(self, command: str, user: str | None = None) -> list[str]:
        enter = ["nsenter", "-t", str(self.pid), "-m", "-n", "-u", "-i", "-p", "-C", "--root", "--wd", "--"]
        variables = [f"{key}={value}" for key, value in ENVIRONMENT.items()]
        become = ["runuser", "-u", user, "--"] if user else []
        return [*enter, "env", "-i", "-C", "/root" if user is None else "/", *variables, *become, "bash", "-c", command]

    def run(self, command: str, *, user: str | None = None, input: str | bytes | None = None,
            within: float = COMMAND_ENDS_WITHIN) -> subprocess.CompletedProcess:
        """Runs a line of shell, as root in /root unless told, and gives what it said. Text goes in and out."""
        given = input.encode() if isinstance(input, str) else input
        done = subprocess.run(self.entering(command, user), input=given, capture_output=True, timeout=within,
                              **({} if given is not None else {"stdin": subprocess.DEVNULL}))
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(errors="replace"),
                                           done.stderr.decode(errors="replace"))

    def must(self, command: str, **options) -> str:
        """As `run`, for a command that has to succeed: what it printed."""
        done = self.run(command, **options)
        assert done.returncode == 0, f"{command}\nended with {done.returncode}: {(done.stdout + done.stderr).strip()[-3000:]}"
        return done.stdout

    def type(self, command: str, *answers: str, within: float = COMMAND_ENDS_WITHIN) -> tuple[int, str]:
        """Runs a command in a terminal, types a line when it has asked for each; its exit status and the screen.

        A question is what ends without a line feed."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvp("nsenter", self.entering(command))
        screen, left = b"", list(answers)
        deadline = time.monotonic() + within
        try:
            while time.monotonic() < deadline:
                more = read_some(terminal, 0.5)
                if more is None:
                    break
                screen += more
                if not more and left and not screen.endswith(b"\n"):
                    os.write(terminal, (left.pop(0) + "\n").encode())
                    screen += read_some(terminal, 5) or b""
        finally:
            os.close(terminal)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), screen.decode(errors="replace").replace("\r\n", "\n")

    def read(self, path: str) -> str:
        return self.must(f"cat {shlex.quote(path)}")

    def write(self, path: str, text: str | bytes, mode: int | None = None, owner: str | None = None):
        """Writes a file, its directory as well; it keeps the mode and owner that it has."""
        quoted = shlex.quote(path)
        self.must(f'mkdir -p "$(dirname {quoted})" && cat >{quoted}', input=text)
        if mode is not None:
            self.must(f"chmod {mode:o} {quoted}")
        if owner:
            self.must(f"chown {owner} {quoted}")

    def exists(self, path: str) -> bool:
        return self.run(f"test -e {shlex.quote(path)}").returncode == 0

    def copy_in(self, source: Path, destination: str):
        """A file or the files of a directory, with their modes, as root's."""
        if source.is_dir():
            packed = subprocess.run(["tar", "-C", source, "--owner=0", "--group=0", "-c", "."], check=True, capture_output=True).stdout
            self.must(f"mkdir -p {destination} && tar -C {destination} -x --no-same-owner --no-overwrite-dir", input=packed)
        else:
            self.write(destination, source.read_bytes(), mode=source.stat().st_mode & 0o777)

    def journal(self, unit: str = "", *, lines: int = 50) -> str:
        chosen = f"-u {unit}" if unit else ""
        return self.run(f"journalctl --no-pager -q -o cat -n {lines} {chosen}").stdout

    def until(self, command: str, *, within: float = 60) -> str:
        """Runs a command again and again until it succeeds; what it printed."""
        deadline = time.monotonic() + within
        while True:
            done = self.run(command)
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > deadline:
                raise AssertionError(f"{command}\ndid not succeed within {within} s: {(done.stdout + done.stderr).strip()[-2000:]}")
            time.sleep(0.1)


def hierarchy() -> tuple[str, Path]:
    """The kind of control groups that systemd gets, and the group below which its own is made."""
    for place in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (place / "cgroup.controllers").exists():
            return "v2", place / own_group("")
    named = Path("/sys/fs/cgroup/systemd")
    if (named / "cgroup.procs").exists():
        return "v1", named / own_group("name=systemd")
    raise Impossible("a Debian cannot be booted here: neither cgroup2 nor a hierarchy of the name systemd is mounted at /sys/fs/cgroup")


def own_group(controllers: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names == controllers:
            return path.lstrip("/")
    return ""


def remove_group(directory: Path):
    """A group is empty some moments after its last process has ended."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return directory.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def gone(pid: int):
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise Impossible(f"process {pid} does not end")
        time.sleep(0.02)


def read_some(terminal: int, seconds: float) -> bytes | None:
    """What is shown within a time; nothing if nothing is, None at the end."""
    import select
    ready, _, _ = select.select([terminal], [], [], seconds)
    if not ready:
        return b""
    try:
        return os.read(terminal, 65536) or None
    except OSError:
        return None
