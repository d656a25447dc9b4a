"""The bucket that all hosts share. moto stands in the place of the service: it keeps all in memory, so it is frozen, never killed.

Another service is one more class with these attributes and verbs, and a word in `SERVICES`: `can_be_killed` true where what
was stored outlives a SIGKILL, several `hosts` where it is spread over several.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

from lab import wait_until
from network import Host
from s3 import PACKAGES, Missing

SERVER = """
import sys, moto.server
moto.server.main(["-H", "0.0.0.0", "-p", sys.argv[1]])
"""
PORT = 9000


def install(directory: Path) -> str:
    """The Python that has moto: `$MOTO`, or one in a virtual environment made here. Needs PyPI, so it comes before the namespaces."""
    if os.environ.get("MOTO"):
        return os.environ["MOTO"]
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    python = directory / "bin" / "python"
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *PACKAGES], capture_output=True, text=True)
    if installed.returncode != 0:
        raise Missing(f"{PACKAGES[0]} cannot be had from PyPI: {installed.stderr.strip().splitlines()[-1:]}")
    return str(python)


def signed(method: str, address: str, target: str, body: bytes, service) -> dict[str, str]:
    """The fields of a request with AWS Signature Version 4."""
    path, _, query = target.partition("?")
    ordered = "&".join(sorted(word if "=" in word else word + "=" for word in query.split("&") if word))
    day = (time := datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"))[:8]
    digest, names = hashlib.sha256(body).hexdigest(), "host;x-amz-content-sha256;x-amz-date"
    canonical = f"{method}\n{path}\n{ordered}\nhost:{address}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n\n{names}\n{digest}"
    scope = f"{day}/{service.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + service.secret.encode()
    for word in (*scope.split("/"), text):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    authorization = f"AWS4-HMAC-SHA256 Credential={service.key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {"Authorization": authorization, "x-amz-date": time, "x-amz-content-sha256": digest}


class Moto:
    """One host with moto."""

    can_be_killed = False
    needed_hosts = 1
    name, region, key_id, secret = "depollueur", "us-east-1", "test", "test"

    def __init__(self, hosts: list[Host], directory: Path):
        (self.host,) = hosts
        self.secret_file = directory / "s3-key"
        self.secret_file.write_text(self.secret + "\n")
        self.secret_file.chmod(0o600)
        self.log_path = directory / "s3.log"
        with self.log_path.open("wb") as log:
            self.process = self.host.popen([os.environ["MOTO"], "-c", SERVER, PORT], stdout=log, stderr=log)
        wait_until(self._answers, "moto", 60)

    def _answers(self) -> bool:
        try:
            return self.ask("PUT", f"/{self.name}")[0] == 200
        except OSError:
            return False

    def settings(self) -> dict:
        """What a host's configuration says of it."""
        return {"drop_blobs": "s3", "s3_endpoint": f"http://{self.host.address}:{PORT}", "s3_bucket": self.name,
                "s3_region": self.region, "s3_access_key_id": self.key_id, "s3_secret_key_file": str(self.secret_file), "s3_allow_http": True}

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """A request that is signed with the key."""
        address = f"{self.host.address}:{PORT}"
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request(method, target, body, signed(method, address, target, body, self))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def objects(self) -> dict[str, int]:
        """All objects that are files, with their lengths."""
        found, after = {}, ""
        while True:
            text = self.ask("GET", f"/{self.name}?list-type=2{after}")[1].decode()
            for entry in re.findall(r"<Contents>(.*?)</Contents>", text, re.S):
                name, size = re.search(r"<Key>(.*?)</Key>", entry), re.search(r"<Size>(\d+)</Size>", entry)
                found[name.group(1)] = int(size.group(1))
            token = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", text)
            if not token:
                return {name: size for name, size in found.items() if name != "owner"}
            after = f"&continuation-token={urllib.parse.quote(token.group(1))}"

    def unfinished(self) -> list[str]:
        return re.findall(r"<UploadId>(.*?)</UploadId>", self.ask("GET", f"/{self.name}?uploads")[1].decode())

    def remove(self, name: str):
        self.ask("DELETE", f"/{self.name}/{name}")

    def requests(self) -> int:
        """How many it was asked so far."""
        return len(re.findall(r'"(?:PUT|GET|HEAD|POST|DELETE) /', self.log_path.read_text(errors="replace")))

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()


SERVICES = {"moto": Moto}
