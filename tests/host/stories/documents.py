"""The commands of README, guides, manual pages and examples, typed as they are printed."""

import hashlib

from machine import OUTSIDE_ADDRESS
from mail import ALICE, BOB, DAVE, File, compose, pdf
from mailhost import CONFIG, READY
from story import story

MESSAGE = compose(ALICE, [DAVE], files=[pdf(700_000)])[1]


def a_link(host, size=700_000, sender=ALICE, to=DAVE):
    return host.outside(host.send(sender, [to], login=ALICE, files=[pdf(size)])).links[0]


LINK = "https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa"
THEN = "24/11/2026 18:00"
SHOWN = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"


@story(on="live")
def a_link_that_is_complained_about_is_looked_at_ended_and_brought_back(host):
    bad, other = a_link(host), a_link(host, 800_000)
    assert "rapport.pdf" in host.documented(f"depollueur drop show {LINK}", link=bad)
    assert "rapport.pdf" in host.documented(f"depollueur drop show --json {LINK}", link=bad)
    host.documented(f"depollueur drop revoke --reason phishing {LINK}", link=bad)
    assert host.status_of(bad) == 410 and host.status_of(other) == 200
    host.documented(f'depollueur drop restore --until "14 days" {LINK}', link=bad)
    assert host.status_of(bad) == 200
    assert ALICE in host.documented('depollueur drop list --login alice --since "1 month" --json')
    assert len(host.documented('depollueur drop audit --since "1 month" --json').splitlines()) >= 4
    assert "phishing" in host.documented(f"depollueur drop audit --json {LINK}", link=bad)


@story(on="live", shared=True)
def what_is_kept_as_evidence_is_the_file(host):
    file, link = pdf(700_000), a_link(host)
    host.documented("install -d -m 0700 /root/evidence")
    host.documented(f"depollueur drop get --ended {LINK} --into /root/evidence", link=link)
    assert hashlib.sha256(file.content).hexdigest() in host.must("find /root/evidence -type f -exec sha256sum {} +")


@story(on="live")
def a_takedown_takes_off_the_net_what_was_named_and_writes_the_answer(host):
    file = pdf(700_000)
    digest = hashlib.sha256(file.content).hexdigest()
    bad, innocent = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links[0], a_link(host, 810_000)
    host.documented(f'depollueur drop takedown --reason "case 12" {LINK}', link=bad)
    assert host.status_of(bad) == 410 and host.status_of(innocent) == 200
    assert "410" in host.documented(f"curl -sI {LINK}", link=bad)
    assert digest in host.documented(f"depollueur drop answer {LINK}", link=bad)
    assert "Identifiant" in host.documented(f"depollueur drop answer --language fr {LINK}", link=bad)
    assert not host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links
    host.documented(f"depollueur drop unblock {SHOWN}", digest=digest)
    host.documented(f"depollueur drop restore {LINK}", link=bad)
    assert host.status_of(bad) == 200
    host.documented(f'depollueur drop takedown --digest {SHOWN} --reason "case 12"', digest=digest)
    assert host.status_of(bad) == 410
    thief = a_link(host, 820_000)
    host.documented('depollueur drop takedown --sender thief@example.org --reason "case 12"', **{"thief@example.org": ALICE})
    assert host.status_of(thief) == 410 and host.status_of(innocent) == 410
    link = a_link(host, 830_000)
    host.must("runuser -u depollueur -- sqlite3 /var/lib/depollueur/drop.sqlite3 \"UPDATE package SET uploader = 'mail'\"")
    assert "token remove mail" in host.documented('depollueur drop takedown --uploader mail --reason "case 12"')
    assert host.status_of(link) == 410
    link = a_link(host, 840_000)
    host.documented('depollueur drop takedown --login alice --reason "case 12"')
    assert host.status_of(link) == 410
    assert ALICE in host.documented('depollueur drop answer --login alice --since "1 month"')


@story(on="live")
def what_an_authority_wants_kept_is_kept_and_the_log_is_whole(host):
    link = a_link(host)
    host.documented("install -d -m 0700 /root/evidence")
    host.documented(f'depollueur drop hold --reason "court of Rennes, 26/1234" {LINK}', link=link)
    host.documented(f"depollueur drop answer --json {LINK} > /root/evidence/answer.json", link=link)
    assert ALICE in host.read("/root/evidence/answer.json")
    host.documented(f"depollueur drop get --ended {LINK} --into /root/evidence", link=link)
    assert host.status_of(link) == 410 and "held" in host.documented("depollueur drop list --state held")
    host.documented(f'depollueur drop release --reason "lifted" {LINK}', link=link)
    assert host.status_of(link) == 200
    assert "nothing is changed, nothing is cut out" in host.documented("depollueur drop audit --verify")


