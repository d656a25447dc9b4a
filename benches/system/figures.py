"""What the commands share: what processes cost, what is judged, and what is kept of a run."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RESULTS = TARGET / "bench-system"

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(ROOT / "tests" / "faults"))

KIB, MIB = 1 << 10, 1 << 20
# Of these, so many are a second of processor time in /proc.
TICK = os.sysconf("SC_CLK_TCK")


# ---- processes

def tree(roots) -> set[int]:
    """Processes and all that came from them."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat:
                children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, todo = set(), list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def processor_seconds(roots) -> float:
    """What a tree of processes spent on processors: those that live to the nanosecond, those that ended in ticks."""
    total = 0.0
    for pid in tree(roots):
        stat = _stat(pid)
        if stat is None:
            continue
        total += (int(stat[13]) + int(stat[14])) / TICK
        try:
            # The clock of another process: clock_getcpuclockid(3), which Python does not have.
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            total += (int(stat[11]) + int(stat[12])) / TICK
    return total


def reset_peak(roots) -> None:
    for pid in tree(roots):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            pass


def peak_bytes(roots) -> int:
    """The sum of the peaks of a tree of processes: shared pages count for each."""
    total = 0
    for pid in tree(roots):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    return total


def run_measured(command) -> tuple[float, int]:
    """Seconds and peak memory of a command that must succeed; its output is thrown away.

    What this process had when it started the command counts as the command's, so that less than that is not seen.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended with {process.returncode}: {complaint.decode()}")
    return took, usage.ru_maxrss * KIB


def share_of_a_core(seconds: float = 0.5) -> float:
    """How much of a core a process gets that wants all of one: little on a machine that has other things to do."""
    began, spent = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        pass
    return (time.process_time() - spent) / seconds


def allow_files(count: int) -> None:
    """Lets this process, and those it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


# ---- figures

def percentile(values, percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def exponent(points) -> float:
    """The p of y = c·xᵖ: least squares through the logarithms of the points in the upper half of x."""
    low, high = (math.log(bound) for bound in (points[0][0], points[-1][0]))
    upper = [(math.log(x), math.log(max(y, 1e-12))) for x, y in points if math.log(x) >= (low + high) / 2 - 1e-9]
    if len(upper) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*upper)).slope


@dataclass
class Bar:
    """A figure of each round, and what their median must be."""

    what: str
    values: list[float]
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def held(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value < self.bound

    def line(self) -> str:
        side = "at least" if self.at_least else "under"
        spread = f" [{min(self.values):.2f}..{max(self.values):.2f}]" if len(self.values) > 1 else ""
        return (f"{'held  ' if self.held else 'MISSED'}  {self.what}: {self.value:.2f}{self.unit}{spread} "
                f"({side} {self.bound:.2f}{self.unit})")

    def record(self) -> dict:
        return {"what": self.what, "value": self.value, "values": self.values, "bound": self.bound, "at_least": self.at_least,
                "held": self.held}


def print_bars(bars) -> int:
    """Prints all of them and how many were held; what the command ends with."""
    print()
    for bar in bars:
        print(bar.line())
    missed = sum(not bar.held for bar in bars)
    print(f"{len(bars) - missed} held, {missed} missed")
    return 1 if missed else 0


# ---- what is kept

def keep(path: Path, figures: dict) -> None:
    """Appends a run, a line of JSON, with its date, commit and machine."""
    shown = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT)
    path.parent.mkdir(parents=True, exist_ok=True)
    run = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": shown.stdout.strip(),
           "machine": machine(), **figures}
    with path.open("a") as file:
        file.write(json.dumps(run) + "\n")
    print(f"kept in {path}")


def machine() -> dict:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                 platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * KIB
    return {"cores": os.cpu_count(), "cpu": model, "memory_bytes": memory, "kernel": platform.release(),
            "load": os.getloadavg()[0]}
