#!/usr/bin/env python3
"""The documents and the program must agree: what one has, the other names.

Every key of the sample configuration, with its default, stands in depollueur.toml(5); every command
and every long option that `--help` shows stands in depollueur(8); neither page has one more. The
files that README, CONTRIBUTING and the guides name exist, and so do the commands, options and keys
that stand there. The guides in French and English show the same commands, and doc/scale.md is what its script makes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

from lab import ROOT, binary  # noqa: E402

CHECKS = []
ENGINE = "crates/mailsplice/src"


def check(sentence: str):
    """Registers a check: a function that returns what is wrong, one string each."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


def difference(here: set, there: set, here_name: str, there_name: str) -> list[str]:
    return ([f"{x} is in {here_name} only" for x in sorted(here - there)]
            + [f"{x} is in {there_name} only" for x in sorted(there - here)])


def keys_of_sample() -> set[str]:
    found, section = set(), ""
    for line in (ROOT / "config" / "depollueur.toml").read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header.group(1)
        elif key := re.fullmatch(r"#(\w+) = (.*)", line):
            found.add(f"{section}.{key.group(1)} = {key.group(2)}")
    return found


def keys_of_page() -> set[str]:
    found, section = set(), ""
    for line in (ROOT / "man" / "depollueur.toml.5").read_text().splitlines():
        if header := re.fullmatch(r"\.Ss \[(\w+)\]", line):
            section = header.group(1)
        elif key := re.fullmatch(r"\.It Ic (\w+) No = Li (.*)", line):
            default = key.group(2).replace(r"\(dq", '"')
            found.add(f"{section}.{key.group(1)} = {default}")
    return found


def help_of(*command: str) -> str:
    return subprocess.run([binary(), *command, "--help"], check=True, capture_output=True, text=True).stdout


def program() -> tuple[set[str], set[str]]:
    """All commands (`drop get`) and long options (`--config`) of the program."""
    commands, options, todo = set(), set(), [()]
    while todo:
        command = todo.pop()
        text = help_of(*command)
        options |= set(re.findall(r"^\s+(?:-\w, )?(--[a-z][a-z-]*)", text, re.M))
        listed = re.search(r"^Commands:\n((?:  .*\n|\n)*)", text, re.M)
        below = re.findall(r"^  ([a-z]\w*)", listed.group(1), re.M) if listed else []
        if command and not below:
            commands.add(" ".join(command))
        todo += [(*command, name) for name in below]
    return commands, options


def page() -> str:
    return (ROOT / "man" / "depollueur.8").read_text()


@check("depollueur.toml(5) has the keys and the defaults of the sample configuration")
def _():
    assert keys_of_sample(), "the sample configuration has no key"
    return difference(keys_of_sample(), keys_of_page(), "config/depollueur.toml", "depollueur.toml(5)")


@check("the unit bounds memory above what depollueur(8) says that the daemon takes at most")
def _():
    unit = (ROOT / "systemd" / "depollueur.service").read_text()
    manual = (ROOT / "man" / "depollueur.8").read_text()
    said = int(re.search(r"(\d+) MiB for all of it", manual).group(1))
    mail = int(re.search(r"take at most [^=]*= (\d+) MiB", manual).group(1))
    readers = int(re.search(r"besides: (\d+) MiB with the default values", manual).group(1))
    units = {"M": 1, "G": 1024}
    high, most = (int(number) * units[unit_] for number, unit_ in
                  (re.search(rf"^{key}=(\d+)([MG])$", unit, re.M).groups() for key in ("MemoryHigh", "MemoryMax")))
    wrong = [] if said == mail + readers + 18 else [f"{mail} + {readers} + 18 MiB are not {said}"]
    return wrong + ([] if said < high < most else [f"{said} MiB, MemoryHigh {high}, MemoryMax {most}"])


@check("depollueur(8) has the commands of the program")
def _():
    documented = {" ".join(re.sub(r"(?: Ar| Op| Fl).*", "", line).split())
                  for line in re.findall(r"^\.It Cm (.*)$", page(), re.M)}
    return difference(program()[0], documented, "--help", "depollueur(8)")


@check("depollueur(8) has the options of the program")
def _():
    documented = {"--" + name for name in re.findall(r"^\.It Fl Fl ([a-z-]+)", page(), re.M)}
    return difference(program()[1], documented, "--help", "depollueur(8)")


@check("the synopsis of depollueur(8) has every command")
def _():
    synopsis = page().split(".Sh DESCRIPTION")[0]
    shown = {line for line in re.findall(r"^\.Cm (.*)$", synopsis, re.M)}
    return difference(program()[0], shown, "--help", "the synopsis")


def source(path: str, start: str) -> str:
    """A block of a source file: from the line that begins so to the end of the item."""
    text = (ROOT / path).read_text()
    return text[text.index(start):].split("\n}\n")[0]


