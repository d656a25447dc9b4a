"""What is made for mail hosts with ways of their own (packaging/), on a host that has their lines: rspamd or opendkim is asked
as they ask it, and what we add is added by what we ship for them."""

from pathlib import Path

from mail import ALICE, BOB, DAVE, pdf, virus
from mailhost import OPENDKIM
from story import story

PACKAGING = Path(__file__).resolve().parents[3] / "packaging"
KIT = "/root/kit"
MAILCOW = "/opt/mailcow-dockerized"
CONFIG = "/root/config/depollueur.toml"
# A map of settings, as mailcow has one: mail from this sender scores what the map says.
MAP = 'watched { priority = high; from = "watched@dehors.example"; apply { symbols { LAB_WATCHED = 1.0 } } }\n'


@story(on="installed")
def mailcow_scans_detaches_and_signs_and_keeps_its_map_of_settings(host):
    host.write("/etc/rspamd/settings.map", MAP)
    host.must(f"""echo '127.0.0.1 rspamd depollueur' >>/etc/hosts
        mkdir -p {MAILCOW}/data/conf/postfix {MAILCOW}/data/conf/rspamd/lua {MAILCOW}/data/conf/nginx
        cd {MAILCOW}; touch docker-compose.yml; echo 'MAILCOW_HOSTNAME=mail.asso.example' >mailcow.conf
        echo '# rspamd.conf.local' >data/conf/rspamd/rspamd.conf.local
        echo 'settings = "file:///etc/rspamd/settings.map";' >/etc/rspamd/settings.conf
        printf '%s\\n' 'smtpd_milters = inet:rspamd:9900' 'non_smtpd_milters = inet:rspamd:9900' >data/conf/postfix/main.cf
        sed -i 's/^bind_socket.*/&\nbind_socket = "127.0.0.1:9900";/' /etc/rspamd/local.d/worker-proxy.inc
        cp /etc/postfix/main.cf /root/main.cf; mkdir -p /etc/rspamd/lua; systemctl restart rspamd""")
    kit(host, "mailcow")
    applied(host)
    refused(host)
    install = f"bash {KIT}/mailcow/install"
    host.must(f"{install} --host drop.asso.example --contact abuse@asso.example {MAILCOW}")
    started(host, f"{MAILCOW}/data/conf/depollueur/depollueur.toml")
    applied(host)
    host.until("ss -ltn | grep -q :9901")
    carried(host)
    assert 'file:///etc/rspamd/settings.map' in host.must("rspamadm configdump settings")
    host.must(f"{install} --remove {MAILCOW}")
    applied(host)
    gone(host)


def applied(host):
    """What the containers of mailcow do with the files when they start."""
    host.must(f"""cat /root/main.cf {MAILCOW}/data/conf/postfix/main.cf >/etc/postfix/main.cf
        cat {MAILCOW}/data/conf/postfix/extra.cf >>/etc/postfix/main.cf 2>/dev/null || true
        cp {MAILCOW}/data/conf/rspamd/rspamd.conf.local /etc/rspamd/
        rm -f /etc/rspamd/lua/depollueur.lua; cp {MAILCOW}/data/conf/rspamd/lua/* /etc/rspamd/lua/ 2>/dev/null || true
        rspamadm configtest; systemctl restart rspamd; postfix reload""")
    host.until("ss -ltn | grep -q :9900", within=180)
    host.serving()


@story(on="installed")
def docker_mailserver_scans_detaches_and_signs_with_rspamd(host):
    host.write("/etc/rspamd/local.d/settings.conf", MAP)
    host.must("""postconf 'rspamd_milter = inet:127.0.0.1:11332' 'smtpd_milters = $rspamd_milter' 'non_smtpd_milters ='
        echo '127.0.0.1 depollueur' >>/etc/hosts; systemctl restart rspamd; postfix reload""")
    host.serving()
    kit(host, "docker-mailserver")
    refused(host)
    started(host, f"{KIT}/docker-mailserver/depollueur.toml")
    # It runs at each start of the container.
    for _ in range(2):
        host.must(f"bash {KIT}/docker-mailserver/user-patches.sh")
    host.must("rspamadm configtest; systemctl restart rspamd; postfix reload")
    host.until("ss -ltn | grep -q :11331")
    carried(host)
    assert "watched" in host.must("rspamadm configdump settings")


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


def started(host, config: str):
    """The daemon as the image runs it, with the file that we ship for this host, live and for all mail."""
    host.must(f"""mkdir -p /root/config; install -d -o depollueur /var/lib/depollueur
        sed -e 's/^mode = .*/mode = "live"/; s/^directions = .*/directions = "both"/; s/drop.example.com/drop.asso.example/' \
            -e 's/0.0.0.0:8025/127.0.0.1:8025/' {config} >{CONFIG}; chmod -R a+rX /root
        systemd-run --quiet --unit=image -p User=depollueur /usr/bin/depollueur run --config {CONFIG}""")
    host.until("curl -fsS http://127.0.0.1:8026/readyz")


def refused(host):
    for sent in (host.send(ALICE, [DAVE], login=ALICE, files=[virus()]), host.send(DAVE, [BOB], files=[virus()])):
        assert sent.code == 554 and "virus" in sent.text, sent


def carried(host):
    """Scan, depollueur, sign: in both directions the file becomes a link, what leaves is signed, and a virus is refused."""
    refused(host)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(2_000_000)]))
    assert len(got.links) == 1 and got.dkim_valid, (got.text, got.dkim)
    got = host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(2_000_000)], sign=True))
    assert len(got.links) == 1, got.text
    assert "dkim=pass" in got.header("Authentication-Results"), got.header("Authentication-Results")


def gone(host):
    refused(host)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(2_000_000)]))
    assert not got.links and got.dkim_valid, (got.text, got.dkim)
