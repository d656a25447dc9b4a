"""Can each check find something wrong? Real mail through real hosts, in calm; what went wrong is made up here."""

from __future__ import annotations

import http.client
import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import acts as acts_module
import verdict as v
from acts import LARGE, Acts
from cluster import Cluster
from load import Load
from reader import Reader


class Bench:
    """What was sent and delivered, of which each test takes a copy to spoil."""

    def __init__(self, cluster: Cluster, judges):
        self.cluster, self.judges, self.count = cluster, judges, 0
        with Load(cluster, connections=3, count=30, kinds={"plain": 1, "heavy": 2, "two": 1}, ports=cluster.mail_hosts) as load:
            load.join()
        assert not cluster.drain()
        self.load = load

    def inbox(self) -> Path:
        self.count += 1
        copy = self.cluster.directory / f"copy-{self.count}"
        shutil.copytree(self.cluster.maildir, copy)
        return copy

    def heavy(self, inbox: Path) -> Path:
        """A delivered message that has a link."""
        return next(path for path in sorted((inbox / "new").iterdir()) if acts_module.LINK.search(path.read_bytes()))

    def account(self, inbox: Path):
        return v.judged(self.cluster, self.load, self.judges, inbox)


class Idle(Acts):
    """An admin whose commands of one kind do nothing, though they say they did."""

    def __init__(self, cluster: Cluster, word: str):
        super().__init__(cluster, 1)
        self.word, self.is_calm = word, True

    def command(self, *words, **options):
        return "" if self.word in words else super().command(*words, **options)


def main(cluster: Cluster, judges, check):
    bench = Bench(cluster, judges)

    def finds(sentence: str, wrong: list[str]):
        check(f"found: {sentence}" + (f" ({wrong[0][:90]})" if wrong else ""), [] if wrong else ["nothing was found wrong"])

    def holds(sentence: str, wrong: list[str]):
        check(f"nothing is wrong where {sentence}", wrong)

    mail(bench, finds, holds)
    bucket(bench, finds, holds)
    log(bench, finds, holds)
    readers(bench, finds, holds)
    people(bench, finds)
    faults(bench, finds)


def mail(bench: Bench, finds, holds):
    account = bench.account(bench.inbox())
    holds("all was delivered", v.lost(account) + v.damaged(account))

    inbox = bench.inbox()
    next((inbox / "new").iterdir()).unlink()
    finds("a delivered message is taken away", v.lost(bench.account(inbox)))

    inbox = bench.inbox()
    path = bench.heavy(inbox)
    path.write_bytes(path.read_bytes().replace(b"Hello, this", b"Hello. this", 1))
    finds("one byte of a delivered message is another", v.damaged(bench.account(inbox)))

    inbox = bench.inbox()
    path = bench.heavy(inbox)
    link = acts_module.LINK.search(path.read_bytes()).group()
    path.write_bytes(path.read_bytes().replace(link, link[:-3] + b"aaa"))
    finds("a link leads nowhere", v.damaged(bench.account(inbox)))

    account = bench.account(bench.inbox())
    next(iter(account.letters.values())).accepted = False
    finds("a message was still put off at the end", v.lost(account))
    next(iter(account.letters.values())).accepted = True


def bucket(bench: Bench, finds, holds):
    cluster = bench.cluster
    expected, found = v.recorded(cluster), cluster.bucket.objects()
    holds("records and objects agree", v.missing(expected, found) + v.left_over(expected, found, cluster.bucket.unfinished()))

    name = sorted(found)[0]
    body = cluster.bucket.ask("GET", f"/{cluster.bucket.name}/{name}")[1]
    cluster.bucket.remove(name)
    finds("an object is taken out of the bucket, by the records", v.missing(expected, cluster.bucket.objects()))
    finds("an object is taken out of the bucket, by a dead link", v.damaged(bench.account(bench.inbox())))
    cluster.bucket.ask("PUT", f"/{cluster.bucket.name}/{name}", body[:-1])
    finds("an object is cut short", v.missing(expected, cluster.bucket.objects()))
    cluster.bucket.ask("PUT", f"/{cluster.bucket.name}/{name}", body)

    orphan = f"00/{32 * '0'}-0"
    cluster.bucket.ask("PUT", f"/{cluster.bucket.name}/{orphan}", b"x")
    finds("an object has no record", v.left_over(expected, cluster.bucket.objects(), []))
    holds("it was swept two hours later", v.sweep_all(cluster, cluster.directory, v.HOURS)
          + v.left_over(expected, cluster.bucket.objects(), []))
    finds("an upload is left", v.left_over(expected, expected, ["x"]))

    cluster.bucket.freeze()
    finds("sweeps fail", v.sweep_all(cluster, cluster.directory, v.HOURS + 1))
    cluster.bucket.thaw()