def reasons_of_messages() -> set[str]:
    """What the log, the metrics and the trial say of a message that was not rewritten."""
    labels = "".join(source(path, f"impl {name} {{").split("fn label")[1].split("\n    }\n")[0]
                     for path, name in (("src/filter/outcome.rs", "Reason"), (f"{ENGINE}/mime.rs", "Ambiguity"), ("src/scan.rs", "ScanFinding")))
    counted = source("src/metrics.rs", "impl MetricSet {")
    of_milter = re.findall(r'Outcome::(?:Failed|Passed), "([a-z-]+)"', counted)
    return {*re.findall(r'=> "([a-z0-9-]+)"', labels), *of_milter, "not-editable"}


@check("depollueur(8) explains every reason for which a message or a part stays")
def _():
    text = page().split(".Ss Reasons")[1].split(".Ss ")[0]
    messages, parts = text.split("Why a part stays:")
    items = {word for line in re.findall(r"^\.It Li (.*)$", messages, re.M) for word in line.split(" , ")}
    whys = re.findall(r'=> "([^"]+)"', source("src/rules.rs", "impl Why {").split("fn as_str")[1])
    documented = {word for line in re.findall(r"^\.It (.*)$", parts, re.M) for word in line.split(" , ")}
    goes = {"threshold reached", "message threshold exceeded"}
    return (difference(reasons_of_messages(), items, "the program", "depollueur(8)")
            + difference(set(whys) - goes, documented, "src/rules.rs", "depollueur(8)"))


@check("depollueur why has words for every reason for which a message stays")
def _():
    said = set(re.findall(r'"([a-z0-9-]+)"(?= =>| \||\n)', source("src/cli/drop/why/answer.rs", "fn in_words")))
    return [f"{reason} is shown as it is" for reason in sorted(reasons_of_messages() - said)]


@check("depollueur(8) lists the checks of the doctor")
def _():
    found = set()
    for file in [ROOT / "src/cli/doctor.rs", *sorted((ROOT / "src/cli/doctor").glob("*.rs"))]:
        found |= set(re.findall(r'"([a-z]+\.[a-z-]+)"', file.read_text().split("#[cfg(test)]")[0]))
    listed = re.findall(r"^\.It Li ([a-z-]+\..*)$", page(), re.M)
    assert found and listed, "there is no check"
    return difference(found, {name for line in listed for name in line.split(" , ")}, "src/cli/doctor", "depollueur(8)")


PROSE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "doc/guide.en.md", "doc/guide.fr.md", "doc/privacy.md", "config/examples/README.md")
GUIDES = ("doc/guide.en.md", "doc/guide.fr.md")


@check("the files that README, CONTRIBUTING and the guides name exist")
def _():
    wrong = []
    for name in PROSE:
        text, here = (ROOT / name).read_text(), (ROOT / name).parent
        linked = [here / path for path in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)]
        named = re.findall(r"`((?:tests|config|crates|systemd|man|src|fuzz|\.ci)/[\w./-]*)`", text)
        missing = [path for path in linked + [ROOT / path for path in named] if not path.exists()]
        wrong += [f"{name} names {path}, which is not there" for path in missing]
    return wrong


@check("the places in the code that doc/architecture.md and doc/postfix.md name are there")
def _():
    wrong = []
    for page in ("doc/architecture.md", "doc/postfix.md"):
        places = re.findall(r"`((?:crates|src)/[\w./-]+)`(?:: ((?:`\w+`(?:, )?)+))?", (ROOT / page).read_text())
        assert len(places) > 20, f"{page} names hardly a place"
        for path, names in places:
            if not (ROOT / path).exists():
                wrong.append(f"{page}: {path} is not there")
                continue
            code = (ROOT / path).read_text() if names else ""
            wrong += [f"{page}: {path} has no {name}" for name in re.findall(r"`(\w+)`", names) if not re.search(rf"\b{name}\b", code)]
    return wrong


@check("doc/architecture.md has a place for every module")
def _():
    drawings = (ROOT / "doc/architecture.md").read_text().split("```text")
    wrong = []
    for source_root, drawing in zip(("src", ENGINE), drawings[1:]):
        named = {word for line in drawing.split("```")[0].splitlines() for word in line[:47].split()}
        modules = set(re.findall(r"^(?:pub )?mod (\w+);", (ROOT / source_root / "lib.rs").read_text(), re.M)) - {"fuzz"}
        wrong += sorted(f"{word}: only in one of the two" for word in named ^ modules)
    return wrong


