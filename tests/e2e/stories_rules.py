#!/usr/bin/env python3
"""The stories of rules and wishes, with a real Postfix: who decides, and what is left of it.

    tests/e2e/stories_rules.py             all of them
    tests/e2e/stories_rules.py tag         those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser.
"""

from __future__ import annotations

import email
import email.header
import email.policy
import json
import mailbox
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import Daemon, Lab, toml, wait_until, without_trace  # noqa: E402
from stories import (check_rewritten, check_untouched, control, leftovers, link_in,  # noqa: E402
                     main, refused_with, story)

# The others are told by their own file.
stories.STORIES.clear()


def daemon(lab: Lab, rules: str = "", **settings) -> Daemon:
    """A daemon with rules."""
    made = lab.daemon(**settings)
    made.config.write_text(toml(made.settings) + rules)
    return made


def submit(lab: Lab, message: bytes, *recipients: str, sender="alice@lab.test"):
    with lab.smtp("submission", login="alice") as client:
        client.sendmail(sender, list(recipients), message)


def report(to: str, size: int = 300_000, subject: str = "Report", name: str = "report.pdf") -> bytes:
    return m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(size), name)), to=to, subject=subject)


def subject_of(received: bytes) -> str:
    return str(email.message_from_bytes(received, policy=email.policy.default)["subject"])


def logged(daemon: Daemon, pattern: str) -> re.Match:
    return wait_until(lambda: re.search(pattern, daemon.log()), f"{pattern!r} in the log", 10)


KEEP_TICKETS = """
[[rule]]
name = "machines"
recipient = ["tickets@example.com", "@.machines.example.com"]
action = "keep"
"""


# ---------------------------------------------------------------- rules


@story("the ticket system gets its file, everybody else a link, and the log says which rule decided")
def _(lab):
    with daemon(lab, KEEP_TICKETS) as filter:
        to = "invoices@a.machines.example.com"
        message = report(to)
        lab.submit(message, to)
        check_untouched(lab, message, lab.receive(to))
        other = lab.address()
        message = report(other)
        lab.submit(message, other)
        check_rewritten(filter, message, lab.receive(other), {"report.pdf": m.pdf(300_000)})
        logged(filter, r'decisions="?1 kept \(always, text of the message, 0 bytes\); '
                       r'2 detached \(default, threshold reached, 300000 bytes\)')


@story("to two recipients, one who must get the file keeps it for both")
def _(lab):
    with daemon(lab, KEEP_TICKETS):
        first, to = "tickets@example.com", lab.address()
        message = report(to)
        submit(lab, message, first, to)
        check_untouched(lab, message, lab.receive(to))
        check_untouched(lab, message, lab.receive(first))


@story("to two recipients, with any-detach, one detaches the file for both")
def _(lab):
    with daemon(lab, KEEP_TICKETS.replace("tickets", "desk"), detach_recipients="any-detach") as filter:
        first, to = "desk@example.com", lab.address()
        message = report(to)
        submit(lab, message, first, to)
        received = lab.receive(to)
        check_rewritten(filter, message, received, {"report.pdf": m.pdf(300_000)})
        assert link_in(lab.receive(first), filter) == link_in(received, filter)


@story("a rule refuses a message for good, with its text, before the message was sent")
def _(lab):
    rule = ('[[rule]]\nname = "robots"\nsender = "robot@elsewhere.test"\naction = "reject"\n'
            'text = "50% of your mail: use https://example.org/form"\n')
    with daemon(lab, rule) as filter:
        to = lab.address()
        said = refused_with(550, lambda: lab.inject(report(to), to, sender="Robot@Elsewhere.test"))
        assert "5.7.1 50% of your mail: use https://example.org/form" in said, said
        logged(filter, r'outcome="refused" reason="reject" rule="robots"')
        lab.inject(m.message(m.TEXT, to=to), to)
        lab.receive(to)


@story("a rule about a header refuses a message for the moment")
def _(lab):
    rule = '[[rule]]\nheader = "X-Spam-Flag: YES"\naction = "tempfail"\n'
    with daemon(lab, rule):
        to = lab.address()
        message = b"X-Spam-Flag: Yes\r\n" + m.message(m.TEXT, to=to)
        said = refused_with(451, lambda: lab.inject(message, to))
        assert "4.7.1 this message cannot be accepted at the moment" in said, said


