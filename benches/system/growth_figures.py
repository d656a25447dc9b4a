"""What `drop` and `growth` share: what a process costs, what is judged, and what is kept of a run."""

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
RESULTS = ROOT / "target" / "bench-system"

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

KIB, MIB = 1 << 10, 1 << 20


# ---- processes

def processor_seconds(pids) -> float:
    """What processes spent on processors so far, to the nanosecond: clock_getcpuclockid(3), which Python lacks."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def reset_peak(pids) -> None:
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pids) -> int:
    """The most memory that they had resident since `reset_peak`; what they share counts for each."""
    return sum(_status(pid, "VmHWM") for pid in pids)


def _status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith(field))


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
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        side = "at least" if self.at_least else "at most"
        spread = f" [{min(self.values):.2f}..{max(self.values):.2f}]" if len(self.values) > 1 else ""
        return (f"{'held  ' if self.held else 'MISSED'}  {self.what}: {self.value:.2f}{self.unit}{spread} "
                f"({side} {self.bound:.2f}{self.unit})")

    def record(self) -> dict:
        return {"what": self.what, "values": self.values, "bound": self.bound, "at_least": self.at_least,
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
    run = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": shown.stdout.strip(),
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
