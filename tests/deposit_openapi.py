#!/usr/bin/env python3
"""The deposit listener does what its OpenAPI description says: schemathesis asks a real daemon.

It makes a virtual environment, installs schemathesis from PyPI into it, starts the program under
test with a fresh drop, and lets schemathesis make up requests, good and bad, for every operation.
Fails loudly when it cannot be installed. `SCHEMATHESIS` names one that is installed already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

from lab import ROOT, Daemon, free_port  # noqa: E402

VERSION = "schemathesis==4.32.5"
EXAMPLES = os.environ.get("EXAMPLES", "40")
# One request at a time and one seed: a failure can be had again.
SEED = "20261122"


def schemathesis(directory: Path) -> str:
    if given := os.environ.get("SCHEMATHESIS"):
        return given
    subprocess.run([sys.executable, "-m", "venv", directory / "venv"], check=True)
    subprocess.run([directory / "venv" / "bin" / "pip", "install", "--quiet", VERSION], check=True)
    return str(directory / "venv" / "bin" / "schemathesis")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="depollueur-openapi-") as name:
        directory = Path(name)
        command = schemathesis(directory)
        port = free_port()
        with Daemon(None, directory / "daemon", {
                "deposit_listen": f"127.0.0.1:{port}", "deposit_drafts_max": 100_000}) as daemon:
            added = daemon.run("drop", "token", "add", "conformance")
            assert added.returncode == 0, added.stderr.decode()
            secret = added.stdout.decode().strip()
            ended = subprocess.run(
                [command, "run", str(ROOT / "doc" / "deposit.openapi.yaml"),
                 "--url", f"http://127.0.0.1:{port}", "--header", f"Authorization: Bearer {secret}",
                 "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--workers", "1",
                 "--request-timeout", "20", "--continue-on-failure", "--no-color",
                 "--generation-database", "none"],
                cwd=directory, env={**os.environ, "SCHEMATHESIS_HOOKS": "deposit_openapi_hooks",
                                    "PYTHONPATH": str(ROOT / "tests"), "PYTHONDONTWRITEBYTECODE": "1"})
            complaints = [line for line in daemon.log().splitlines() if "panic" in line or "ERROR" in line]
    for line in complaints:
        print(f"the daemon says: {line}")
    failed = ended.returncode != 0 or bool(complaints)
    print(f"{int(not failed)} passed, {int(failed)} failed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