@story("mail of a program on the mail server that a rule refuses comes back to its sender")
def _(lab):
    rule = '[[rule]]\nrecipient = "@refused.test"\naction = "reject"\ntext = "not from here"\n'
    with daemon(lab, rule):
        lab.sendmail(report("x@refused.test"), "x@refused.test", sender="robot@lab.test")
        bounce = lab.receive("robot@lab.test")
        assert b"Status: 5.7.1" in bounce and b"<x@refused.test>: not from here" in bounce, bounce


@story("a file for a list can be fetched for seven days, and the notice is in the rule's language")
def _(lab):
    rule = '[[rule]]\nlist = "*.lists.lab.test"\nretention = "7 days"\nlanguage = "en"\nposition = "start"\n'
    with daemon(lab, rule, notice_language="fr") as filter:
        to = lab.address()
        message = b"List-Id: Friends <friends.lists.lab.test>\r\n" + report(to)
        begun = datetime.now(timezone.utc)
        lab.submit(message, to)
        received = lab.receive(to)
        link = check_rewritten(filter, message, received, {"report.pdf": m.pdf(300_000)})
        text = email.message_from_bytes(received, policy=email.policy.default).get_body().get_content()
        assert "until" in text and text.index(link) < text.index("Hello Bob"), text
        expires = datetime.fromisoformat(filter.manifest(link)["expires"].replace("Z", "+00:00"))
        created = expires - timedelta(days=7)
        assert begun - timedelta(seconds=1) <= created <= datetime.now(timezone.utc), expires
        page = filter.get(link, {"Accept-Language": "en"})[2].decode()
        assert f'datetime="{expires:%Y-%m-%dT%H:%M}' in page, page


@story("a rule knows a file by its first bytes, whatever its name says")
def _(lab):
    rule = '[[rule]]\nname = "pictures"\ncontent = "image/*"\naction = "keep"\n'
    with daemon(lab, rule) as filter:
        to = lab.address()
        picture = b"\x89PNG\r\n\x1a\n" + m.noise(400_000)
        kept = m.message(m.multipart("mixed", m.TEXT, m.attachment(picture, "report.pdf")), to=to)
        lab.submit(kept, to)
        check_untouched(lab, kept, lab.receive(to))
        other = lab.address()
        named = m.message(m.multipart(
            "mixed", m.TEXT, m.attachment(m.pdf(300_000), "photo.png", "image/png")), to=other)
        lab.submit(named, other)
        check_rewritten(filter, named, lab.receive(other), {"photo.png": m.pdf(300_000)})


@story("of two files one rule keeps one and the other goes")
def _(lab):
    rule = '[[rule]]\nextension = ["doc", "pdf"]\nsize_max = "400 kB"\naction = "keep"\n'
    with daemon(lab, rule) as filter:
        to = lab.address()
        small, large = m.pdf(300_000, 1), m.pdf(500_000, 2)
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(small, "small.pdf"),
                                        m.attachment(large, "large.pdf")), to=to)
        lab.submit(message, to)
        check_rewritten(filter, message, lab.receive(to), {"large.pdf": large},
                        threshold=400_001)


@story("users who opted out of what they receive, or send, get and send their files as they are")
def _(lab):
    users = lab.dir / "opt-out"
    receiver, other = lab.address(), lab.address()
    users.write_text(f"# those who do not want it\n{receiver.upper()} received\nalice@lab.test received\nbob@lab.test sent\n")
    users.chmod(0o644)
    with daemon(lab, users_opt_out=str(users)) as filter:
        message = report(receiver)
        lab.submit(message, receiver)
        check_untouched(lab, message, lab.receive(receiver))
        message = report(other)
        lab.submit(message, other)
        check_rewritten(filter, message, lab.receive(other), {"report.pdf": m.pdf(300_000)})
        third = lab.address()
        message = report(third)
        lab.submit(message, third, sender="bob@lab.test")
        check_untouched(lab, message, lab.receive(third))


