"""The drop's daemon and a private nginx with the same bytes, on loopback."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from base64 import encodebytes
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "e2e"))

from lab import Daemon, free_port, port_is_open, stop_pid, wait_until  # noqa: E402
from milter_client import Milter, body_of, check_order  # noqa: E402

# Above what is tried here. All clients come from one address, which is that of a trusted proxy; without its header they
# are one client. How fast a reader must read (web.min_rate, 1 kB/s) stays as it is by default.
WEB = {"web_max_connections": 5000, "web_max_connections_per_address": 5000}

WORKERS = 2

NGINX = """\
daemon off;
user root;
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/octet-stream;
  keepalive_requests 1000000;
  tcp_nopush on;
  root {dir}/www;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{ listen 127.0.0.1:{sendfile}; sendfile on; }}
  server {{ listen 127.0.0.1:{copying}; sendfile off; output_buffers 2 64k; }}
  server {{
    listen 127.0.0.1:{tls} ssl;
    sendfile off; output_buffers 2 64k;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;
  }}
}}
"""


class Drop:
    """A daemon, and what its drop serves: one file and its landing page."""

    def __init__(self, directory: Path, size: int):
        self.bytes = random.Random(1).randbytes(size)
        self.daemon = Daemon(None, directory, {"detach_threshold": 0, "detach_directions": "both", "log_level": "error",
                                               "quota_free_space_min": 0, "quota_free_inodes_min": 0,
                                                   "quota_incoming_client_per_day": "off", "quota_incoming_per_day": "off",
                                                   "quota_sender_per_day": "off", **WEB})
        self.daemon.start()
        link = self.deposit(encodebytes(self.bytes).replace(b"\n", b"\r\n"))
        token = link.rpartition("/")[2]
        base = f"http://127.0.0.1:{self.daemon.web_port}"
        self.page, self.file = f"{base}/{token}", f"{base}/{token}/1"

    @property
    def pids(self) -> list[int]:
        return [self.daemon.process.pid]

    @property
    def milter(self) -> str:
        return self.daemon.settings["milter_listen"]

    def deposit(self, encoded: bytes) -> str:
        with Milter(self.milter, timeout=600) as milter:
            milter.open()
            return send(milter, encoded)

    def close(self):
        self.daemon.kill()


def send(milter: Milter, encoded: bytes) -> str:
    """A message with one file through the milter; the link that it was given."""
    head = (b"From: a@lab.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n"
            b"--=_b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--=_b\r\nContent-Type: application/pdf; name=a.pdf\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n")
    replies = milter.message(head + encoded + b"--=_b--\r\n")
    check_order(replies)
    found = re.search(rb"https://drop\.lab\.test/[a-z2-7]{26}", body_of(replies))
    assert found, f"no link: {replies[-1]}"
    return found.group().decode()


class Nginx:
    """Serves a page and a file as they are: copied by the kernel, copied by itself, and over TLS."""

    def __init__(self, directory: Path, page: bytes, file: bytes):
        (directory / "www").mkdir(parents=True)
        (directory / "www" / "page.html").write_bytes(page)
        (directory / "www" / "file").write_bytes(file)
        ports = {way: free_port() for way in ("sendfile", "copying", "tls")}
        (directory / "nginx.conf").write_text(NGINX.format(dir=directory, workers=WORKERS, **ports))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-days", "2", "-keyout", directory / "key.pem", "-out",
                        directory / "cert.pem"], check=True, capture_output=True)
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(["nginx", "-p", directory, "-c", directory / "nginx.conf"], stdout=log,
                                            stderr=log)
        for port in ports.values():
            wait_until(lambda port=port: port_is_open(port), f"nginx on port {port}", 20)
        wait_until(lambda: len(self.pids) == 1 + WORKERS, "nginx's workers", 20)
        self.base = {way: f"{'https' if way == 'tls' else 'http'}://127.0.0.1:{port}" for way, port in ports.items()}

    @property
    def pids(self) -> list[int]:
        shown = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, shown.split())]

    def close(self):
        stop_pid(self.process.pid)
        self.process.wait(10)
