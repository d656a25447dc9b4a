#!/usr/bin/env python3
"""A corpus of messages through `depollueur rewrite`, each judged by the oracle.

    tests/e2e/corpus.py DIRECTORY [THRESHOLD]

Every message goes through twice (the second pass must change nothing), and the links are opened at
a real web listener. Where the directory's MANIFEST.tsv tags a message `expect:strip` something must
have been detached, where it says `expect:keep` nothing.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab import ORACLE, PUBLIC_URL, Daemon  # noqa: E402
from oracle import to_crlf  # noqa: E402


def expectations(directory: Path) -> dict[str, str]:
    """The `expect:` tag of each file that has one."""
    manifest = directory / "MANIFEST.tsv"
    if not manifest.exists():
        return {}
    found = {}
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            for tag in (row["tags"] or "").split():
                if tag.startswith("expect:"):
                    found[row["file"]] = tag.removeprefix("expect:")
    return found


def rewrite(daemon: Daemon, source: Path, *targets: Path):
    """Writes what the command makes of a message, and of that again."""
    data = source.read_bytes()
    for target in targets:
        done = daemon.run("rewrite", data=data)
        if done.returncode:
            raise RuntimeError(f"{source.name}: exit code {done.returncode}: {done.stderr.decode()}")
        data = done.stdout
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def main() -> int:
    directory, threshold = Path(sys.argv[1]), int((sys.argv[2:] or [1000])[0])
    expected = expectations(directory)
    failures: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="corpus-") as work:
        work = Path(work)
        daemon = Daemon(None, work / "daemon", {"detach_threshold": threshold,
                                                "detach_directions": "both"})
        names = sorted(str(p.relative_to(directory)) for p in directory.rglob("*")
                       if p.is_file() and p.suffix not in (".tsv", ".md"))
        for name in names:
            path = work / "before" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_crlf((directory / name).read_bytes()))
        with daemon, ThreadPoolExecutor(4) as pool:
            def one(name):
                try:
                    rewrite(daemon, work / "before" / name, work / "after" / name, work / "second" / name)
                except Exception as e:
                    failures.setdefault(name, []).append(str(e))
            list(pool.map(one, names))
            judged = subprocess.run(
                [sys.executable, ORACLE, "--batch", work / "before", work / "after", "--second",
                 work / "second", "--json", "--fetch", "--manifest", "--base", PUBLIC_URL,
                 "--rewrite-base", f"{PUBLIC_URL}=http://127.0.0.1:{daemon.web_port}/",
                 "--threshold", str(threshold)], capture_output=True, text=True)
        touched = 0
        for line in judged.stdout.splitlines():
            if not line.startswith("{"):
                continue
            answer = json.loads(line)
            name, was_touched = answer["name"], answer["info"].get("touched", False)
            touched += was_touched
            if answer["errors"]:
                failures.setdefault(name, []).extend(answer["errors"])
            if {"strip": not was_touched, "keep": was_touched}.get(expected.get(name, ""), False):
                failures.setdefault(name, []).append(f"expected to {expected[name]}, touched: {was_touched}")
        seen = sum(line.startswith("{") for line in judged.stdout.splitlines())
    for name, reasons in sorted(failures.items()):
        print(f"FAIL  {name}\n      " + "\n      ".join(reasons))
    if seen + sum(name not in judged.stdout for name in failures) < len(names):
        failures.setdefault("(oracle)", []).append(judged.stderr)
        print(f"FAIL  the oracle judged {seen} of {len(names)} messages\n{judged.stderr}")
    print(f"{touched} of {len(names)} messages were rewritten, all others came out as they went in")
    print(f"{len(names) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
