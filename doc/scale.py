#!/usr/bin/env python3
"""Makes doc/scale.md: what a host, a university, a provider and a country would need, from what is measured.

    doc/scale.py            prints the page
    doc/scale.py --write    writes it

Each coefficient stands here with the command that measures it. Measure again, change it here, write the page;
tests/documents.py checks that the page is what this makes.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DAY, MIB, GB, TB = 86_400, 1 << 20, 1e9, 1e12


@dataclass(frozen=True)
class Coefficient:
    """A figure, and where it comes from: a command of ours, or a publication."""
    what: str
    value: float
    unit: str
    source: str


def of(what: str, value: float, unit: str, source: str) -> Coefficient:
    return Coefficient(what, value, unit, source)


NODES = "`tests/nodes/run --measure`"
S3 = "`tests/e2e/s3.py requests`"

# ---- how much mail there is
MAILS_A_DAY = of("mails a day for each mailbox", 39, "", "published (a French survey)")
MAIL = of("a mail, mean", 77, "kB", "published (18.6 million mails of a company)")
SHARE_OF_BYTES = of("of these bytes, in files that go into the drop", 0.6, "", "the same: parts of 512 KiB and more are 52 % at least")
SHARE_OF_MAILS = of("mails of which something is detached", 0.02, "", "the same: 2.5 % at most")
PEAK = of("peak, times the mean", 3, "", "assumed")
DOWNLOADS = of("downloads of each package", 15_000 / 10_500, "", "published (a national file transfer: 15,000 for 10,500 in two months)")
KEPT = of("a package is kept", 31, "days", "`drop.expiry`")
RECORD_KEPT = of("its record, and the log, after that", 365, "days", "`drop.keep_records`, `audit.keep`")
COUNTRY = of("mails a day of a country", 1.4e9, "", "published (France, without spam)")

# ---- what it costs
POSTFIX_MS = of("processor, Postfix, a mail without a file", 2.7, "ms", NODES + ", plain")
POSTFIX_GB = of("processor, Postfix, each GB of files in mail", 14, "s", NODES + ", heavy less plain")
MILTER_MS = of("processor, milter, a mail without a file", 0.2, "ms", NODES + ", plain")
DETACH_MS = of("processor, milter, a file of 300 kB that goes into the bucket", 4.4, "ms", NODES + ", heavy")
PER_GB = of("processor, milter, each GB detached", 1.6, "s", "`benches/system/run`, 25 MB")
DOWNLOAD_GB = of("processor, pages, each GB downloaded", 1.1, "s", NODES)
MX_RATE = of("mails a second that one host of mail takes", 300, "", "published (Postfix, limited by syncs)")
WRITES = of("packages a second that one PostgreSQL with a standby takes", 130, "", NODES + ", on a busy machine")
RECORD_BYTES = of("PostgreSQL, for a package and its file", 1230, "bytes", NODES)
ENTRY_BYTES = of("PostgreSQL, for an entry of the log", 345, "bytes", NODES)
PUTS = of("requests for a deposit: to write, and to look once more", 2, "", S3 + " (files of up to 5 MiB)")
PIECE = of("a download takes a request for each", 8, "MiB", S3)
LISTS = of("requests of a sweep, at least", 258, "", "`doc/guide.en.md`, *On Garage*; one more for each 1,000 objects")
LOOKED_AT = of("objects that it looks at, of each 256th, at most", 100_000, "", "`src/drop/blobs/s3.rs`, `PAGES_MAX`")
SWEEPS = of("sweeps an hour", 6, "", "`depollueur-sweep.timer`")
PRICE_PUT = of("price of 1,000 requests to write or list", 0.005, "$", "assumed, of the order of large providers; deleting is free")
PRICE_GET = of("price of 1,000 requests to read", 0.0004, "$", "the same")
PRICE_GB = of("price of a GB kept for a month", 0.023, "$", "the same; what leaves its network costs more, and is not in the table")

COEFFICIENTS = [value for value in list(globals().values()) if isinstance(value, Coefficient)]


@dataclass(frozen=True)
class Place:
    name: str
    mails_a_day: float

    @property
    def mean(self) -> float:
        return self.mails_a_day / DAY

    @property
    def peak(self) -> float:
        return self.mean * PEAK.value

    @property
    def bytes_a_day(self) -> float:
        return self.mails_a_day * MAIL.value * 1e3 * SHARE_OF_BYTES.value

    @property
    def kept(self) -> float:
        return self.bytes_a_day * KEPT.value

    @property
    def packages_a_day(self) -> float:
        return self.mails_a_day * SHARE_OF_MAILS.value

    @property
    def live(self) -> float:
        return self.packages_a_day * KEPT.value

    @property
    def records(self) -> float:
        """Live ones, and those that only answer."""
        return self.packages_a_day * (KEPT.value + RECORD_KEPT.value)

    @property
    def entries(self) -> float:
        """Deposit, downloads, end."""
        return self.packages_a_day * (2 + DOWNLOADS.value) * RECORD_KEPT.value

    @property
    def database(self) -> float:
        return self.records * RECORD_BYTES.value + self.entries * ENTRY_BYTES.value

    @property
    def writes(self) -> float:
        """Transactions that write, a second, at the peak: a deposit, and each whole download."""
        return self.packages_a_day / DAY * (1 + DOWNLOADS.value) * PEAK.value

    @property
    def mail_cores(self) -> float:
        """At the peak, for Postfix and the milter."""
        light = self.peak * (POSTFIX_MS.value + MILTER_MS.value) / 1e3
        return light + self.peak * SHARE_OF_MAILS.value * DETACH_MS.value / 1e3 + self.bytes_a_day / DAY * PEAK.value / GB * (PER_GB.value + POSTFIX_GB.value)

    @property
    def mail_hosts(self) -> int:
        """Two at least, so that one may fail."""
        return max(2, math.ceil(self.peak / MX_RATE.value) + 1)

    @property
    def web_hosts(self) -> int:
        cores = self.bytes_a_day * DOWNLOADS.value / DAY * PEAK.value / GB * DOWNLOAD_GB.value
        return max(2, math.ceil(cores / 2) + 1)

    @property
    def databases(self) -> int:
        """Pairs: how many drops it must be divided into."""
        return max(1, math.ceil(self.writes / WRITES.value))

    @property
    def listing(self) -> float:
        """Requests a day of the sweeps of one host."""
        return (LISTS.value + min(self.live, 256 * LOOKED_AT.value) / 1000) * SWEEPS.value * 24

    @property
    def writing(self) -> float:
        """Requests a day that write, or list."""
        return self.packages_a_day * (PUTS.value - 1) + self.listing

    @property
    def reading(self) -> float:
        size = self.bytes_a_day / self.packages_a_day
        return self.packages_a_day * (1 + DOWNLOADS.value * math.ceil(size / (PIECE.value * MIB)))

    @property
    def cost(self) -> tuple[float, float]:
        """A month: of requests, and of what is kept."""
        requests = 30.4 * (self.writing * PRICE_PUT.value + self.reading * PRICE_GET.value) / 1000
        return requests, self.kept / GB * PRICE_GB.value


PLACES = [Place("800 members", 800 * MAILS_A_DAY.value), Place("50,000 mailboxes", 50_000 * MAILS_A_DAY.value),
          Place("10 million", 10e6 * MAILS_A_DAY.value), Place("a country", COUNTRY.value)]


def figure(value: float) -> str:
    """Two digits that count; large ones in words."""
    for unit, name in ((1e9, " billion"), (1e6, " million")):
        if value >= unit:
            return figure(value / unit) + name
    if value >= 100:
        step = 10 ** (int(math.log10(value)) - 1)
        return f"{round(value / step) * step:,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def size(value: float) -> str:
    for unit, name in ((1e15, "PB"), (TB, "TB"), (GB, "GB")):
        if value >= unit:
            return f"{figure(value / unit)} {name}"
    return f"{figure(value / 1e6)} MB"


def row(name: str, cell) -> str:
    return f"| {name} | " + " | ".join(cell(place) for place in PLACES) + " |"


def exact(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def limit(per_mailbox: float, most: float) -> str:
    return figure(most / per_mailbox)


def of_requests(place: Place) -> str:
    """How much of what requests cost is the sweep's, in percent."""
    return figure(100 * 30.4 * place.listing * PRICE_PUT.value / 1000 / place.cost[0])


