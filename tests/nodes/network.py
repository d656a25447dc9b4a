"""Hosts on one machine: each has a network namespace and an address of its own, on one bridge that leads nowhere else.

`enter` starts this program again in new namespaces of networks, processes and mounts: whatever ends it ends all that it
started, and takes the networks with it. Nothing of the machine's own network is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from lab import wait_until

PREFIX = "10.77.0"
# Where mail comes from and goes to, and where readers are: the rest of the world.
WORLD = f"{PREFIX}.1"
# No network card has it: what is sent there is lost, without a word to the sender.
NOWHERE = "02:00:00:00:00:fe"
MARK = "DEPOLLUEUR_NODES_INSIDE"


def enter():
    """Returns inside of new namespaces."""
    if os.environ.get(MARK):
        return
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv]
    os.execvpe(command[0], command, {**os.environ, MARK: "1"})


def must(*command: object):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Host:
    """A host: a namespace, which lives as long as the process that holds it."""

    def __init__(self, name: str, number: int):
        self.name, self.address = name, f"{PREFIX}.{number}"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        ours = os.readlink("/proc/self/ns/net")
        wait_until(lambda: self._namespace() not in ("", ours), f"the namespace of {name}", 10)
        self.prefix = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        port = f"p{number}"
        must("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        must("ip", "link", "set", port, "master", "br0", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    def _namespace(self) -> str:
        try:
            return os.readlink(f"/proc/{self.holder.pid}/ns/net")
        except OSError:
            return ""

    def ip(self, *words: object):
        must(*self.prefix, "ip", *words)

    def popen(self, command: list, **options) -> subprocess.Popen:
        """Starts a program on this host."""
        return subprocess.Popen([*self.prefix, *map(str, command)], **options)

    def run(self, command: list, **options) -> subprocess.CompletedProcess:
        return subprocess.run([*self.prefix, *map(str, command)], **options)


class Network:
    """The bridge, and who is cut off from whom."""

    def __init__(self):
        must("ip", "link", "set", "lo", "up")
        must("ip", "link", "add", "br0", "type", "bridge")
        must("ip", "addr", "add", f"{WORLD}/24", "dev", "br0")
        must("ip", "link", "set", "br0", "up")
        self.hosts: dict[str, Host] = {}
        self.lock = threading.Lock()
        self.cuts: set[frozenset[str]] = set()

    def host(self, name: str, number: int) -> Host:
        self.hosts[name] = Host(name, number)
        return self.hosts[name]

    def close(self):
        """Ends the namespaces, whose ends of the lines go with them."""
        for host in self.hosts.values():
            host.holder.kill()
            host.holder.wait()
        must("ip", "link", "del", "br0")

    def cut(self, one: str, other: str):
        """What either sends to the other is lost from now on; neither is told."""
        with self.lock:
            self._neighbours(one, other, "replace", "lladdr", NOWHERE, "nud", "permanent")
            self.cuts.add(frozenset((one, other)))

    def heal(self, one: str, other: str):
        with self.lock:
            self._neighbours(one, other, "del")
            self.cuts.discard(frozenset((one, other)))

    def heal_all(self):
        for pair in list(self.cuts):
            self.heal(*pair)

    def _neighbours(self, one: str, other: str, verb: str, *words: str):
        for here, there in ((one, other), (other, one)):
            host = self.hosts[here]
            host.ip("neigh", verb, self.hosts[there].address, *words, "dev", "eth0")
