"""What is printed and kept: a table for each cell, and each bar with its value."""

from __future__ import annotations

import statistics
import subprocess
from dataclasses import dataclass, field

from figures import MIB, ROOT, Bar, percentile

FLOOR, PASSING, DETACHING, MIMEDEFANG, PYTHON, SCANNED, SLOW_DISK = "bcdefij"


@dataclass
class Run:
    """One set-up in one cell in one round."""

    seconds: float
    delivered_seconds: float
    messages: int
    bytes: int
    filter_seconds: float
    all_seconds: float
    peak_bytes: int
    ends: list[float]

    @property
    def rate(self) -> float:
        """Messages that Postfix takes in a second."""
        return self.messages / self.seconds

    @property
    def delivered_rate(self) -> float:
        """Messages that have left its queue in a second: what a server can do for long."""
        return self.messages / self.delivered_seconds


@dataclass
class Cell:
    """A message size and a number of connections: the runs of each set-up, a round each."""

    size: str
    connections: int
    runs: dict[str, list[Run]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.size}:{self.connections}"

    def median(self, key: str, figure) -> float:
        return statistics.median(map(figure, self.runs[key]))

    def ratios(self, key: str, to: str, figure) -> list[float]:
        """Round by round, since a machine's speed drifts."""
        pairs = zip(self.runs.get(key, ()), self.runs.get(to, ()))
        return [figure(one) / figure(other) for one, other in pairs if figure(other)]

    def ends(self, key: str) -> list[float]:
        return [end for run in self.runs[key] for end in run.ends]


def per_gigabyte(seconds):
    return lambda run: seconds(run) / (run.bytes / 1e9)


DELIVERED = lambda run: run.delivered_rate  # noqa: E731
FILTER_COST = per_gigabyte(lambda run: run.filter_seconds)
ALL_COST = per_gigabyte(lambda run: run.all_seconds)


def print_cell(cell: Cell, titles: dict[str, str]):
    count = max(len(runs) for runs in cell.runs.values())
    print(f"\n{cell.size}B × {cell.connections}   (medians of {count} rounds; end: from the client's last byte to the "
          "reply)")
    print(f"{'':24}{'msg/s':>8}{'MB/s':>7}{'deliv.':>7}{'× alone':>9}{'× do-nothing':>21}{'end p50':>9}{'p99 ms':>8}"
          f"{'filter s/GB':>13}{'all s/GB':>10}{'peak MB':>9}")
    for key, runs in cell.runs.items():
        rate = cell.median(key, lambda run: run.rate)
        mega = runs[0].bytes / runs[0].messages / 1e6
        delivered = cell.median(key, lambda run: run.bytes / run.delivered_seconds / 1e6)
        ends = cell.ends(key)
        print(f"{titles[key]:24}{rate:8.1f}{rate * mega:7.1f}{delivered:7.1f}"
              f"{spread(cell.ratios(key, 'a', DELIVERED), short=True):>9}"
              f"{spread(cell.ratios(key, FLOOR, DELIVERED)):>21}"
              f"{percentile(ends, 50) * 1e3:9.1f}{percentile(ends, 99) * 1e3:8.1f}"
              f"{cell.median(key, FILTER_COST):13.2f}{cell.median(key, ALL_COST):10.2f}"
              f"{max(run.peak_bytes for run in runs) / MIB:9.1f}")
    scanned = cell.ratios(SCANNED, DETACHING, DELIVERED)
    if scanned:
        cost = cell.ratios(SCANNED, DETACHING, FILTER_COST)
        print(f"{titles[SCANNED]}: {spread(scanned)} of what is delivered without the scan, {spread(cost)} times its processor time")


def spread(ratios, short=False) -> str:
    if not ratios:
        return "–"
    middle = f"{statistics.median(ratios):.2f}"
    return middle if short else f"{middle} [{min(ratios):.2f}..{max(ratios):.2f}]"


# ---- bars

