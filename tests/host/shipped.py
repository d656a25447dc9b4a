"""Our examples (config/examples), taken over on a host as they stand in its package: their lines go into the files that are there.

Only the names that an admin has to put in are others: `lists.example.org` is `lists.asso.example` here.
"""

from __future__ import annotations

import re
import shlex

PLACE = "/usr/share/doc/depollueur/examples"
NAMES = {"drop.example.org": "drop.asso.example", "lists.example.org": "lists.asso.example", "example.org": "asso.example"}


def example(host, name: str) -> str:
    """A file of an example, with the names of this host."""
    text = host.read(f"{PLACE}/{name}")
    for shown, real in NAMES.items():
        text = text.replace(shown, real)
    return text


def main_cf(host, name: str, *, without: tuple[str, ...] = (), behind: tuple[str, ...] = ()):
    """The parameters of an example's main.cf; `without` those that the host has in another way, `behind` the values of this host
    those that the example says to put there."""
    for parameter, value in parameters(example(host, name)).items():
        if parameter in behind and (own := host.must(f"postconf -h {parameter}").strip()):
            value = f"{own}, {value}"
        if parameter not in without:
            host.must(f"postconf -e {shlex.quote(f'{parameter} = {value}')}")


def master_cf(host, name: str):
    """The services of an example's master.cf, in place of those of the same name."""
    for line in logical(example(host, name)):
        service, kind = line.split()[:2]
        host.must(f"postconf -M {shlex.quote(f'{service}/{kind}={line}')}")


def parameters(text: str) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in logical(text))}


def logical(text: str) -> list[str]:
    """The lines of a file of Postfix: one that begins with a blank goes on with the one before."""
    text = re.sub(r"^\s*(#.*)?\n", "", text, flags=re.M)
    return [" ".join(line.split()) for line in re.sub(r"\n[ \t]+", " ", text).splitlines() if line.strip()]
