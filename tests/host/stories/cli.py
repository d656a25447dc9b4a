"""The commands as an admin types them on a living host: as root, as nobody, with what mail shows."""

import json
import re

from mail import ALICE, DAVE, compose, pdf
from stories.doctor import type_told
from story import story

DROP = "/var/lib/depollueur"


def deposited(host, **kind) -> str:
    """A package of alice's; its link."""
    return host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(900_000)], **kind)).links[0]


def strangers(host) -> str:
    """What in the drop does not belong to the daemon."""
    return host.must(f"find {DROP} ! -user depollueur").strip()


def said(host, command: str, **options) -> tuple[int, str]:
    done = host.run(command, **options)
    return done.returncode, (done.stdout + done.stderr)


@story(on="live", short=True)
def root_who_types_the_guides_lines_leaves_nothing_of_roots_in_the_drop(host):
    link = deposited(host)
    host.write("/root/message.eml", compose(ALICE, [DAVE], files=[pdf(900_000)])[1])
    for line in ("depollueur rewrite --explain < /root/message.eml > /root/rewritten.eml",
                 "depollueur rewrite --deposit --direction outgoing < /root/message.eml > /dev/null",
                 f"depollueur drop show {link}", f"depollueur drop get {link} --into /root/files", "depollueur drop list",
                 "depollueur drop sweep", "depollueur stats", f"depollueur drop revoke {link}",
                 f"depollueur drop restore {link}", f"depollueur why {link}"):
        host.must(line)
        assert not strangers(host), (line, strangers(host))
    host.documented("depollueur drop audit")
    assert not strangers(host), strangers(host)
    assert host.must("stat -c %U /root/files/*").split() == ["root"]
    assert host.must(f"cd /root && depollueur drop get {link} --into here && ls here").strip()


@story(on="live", shared=True)
def nobody_is_told_whose_the_drop_is_and_what_to_type(host):
    for words in ("drop list", "drop sweep", "stats"):
        code, text = said(host, f"depollueur {words}", user="nobody")
        assert code in (77, 78) and "drafts" not in text and ("sudo" in text or "root" in text), (words, code, text)


@story(on="live")
def a_drop_that_became_roots_is_given_back_by_the_line_that_is_printed(host):
    link = deposited(host)
    host.must(f"chown root: {DROP}")
    code, text = said(host, f"depollueur drop show {link}")
    told = re.findall(r"type: (chown .*)$", text, re.M)
    assert code == 77 and told, text
    type_told(host, told[0])
    host.must(f"depollueur drop show {link}")
    assert not strangers(host)


@story(on="live", shared=True)
def a_link_is_taken_as_mail_shows_it_and_from_standard_input(host):
    link = deposited(host)
    for text in (f"<{link}>", f"{link}.", f"({link}),", link[:-8] + "=\n" + link[-8:]):
        code, shown = said(host, f"depollueur drop show '{text}'")
        assert code == 0 and "rapport.pdf" in shown, (text, shown)
    assert "rapport.pdf" in host.must("depollueur drop show -", input=f"<{link}>\n")
    code, text = said(host, "depollueur drop show https://elsewhere.example/" + "b" * 25 + "a")
    assert code == 1 and "elsewhere.example" in text, text


@story(on="live")
def a_stolen_account_ends_what_was_sent_since_and_nothing_else(host):
    honest = deposited(host)
    created = json.loads(host.must(f"depollueur drop show {honest} --json"))["created"]
    host.until(f'test "$(date -u +%FT%TZ)" != {created}')
    then = host.must("date -u +%Y-%m-%dT%H:%M:%SZ").strip()
    stolen = deposited(host)
    login = json.loads(host.must(f"depollueur drop show {stolen} --json"))["login"]
    host.must(f"depollueur drop revoke --login {login} --since {then} --reason 'compte volé'")
    states = [json.loads(host.must(f"depollueur drop show {link} --json"))["state"] for link in (honest, stolen)]
    assert states == ["live", "revoked"], states
    host.must(f"depollueur drop restore --login {login} --since {then}")
    assert json.loads(host.must(f"depollueur drop show {stolen} --json"))["state"] == "live"
    day = host.must("date +%d/%m/%Y").strip()
    assert len(json.loads(host.must(f"depollueur drop list --json --login {login} --since {day}"))) == 2


@story(on="live")
def doctor_finds_what_belongs_to_others_and_its_line_mends_it(host):
    deposited(host)
    host.must(f"chown root: {DROP}/blobs/*")
    report = json.loads(host.run("depollueur doctor --json").stdout)
    [wrong] = [found for found in report["findings"] if found["check"] == "drop.owners"]
    assert wrong["level"] == "error", wrong
    host.must(wrong["fix"][0])
    assert not strangers(host)


@story(on="live")
def why_says_what_became_of_mail_by_its_queue_id_by_its_message_id_and_by_its_link(host):
    sent = host.send(ALICE, [DAVE], login=ALICE, files=[pdf(900_000)])
    got = host.outside(sent)
    small = host.send(ALICE, [DAVE], login=ALICE)
    message_id = got.header("Message-ID")
    small_id = host.outside(small).header("Message-ID")
    for name in (sent.queue_id, message_id, got.links[0]):
        text = host.until(f"depollueur why '{name}' | grep -q rewritten && depollueur why '{name}'")
        assert ALICE in text and "threshold reached" in text and "postfix" in text, text
    for name in (small.queue_id, small_id):
        text = host.until(f"depollueur why '{name}' | grep -q passed && depollueur why '{name}'")
        assert re.search(r"^why +\w+", text, re.M) and ALICE in text, text
    log = host.journal("depollueur", lines=200)
    assert f'queue_id="{small.queue_id}"' in log or f"QUEUE_ID={small.queue_id}" in log or small.queue_id in log, log
