"""What is made for mail hosts with ways of their own (packaging/), on a host that has their lines: rspamd or opendkim is asked
as they ask it, and what we add is added by what we ship for them."""

from pathlib import Path

from mail import ALICE, DAVE, pdf
from mailhost import OPENDKIM
from story import story

PACKAGING = Path(__file__).resolve().parents[3] / "packaging"
KIT = "/root/kit"


@story(on="installed")
def docker_mailserver_with_amavis_is_left_alone_and_told_why(host):
    kit(host, "docker-mailserver")
    host.must("postconf 'content_filter = smtp-amavis:[127.0.0.1]:10024'; sha256sum /etc/postfix/*.cf >/root/sums")
    done = host.run(f"bash {KIT}/docker-mailserver/user-patches.sh")
    assert done.returncode == 1 and "ENABLE_AMAVIS=0" in done.stderr, done.stderr
    host.must("sha256sum --check --quiet /root/sums")


@story(on="installed")
def mail_in_a_box_is_put_right_again_after_an_upgrade_that_wrote_its_lists_anew(host):
    kit(host, "mail-in-a-box")
    boxed(host)
    upgraded(host)
    host.must("depollueur setup --force --domain asso.example --public-url https://drop.asso.example/")
    host.must("""sed -i 's/^#\\?mode = .*/mode = "live"/' /etc/depollueur/depollueur.toml""")
    program = f"bash {KIT}/mail-in-a-box/depollueur-in-a-box"
    for _ in range(2):
        host.must(program)
        host.must(f"{program} --check")
        assert "proxy_pass" in host.read("/home/user-data/www/drop.asso.example.conf")
        got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)]))
        assert len(got.links) == 1 and got.dkim_valid, (got.text, got.dkim)
        upgraded(host)
        done = host.run(f"{program} --check")
        assert done.returncode == 1 and "without --check" in done.stderr, done.stderr
    host.must(program)
    host.must(f"{program} --remove")
    assert "depollueur" not in host.must("postconf -x smtpd_milters non_smtpd_milters; postconf -P '*/*/smtpd_milters'")
    assert not host.exists("/home/user-data/www/drop.asso.example.conf")


def boxed(host):
    """What a Mail-in-a-Box has besides: an opendkim that verifies and signs, another that only verifies in the place of its
    opendmarc, and its own program, of which one answer matters."""
    host.write("/etc/mailinabox.conf", "STORAGE_ROOT=/home/user-data\nPRIMARY_HOSTNAME=mail.asso.example\n")
    host.write("/var/lib/mailinabox/api.key", "secret")
    host.write("/etc/opendkim.conf", OPENDKIM.replace("Mode s\n", "Mode sv\n"))
    host.write("/etc/verify.conf", OPENDKIM.replace("Mode s\n", "Mode v\n").replace("8891", "8893").replace("opendkim.pid", "verify.pid"))
    host.must("""mkdir -p /home/user-data/www; install -D -o opendkim -m 0400 /var/lib/rspamd/dkim/asso.example.mail.key /etc/dkimkeys/mail.private
        echo 'enabled = false;' >/etc/rspamd/local.d/dkim_signing.conf
        printf '#!/bin/sh\\nexec true\\n' >/usr/local/bin/curl; chmod +x /usr/local/bin/curl
        systemctl enable -q opendkim; systemctl restart opendkim rspamd
        systemd-run --quiet --unit=verify opendkim -f -x /etc/verify.conf""")


def upgraded(host):
    """What its setup/dkim.sh and setup/mail-postfix.sh write, each time that they run."""
    host.must("""postconf 'smtpd_milters = inet:127.0.0.1:8891 inet:127.0.0.1:8893' 'non_smtpd_milters = $smtpd_milters' \
            'milter_default_action = accept'
        postconf -P 'submission/inet/smtpd_milters=inet:127.0.0.1:8891'; postfix reload""")
    host.serving()


# ---- what all have in common

def kit(host, name: str):
    host.must(f"mkdir -p {KIT}")
    host.copy_in(PACKAGING / name, f"{KIT}/{name}")
