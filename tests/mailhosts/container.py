#!/usr/bin/env python3
"""One message through a daemon that packaging/oci/test runs as a container engine would: container.py ROOT COMMAND…, where the
command gives up what rights there are. Runs beside the container, in its network."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from lab import port_is_open, wait_until  # noqa: E402
from milter_client import Milter, body_of  # noqa: E402

FILE = bytes(range(256)) * 400


def message() -> bytes:
    from email.message import EmailMessage
    from email.policy import SMTP
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "alice@lab.test", "bob@example.com", "a file"
    made["Message-ID"], made["Date"] = "<1@lab.test>", "Sun, 29 Nov 2026 01:00:00 +0000"
    made.set_content("Here it is.\n")
    made.add_attachment(FILE, maintype="application", subtype="octet-stream", filename="data.bin")
    return made.as_bytes()


def main() -> int:
    root, *rights = sys.argv[1:]
    inside = ["chroot", root, *rights]
    daemon = subprocess.Popen([*inside, "/usr/bin/depollueur", "run"])
    try:
        wait_until(lambda: daemon.poll() is not None or port_is_open(8026), "the daemon")
        subprocess.run([*inside, "/usr/local/bin/healthy"], check=True)
        user = Path(f"{root}/proc/{daemon.pid}/status").read_text()
        assert re.search(r"^Uid:\t8895\t8895\t8895\t8895$", user, re.M) and re.search(r"^CapEff:\t0+$", user, re.M), user
        with Milter("127.0.0.1:8895") as milter:
            milter.open()
            body = body_of(milter.message(message())).decode()
        link = re.search(r"https://drop\.example\.org/([a-z2-7]+)", body.replace("=\r\n", ""))
        assert link, body
        page = urllib.request.urlopen(f"http://127.0.0.1:8025/{link[1]}").read().decode()
        way = re.search(rf'href="(/{link[1]}/1)"', page)
        assert way, page
        got = urllib.request.urlopen(f"http://127.0.0.1:8025/{way[1].lstrip('/')}").read()
        assert got == FILE, f"{len(got)} bytes came out"
    finally:
        daemon.terminate()
        status = daemon.wait(60)
    assert status == 0, status
    return 0


if __name__ == "__main__":
    sys.exit(main())
