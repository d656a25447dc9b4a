"""The accounting oracle: what became of every message that a load sent.

Each message that the server accepted was delivered once, and is either what was sent, byte for byte, or what
`tests/oracle.py` finds right, with links that serve the removed files. Nothing else was delivered. A try whose
reply was lost may have delivered a copy, for the client sends it again (RFC 5321 4.5.3.2.6, RFC 1047).
"""

from __future__ import annotations

import multiprocessing
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import oracle  # noqa: E402
from lab import LabError, tail, wait_until, without_trace  # noqa: E402
from letters import THRESHOLD, is_heavy, make  # noqa: E402
from load import Letter  # noqa: E402

DELIVERED_TO = re.compile(rb"^Delivered-To: (.*)$", re.M)


@dataclass(frozen=True)
class Job:
    """A delivered message that is to be judged."""
    path: Path
    kind: str
    number: int
    to: str
    base: str
    web: str


@dataclass
class Judgement:
    """`how` is "unchanged", "rewritten", "let-through" (as it came, though it has something to detach) or "wrong"."""
    to: str
    how: str
    wrong: list[str] = field(default_factory=list)


def judge(job: Job) -> Judgement:
    """Runs in a process of the pool. A message that is right is removed from its Maildir."""
    sent = make(job.kind, job.number, job.to)
    arrived = without_trace(job.path.read_bytes().replace(b"\n", b"\r\n"))
    heavy = is_heavy(job.kind)
    if arrived == sent:
        job.path.unlink()
        return Judgement(job.to, "let-through" if heavy else "unchanged")
    if not heavy:
        return Judgement(job.to, "wrong", ["it was changed though there is nothing to detach"])
    wrong = ask_oracle(job, sent, arrived)
    if not wrong:
        job.path.unlink()
    return Judgement(job.to, "wrong" if wrong else "rewritten", wrong)


def ask_oracle(job: Job, sent: bytes, arrived: bytes) -> list[str]:
    options = oracle.options(["-", "-", "--base", job.base, "--threshold", str(THRESHOLD), "--require", "--fetch",
                              "--manifest", "--rewrite-base", f"{job.base}=http://{job.web}/"])
    for left in (2, 1, 0):
        asked = oracle.Oracle(options)
        try:
            asked.check(sent, arrived)
        except Exception as error:  # an oracle that cannot follow found something wrong
            return [f"the oracle could not follow: {type(error).__name__}: {error}"]
        met = asked.info.get("fetch_errors", []) if asked.err else []
        # A link that is slow to answer, on a machine that is busy, is no dead link.
        if not left or not any("timed out" in why for why in met):
            return asked.err + met


def pool(processes: int = 2):
    """Processes that judge. Make it before there are threads; they share what the message maker has in memory."""
    def quiet():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return multiprocessing.get_context("fork").Pool(processes, quiet)


class Account:
    """Reads what was delivered below `inbox` and judges it, as it comes or at the end."""

    def __init__(self, inbox: Path, judges, *, base: str, web_port: int, web_host: str = "127.0.0.1"):
        self.new, self.judges = inbox / "new", judges
        self.base, self.web = base, f"{web_host}:{web_port}"
        self.letters: dict[str, Letter] = {}
        self.delivered: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.pending: list = []
        self.how: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.let_through: list[str] = []

    def know(self, letters: list[Letter]):
        """These were sent; call it with all of them as often as there may be more."""
        for letter in letters[len(self.letters):]:
            self.letters[letter.to] = letter

    def collect(self):
        """Begins to judge what was delivered since the last time."""
        for path in self.new.iterdir() if self.new.exists() else ():
            if path.name in self.seen:
                continue
            with path.open("rb") as file:
                to = DELIVERED_TO.search(file.read(4096))
            recipient = to.group(1).decode() if to else ""
            letter = self.letters.get(recipient)
            self.seen.add(path.name)
            if letter is None:
                self.wrong.append(f"mail to {recipient or 'nobody'} was delivered that nobody sent")
                continue
            self.delivered[recipient] += 1
            job = Job(path, letter.kind, letter.number, letter.to, self.base, self.web)
            self.pending.append(self.judges.apply_async(judge, (job,)))
        self.gather(wait=False)

    def gather(self, wait: bool = True):
        left = []
        for result in self.pending:
            if not wait and not result.ready():
                left.append(result)
                continue
            said: Judgement = result.get(300)
            self.how[said.how] += 1
            if said.how == "let-through":
                self.let_through.append(said.to)
            self.wrong += [f"{self.name(said.to)}: {why}" for why in said.wrong]
        self.pending = left

    def name(self, to: str) -> str:
        return f"number {self.letters[to].number} ({self.letters[to].kind})"

    def close(self, *, refused_allowed: bool = False, postfix_killed: bool = False) -> list[str]:
        """All that is wrong, once everything is delivered and judged."""
        self.collect()
        self.gather()
        wrong = list(self.wrong)
        for to, letter in self.letters.items():
            wrong += [f"{self.name(to)} {why}" for why in misdeeds(
                letter, self.delivered[to], refused_allowed, postfix_killed)]
        return wrong


