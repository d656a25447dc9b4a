#!/usr/bin/env python3
"""Metrics, alert rules and dashboard agree, and the statistics outlive a restart.

A daemon rewrites a message, passes one, and reads a bad configuration. promtool (from Debian's
package `prometheus`) judges what it then tells; every metric that a rule or a panel of the dashboard
names stands in it. No Postfix: the test speaks milter itself.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lab import ROOT, Daemon, wait_until
from milter_client import Milter

RULES = ROOT / "config" / "prometheus" / "depollueur.rules.yml"
RULES_TEST = ROOT / "config" / "prometheus" / "depollueur.test.yml"
DASHBOARD = ROOT / "config" / "grafana" / "depollueur.json"
NAME = re.compile(r"\bdepollueur_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count)$")

CHECKS = []


def check(sentence: str):
    """Registers a check: a function that raises when the sentence does not hold."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


def promtool(*args, data: str | None = None):
    done = subprocess.run(["promtool", *map(str, args)], input=data, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def message(size: int) -> bytes:
    encoded = base64.encodebytes(os.urandom(size)).replace(b"\n", b"\r\n")
    return (b"From: alice@lab.test\r\nTo: bob@example.com\r\nSubject: a file\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
            b"Hello\r\n--b\r\nContent-Type: application/octet-stream\r\n"
            b'Content-Disposition: attachment; filename="a.bin"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"--b--\r\n")


def send(daemon: Daemon, size: int, **envelope):
    with Milter(daemon.settings["milter_listen"]) as milter:
        milter.open()
        milter.message(message(size), **envelope)


class Clamd:
    """Says the version of a clamd with the official signatures, which no test can have, and that each file is clean."""

    MADE = "Sun Nov 22 09:00:00 2026"

    def __init__(self, path: Path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            stream, _ = self.listener.accept()
            with stream, stream.makefile("rb") as read:
                if self._line(read) == b"zVERSION":
                    stream.sendall(f"ClamAV 1.4.6/27451/{self.MADE}\0".encode())
                    continue
                while length := int.from_bytes(read.read(4), "big"):
                    read.read(length)
                stream.sendall(b"stream: OK\0")

    @staticmethod
    def _line(read) -> bytes:
        line = b""
        while (byte := read.read(1)) not in (b"", b"\0"):
            line += byte
        return line


def metrics(daemon: Daemon) -> str:
    status, body = daemon.admin("/metrics")
    assert status == 200, status
    return body.decode()


def told(text: str) -> set[str]:
    """The names of everything that the daemon tells, with the suffixes of histograms taken off."""
    return {SUFFIX.sub("", m) for m in re.findall(r"^# TYPE (\S+)", text, re.M)}


def named(text: str) -> set[str]:
    return {SUFFIX.sub("", name) for name in NAME.findall(text)}


@check("promtool finds nothing to say against the metrics")
def _(daemon):
    promtool("check", "metrics", data=metrics(daemon))


@check("who asks for OpenMetrics gets it")
def _(daemon):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
    assert answer.read().endswith(b"# EOF\n")


@check("messages, phases, the drop and the sweeper are counted")
def _(daemon):
    wait_until(lambda: re.search(r"^depollueur_drop_stored_bytes \d", metrics(daemon), re.M), "the drop's level")
    wait_until(lambda: "depollueur_sweep_last_success_timestamp_seconds 1" in metrics(daemon), "a sweep")
    text = metrics(daemon)
    for line in ('depollueur_messages_total{outcome="rewritten",reason="detached"} 1',
                 "depollueur_detached_bytes_total 200000",
                 'depollueur_phase_duration_seconds_count{phase="header"} 2',
                 'depollueur_phase_duration_seconds_count{phase="commit"} 2',
                 'depollueur_phase_duration_seconds_count{phase="reply"} 1',
                 "depollueur_spool_files 0", "depollueur_spool_bytes 0", "depollueur_sweep_held 0"):
        assert line in text.splitlines(), f"{line}\n{text}"
    assert re.search(r"^depollueur_drop_free_bytes [1-9]", text, re.M), text


@check("it is told whether each clamd answers, and when its signatures were made")
def _(daemon):
    made = int(time.mktime(time.strptime(Clamd.MADE)))
    label = f'{{clamd="{daemon.settings["scan_clamd"][0]}"}}'
    for line in (f"depollueur_clamd_up{label} 1", f"depollueur_clamd_signatures_timestamp_seconds{label} {made}"):
        wait_until(lambda line=line: line in metrics(daemon).splitlines(), line, 10)


@check("promtool finds the rules sound, and each alert fires when it must")
def _(_daemon):
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES_TEST)
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    fired = set(re.findall(r"name: (\w+) fires", RULES_TEST.read_text()))
    assert alerts == fired, alerts ^ fired


@check("every metric of the rules and of the dashboard is told")
def _(daemon):
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    wanted = named(RULES.read_text()) | named("\n".join(asked))
    assert len(wanted) > 15 and not wanted - told(metrics(daemon)), wanted - told(metrics(daemon))


@check("every metric that is told stands in depollueur(8)")
def _(daemon):
    page = (ROOT / "man" / "depollueur.8").read_text()
    documented = set(re.findall(r"^\.It Li (depollueur_[a-z_]+)", page, re.M))
    assert documented == told(metrics(daemon)), documented ^ told(metrics(daemon))


@check("a configuration that is refused shows")
def _(daemon):
    good = daemon.config.read_text()
    assert "depollueur_config_last_reload_successful 1" in metrics(daemon)
    daemon.config.write_text("[detach]\nthreshold = -1\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "depollueur_config_last_reload_successful 0" in metrics(daemon), "the refusal")
    daemon.config.write_text(good)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "depollueur_config_last_reload_successful 1" in metrics(daemon), "the reload")


def stats(daemon: Daemon, *args) -> str:
    done = daemon.run("stats", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@check("statistics outlive a restart, and name no small domain and no address")
def _(daemon):
    daemon.stop()
    total = json.loads(stats(daemon, "--json"))["total"]
    assert total == {"messages": 1, "files": 1, "bytes": 200_000, "mailboxes": 2, "spared_bytes": 400_000}, total
    assert "(others)" in stats(daemon, "--by", "domain")
    for language in ("fr", "en"):
        assert "alice" not in stats(daemon, "--html", "-", "--language", language)
        page = stats(daemon, "--html", "-", "--language", language)
        assert f'<html lang="{language}">' in page and ">lab.test<" not in page and "http" not in page, page


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="depollueur-metrics-") as directory:
        clamd = Path(directory) / "clamd.ctl"
        Clamd(clamd)
        daemon = Daemon(None, Path(directory), {"scan_clamd": [f"unix:{clamd}"]}).start()
        try:
            send(daemon, 200_000, recipients=("bob@example.com", "eve@example.com"))
            send(daemon, 1_000)
            for sentence, function in CHECKS:
                try:
                    function(daemon)
                    print(f"ok    {sentence}")
                except Exception as e:
                    failed += 1
                    print(f"FAIL  {sentence}\n      {type(e).__name__}: {e}")
        finally:
            if daemon.process and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