def page() -> str:
    one = Place("one", MAILS_A_DAY.value)
    table = [
        "| | " + " | ".join(place.name for place in PLACES) + " |",
        "|---|" + "--:|" * len(PLACES),
        row("mails a second, mean / peak", lambda p: f"{figure(p.mean)} / {figure(p.peak)}"),
        row("into the drop a day", lambda p: size(p.bytes_a_day)),
        row(f"kept, {KEPT.value:.0f} days", lambda p: size(p.kept)),
        row("live packages", lambda p: figure(p.live)),
        row("records and log of a year", lambda p: size(p.database)),
        row("transactions that write a second, peak", lambda p: figure(p.writes)),
        row("of what one database takes", lambda p: f"{figure(100 * p.writes / WRITES.value)} %"),
        row("cores for Postfix and milter, peak", lambda p: figure(p.mail_cores)),
        row("hosts of mail", lambda p: f"{p.mail_hosts:,}"),
        row("hosts of pages, two cores each", lambda p: f"{p.web_hosts:,}"),
        row("databases, each with a standby", lambda p: f"{p.databases:,}"),
        row("S3 requests a day, writing / reading", lambda p: f"{figure(p.writing)} / {figure(p.reading)}"),
        row("S3 a month, requests / kept", lambda p: f"${figure(p.cost[0])} / ${figure(p.cost[1])}"),
    ]
    known = ["| coefficient | value | from |", "|---|--:|---|"]
    known += [f"| {c.what} | {exact(c.value)}{' ' + c.unit if c.unit else ''} | {c.source} |" for c in COEFFICIENTS]
    per = one.writes
    large = PLACES[2]
    limits = LIMITS.format(
        writes=limit(per, WRITES.value), rate=figure(WRITES.value), mx=limit(one.peak, MX_RATE.value),
        looked=limit(one.live, 256 * LOOKED_AT.value), entries=size(large.entries * ENTRY_BYTES.value), needed=size(large.live / 256 * 32),
        share_small=of_requests(PLACES[0]), share_large=of_requests(PLACES[1]), share=figure(100 * PLACES[1].writes / WRITES.value))
    return HEAD + "\n".join(table) + "\n" + limits + "\n".join(known) + "\n"