def misdeeds(letter: Letter, delivered: int, refused_allowed: bool, postfix_killed: bool) -> list[str]:
    """What is wrong with the number of copies.

    A cleanup that is killed may have put its message into the queue already: its smtpd tells the client to send it again.
    """
    found = []
    most = letter.accepted + letter.unknown
    if postfix_killed:
        most += sum("queue file write error" in why for why in letter.put_off)
    if letter.accepted and not delivered:
        found.append("was accepted and is lost")
    if delivered > most:
        found.append(f"was delivered {delivered} times, accepted {int(letter.accepted)} times"
                     f" and unanswered {letter.unknown} times")
    if letter.refused and not refused_allowed:
        found.append(f"was refused for good: {letter.refused}")
    if not letter.accepted and not letter.refused:
        last = letter.put_off[-1] if letter.put_off else "no reply"
        found.append(f"was still put off when the fault was long over: {last}")
    return found


def queue_files(postfix, name: str) -> list[str]:
    return [path.name for path in (postfix.directory / "queue" / name).rglob("*") if path.is_file()]


def drain(lab, seconds: float = 180) -> list[str]:
    """Waits until both Postfix have delivered everything. What went wrong with their queues."""
    begun = time.monotonic()

    def empty():
        left = [postfix for postfix in (lab.first, lab.second) if postfix.queued()]
        for postfix in left:
            if time.monotonic() - begun > 5:
                subprocess.run(["postqueue", "-c", postfix.directory / "etc", "-f"], capture_output=True)
        return not left
    wrong = []
    try:
        wait_until(empty, "both queues to become empty", seconds)
    except LabError as error:
        wrong.append(f"{error}\n{tail(lab.first.log())}\n{tail(lab.second.log())}")
    for postfix in (lab.first, lab.second):
        for name in ("corrupt", "hold"):
            wrong += [f"{file} lies in the queue {name!r} of Postfix" for file in queue_files(postfix, name)]
    return wrong


def percentile(values: list[float], share: float) -> float:
    """0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def counts(letters: list[Letter], account: Account) -> dict:
    """The figures of a load."""
    accepted = [letter for letter in letters if letter.accepted]
    waits = [letter.seconds for letter in accepted]
    reasons = Counter(re.sub(r"[^a-z0-9. ]", " ", why.lower())[:40].strip() for letter in letters
                      for why in letter.put_off)
    return {
        "sent": len(letters), "accepted": len(accepted), "put_off": sum(len(x.put_off) for x in letters),
        "refused": sum(bool(x.refused) for x in letters), "unanswered": sum(x.unknown for x in letters),
        "delivered": account.delivered.total(),
        "doubled_by_unanswered": sum(max(0, count - 1) for count in account.delivered.values()),
        "rewritten": account.how["rewritten"], "let_through": account.how["let-through"],
        "unchanged": account.how["unchanged"], "wrong": account.how["wrong"],
        "p50_ms": round(1000 * percentile(waits, 0.5), 1), "p99_ms": round(1000 * percentile(waits, 0.99), 1),
        "reasons": dict(reasons.most_common(5)),
    }
