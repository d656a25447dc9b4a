#!/usr/bin/env python3
"""What is made for mail hosts with ways of their own (packaging/README.md), without these hosts.

    tests/mail_hosts.py                    on samples of their lines
    YUNOHOST_TREE=DIR tests/mail_hosts.py  on the files of a checkout of YunoHost, too; so do MAILCOW_TREE,
                                           DOCKER_MAILSERVER_TREE and MAILINABOX_TREE
    tests/mail_hosts.py mailcow            those whose sentence has the word

Needs Debian's packages `postfix` (for postconf), `rspamd` and `shellcheck`, and the program (`$DEPOLLUEUR`, else the
release build); `docker-compose` (mailcow wants its version 2: $COMPOSE names one) and `ansible-core` are used if they are there. The same packages on booted hosts, with
mail: tests/host/run hosts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mailhosts import ansible, docker_mailserver, mail_in_a_box, mailcow, oci, yunohost  # noqa: F401
from mailhosts.checks import CHECKS, Missing


def main() -> int:
    words, passed, failed = sys.argv[1:], 0, 0
    for sentence, function in CHECKS:
        if not all(word in sentence for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix="depollueur-packaging-") as directory:
            try:
                wrong = function(Path(directory))
            except Missing as what:
                print(f"none  {sentence}: {what}")
                continue
            except Exception as e:
                wrong = [f"{type(e).__name__}: {e}"]
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '}  {sentence}")
        for line in wrong:
            print(f"      {line}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
