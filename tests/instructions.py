#!/usr/bin/env python3
"""How many instructions our own work takes, held against what it took before: a slower program is found by counting,
on a machine that is busy with other things, too.

    tests/instructions.py             counts, and judges by tests/instructions.json
    tests/instructions.py --accept    counts, and writes down what it found as what it should be
    tests/instructions.py scan        only the cases whose name contains a word

The cases are those of benches/instructions.rs. Each is run twice under valgrind (cachegrind, without its caches), once with
one repetition of the work and once with more: the difference is the work's, without the program's start. All its
threads are counted, which valgrind runs one at a time.

What differs between machines is kept out. Valgrind shows every program the same processor on all that have AVX2, so that
memchr and the C library choose the same code. What aws-lc does (hashes, encryption, and its choice among processors)
is not ours: its functions are left out. Hash maps are seeded at random: two counts of one program differ by less than 1 %.
Where threads hand blocks to each other they differ by 10 %, for how many blocks wait at once is chance: a case that
took too many is counted twice more, and its least count is judged. Another compiler makes other code: when its version (or
that of the C compiler, of the C library or of valgrind) is not the one that was written down, the tolerance is wider. On another kind of processor nothing is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tests" / "instructions.json"
TOLERANCE, TOLERANCE_OTHER = 0.10, 0.30
# The second run does the work so often more than the first.
TIMES = 3
# Number of further counts of a case that took too many.
AGAIN = 2
# aws-lc: hashes, encryption, random numbers; some of its functions do not have its name.
NOT_OURS = re.compile(r"aws_lc|_?aes|aead_aes|sha\d|keccak|jent_|rol64|uint32rotl|xoshiro|le\d+_to_ptr|ptr_to_le\d+"
                      r"|ctr_drbg|rand_bytes")


def build() -> Path:
    built = output(["cargo", "bench", "--quiet", "--locked", "--bench", "instructions", "--no-run", "--message-format",
                    "json"])
    made = (json.loads(line) for line in built.splitlines())
    return Path(next(part["executable"] for part in made if part.get("reason") == "compiler-artifact"
                     and part["target"]["name"] == "instructions" and part["executable"]))


def output(command) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def tools() -> dict:
    """What else decides about the counts."""
    first = lambda *command: output(command).partition("\n")[0].strip()  # noqa: E731
    return {"rustc": first("rustc", "-V"), "cc": first("cc", "--version"), "libc": " ".join(platform.libc_ver()),
            "valgrind": first("valgrind", "--version"), "machine": platform.machine()}


def count(program: Path, case: str) -> dict[str, int]:
    """Instructions of one repetition of a case, by function."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as directory:
        once, more = (run(program, case, times, Path(directory)) for times in (1, 1 + TIMES))
    return {name: (more.get(name, 0) - once.get(name, 0)) // TIMES for name in more.keys() | once.keys()}


def run(program: Path, case: str, times: int, directory: Path) -> dict[str, int]:
    out = directory / f"{times}.out"
    # The environment lies on the stack: its length is the same for all.
    output(["env", "-i", f"PATH={os.environ['PATH']}", "valgrind", "--tool=cachegrind", "--quiet",
            "--cache-sim=no", "--branch-sim=no", f"--cachegrind-out-file={out}", program, case, str(times)])
    return functions(out.read_text(errors="replace"))


def functions(profile: str) -> dict[str, int]:
    """Cachegrind's output: `fn=NAME`, then lines of a line number and a count."""
    found: dict[str, int] = {}
    name = ""
    for line in profile.splitlines():
        if line.startswith("fn="):
            name = re.sub(r"::h[0-9a-f]{16}$", "", line[3:])
        elif line[:1].isdigit():
            found[name] = found.get(name, 0) + int(line.split()[1])
    return found


def is_ours(name: str) -> bool:
    return not NOT_OURS.match(name)


def total(found: dict[str, int]) -> int:
    return sum(instructions for name, instructions in found.items() if is_ours(name))


def judge(case: str, found: dict[str, int], known: int | None, tolerance: float) -> bool:
    """Prints a line for a case; false when it takes too many."""
    taken = total(found)
    if known is None:
        print(f"FAIL  {case}: {taken:,} instructions, and no figure to hold them against: tests/instructions.py --accept")
        return False
    change = taken / known - 1
    if change > tolerance:
        print(f"FAIL  {case}: {taken:,} instructions, {change:+.1%} on {known:,} (at most {tolerance:+.0%}); most are in")
        ours = sorted(((n, name) for name, n in found.items() if is_ours(name)), reverse=True)
        for instructions, name in ours[:12]:
            print(f"        {instructions:>14,}  {name[:150]}")
        return False
    fewer = ": fewer, write it down" if change < -tolerance else ""
    print(f"ok    {case}: {taken:,} instructions, {change:+.1%}{fewer}")
    return True


def parse():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--accept", action="store_true", help="write down what is counted")
    parser.add_argument("words", nargs="*", help="only cases whose name contains one of these")
    return parser.parse_args()


def main() -> int:
    options = parse()
    program = build()
    cases = [case for case in output([program]).splitlines()
             if not options.words or any(word in case for word in options.words)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(cases, pool.map(lambda case: count(program, case), cases)))
    kept = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"tools": {}, "instructions": {}}
    if options.accept:
        return accept(kept, found, bool(options.words))
    for case, instructions in found.items():
        known = kept["instructions"].get(case, 0)
        if total(instructions) > known * (1 + TOLERANCE):
            found[case] = min([instructions, *(count(program, case) for _ in range(AGAIN))], key=total)
    return compare(kept, found)


def accept(kept: dict, found: dict, is_part: bool) -> int:
    counted = {case: total(instructions) for case, instructions in found.items()}
    if is_part:
        counted = kept["instructions"] | counted
    BASELINE.write_text(json.dumps({"tools": tools(), "instructions": counted}, indent=2) + "\n")
    print(f"{len(found)} figures are written to {BASELINE.relative_to(ROOT)}")
    return 0


def compare(kept: dict, found: dict) -> int:
    here, tolerance = tools(), TOLERANCE
    if here["machine"] != kept["tools"].get("machine", here["machine"]):
        print(f"none  counted on {kept['tools']['machine']}; this is {here['machine']}: nothing is judged")
        return 0
    for tool, version in kept["tools"].items():
        if here[tool] != version:
            tolerance = TOLERANCE_OTHER
            print(f"none  counted with {version}, here is {here[tool]}: {tolerance:.0%} more is still good")
    held = [judge(case, instructions, kept["instructions"].get(case), tolerance)
            for case, instructions in found.items()]
    if not all(held):
        print("Is it worth what it costs? Then write it down with tests/instructions.py --accept, and say in the commit why.")
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
