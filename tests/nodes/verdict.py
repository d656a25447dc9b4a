"""The account at the end: what was accepted was delivered, what was delivered is right, and nothing is missing, left over or destroyed twice.

Each check is a function of what is seen and returns what is wrong; `selftest.py` shows that each can find something.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

from account import Account
from acts import Acts
from cluster import QUOTA, Cluster
from load import Load
from machine import Shim
from services import BASE
from stored import sealed
from sweeps import begin

# Past what a sweep leaves to messages that are being worked on; and past every end, but not past what the audit log is kept.
HOURS, MONTHS = 2 * 3600, 150 * 86_400
LENGTHS = "SELECT encode(package, 'hex'), number, size FROM file JOIN package ON package = id WHERE state = 'live'"


def lost(account: Account) -> list[str]:
    """Accepted mail that was not delivered, refused mail, mail that never got through."""
    wrong = []
    for to, letter in account.letters.items():
        if letter.accepted and not account.delivered[to]:
            wrong.append(f"{account.name(to)} was accepted and is lost")
        if letter.refused:
            wrong.append(f"{account.name(to)} was refused for good: {letter.refused}")
        if not letter.accepted and not letter.refused:
            wrong.append(f"{account.name(to)} was still put off when all was healed: {letter.put_off[-1:]}")
    return wrong if account.letters else ["nothing was sent"]


def judged(cluster: Cluster, load: Load, judges, inbox: Path | None = None) -> Account:
    """Reads all that was delivered, and opens its links through the balancer."""
    host, port = cluster.balancer.where
    account = Account(inbox or cluster.maildir, judges, base=BASE, web_port=port, web_host=host)
    account.know(load.letters)
    account.collect()
    account.gather()
    return account


def damaged(account: Account) -> list[str]:
    wrong = list(account.wrong)
    if not account.how["rewritten"]:
        wrong.append("nothing was rewritten: this shows nothing")
    return wrong


def recorded(cluster: Cluster) -> dict[str, int]:
    """The objects of all live packages, by their names, with the lengths that they must have."""
    rows = cluster.pair.ask(LENGTHS)
    return {f"{package[:2]}/{package}-{number}": sealed(int(size)) for package, number, size in rows}


def missing(expected: dict[str, int], found: dict[str, int]) -> list[str]:
    """Records whose object is not there, or has another length."""
    return [f"the object {name} of a live package has {found.get(name, 'no')} bytes, not {length}"
            for name, length in sorted(expected.items()) if found.get(name) != length]


def left_over(expected: dict[str, int], found: dict[str, int], unfinished: list[str]) -> list[str]:
    """Objects and uploads that no record knows, after a sweep."""
    wrong = [f"the object {name} has no record" for name in sorted(found.keys() - expected.keys())]
    return wrong + [f"the upload {name} is not finished" for name in unfinished]


def destroyed_once(entries: list[dict], live: set[str]) -> list[str]:
    """`live` are the packages that were there before the last sweeps."""
    counted = Counter(entry["id"] for entry in entries if entry["action"] == "destroy")
    deposited = {entry["id"] for entry in entries if entry["action"] == "deposit"}
    wrong = [f"package {package} was destroyed {count} times" for package, count in counted.items() if count != 1]
    wrong += [f"package {package} was destroyed, and its deposit is not in the log" for package in counted.keys() - deposited]
    wrong += [f"package {package} was not destroyed" for package in sorted(live - counted.keys())]
    return wrong if live else [*wrong, "there was none to destroy"]


def entries(cluster: Cluster) -> list[dict]:
    done = cluster.programs[-1].command("drop", "audit", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def chain(cluster: Cluster) -> list[str]:
    """What each host says of the chain of the audit log."""
    told = {program.command("drop", "audit", "--verify").returncode for program in cluster.programs}
    return [] if told == {0} else [f"the chain of the audit log is not whole: exit statuses {sorted(told)}"]


def sweep_all(cluster: Cluster, directory: Path, seconds: int) -> list[str]:
    """A sweep of each host, all at once, so many seconds later than now. What went wrong."""
    shims, begun = [], []
    for program in cluster.programs:
        shim = Shim(directory / f"clock-{program.host.name}-{seconds}", program.drop)
        shim.clock(seconds)
        shims.append(shim)
        begun.append(begin(program, "--trust-clock", prefix=shim.prefix))
    wrong = []
    for program, sweep in zip(cluster.programs, begun):
        try:
            told = sweep.communicate(timeout=180)[0]
        except subprocess.TimeoutExpired:
            sweep.kill()
            told = "it does not end"
        if sweep.returncode:
            wrong.append(f"a sweep on {program.host.name} ended with {sweep.returncode}: {told[-300:]}")
    return wrong


def acts_wrong(acts: Acts, name: str) -> list[str]:
    """What is wrong with an act, and that it was not done where it may not fail."""
    return acts.wrong[name] + ([] if acts.calm_done[name] else [f"{name} was not done in calm"])


def read(readers: list) -> list[str]:
    """What readers were given that they must not be given."""
    wrong = [why for reader in readers for why in reader.wrong]
    return wrong if sum(reader.counts["read"] for reader in readers) else [*wrong, "nothing was read"]


def weathered(storm, cluster: Cluster) -> list[str]:
    """The faults that did not happen: without them nothing is shown."""
    wrong = [f"no fault of the kind {kind} struck" for kind in ("kill", "cut", "hang", "roll", "promote") if not storm.struck[kind]]
    return wrong + [f"the {part.name} was never killed" for part in cluster.parts if not storm.killed[part.name]]