def shell_lines(text: str) -> list[str]:
    """The lines of blocks for the shell, and the code in sentences, that begin with our name."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(depollueur [^`]*)`", text)
    return [line for line in lines if line.startswith("depollueur ")]


def judge(line: str) -> list[str]:
    """What of a command line the program does not have."""
    words = shlex.split(line.split(" < ")[0], comments=True)[1:]
    command = []
    while words and re.fullmatch(r"[a-z]+", words[0]) and known(*command, words[0]):
        command.append(words.pop(0))
    if not command:
        return [f"no such command: {line}"]
    text = help_of(*command)
    if "Commands:" in text:
        return [f"no such command: {line}"] if words else []
    has = set(re.findall(r"(--[a-z][a-z-]*)", text))
    wrong = [f"{word} is no option: {line}" for word in words if word.startswith("--") and word.split("=")[0] not in has]
    for before, word in zip(words, words[1:]):
        if before == "--set" and word.split("=")[0] not in keys():
            wrong.append(f"no such key: {line}")
    return wrong


def known(*command: str) -> bool:
    """True if the last word is listed among the commands of those before it."""
    listed = re.search(r"^Commands:\n((?:  .*\n|\n)*)", help_of(*command[:-1]), re.M)
    return bool(listed and re.search(rf"^  {command[-1]}\b", listed.group(1), re.M))


def keys() -> set[str]:
    return {line.split(" = ")[0] for line in keys_of_sample()}


@check("the commands and options that README and the guides show exist")
def _():
    lines = {name: shell_lines((ROOT / name).read_text()) for name in PROSE}
    few = [f"{name} shows hardly a command" for name in GUIDES if len(lines[name]) < 15]
    return few + [f"{name}: {reason}" for name in PROSE for line in lines[name] for reason in judge(line)]


@check("the keys that README and the guides name exist")
def _():
    sections = {key.split(".")[0] for key in keys()}
    wrong = []
    for name in PROSE:
        for code in re.findall(r"`(\w+\.\w+)(?: = [^`]*)?`", (ROOT / name).read_text()):
            if code.split(".")[0] in sections and code not in keys():
                wrong.append(f"{name} names {code}")
    return wrong


@check("the guides show the same commands, links and headings in both languages")
def _():
    found = []
    for name in GUIDES:
        text = (ROOT / name).read_text()
        reasons = re.sub(r'--reason "[^"]*"', "--reason", "\n".join(shell_lines(text)))
        blocks = len(re.findall(r"^ *```", text, re.M))
        found.append({"commands": sorted(reasons.splitlines()), "blocks": blocks,
                      "links": sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - {"guide.en.md", "guide.fr.md"}),
                      "headings": len(re.findall(r"^#", text, re.M))})
    return [f"{key}: {found[0][key]} and {found[1][key]}" for key in found[0] if found[0][key] != found[1][key]]


@check("doc/privacy.md has the times of the sample configuration, in both languages, and every key that keeps something")
def _():
    defaults = {key: value.strip('"') for key, value in (line.split(" = ", 1) for line in keys_of_sample())}
    english, french = (ROOT / "doc" / "privacy.md").read_text().split("\n# ")
    wrong = []
    for text, words in ((english, {}), (french, {"mois": "month", "jours": "days", "an": "year"})):
        shown = {key: (number, words.get(unit, unit)) for key, number, unit in re.findall(r"`(\w+\.\w+)` (\d+) (\w+)", text)}
        wrong += [f"{key} is {defaults[key]}, not {' '.join(time)}" for key, time in shown.items()
                  if [part.rstrip("s") for part in defaults[key].split()] != [part.rstrip("s") for part in time]]
        keeping = {"drop.expiry", "drop.grace", "drop.extension", "drop.lifetime_max", "drop.keep_records", "audit.keep", "audit.decisions",
                   "detach.remember_kept"}
        wrong += [f"{key} is not there" for key in sorted(keeping - shown.keys())]
        wrong += [f"{key} is not there" for key in ("audit.addresses", "audit.message_ids") if f"`{key}`" not in text]
    return wrong


@check("doc/scale.md is what doc/scale.py makes, and the files that its coefficients name are there")
def _():
    made = subprocess.run([sys.executable, ROOT / "doc/scale.py"], check=True, capture_output=True, text=True).stdout
    named = re.findall(r"`((?:tests|benches|doc)/[\w./-]+)", made)
    assert named, "it names no command"
    wrong = [] if made == (ROOT / "doc/scale.md").read_text() else ["it is another one: doc/scale.py --write"]
    return wrong + [f"{path} is not there" for path in sorted(set(named)) if not (ROOT / path).exists()]


def main() -> int:
    failed = 0
    for sentence, function in CHECKS:
        try:
            wrong = function()
        except Exception as e:
            wrong = [f"{type(e).__name__}: {e}"]
        failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '}  {sentence}")
        for line in wrong:
            print(f"      {line}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
