#!/usr/bin/env python3
"""The stories of who is at the other end: clients of any address, with a real Postfix.

    tests/e2e/stories_peers.py             all of them
    tests/e2e/stories_peers.py address     those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser.
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import wait_until  # noqa: E402
from milter_client import Milter  # noqa: E402
from stories import check_rewritten, main, refused_with, story  # noqa: E402

# The others are told by their own file.
stories.STORIES.clear()


# ---------------------------------------------------------------- clients and their addresses



@story("mail of a client whose address Postfix does not know is accepted and loses its attachment")
def _(lab):
    with lab.daemon() as daemon:
        for address in ("[UNAVAILABLE]", "192.0.2.1"):
            to = lab.address()
            message = m.report(to)
            with lab.smtp("xclient") as client:
                code, said = client.docmd("XCLIENT", f"ADDR={address} NAME=[UNAVAILABLE]")
                assert code == 220, f"XCLIENT ADDR={address} is answered {code} {said!r}"
                client.ehlo_resp = client.helo_resp = None
                client.sendmail("zoe@elsewhere.test", [to], message)
            check_rewritten(daemon, message, lab.receive(to), {"report.pdf": m.pdf(300_000)})
        assert "session is ended" not in daemon.log(), daemon.log()
        assert daemon.metric("depollueur_milter_sessions_ended_total") == 0


@story("a session that we end is told of once in the log, with the reason, and counted")
def _(lab):
    with lab.daemon(milter_timeout="1 s") as daemon:
        for reason, cause, data in (
                ("packet", 'the packet "?" could not be read', struct.pack(">I", 1) + b"?"),
                ("packet", 'the packet "E" is not without content', struct.pack(">I", 2) + b"Ex"),
                ("timeout", "the mail server let us wait for too long", b"\0")):
            before = daemon.metric("depollueur_milter_sessions_ended_total")
            with Milter(daemon.settings["milter_listen"]) as milter:
                milter.open()
                milter.socket.sendall(data)
                while milter.socket.recv(4096):
                    pass
            wait_until(lambda: daemon.metric("depollueur_milter_sessions_ended_total") == before + 1, "the count", 10)
            told = re.findall(rf"WARN.*session is ended.*{re.escape(cause)}.*", daemon.log())
            assert len(told) == 1 and f"reason={reason}" in told[0].replace('"', ""), f"{told}\n{daemon.log()}"


if __name__ == "__main__":
    sys.exit(main())