@story(on="live")
def a_stolen_account_is_ended_from_the_hour_of_the_theft_and_honest_packages_stay(host):
    honest = a_link(host)
    # It was sent two hours ago.
    host.must("runuser -u depollueur -- sqlite3 /var/lib/depollueur/drop.sqlite3 'UPDATE package SET created = created - 7200'")
    hour = {THEN: host.must("date -d '1 hour ago' '+%d/%m/%Y %H:%M'").strip()}
    for reason in (' --reason "stolen account"', ' --reason "compte volé"', ""):
        stolen = a_link(host, 800_000)
        assert ALICE in host.documented(f'depollueur drop list --login alice --since "{THEN}"', **hour)
        host.documented(f'depollueur drop revoke --login alice --since "{THEN}"{reason}', **hour)
        assert host.status_of(stolen) == 410 and host.status_of(honest) == 200, reason
        host.documented(f'depollueur drop restore --login alice --since "{THEN}"', **hour)
        assert host.status_of(stolen) == 200, reason


@story(on="live")
def a_suspended_login_has_nothing_in_the_drop_until_it_is_resumed(host):
    for reason in ("stolen account", "compte volé"):
        link = a_link(host)
        host.documented(f'depollueur drop suspend --login alice --reason "{reason}"')
        assert host.status_of(link) == 410 and "alice" in host.documented("depollueur drop suspended")
        file = pdf(800_000)
        got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
        assert got.files == {file.name: file.content} and not got.links
        host.documented("depollueur drop resume --login alice")
        assert host.status_of(link) == 200


@story(on="live", shared=True)
def what_the_chapter_on_monitoring_asks_is_answered(host):
    assert host.documented("systemctl is-active depollueur.socket depollueur.service") == "active\nactive\n"
    host.documented("curl -fsS http://127.0.0.1:8026/readyz")
    assert "depollueur_" in host.documented("curl -fsS http://127.0.0.1:8026/metrics")


@story(on="live")
def a_drop_that_was_blocked_elsewhere_takes_no_more_and_mail_goes_on(host):
    link = a_link(host)
    host.documented("""sed -i 's/^mode = .*/mode = "dry-run"/' /etc/depollueur/depollueur.toml""")
    host.documented("systemctl reload depollueur")
    file = pdf(800_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert got.files == {file.name: file.content} and not got.links and host.status_of(link) == 200


@story(on="live")
def a_blocked_file_does_not_come_back(host):
    file = pdf(700_000)
    digest = hashlib.sha256(file.content).hexdigest()
    shown = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    link = a_link(host)
    host.documented(f"depollueur drop block --reason malware {shown}", digest=digest)
    assert host.status_of(link) == 410
    assert digest in host.documented("depollueur drop blocks")
    assert not host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links
    host.write("/root/invoice.exe", b"MZ" + bytes(800_000))
    host.documented("depollueur drop block --reason malware $(sha256sum < invoice.exe | cut -c-64)")
    exe = File("invoice.exe", b"MZ" + bytes(800_000))
    assert not host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[exe])).links


@story(on="dry-run", shared=True)
def mail_that_is_there_is_tried_without_a_change_to_it_or_to_the_drop(host):
    host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(700_000)]))
    boxes = "find /var/vmail /var/lib/depollueur/blobs -type f | sort | xargs sha256sum | sha256sum"
    before = host.must(boxes)
    host.documented("depollueur replay --json /home/alice/Maildir")
    host.documented('depollueur replay --set detach.threshold="2 MB" /home/alice/Maildir')
    assert host.must(boxes) == before


@story(on="live", shared=True)
def rewrite_shows_what_would_come_out_and_leaves_the_drop_to_its_owner(host):
    host.write("/root/message.eml", MESSAGE)
    files = "find /var/lib/depollueur/blobs -type f | sort"
    before = host.must(files)
    assert "rapport.pdf" in host.documented("depollueur rewrite --explain < message.eml > rewritten.eml")
    assert host.must(files) == before
    host.documented("depollueur rewrite --deposit < message.eml > rewritten.eml")
    assert host.must(files) != before
    assert host.must("find /var/lib/depollueur ! -user depollueur") == ""
    assert host.status_of(a_link(host)) == 200


@story(on="dry-run", shared=True)
def check_and_the_state_of_the_daemon_are_as_the_guide_says(host):
    assert "threshold" in host.documented("depollueur check")
    host.documented("curl http://127.0.0.1:8026/readyz")
    assert "active (running)" in host.documented("systemctl status depollueur")
    host.documented("systemctl reload depollueur")
    host.documented("systemctl restart depollueur.socket depollueur.service")
    host.documented("systemctl restart depollueur")
    host.must("systemctl start depollueur")
    host.until(READY)
    assert host.send(ALICE, [BOB], login=ALICE).accepted
    assert "depollueur" in host.documented("journalctl -u depollueur")
    host.must("journalctl -u depollueur -p warning")