def log(bench: Bench, finds, holds):
    entries = [{"id": "a", "action": "deposit"}, {"id": "a", "action": "destroy"}]
    holds("a package was destroyed once", v.destroyed_once(entries, {"a"}))
    finds("a package was destroyed twice", v.destroyed_once([*entries, entries[1]], {"a"}))
    finds("a package was not destroyed", v.destroyed_once(entries[:1], {"a"}))
    finds("what was destroyed was never deposited", v.destroyed_once(entries[1:], {"a"}))

    holds("the log is whole", v.chain(bench.cluster))
    change = "SET session_replication_role = replica; UPDATE audit SET detail = {} WHERE number = 1"
    node = bench.cluster.pair.primary
    node.sql(change.format("detail || ' '"), "drop")
    finds("an entry of the log was changed", v.chain(bench.cluster))
    node.sql(change.format("left(detail, -1)"), "drop")
    holds("it was changed back", v.chain(bench.cluster))


class Liar:
    """A door that says something else."""

    def __init__(self, door, lie):
        self.settings, self.door, self.lie = door.settings, door, lie

    def get(self, link: str, *more):
        return self.lie(link, *self.door.get(link, *more))


def readers(bench: Bench, finds, holds):
    def told(lie) -> list[str]:
        with Reader(bench.cluster.maildir, Liar(bench.cluster.door, lie)) as reader:
            acts_module.wait_until(lambda: reader.counts["read"] > 2 or reader.wrong or reader.counts["cut_short"] > 2, "a reader", 30)
        return v.read([reader])

    def cut(*_):
        raise http.client.IncompleteRead(b"")
    holds("readers read what was sent", told(lambda link, *answer: answer))
    finds("a reader is given other bytes", told(lambda link, status, fields, body: (status, fields, body if link.endswith(".json") else body[:-1] + b"?")))
    finds("a reader is told that a living link is dead", told(lambda link, status, fields, body: (404, fields, body)))
    finds("readers never get anything", told(cut))


def people(bench: Bench, finds):
    cluster = bench.cluster

    def found(acts: Acts, name: str, *labels: str) -> list[str]:
        acts._do(name)
        return [why for label in (name, *labels) for why in acts.wrong[label]]
    finds("what was revoked is still served", found(Idle(cluster, "revoke"), "revoke", "gone"))
    finds("downloads of what was destroyed go on", found(Idle(cluster, "--destroy"), "destroy"))
    finds("what was blocked is taken", found(Idle(cluster, "block"), "block"))
    acts_module.QUOTA = LARGE
    finds("a quota stops mail too early", found(Idle(cluster, ""), "quota"))
    acts_module.QUOTA = 1_000_000
    finds("a quota lets more through", found(Idle(cluster, ""), "quota"))
    acts_module.QUOTA = v.QUOTA

    true_get, web = acts_module.get, cluster.webs[1].host.address

    def older(where, path, *more, **options):
        status, fields, body = true_get(where, path, *more, **options)
        if where[0] == web and path.endswith(".json") and status == 200:
            body = json.dumps({**json.loads(body), "expires": "2026-12-31T00:00:00Z"}).encode()
        return status, fields, body
    acts_module.get = older
    finds("one host has an older end", found(Idle(cluster, ""), "extend"))
    acts_module.get = true_get
    finds("an act was never done", v.acts_wrong(Idle(cluster, ""), "quota"))


def faults(bench: Bench, finds):
    cluster = bench.cluster
    all_kinds = Counter({kind: 1 for kind in ("kill", "cut", "hang", "roll", "promote")})
    all_parts = Counter({part.name: 1 for part in cluster.parts})
    finds("a kind of fault never struck", v.weathered(SimpleNamespace(struck=all_kinds - Counter(["hang"]), killed=all_parts), cluster))
    finds("a process was never killed", v.weathered(SimpleNamespace(struck=all_kinds, killed=all_parts - Counter([cluster.parts[0].name])), cluster))
