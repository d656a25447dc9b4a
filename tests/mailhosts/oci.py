"""The image for containers. packaging/oci/test builds and runs it."""

from __future__ import annotations

import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from .checks import PACKAGING, Missing, binary, check, run

OCI = PACKAGING / "oci"


def variables() -> dict[str, str]:
    """What compose.yaml gives the container."""
    return dict(re.findall(r"^ +(DEPOLLUEUR__\w+): (.*)$", (OCI / "compose.yaml").read_text(), re.M))


@check("oci: depollueur takes the file of the image, alone and with the variables of the example")
def _(directory):
    wrong = [] if len(variables()) > 3 else ["compose.yaml has no variables"]
    for added in ({}, variables()):
        done = run(binary(), "check", "--quiet", "--config", OCI / "depollueur.toml", env={**os.environ, **added})
        wrong += [done.stderr] if done.returncode else []
    return wrong


@check("oci: docker compose takes the example")
def _(directory):
    if not shutil.which("docker-compose"):
        raise Missing("docker-compose is not installed")
    done = run("docker-compose", "-f", OCI / "compose.yaml", "config")
    return [done.stderr] if done.returncode else []


class Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@check("oci: the healthcheck is well when the drop takes packages, and ill when it does not, or when nobody answers")
def _(directory):
    wrong = []
    for status, well in ((200, True), (503, False)):
        server = HTTPServer(("127.0.0.1", 0), type("Answers", (Answer,), {"status": status}))
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        done = run("bash", OCI / "healthy", env={**os.environ, "DEPOLLUEUR__ADMIN__LISTEN": address})
        wrong += [] if (done.returncode == 0) == well else [f"{status}: {done.stdout}{done.stderr}"]
        server.server_close()
    if run("bash", OCI / "healthy", env={**os.environ, "DEPOLLUEUR__ADMIN__LISTEN": address}).returncode == 0:
        wrong.append("well, though nobody answers")
    return wrong


@check("oci: the user is none that exists, the volume is the drop, and no file of the context is left out")
def _(directory):
    text = (OCI / "Containerfile").read_text()
    wrong = [f"there is no {line!r}" for line in ("USER 8895:8895", "VOLUME /var/lib/depollueur", "ARG UID=8895") if line not in text]
    copied = re.findall(r"^COPY (?:--\S+ )*(\S+) ", text, re.M)
    return wrong + [f"{name} is not there" for name in copied if "*" not in name and not (OCI / name).exists()]


@check("oci: the scripts are sound")
def _(directory):
    done = run("shellcheck", OCI / "build", OCI / "healthy", OCI / "test")
    return [done.stdout] if done.returncode else []