HEAD = """\
# Scale: what is needed, and what is the next limit

Calculated by `doc/scale.py` from the coefficients below, each with the command that measures it; nothing larger than a million packages and three hosts
of mail was ever run. The figures of the machine are of two cores that all hosts, the senders and the bucket's stand-in shared: wall time there tells
little, processor time is what they would need on machines of their own.

"""

LIMITS = """
A host of mail more than the peak needs is counted, so that one may fail; so is one of pages. Hosts are stateless but for their queue: the guide says how they
share a drop, and `tests/nodes/run` kills them.

## The next limit

* **One writer.** All deposits and downloads of a drop write one after the other, under one lock: {rate} packages a second were measured, each a commit on two
  servers, on a machine that had other work, where two runs differed (91 and 132; without the standby 400, SQLite with many in one commit 800). That is enough for {writes} mailboxes. Several in one commit would be the way on; today there are
  several drops, each with a host name, a database and a place for files of its own.
* **Hosts of mail** are limited by the syncs of Postfix, one for each {mx} mailboxes. They are added freely.
* **The sweep lists the whole bucket** each time, 1,000 objects a request, on each host that sweeps (one is in the table): that is {share_small} % of what requests cost
  at 800 members, {share_large} % at 50,000 mailboxes. Let one host sweep, and more seldom than each ten minutes. From {looked} mailboxes on, `drop sweep` does not get to the
  end of the bucket: what killed processes left there stays. At 10 million mailboxes it also holds the ids of a 256th of all live packages at once, {needed}.
* **The log is what grows**: {entries} a year at 10 million mailboxes, more than the records. A database of that size wants `audit.keep` shorter, or partitions
  by time, which there are not.
* A university is far from each of these: it takes {share} % of what one database can.

## Coefficients

"""

if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        (HERE / "scale.md").write_text(page())
    else:
        sys.stdout.write(page())