# ---------------------------------------------------------------- the sender decides


@story("a tag in the subject keeps the file and is gone from the subject")
def _(lab):
    with daemon(lab):
        for subject, left in [("[NEPASDEPOLLUER] Photos", "Photos"),
                              ("=?utf-8?Q?=5BNepasDepolluer=5D_R=C3=A9union?=", "=?utf-8?Q?R=C3=A9union?="),
                              ("=?utf-8?B?W05FUEFTREVQT0xM?=\r\n =?utf-8?B?VUVSXSDDiXTDqQ==?=",
                               "=?utf-8?B?w4l0w6k=?=")]:
            to = lab.address()
            lab.submit(report(to, subject=subject), to)
            received = without_trace(lab.receive(to))
            assert received == control(lab, report(to, subject=left)), received[:600]


@story("a tag is gone from the subject of a small message too, and the body is not asked for")
def _(lab):
    with daemon(lab):
        to = lab.address()
        lab.submit(m.message(m.TEXT, to=to, subject="Hello [NEPASDEPOLLUER]"), to)
        assert without_trace(lab.receive(to)) == control(lab, m.message(m.TEXT, to=to, subject="Hello"))


@story("a tag in mail from outside says nothing and stays")
def _(lab):
    with daemon(lab) as filter:
        to = lab.address()
        message = report(to, subject="[NEPASDEPOLLUER] Photos")
        lab.inject(message, to)
        received = lab.receive(to)
        check_rewritten(filter, message, received, {"report.pdf": m.pdf(300_000)})
        assert subject_of(received) == "[NEPASDEPOLLUER] Photos"


@story("the opposite tag detaches a small file, though a rule would keep it")
def _(lab):
    with daemon(lab, '[[rule]]\nextension = "pdf"\naction = "keep"\n') as filter:
        to = lab.address()
        lab.submit(report(to, 2_000, subject="[DEPOLLUER] Note"), to)
        received = lab.receive(to)
        check_rewritten(filter, report(to, 2_000, subject="Note"), received, {"report.pdf": m.pdf(2_000)},
                        threshold=1)
        assert subject_of(received) == "Note"


BCC = {"sender_keep_addresses": ["nepasdepolluer@lab.test"]}


@story("a BCC address keeps the file and gets no mail, also when nothing would have been detached")
def _(lab):
    with daemon(lab, **BCC):
        for message in (report, lambda to: m.message(m.TEXT, to=to)):
            to = lab.address()
            submit(lab, message(to), to, "NePasDepolluer@lab.test")
            check_untouched(lab, message(to), lab.receive(to))
        assert lab.received_count("NePasDepolluer@lab.test") == 0
        assert lab.received_count("nepasdepolluer@lab.test") == 0


@story("a BCC address that is the only recipient gets the mail")
def _(lab):
    with daemon(lab, **BCC):
        submit(lab, report("nepasdepolluer@lab.test"), "nepasdepolluer@lab.test")
        lab.receive("nepasdepolluer@lab.test")


@story("a header field of a program keeps the file and is gone")
def _(lab):
    with daemon(lab):
        to = lab.address()
        lab.submit(b"X-Depollueur: keep\r\n" + report(to), to)
        assert without_trace(lab.receive(to)) == control(lab, report(to))


# ---------------------------------------------------------------- trials


@story("in dry-run everything is decided and counted, and nothing is changed or kept")
def _(lab):
    rule = '[[rule]]\nname = "robots"\nsender = "robot@elsewhere.test"\naction = "reject"\n'
    with daemon(lab, rule, detach_mode="dry-run", **BCC) as filter:
        before = leftovers(filter)
        to = lab.address()
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(300_000), "a.pdf"),
                                        m.attachment(m.pdf(200_000, 2), "b.pdf")), to=to,
                            subject="Two files")
        lab.submit(message, to)
        check_untouched(lab, message, lab.receive(to))
        logged(filter, r'would have been detached: dry-run queue_id="\w+" parts=2 bytes=500000')
        tagged, second = lab.address(), lab.address()
        message = report(tagged, subject="[NEPASDEPOLLUER] Report")
        lab.submit(message, tagged)
        check_untouched(lab, message, lab.receive(tagged))
        message = report(second)
        lab.inject(message, second, sender="robot@elsewhere.test")
        check_untouched(lab, message, lab.receive(second))
        logged(filter, r'would have been refused: dry-run .*rule="robots"')
        assert leftovers(filter) == before, leftovers(filter)
        metrics = filter.admin("/metrics")[1].decode()
        assert "depollueur_dry_run_parts_total 2" in metrics and "depollueur_dry_run_bytes_total 500000" in metrics
        assert "depollueur_detached_parts_total 0" in metrics


