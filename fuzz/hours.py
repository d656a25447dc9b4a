#!/usr/bin/env python3
"""Runs every fuzz target (or those named) for a time counted in CPU seconds, and says what it took.

    fuzz/hours.py                     one CPU-hour each
    fuzz/hours.py --hours 0.1 scan    six CPU-minutes of one
    fuzz/hours.py --minimise scan     adds what was found to fuzz/corpus/scan, as few inputs as reach all of its code

What is found is kept in <target directory>/fuzz-found/<target> from one run to the next; the seeds in
fuzz/corpus are read only, but by --minimise. Each slice of a run adds a line to <target directory>/fuzz-hours.jsonl. A crash
ends its target with exit code 1; libFuzzer says where it kept the input. Interrupted (Ctrl-C), it counts what was
done until then.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
SLICE_SECONDS = 300
SEED_BYTES_MAX = 2048
# What libFuzzer ends with when it is interrupted and has found nothing.
INTERRUPTED = 72


def build() -> pathlib.Path:
    """Builds all targets; the directory that they are in."""
    said = subprocess.run([HERE / "build"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return pathlib.Path(said.strip())


def commit():
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def found_by(name):
    """Where what a target finds is kept."""
    directory = TARGETS / "fuzz-found" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def run_slice(binary, name, seconds):
    """One run of libFuzzer: CPU seconds, executions, whether it was clean, whether it was interrupted, and the end of
    what it said."""
    found = found_by(name)
    seeds = HERE / "corpus" / name
    command = [
        binary, found, *([seeds] if seeds.is_dir() else []), f"-max_total_time={seconds}", "-rss_limit_mb=1024",
        f"-dict={HERE}/dictionaries/mime.dict",
        "-timeout=60", "-print_final_stats=1", f"-artifact_prefix={TARGETS}/fuzz-found/{name}-",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    fuzzer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    interrupted = False
    try:
        said = fuzzer.stderr.read()
    except KeyboardInterrupt:
        interrupted = True
        fuzzer.send_signal(signal.SIGINT)
        said = fuzzer.stderr.read()
    interrupted |= fuzzer.wait() == INTERRUPTED
    clean = fuzzer.returncode in (0, INTERRUPTED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    return cpu, int(executed.group(1)) if executed else 0, clean, interrupted, said[-4000:]


def run(binary, name, seconds):
    """Runs one target until it used `seconds` of CPU; true if nothing was found."""
    used = executions = 0
    while used < seconds:
        cpu, executed, clean, interrupted, said = run_slice(binary, name, min(SLICE_SECONDS, max(1, round(seconds - used))))
        used, executions = used + cpu, executions + executed
        line = {"target": name, "cpu_seconds": round(cpu, 1), "executions": executed, "clean": clean,
                "commit": commit(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        with open(TARGETS / "fuzz-hours.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if not clean:
            print(said)
            print(f"FAIL  {name}: after {executions} executions, {used:.0f} s of CPU", flush=True)
            return False
        if interrupted:
            print(f"interrupted: {name}, after {executions} executions in {used:.0f} s of CPU", flush=True)
            raise SystemExit(130)
    print(f"ok    {name}: {executions} executions in {used:.0f} s of CPU", flush=True)
    return True


def minimise(binary, name):
    """Adds to a target's seeds what reaches code that they do not: of all that was found, as few inputs as possible."""
    seeds = HERE / "corpus" / name
    seeds.mkdir(parents=True, exist_ok=True)
    before = set(seeds.iterdir())
    # Edges, not how often each is taken: what only differs in that is many times as much.
    command = [binary, "-set_cover_merge=1", "-use_counters=0", f"-max_len={SEED_BYTES_MAX}", "-rss_limit_mb=2048",
               "-timeout=60", seeds, found_by(name)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        print(f"{done.stderr[-4000:]}\nFAIL  {name}: ended with {done.returncode}")
        return False
    added = set(seeds.iterdir()) - before
    size = sum(path.stat().st_size for path in added)
    print(f"ok    {name}: {len(added)} inputs of {size} bytes added to {len(before)}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="CPU-hours of each target (1)")
    parser.add_argument("--minimise", action="store_true", help="fuzz nothing, add what was found to the seeds")
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    names = arguments.targets or sorted(path.stem for path in (HERE / "fuzz_targets").glob("*.rs"))
    built = build()
    act = minimise if arguments.minimise else lambda binary, name: run(binary, name, arguments.hours * 3600)
    results = [act(built / name, name) for name in names]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