@story(on="live", shared=True)
def the_notice_in_ones_own_words_begins_with_the_examples(host):
    host.documented("cp -r /usr/share/doc/depollueur/examples/notice /etc/depollueur/notice")
    host.documented("depollueur check --set notice.templates=/etc/depollueur/notice --quiet")


@story(on="live", shared=True)
def what_was_saved_is_told_as_text_and_as_a_page(host):
    a_link(host)
    host.documented("depollueur stats")
    host.documented("depollueur stats --html report.html")
    assert "<html" in host.read("/root/report.html").lower()


@story(on="live", shared=True)
def a_sweep_that_trusts_the_clock_ends_well(host):
    link = a_link(host)
    host.documented("depollueur drop sweep --trust-clock")
    assert host.status_of(link) == 200


@story(on="dry-run")
def a_token_for_the_other_host_is_made_and_only_the_daemon_reads_it(host):
    said = host.documented('depollueur drop token add mail --quota-per-day "50 GB" --expires "1 year"')
    assert "mail" in host.documented("depollueur drop token list")
    host.write("/root/token", said.split()[-1] + "\n")
    host.documented("install -o depollueur -g depollueur -m 0400 token /etc/depollueur/token")
    assert host.must("stat -c %U:%a /etc/depollueur/token").strip() == "depollueur:400"
    host.write("/root/override.conf", host.read("/usr/share/doc/depollueur/examples/two-hosts/mail/override.conf"))
    # systemd gives its editor the new file first, and from Debian 13 on others behind it.
    host.write("/root/editor", '#!/bin/sh\nfor file; do case $file in -*|+*) ;; *) exec cp /root/override.conf "$file" ;; esac; done\n', mode=0o755)
    host.documented("systemctl edit depollueur", terminal=True, systemctl="SYSTEMD_EDITOR=/root/editor systemctl")
    host.must("systemctl restart depollueur")
    assert "192.0.2" in host.must("systemctl show -P IPAddressAllow depollueur")


@story(on="live")
def the_user_of_the_daemon_may_ask_the_maps_of_postfix(host):
    host.documented("adduser depollueur postfix")
    host.must("systemctl restart depollueur")
    host.until(READY)
    assert "postfix" in host.must("id -nG depollueur") and a_link(host)


@story(on="live")
def a_copy_of_the_audit_log_goes_to_the_journal_from_the_daemons_sandbox_and_from_commands(host):
    copied = "journalctl -q -t depollueur SYSLOG_FACILITY=10 -o cat"
    copy_to(host, "journal")
    is_copied(host, copied)


@story(on="live")
def a_copy_of_the_audit_log_goes_to_syslog_and_rsyslog_carries_it_to_another_machine(host):
    host.packages("rsyslog")
    host.write("/etc/rsyslog.d/elsewhere.conf", f'authpriv.* action(type="omfwd" target="{OUTSIDE_ADDRESS}" port="601" protocol="tcp")\n')
    host.write("/etc/elsewhere.conf", f"""module(load="imtcp")
        input(type="imtcp" port="601" address="{OUTSIDE_ADDRESS}")
        template(name="whole" type="string" string="%rawmsg%\\n")
        action(type="omfile" file="/var/log/elsewhere" template="whole")
        """)
    host.must("systemd-run -q --unit=elsewhere rsyslogd -n -i /run/elsewhere.pid -f /etc/elsewhere.conf")
    host.until(f"ss -Hltn src {OUTSIDE_ADDRESS}:601 | grep -q .")
    host.must("systemctl restart rsyslog")
    copy_to(host, "syslog")
    is_copied(host, "grep -F depollueur /var/log/auth.log")
    is_copied(host, "grep -F depollueur /var/log/elsewhere")
    assert "audit number=" not in host.read("/var/log/syslog")
    assert host.must("stat -c %U:%G:%a /var/log/auth.log").strip() == "root:adm:640"


def copy_to(host, receiver: str):
    host.must(f"""grep -q '^\\[audit\\]' {CONFIG} || echo '[audit]' >> {CONFIG}
                 sed -i '/^\\[audit\\]/a copy = "{receiver}"' {CONFIG} && systemctl restart depollueur.socket depollueur.service""")


def is_copied(host, copied: str):
    """What the daemon and a command enter comes there, with the digest of the head."""
    link = a_link(host)
    host.must(f"depollueur drop revoke --reason 'case 12' {link}")
    host.until(f"{copied} | grep -q 'action=deposit by=mail' && {copied} | grep -q 'action=revoke by=admin.*case 12'")
    head = host.must("depollueur drop audit --verify").split("head ")[1].split(":")
    host.until(f"{copied} | grep -q 'number={head[0]} digest={head[1].strip()}'")
