"""What readers report of content: it reaches those who answer for the drop, by the mail server of this host, from under the unit."""

import re

from mail import ALICE, BOB, DAVE, pdf
from mailhost import CONFIG
from stories.units import READY, set_value
from story import story

REPORTS_FROM = "depollueur@drop.asso.example"


def told(host):
    """Reports go to abuse@asso.example, whom bob reads, and the daemon knows it."""
    set_value(host, "web.report_to", '["abuse@asso.example"]')
    host.must("systemctl restart depollueur.service")
    host.until(READY)


def reported(host, link: str, text: str) -> str:
    """Fills in the form behind a link, as a reader's browser does; where it leads."""
    said = host.must(f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' '{link}/report' --data reason=fraud "
                     f"--data share=yes --data-urlencode 'text={text}' --data-urlencode contact=eve@dehors.example")
    assert said.startswith("303 "), said
    return said.split()[1]


@story(on="live", short=True)
def a_report_of_a_reader_reaches_abuse_as_mail_and_doctor_sends_one(host):
    told(host)
    sent = host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])
    link = host.outside(sent).links[0]
    host.must(f"curl -fsS '{link}/report' -o /root/form.html")
    page = host.must(f"curl -fsS '{reported(host, link, 'Cette facture est fausse.')}'")
    [reference] = set(re.findall(r"[0-9a-f]{32}", page)) or {""}
    got = host.inbox(BOB, "Cette facture est fausse.")
    assert "abuse@asso.example" in got.header("To") and REPORTS_FROM in got.header("From"), got.raw
    for words in (link, ALICE, sent.queue_id, reference):
        assert words and words in got.text, (words, got.text)
    host.documented("depollueur doctor --report", status=None)
    assert host.inbox(BOB, "doctor --report").header("Subject")
    assert len(host.all_received(BOB, "Cette facture est fausse.")) == 1


@story(on="live")
def a_report_waits_for_a_mail_server_that_does_not_answer(host):
    told(host)
    link = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])).links[0]
    host.must("systemctl stop postfix")
    reported(host, link, "Cela attend.")
    said = host.run("depollueur doctor").stdout
    assert re.search(r"^ERROR +report\.relay .*127\.0\.0\.1:25", said, re.M), said
    assert "Cela attend." in host.must("depollueur drop audit --json")
    host.must("systemctl start postfix")
    host.serving()
    assert host.inbox(BOB, "Cela attend.", within=150)


@story(on="live")
def without_a_receiver_check_and_doctor_warn_and_the_page_promises_nothing(host):
    host.must(rf"sed -i -E 's/^(report_to|contact) = .*/#&/' {CONFIG} && systemctl restart depollueur")
    host.until(READY)
    link = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])).links[0]
    for command in ("check", "doctor"):
        done = host.run(f"depollueur {command}")
        assert "report_to" in done.stdout + done.stderr, done
    promised = re.compile("read by|will read|lira|lisent|sera lu", re.I)
    for language in ("fr", "en"):
        page = host.must(f"curl -fsS '{link}/report?lang={language}'")
        assert not promised.search(page), page


@story(on="live")
def a_command_that_calls_sendmail_is_named_for_what_cannot_work_under_the_unit(host):
    set_value(host, "web.report_command", '["/usr/sbin/sendmail", "-oi", "abuse@asso.example"]')
    for command in ("check", "doctor"):
        done = host.run(f"depollueur {command}")
        assert "web.report_command" in done.stdout + done.stderr and "report_to" in done.stdout + done.stderr, done
