#!/usr/bin/env python3
"""Each module stands above all that it imports: no two modules at the top of a crate import each other, directly or around corners.

    tests/floors.py            prints each circle with the lines that tie it, and what doc/architecture.md draws wrong; fails when there is one
    tests/floors.py --floors   prints the modules of each crate, lowest floor first

Production code only: no tests, fuzz properties or conformance suites. It reads paths that begin with `crate::`, in `use` and
elsewhere. Before it judges, it must find a circle that it plants itself.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The sources of each crate, in the order of the drawings in doc/architecture.md.
SOURCES = (ROOT / "src", ROOT / "crates/mailsplice/src")
NOT_PRODUCTION = {"tests", "fuzz", "conformance", "lab", "lib", "main"}
TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\[^\n]{1,8}?|[^'\\\n])'""", re.DOTALL
)
GATED = re.compile(r"#\[cfg\([^\n]*\b(?:test|fuzzing)\b[^\n]*\)\]\s*(?:#\[[^\n]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?(mod|use|impl|fn)\b")
# Module, imported module, and where: `src/a.rs:7`.
Arrow = tuple[str, str, str]


def blank(text: str) -> str:
    """The same text with spaces in place of all but its line ends."""
    return re.sub(r"[^\n]", " ", text)


def production(text: str) -> str:
    """A source file without texts, comments, and items that only tests and fuzz targets have; lines keep their numbers."""
    code = TEXT.sub(lambda match: blank(match.group()), text)
    while match := GATED.search(code):
        end, depth = match.end(), 0
        while end < len(code):
            depth += (code[end] == "{") - (code[end] == "}")
            end += 1
            if depth == 0 and code[end - 1] in ";}":
                break
        code = code[: match.start()] + blank(code[match.start() : end]) + code[end:]
    return code


def first_names(tree: str) -> list[tuple[str, int]]:
    """The first name of each path in what follows `use crate::`, with its offset."""
    if not tree.startswith("{"):
        return [(re.match(r"\w*", tree).group(), 0)]
    names, depth, begins = [], 0, False
    for at, sign in enumerate(tree):
        depth += (sign == "{") - (sign == "}")
        if depth == 1 and sign in "{,":
            begins = True
        elif begins and (match := re.compile(r"\w+").match(tree, at)):
            names.append((match.group(), at))
            begins = False
    return names


def arrows(src: Path, home: Path = ROOT) -> list[Arrow]:
    """Each import of a module by another one."""
    found = []
    modules = {path.stem for path in src.iterdir() if path.suffix == ".rs"}
    for path in sorted(src.rglob("*.rs")):
        inside = path.relative_to(src)
        if NOT_PRODUCTION & {inside.stem, *inside.parts[:-1]}:
            continue
        code, module = production(path.read_text(encoding="utf-8")), inside.parts[0].removesuffix(".rs")
        for match in re.finditer(r"\bcrate::(\{[^;]*\}|\w+)", code):
            for name, offset in first_names(match.group(1)):
                if name in modules and name != module:
                    line = code.count("\n", 0, match.start(1) + offset) + 1
                    found.append((module, name, f"{src.relative_to(home)}/{inside}:{line}"))
    return found


def reach(found: list[Arrow]) -> dict[str, set[str]]:
    """All that stands below each module."""
    below: dict[str, set[str]] = {}
    for module, imported, _ in found:
        below.setdefault(module, set()).add(imported)
        below.setdefault(imported, set())
    for middle in below:
        for module in below:
            if middle in below[module]:
                below[module] |= below[middle]
    return below


def circles(found: list[Arrow]) -> list[list[str]]:
    """The groups of modules each of which reaches itself through the others."""
    below = reach(found)
    groups = {tuple(sorted(other for other in below[module] if module in below[other])) for module in below}
    return sorted(list(group) for group in groups if group)


def drawn(number: int) -> dict[str, int]:
    """The floor of each module in a drawing of doc/architecture.md, the highest has number 0."""
    drawing = (ROOT / "doc/architecture.md").read_text(encoding="utf-8").split("```text\n")[number].split("```")[0]
    return {word: floor for floor, line in enumerate(drawing.splitlines()) for word in line[:47].split()}


def planted() -> list[str]:
    """What is wrong with this check: it must see a circle of three, and nothing in what is not production code."""
    files = {
        "a.rs": "use std::fmt;\nuse crate::{\n    b::{self, Thing},\n    d,\n};\n",
        "b.rs": "//! `crate::a`\nfn f() -> &'static str { let _ = crate::c::g(); \"crate::a\" }\n",
        "c.rs": "pub fn g() {}\n",
        "c/inner.rs": "pub(crate) use crate::a::Part;\n",
        "d.rs": "#[cfg(test)]\nuse crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::{a, b};\n}\n",
        "d/tests/all.rs": "use crate::a;\n",
    }
    with tempfile.TemporaryDirectory() as home:
        src = Path(home) / "src"
        for name, text in files.items():
            (src / name).parent.mkdir(parents=True, exist_ok=True)
            (src / name).write_text(text, encoding="utf-8")
        found = arrows(src, Path(home))
    expected = [("a", "b", "src/a.rs:3"), ("a", "d", "src/a.rs:4"), ("b", "c", "src/b.rs:2"), ("c", "a", "src/c/inner.rs:1")]
    wrong = [] if sorted(found) == expected else [f"planted arrows: {sorted(found)}, not {expected}"]
    if circles(found) != [["a", "b", "c"]]:
        wrong.append(f"the planted circle is not seen: {circles(found)}")
    if circles([arrow for arrow in found if arrow[0] != "c"]):
        wrong.append("a circle is seen where there is none")
    return wrong


def judge(number: int, src: Path) -> int:
    """Prints what is wrong with a crate, whose drawing has this number; returns how much that is."""
    found = arrows(src)
    below = reach(found)
    if "--floors" in sys.argv[1:]:
        for module in sorted(below, key=lambda name: (len(below[name]), name)):
            print(f"{module}: {' '.join(sorted({to for by, to, _ in found if by == module}))}")

    knots = circles(found)
    for knot in knots:
        print(f"FAIL  these modules import each other: {' '.join(knot)}")
        for module, imported, place in found:
            if module in knot and imported in knot:
                print(f"      {module} -> {imported}: {place}")
    where = src.relative_to(ROOT)
    if not knots:
        print(f"ok    {where}: {len(below)} modules, each above all that it imports")
    floors = drawn(number)
    low = [f"{place}: {by} stands no higher than {to}" for by, to, place in found if floors.get(by, 0) >= floors.get(to, 0)]
    print("\n".join(f"FAIL  doc/architecture.md: {line}" for line in low) or f"ok    {where}: the floors are as doc/architecture.md draws them")
    return len(knots) + len(low) + (not found)


def main() -> int:
    wrong = planted()
    print("\n".join(f"FAIL  {line}" for line in wrong) or "ok    a planted circle is found, with its lines")
    bad = len(wrong) + sum(judge(number, src) for number, src in enumerate(SOURCES, 1))
    checks = 1 + 2 * len(SOURCES)
    print(f"{checks - min(bad, checks)} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
