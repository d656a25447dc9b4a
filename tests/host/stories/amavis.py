"""amavis scans after the queue: our example by the letter, and `depollueur plug` on a host that has it as one finds it."""

from shipped import example, main_cf, master_cf
from mail import ALICE, BOB, DAVE, pdf, virus
from stories.doctor import findings
from stories.plug import TRACES, plugged
from stories.units import RESTART, detached
from story import story

AMAVIS = "10024"
# What Debian has for it (README_FILES/README.postfix): the way back asks no milter.
AS_FOUND = (
    "smtp-amavis/unix=smtp-amavis unix - - y - 2 smtp -o smtp_send_xforward_command=yes",
    "127.0.0.1:10025/inet=127.0.0.1:10025 inet n - y - - smtpd -o content_filter= -o mynetworks=127.0.0.0/8 "
    "-o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_recipient_restrictions=permit_mynetworks,reject "
    "-o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_milters",
)
# The scanner of this host; scanning is off as Debian ships amavis.
SCANS = r"""use strict;
$myhostname = 'mail.asso.example';
@local_domains_acl = ('asso.example');
@inet_acl = ('127.0.0.1', '192.0.2.10');  # from where Postfix sends (smtp_bind_address)
@bypass_virus_checks_maps = (\%bypass_virus_checks, \@bypass_virus_checks_acl, \$bypass_virus_checks_re);
@av_scanners = (['ClamAV', \&ask_daemon, ["CONTSCAN {}\n", "127.0.0.1:3310"], qr/\bOK$/m, qr/\bFOUND$/m,
  qr/^.*?: (?!Infected Archive)(.*) FOUND$/m]);
@av_scanners_backup = ();
$final_virus_destiny = D_DISCARD;
1;
"""


def amavis(host, settings: str = ""):
    """The package and the scanner; rspamd is not asked any more."""
    host.must("""hostname mail.asso.example && echo mail.asso.example | tee /etc/hostname /etc/mailname
        echo '192.0.2.10 mail.asso.example mail' >>/etc/hosts; systemctl disable --now rspamd""")
    host.write("/etc/amavis/conf.d/60-lab", SCANS)
    host.packages("amavisd-new")
    if settings:
        host.write("/etc/amavis/conf.d/50-user", settings)
    host.must("systemctl restart amavis")
    host.until(f"ss -Hltn src 127.0.0.1:{AMAVIS} | grep -q .")


def virus_arrives_nowhere(host):
    """amavis takes it and keeps it."""
    kept = "find /var/lib/amavis/virusmails -type f | wc -l"
    before = int(host.must(kept))
    sent = [host.send(ALICE, [DAVE], login=ALICE, files=[virus()]), host.send(DAVE, [BOB], files=[virus()])]
    host.until(f"test $({kept}) -ge {before + 2}", within=120)
    host.nothing_is_queued()
    assert not [got for one in sent for user in (None, BOB) for got in host.all_received(user, one.message_id)]


def connects_anew(host):
    """Where mail follows mail, amavis keeps its connections, and Postfix in them the settings that it had."""
    host.documented("systemctl reload amavis")
    host.until("! ss -Htn state established 'sport = :10025' | grep -q .")


@story(on="living")
def beside_amavis_plug_comes_behind_the_scanner_and_a_virus_is_kept_back_before_and_after(host):
    amavis(host)
    host.must(f"postconf -e 'content_filter = smtp-amavis:[127.0.0.1]:{AMAVIS}' smtpd_milters= non_smtpd_milters=")
    for service in AS_FOUND:
        host.must(f"postconf -M '{service}'")
    host.must("postfix reload")
    before = host.must(TRACES)
    virus_arrives_nowhere(host)
    plugged(host)
    connects_anew(host)
    assert not any("filter" in line for line in findings(host)[0]), findings(host)[0]
    virus_arrives_nowhere(host)
    file = pdf(700_000)
    for got in (host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])), host.inbox(BOB, host.send(DAVE, [BOB], files=[file]))):
        assert len(got.links) == 1 and not got.files, (got.text, host.must("journalctl -q -o cat -u depollueur -n 8"))
    host.must("depollueur unplug")
    assert host.must(TRACES) == before
    connects_anew(host)
    virus_arrives_nowhere(host)


@story(on="live")
def our_example_for_amavis_scans_then_detaches_then_signs_and_doctor_finds_the_harmful_order(host):
    amavis(host, example(host, "amavis/50-user"))
    host.write("/etc/opendkim.conf", example(host, "amavis/opendkim.conf"))
    host.must("install -d -o opendkim -g opendkim -m 0750 /var/spool/postfix/opendkim")
    host.documented("adduser postfix opendkim")
    main_cf(host, "amavis/main.cf")
    host.must("postconf -PX submission/inet/smtpd_milters 2>/dev/null; postconf -X outgoing_milters")
    master_cf(host, "amavis/master.cf")
    host.must(f"systemctl restart opendkim postfix && {RESTART}")
    host.until("test -S /var/spool/postfix/opendkim/opendkim.sock && ss -Hltn src 192.0.2.10:25 | grep -q .")
    detached(host)
    virus_arrives_nowhere(host)
    got = host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(700_000)]))
    assert len(got.links) == 1 and not got.files
    local = host.outside(host.send(ALICE, [DAVE], pickup=True, files=[pdf(700_000)]))
    assert len(local.links) == 1 and local.dkim_valid, (local.text, local.dkim)
    assert not (found := [line for line in findings(host)[0] if "filter" in line or "amavis" in line]), found
    # Before the filter a link would hide the virus from the scanner.
    host.must("postconf -e 'smtpd_milters = { unix:depollueur/milter.sock, default_action=tempfail }' && postfix reload")
    found = findings(host)[0]
    assert any(line.startswith("ERROR") and "before the filter smtp-amavis" in line for line in found), found
