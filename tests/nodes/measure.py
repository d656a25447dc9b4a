"""What several nodes take: messages and records a second, and whose processor's time that is.

All nodes, the world that sends and receives, and the bucket's stand-in share the processors of this machine: what wall time
tells is what it can do in all. Processor time for each message is what a machine of one's own would need.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benches" / "system"))

import messages as m  # noqa: E402
from acts import LARGE, Acts  # noqa: E402
from cluster import MX, Cluster  # noqa: E402
from figures import processor_seconds  # noqa: E402
from load import Load  # noqa: E402
from milter_client import Milter  # noqa: E402
from services import Program  # noqa: E402

MESSAGES, CONNECTIONS, ROUNDS = 300, 9, 3
# Of records: packages of one small file each.
CLIENTS, SECONDS = 12, 6
SMALL = 10_000
FETCHED = 30


def groups(cluster: Cluster) -> dict[str, list[int]]:
    return {"milter": [milter.process.pid for milter in cluster.milters], "Postfix": [mx.master_pid for mx in cluster.mxs],
            "PostgreSQL": [node.process.pid for node in cluster.pair.nodes], "bucket": [cluster.bucket.process.pid],
            "world": [os.getpid(), cluster.sink.master_pid]}


def mail(cluster: Cluster, hosts: tuple[str, ...], kind: str) -> dict[str, float]:
    """One round: so many messages through these hosts, all delivered."""
    before = {name: processor_seconds(pids) for name, pids in groups(cluster).items()}
    asked, begun = cluster.bucket.requests(), time.monotonic()
    with Load(cluster, connections=CONNECTIONS, count=MESSAGES, kinds={kind: 1}, ports=hosts) as load:
        load.join()
    wrong = cluster.drain()
    assert not wrong and load.accepted() == MESSAGES, wrong
    took = time.monotonic() - begun
    # The world has the namespaces' holders below it, and all else: what is counted elsewhere is taken away.
    figures = {name: (processor_seconds(pids) - before[name]) * 1000 / MESSAGES for name, pids in groups(cluster).items()}
    figures["world"] -= sum(value for name, value in figures.items() if name != "world")
    return {"rate": MESSAGES / (load.ended_at - load.begun_at), "delivered": MESSAGES / took, **figures,
            "requests": (cluster.bucket.requests() - asked) / MESSAGES}


def downloads(cluster: Cluster) -> float:
    """Seconds of the processor that the hosts of pages need for a GB, through the balancer, out of the bucket."""
    acts = Acts(cluster, 1)
    link, data = acts.deposit(LARGE)
    pids = [web.process.pid for web in cluster.webs]
    before = processor_seconds(pids)
    for _ in range(FETCHED):
        assert cluster.door.get(link + "/1")[2] == data
    return (processor_seconds(pids) - before) / (FETCHED * LARGE / 1e9)


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def client(path: str, number: int, until: float, counted):
    """Deposits one small file after the other, each a message of its own."""
    text = m.part("text/plain", b"Hello\r\n")
    done = 0
    with Milter(f"unix:{path}", timeout=60) as milter:
        milter.open(login=None, daemon_name="INBOUND")
        while time.monotonic() < until:
            data = m.pdf(SMALL, number * 1_000_000 + done)
            raw = m.message(m.multipart("mixed", text, m.attachment(data)), to="r@example.com")
            letter = milter.message(raw)[-1][0]
            assert letter in "ac", letter
            done += 1
    with counted.get_lock():
        counted.value += done


def records(milters: list[Program]) -> float:
    """Packages a second, of clients that speak milter to all of them at once."""
    counted, begun = multiprocessing.Value("i", 0), time.monotonic()
    clients = [multiprocessing.Process(target=client, args=(str(milters[n % len(milters)].milter), n, begun + SECONDS, counted))
               for n in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
        assert one.exitcode == 0, "a client failed"
    return counted.value / (time.monotonic() - begun)


def several(milters: list[Program], what: str):
    """From one host and from all, in turn."""
    rounds = [(records(milters[:1]), records(milters)) for _ in range(ROUNDS)]
    for n, hosts in enumerate(("one host", "three hosts")):
        say(f"packages a second into {what}, from {hosts}", statistics.median(one[n] for one in rounds), "")


def bytes_of_records(cluster: Cluster) -> tuple[float, float]:
    """Bytes of the database for a package without its log, and for an entry of the log; with their indexes."""
    def size(*tables: str) -> int:
        return sum(int(cluster.pair.ask(f"SELECT pg_total_relation_size('{table}')")[0][0]) for table in tables)

    def count(table: str) -> int:
        return int(cluster.pair.ask(f"SELECT count(*) FROM {table}")[0][0])
    return size("package", "file") / count("package"), size("audit") / count("audit")


def say(name: str, value: float, unit: str):
    print(f"      {name}: {value:.{0 if value > 100 else 1}f} {unit}", flush=True)


def main(directory: Path):
    """Measures, and prints."""
    print(f"      {os.cpu_count()} processors for all of it: {model()}")
    with Cluster(directory / "mail") as cluster:
        for kind in ("heavy", "plain"):
            rounds: dict[int, list] = {1: [], len(MX): []}
            mail(cluster, MX, kind)
            for _ in range(ROUNDS):
                for number, found in rounds.items():
                    found.append(mail(cluster, MX[:number], kind))
            table(kind, {number: medians(found) for number, found in rounds.items()})
        say("processor of the hosts of pages for a GB", downloads(cluster), "s")
    shared = str(directory / "records" / "shared")
    more = {"drop_blobs": "directory", "drop_directory": shared, "detach_threshold": 1000}
    with Cluster(directory / "records", settings=more) as cluster:
        several(cluster.milters, "PostgreSQL with a standby")
        for name, value in zip(("a package", "an entry of the audit log"), bytes_of_records(cluster)):
            say(f"bytes of the database for {name}", value, "")
        cluster.pair.synchronous(cluster.pair.primary, "")
        cluster.pair.standby.stop()
        several(cluster.milters, "PostgreSQL alone")
        own = Program(cluster.milters[0].host, directory / "sqlite", "milter", {
            **cluster.settings, **more, "drop_directory": str(directory / "sqlite" / "drop"), "drop_records": "sqlite",
            "drop_records_password_file": "", "drop_records_ca_file": ""})
        # It has the ports of the one whose place it takes.
        cluster.milters[0].kill()
        own.start()
        try:
            own.wait()
            say("packages a second into SQLite, on one host", statistics.median(records([own]) for _ in range(ROUNDS)), "")
        finally:
            own.kill()


def table(kind: str, rows: dict[int, dict[str, float]]):
    names = [name for name in next(iter(rows.values())) if name not in ("rate", "delivered", "requests")]
    print(f"\n      {kind} | accepted a second | delivered a second | {' | '.join(f'{name}, ms' for name in names)} | requests")
    for number, row in rows.items():
        cells = " | ".join(f"{row[name]:.1f}" for name in names)
        print(f"      {number} host{'s' if number > 1 else ''} of mail | {row['rate']:.0f} | {row['delivered']:.0f} | {cells} | {row['requests']:.1f}",
              flush=True)
    print()


def model() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else "unknown"
