"""The soak: mixed load for hours, and whether anything grows. And a day's mail at full speed."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from account import Account, counts, drain, percentile
from letters import DAY as DAY_KINDS
from letters import MIXED
from trial import Trial, blame, supervised

SOAK = "under mixed load for hours, memory, descriptors, threads and latency stay flat, and every message is right"
DAY = "a day's mail of a host with 1,000 users, replayed at full speed, is all delivered and right"
# 20 a user. No count of a real host stands behind this: surveys say that an office worker receives about 121 and
# sends 40 messages a day (DMR, 2015), of which a filter at the edge refuses spam, and internal lists go once.
DAY_MESSAGES = 20_000
SAMPLE_SECONDS = 30
# The first part of a soak warms up: caches, thread pools, the allocator.
WARM_UP = 0.2
# Expired packages must be swept while it runs, every ten minutes, or the disk fills.
SOAK_EXPIRY = "15 min"


@dataclass
class Sample:
    """The state of the daemon at one moment, and the latency since the last one."""
    hours: float
    rss_kib: int
    # Without what is mapped from files.
    anonymous_kib: int
    descriptors: int
    threads: int
    wal_kib: int
    p50_ms: float
    p99_ms: float
    messages: int


def sample(daemon, begun: float, waits: list[float]) -> Sample:
    process = Path(f"/proc/{daemon.process.pid}")
    status = (process / "status").read_text()

    def value(name: str) -> int:
        return int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1))
    log = daemon.drop / "drop.sqlite3-wal"
    return Sample(round((time.monotonic() - begun) / 3600, 4), value("VmRSS"), value("RssAnon"),
                  len(list((process / "fd").iterdir())),
                  value("Threads"), log.stat().st_size // 1024, round(1000 * percentile(waits, 0.5), 1),
                  round(1000 * percentile(waits, 0.99), 1), len(waits))


def slope(hours: list[float], values: list[float]) -> tuple[float, float]:
    """Least squares: units per hour, and the standard error of that."""
    count = len(hours)
    if count < 3:
        return 0.0, 0.0
    mean_x, mean_y = sum(hours) / count, sum(values) / count
    spread = sum((x - mean_x) ** 2 for x in hours)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(hours, values)) / spread
    residual = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in zip(hours, values))
    return rise, (residual / (count - 2) / spread) ** 0.5


# Name, unit, and the growth over the whole run that still counts as flat: a part of the median, or so much.
# SQLite's caches of pages, of its two connections, fill up to 4 MiB while the database grows.
WATCHED = [("rss_kib", "KiB", 0.10, 5120), ("anonymous_kib", "KiB", 0.10, 5120), ("descriptors", "", 0.10, 4),
           ("threads", "", 0.10, 4), ("wal_kib", "KiB", 0.10, 4096), ("p50_ms", "ms", 0.25, 5),
           ("p99_ms", "ms", 0.50, 100)]


def trends(samples: list[Sample]) -> list[dict]:
    """What each figure does after the warm-up. A slope is told from noise by twice its standard error."""
    steady = samples[int(len(samples) * WARM_UP):]
    hours = [s.hours for s in steady]
    found = []
    for name, unit, share, least in WATCHED:
        values = [float(getattr(s, name)) for s in steady]
        rise, error = slope(hours, values)
        middle = percentile(values, 0.5)
        spanned = hours[-1] - hours[0] if len(hours) > 2 else 0.0
        grown, allowed = max(0.0, (rise - 2 * error) * spanned), max(share * middle, least)
        found.append({"name": name, "unit": unit, "per_hour": round(rise, 2), "error": round(error, 2),
                      "median": middle, "least": min(values), "most": max(values), "grown": round(grown, 1),
                      "allowed": round(allowed, 1), "flat": grown <= allowed})
    return found


def show(trend: dict) -> str:
    unit = f" {trend['unit']}" if trend["unit"] else ""
    verdict = "flat" if trend["flat"] else "NOT FLAT"
    between = f"{trend['least']:.0f} to {trend['most']:.0f}"
    return (f"      {trend['name']:13} median {trend['median']:.0f}{unit} ({between}), slope"
            f" {trend['per_hour']:+.1f} ± {2 * trend['error']:.1f}{unit} an hour; for sure it grew by"
            f" {trend['grown']:.0f}{unit} in this run, of {trend['allowed']:.0f} allowed: {verdict}")


def soak(t: Trial, hours: float, rate: float):
    settings = {"drop_expiry": SOAK_EXPIRY, "drop_grace": "0 seconds", "drop_keep_records": "1 hour"}
    samples: list[Sample] = []
    with supervised(t.daemon(**settings)) as daemon, t.load(rate=rate, kinds=MIXED) as load:
        account = Account(t.lab.maildir, t.judges, base=daemon.settings["web_public_url"], web_port=daemon.web_port)
        begun = time.monotonic()
        seen, next_sample = 0, begun + SAMPLE_SECONDS
        while time.monotonic() < begun + hours * 3600:
            account.know(load.letters)
            account.collect()
            time.sleep(0.5)
            assert daemon.process.poll() is None, "the daemon ended"
            if time.monotonic() < next_sample:
                continue
            next_sample += SAMPLE_SECONDS
            letters, seen = load.letters[seen:], len(load.letters)
            samples.append(sample(daemon, begun, [letter.seconds for letter in letters if letter.accepted]))
            print(f"      {json.dumps(samples[-1].__dict__)}", flush=True)
        load.stop()
        wrong = finish(t, load, account)
        t.figures.update(hours=round((time.monotonic() - begun) / 3600, 3), rate=rate,
                         peak_mib=daemon.peak_kib() // 1024, swept=daemon.metric("depollueur_swept_packages_total"),
                         sweep_errors=daemon.metric("depollueur_sweep_errors_total"))
        t.idle(daemon)
        wrong += t.check_store(daemon)
    t.figures["samples"] = [s.__dict__ for s in samples]
    t.figures["trends"] = trends(samples) if samples else []
    for trend in t.figures["trends"]:
        print(show(trend), flush=True)
        if not trend["flat"]:
            wrong.append(f"{trend['name']} grows: {trend['per_hour']} an hour")
    blame(wrong)


def finish(t: Trial, load, account: Account) -> list[str]:
    """What is wrong once all is delivered and judged; nothing may be put off or go out as it came."""
    wrong = drain(t.lab)
    account.know(load.letters)
    wrong += account.close()
    t.figures.update(counts(load.letters, account))
    wrong += [f"{account.name(to)} went out as it came" for to in account.let_through]
    return wrong + [f"number {x.number} was put off: {x.put_off[0]}" for x in load.letters if x.put_off]


def day(t: Trial, count: int):
    with supervised(t.daemon()) as daemon, t.load(rate=None, kinds=DAY_KINDS, count=count) as load:
        account = Account(t.lab.maildir, t.judges, base=daemon.settings["web_public_url"], web_port=daemon.web_port)
        while any(thread.is_alive() for thread in load.threads):
            account.know(load.letters)
            account.collect()
            time.sleep(1)
        load.join()
        seconds = load.ended_at - load.begun_at
        wrong = finish(t, load, account)
        t.figures.update(replay_s=round(seconds, 1), messages_a_second=round(count / seconds, 1),
                         daemon_cpu_s=cpu_seconds(daemon.process.pid), peak_mib=daemon.peak_kib() // 1024)
        t.idle(daemon)
        blame(wrong + t.check_store(daemon))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
