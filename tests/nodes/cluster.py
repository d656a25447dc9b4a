"""The whole of it: three hosts of mail, two of pages behind a balancer, two of the database, one bucket, and the world."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from bucket import SERVICES
from database import Node, Pair
from lab import SaslServer, wait_until
from letters import THRESHOLD
from network import Network
from services import BASE, SINK_PORT, SMTP, SUBMISSION, Balancer, Mx, Part, Program, Sink, get

MX, WEB, DATABASES = ("mx1", "mx2", "mx3"), ("web1", "web2"), ("db1", "db2")
# One login's share of a day.
QUOTA = 5_000_000
BOXES = "/^act/ acts/\n/./ inbox/\n"

SETTINGS = {
    "detach_threshold": THRESHOLD, "detach_directions": "both", "notice_language": "en",
    "drop_grace": "0 seconds", "milter_deadline": "10 s", "s3_timeout": "4 s", "s3_connect_timeout": "2 s",
    "quota_sender_per_day": QUOTA, "quota_incoming_client_per_day": "off", "quota_incoming_per_day": "off",
    "drop_extension": "2 months", "quota_free_space_min": 0, "quota_free_inodes_min": 0, "web_posts_per_minute": 10_000,
}


class Server(Part):
    """A database server, whichever of the two it is now."""

    def __init__(self, node: Node):
        self.node, self.host, self.name = node, node.host, f"database of {node.name}"

    def start(self):
        self.node.start()

    def wait(self):
        self.node.wait()

    def stop(self):
        self.node.stop()

    def kill(self):
        self.node.kill()


class Door:
    """What a reader needs of a daemon: the address that links have, and somebody who answers. `where` is the balancer."""

    def __init__(self, where: tuple[str, int]):
        self.where, self.settings = where, {"web_public_url": BASE}

    def get(self, link: str, headers=None, method="GET", body: bytes | None = None):
        return get(self.where, "/" + link.removeprefix(BASE), method, body, headers)


class Cluster:
    """Use it as a context manager."""

    def __init__(self, directory: Path, service: str = "moto", *, mail_hosts=MX, settings: dict | None = None):
        self.directory, self.service = directory, service
        self.mail_hosts, self.more = mail_hosts, settings or {}
        self.lock = threading.RLock()
        self.closing: list = []

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for close in reversed(self.closing):
            close()
        self.closing.clear()

    def _start(self):
        directory = self.directory
        directory.mkdir(mode=0o755, exist_ok=True)
        self.network = net = Network()
        self.closing.append(net.close)
        hosts = {name: net.host(name, number) for number, names in ((11, self.mail_hosts), (21, WEB), (31, DATABASES), (51, ["lb"]))
                 for number, name in enumerate(names, number)}
        kind = SERVICES[self.service]
        self.bucket = kind([net.host(f"s{n}", 40 + n) for n in range(1, 1 + kind.needed_hosts)], directory)
        self.closing.append(self.bucket.close)
        self.pair = Pair([hosts[name] for name in DATABASES], directory)
        self.closing.append(self.pair.close)
        self.sasl = SaslServer(directory / "sasl.sock")
        self.closing.append(self.sasl.close)

        self.sink = Sink(directory / "sink")
        (directory / "boxes").write_text(BOXES)
        main = directory / "sink" / "etc" / "main.cf"
        main.write_text(main.read_text().replace("static:inbox/", f"regexp:{directory}/boxes"))
        self.sink.start([SINK_PORT])
        self.closing.append(self.sink.stop)

        self.settings = settings = {**SETTINGS, **self.bucket.settings(), "web_trusted_proxies": [hosts["lb"].address],
                    "drop_records": self.pair.url(), "drop_records_password_file": str(self.pair.password_file),
                    "drop_records_ca_file": str(self.pair.ca), **self.more}
        self.milters = [self._program(hosts[name], "milter", settings) for name in self.mail_hosts]
        self.webs = [self._program(hosts[name], "web", settings) for name in WEB]
        self._share()
        self.mxs = [Mx(milter.host, directory / f"postfix-{milter.host.name}", milter.milter, directory / "sasl.sock")
                    for milter in self.milters]
        self.balancer = Balancer(hosts["lb"], directory / "balancer", self.webs)
        for part in (*self.mxs, self.balancer):
            part.start()
            self.closing.append(part.kill)
            part.wait()
        self.servers = [Server(node) for node in self.pair.nodes]
        self.door = Door(self.balancer.where)
        # What a load asks for.
        self.ports = {mx.host.name: (mx.host.address, SMTP) for mx in self.mxs}
        self.submission = {mx.host.name: (mx.host.address, SUBMISSION) for mx in self.mxs}
        self.maildir, self.acts = self.sink.inbox, self.sink.inbox.with_name("acts")

    def _program(self, host, part: str, settings: dict) -> Program:
        return Program(host, self.directory / host.name, part, settings)

    def _share(self):
        """As the guide says: the first host makes the drop, the others are given its key and its number."""
        first, *others = self.programs
        first.start()
        self.closing.append(first.kill)
        first.wait()
        for other in others:
            if other.drop != first.drop:
                other.drop.mkdir(mode=0o700)
                for name in ("drop.key", "drop.postgres"):
                    shutil.copy2(first.drop / name, other.drop / name)
            other.start()
            self.closing.append(other.kill)
        for other in others:
            other.wait()

    @property
    def programs(self) -> list[Program]:
        return [*self.milters, *self.webs]

    @property
    def parts(self) -> list[Part]:
        """All that can be killed."""
        return [*self.programs, *self.mxs, self.balancer, *self.servers]

    def heal(self):
        """Everything runs and everybody reaches everybody."""
        self.network.heal_all()
        self.bucket.thaw()
        self.pair.settle()
        for part in (*self.programs, *self.mxs, self.balancer):
            part.wait()

    def drain(self, seconds: float = 120) -> list[str]:
        """Waits until every Postfix has handed on all that it has. What is left, if something is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = [postfix for postfix in (*self.mxs, self.sink) if postfix.queued()]
            if not left:
                return []
            for postfix in left:
                if isinstance(postfix, Mx):
                    postfix.flush()
            time.sleep(0.5)
        return [f"{postfix.queued()} messages are still in the queue of {getattr(postfix, 'name', 'the sink')}" for postfix in left]


    def wait_idle(self):
        """No milter works on a message."""
        def idle():
            return all(b"depollueur_messages_in_work 0" in milter.ask("/metrics")[1] for milter in self.milters)
        wait_until(idle, "the milters to be idle", 60)
