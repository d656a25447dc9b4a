"""Into Postfix and out of it: `depollueur plug` and `depollueur unplug`."""

from mail import ALICE, BOB, DAVE, VIRUS, pdf, virus
from story import story

FILES = "/etc/postfix/main.cf /etc/postfix/master.cf /etc/rspamd/local.d/*"


@story(on="living")
def beside_an_rspamd_that_scans_and_signs_mail_is_signed_and_a_virus_refused_before_and_after_and_unplug_leaves_no_trace(host):
    before = host.must(f"sha256sum {FILES}; ls /etc/rspamd")
    refused(host)
    plugged(host)
    refused(host)
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert len(got.links) == 1 and got.dkim_valid, (got.text, got.dkim)
    got = host.inbox(BOB, host.send(DAVE, [BOB], files=[file], sign=True))
    assert len(got.links) == 1, got.text
    host.must("depollueur unplug")
    assert host.must(f"sha256sum {FILES}; ls /etc/rspamd") == before
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert not got.links and got.dkim_valid, got.dkim
    refused(host)


@story(on="living")
def what_was_changed_after_plug_stays_when_it_is_unplugged(host):
    plugged(host)
    host.must("postconf -e 'mailbox_size_limit = 0'")
    host.must("depollueur unplug")
    assert host.must("postconf -h mailbox_size_limit").strip() == "0"
    assert "depollueur" not in host.must("postconf -x smtpd_milters non_smtpd_milters")


def plugged(host):
    from we import deb
    package = deb()
    host.copy_in(package, f"/root/{package.name}")
    host.must("apt-get -o Dpkg::Options::=--force-unsafe-io install -y ./depollueur_*.deb")
    host.must("depollueur setup --force --domain asso.example --public-url https://drop.asso.example/")
    host.must("""sed -i 's/^#\\?mode = .*/mode = "live"/' /etc/depollueur/depollueur.toml
        systemctl enable --now depollueur.socket; systemctl restart depollueur""")
    host.write("/root/virus", VIRUS.decode())
    host.must("depollueur plug --yes --virus /root/virus")


def refused(host):
    for sent in (host.send(ALICE, [DAVE], login=ALICE, files=[virus()]), host.send(DAVE, [BOB], files=[virus()])):
        assert sent.code == 554 and "virus" in sent.text, sent