@story("a rule in dry-run leaves its files alone, and the others go")
def _(lab):
    rule = '[[rule]]\nname = "trial"\nextension = "doc"\nmode = "dry-run"\nthreshold = "10 kB"\n'
    with daemon(lab, rule) as filter:
        to = lab.address()
        letter, data = m.noise(50_000), m.pdf(300_000)
        message = m.message(m.multipart("mixed", m.TEXT, m.attachment(letter, "letter.doc", "application/msword"),
                                        m.attachment(data)), to=to)
        lab.submit(message, to)
        check_rewritten(filter, message, lab.receive(to), {"report.pdf": data})
        logged(filter, r"2 would go \(trial, threshold reached, 50000 bytes\); 3 detached \(default,")


@story("rewrite explains which rule decided about each part, for the envelope that it is told")
def _(lab):
    with daemon(lab, KEEP_TICKETS) as filter:
        message = report("x@example.com").replace(b"\r\n", b"\n")
        answer = filter.run("rewrite", "--deposit", "--explain", "--json", "--recipient", "x@example.com", data=message)
        parts = json.loads(answer.stderr)["parts"]
        assert [(p["rule"], p["detached"]) for p in parts] == [(None, False), ("default", True)], parts
        answer = filter.run("rewrite", "--explain", "--recipient", "tickets@example.com", data=message)
        assert answer.stdout == message and answer.stderr == b"message: rules\n", answer.stderr
        tagged = message.replace(b"Subject: ", b"Subject: [NEPASDEPOLLUER] ")
        answer = filter.run("rewrite", "--explain", "--login", "alice", data=tagged)
        assert answer.stdout == message and answer.stderr == b"message: wish\n", answer.stderr


@story("replay says what would become of a directory, a Maildir and an mbox, hostile files among it")
def _(lab):
    filter = daemon(lab, KEEP_TICKETS)
    saved = filter.directory / "saved"
    (saved / "plain").mkdir(parents=True)
    (saved / "plain" / "1.eml").write_bytes(report("a@example.com"))
    (saved / "plain" / "2.eml").write_bytes(report("tickets@example.com"))
    (saved / "plain" / "3.eml").write_bytes(b"no header at all")
    (saved / "plain" / "4.eml").write_bytes(m.noise(10_000))
    (saved / "plain" / "empty").write_bytes(b"")
    folder = mailbox.Maildir(saved / "Maildir")
    folder.add(report("b@example.com", 400_000).replace(b"\r\n", b"\n"))
    box = mailbox.mbox(saved / "box")
    for size in (500_000, 600_000, 10):
        box.add(report("c@example.com", max(size, 100)).replace(b"\r\n", b"\n"))
    box.flush()
    answer = filter.run("replay", saved, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["messages"]["count"] == 9 and found["unreadable"] == 0, found
    assert found["rewritten"]["count"] == 4, found
    assert found["detached"] == {"count": 4, "bytes": 1_800_000}, found
    assert found["by_rule"] == {"default": {"count": 4, "bytes": 1_800_000}}, found
    assert found["by_outcome"]["kept: malformed-header"]["count"] == 3, found
    assert found["by_outcome"]["kept: rules"]["count"] == 1, found
    assert found["by_outcome"]["kept: small"]["count"] == 1, found
    table = filter.run("replay", saved).stdout.decode()
    assert re.search(r"attachments that would go +4 +1\.8 MB", table), table
    assert not filter.drop.exists(), "a drop was made"


if __name__ == "__main__":
    sys.exit(main())