def bars(cells: list[Cell], ends: dict[str, list[float]], fsync: float) -> list[Bar]:
    found = []
    for cell in cells:
        found += speed_bars(cell) + cost_bars(cell)
        if (cell.size, cell.connections) == ("25M", 32) and DETACHING in cell.runs:
            peaks = [run.peak_bytes / MIB for run in cell.runs[DETACHING]]
            found.append(Bar(f"peak memory, detaching, {cell.name}", peaks, 64, False, " MiB"))
    if DETACHING in ends:
        bound = 2 * fsync * 1e3 + 10
        values = [seconds * 1e3 for seconds in ends[DETACHING]]
        found.append(Bar("last byte to reply at the milter protocol, detaching, 25M", values, bound, False, " ms"))
    return [bar for bar in found if bar.values]


def speed_bars(cell: Cell) -> list[Bar]:
    detaching = 0.85 if cell.size in ("10k", "20k") else 1.0
    return [Bar(f"messages/s delivered to those with a do-nothing milter, {what}, {cell.name}",
                cell.ratios(key, FLOOR, DELIVERED), bound, True)
            for key, what, bound in ((DETACHING, "detaching", detaching), (PASSING, "passing", 0.97))] + slow_bars(cell)


def slow_bars(cell: Cell) -> list[Bar]:
    """Those of a disk whose sync takes 8 ms: two syncs a message, shared by those that come together."""
    bound = {1: 45, 16: 350}.get(cell.connections) if cell.size == "20k" else None
    rates = [run.messages / run.delivered_seconds for run in cell.runs.get(SLOW_DISK, ())]
    return [Bar(f"messages/s delivered, detaching on a slow disk, {cell.name}", rates, bound, True)] if bound else []


def cost_bars(cell: Cell) -> list[Bar]:
    wanted = {"25M": ((FLOOR, 2.2, False), (MIMEDEFANG, 4, True), (PYTHON, 8, True)),
              "10k": ((MIMEDEFANG, 10, True),)}
    names = {FLOOR: "a do-nothing milter", MIMEDEFANG: "MIMEDefang", PYTHON: "Python"}
    made = []
    for key, bound, at_least in wanted.get(cell.size, ()):
        what = (f"times less processor time than {names[key]}, detaching, {cell.name}" if at_least else
                f"processor time to that of {names[key]}, detaching, {cell.name}")
        pair = (key, DETACHING) if at_least else (DETACHING, key)
        made.append(Bar(what, cell.ratios(*pair, FILTER_COST), bound, at_least))
    return made


# ---- what is kept

def versions() -> dict:
    said = lambda *command: subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()  # noqa: E731
    package = lambda name: said("dpkg-query", "-W", "-f", "${Version}", name)  # noqa: E731
    return {"postfix": said("postconf", "-d", "-h", "mail_version"), "mimedefang": package("mimedefang"),
            "python3-milter": package("python3-milter"),
            "python": said("/usr/bin/python3", "-V").removeprefix("Python ")}


def cell_record(cell: Cell) -> dict:
    """A cell's medians for each set-up, and the ratios of each round."""
    kept = {}
    for key, runs in cell.runs.items():
        ends = cell.ends(key)
        kept[key] = {
            "messages_per_second": cell.median(key, lambda run: run.rate),
            "megabytes_per_second": cell.median(key, lambda run: run.bytes / run.seconds / 1e6),
            "delivered_megabytes_per_second": cell.median(key, lambda run: run.bytes / run.delivered_seconds / 1e6),
            "end_p50_seconds": percentile(ends, 50), "end_p99_seconds": percentile(ends, 99),
            "filter_seconds_per_gigabyte": cell.median(key, FILTER_COST),
            "all_seconds_per_gigabyte": cell.median(key, ALL_COST),
            "peak_bytes": max(run.peak_bytes for run in runs),
            "rate_to_floor": cell.ratios(key, FLOOR, lambda run: run.rate),
            "delivered_rate_to_floor": cell.ratios(key, FLOOR, DELIVERED),
            "delivered_rate_to_alone": cell.ratios(key, "a", DELIVERED),
            "cost_to_floor": cell.ratios(key, FLOOR, FILTER_COST),
        }
    return {"cell": cell.name, "rounds": max(map(len, cell.runs.values())), "setups": kept}
