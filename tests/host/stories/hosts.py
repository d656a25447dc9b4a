"""What is made for mail hosts with ways of their own (packaging/), on a host that has their lines: rspamd or opendkim is asked
as they ask it, and what we add is added by what we ship for them."""

from pathlib import Path

from mail import ALICE, BOB, DAVE, pdf, virus
from mailhost import CONFIG, OPENDKIM, behind_nginx
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


@story(on="installed")
def in_a_mailcow_rspamd_scans_then_we_detach_then_rspamd_signs_and_spam_keeps_its_flag(host):
    kit(host, "mailcow")
    cow(host)
    host.must(f"bash {KIT}/mailcow/install --host drop.asso.example --contact abuse@asso.example {COW}")
    host.must(f"""install -g depollueur -m 0640 {COW}/data/conf/depollueur/depollueur.toml {CONFIG}
        sed -i 's/^mode = .*/mode = "live"/' {CONFIG}; systemctl enable -q --now depollueur.service
        systemctl disable -q --now depollueur.socket; systemctl restart depollueur.service""")
    behind_nginx(host)
    started(host)
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert len(got.links) == 1 and not got.files and got.dkim_valid, (got.text, got.dkim)
    assert host.download(got.links[0]) == {file.name: file.content}
    local = host.outside(host.send(ALICE, [DAVE], pickup=True))
    assert local.dkim_valid, local.dkim
    for sender, to, login in ((ALICE, DAVE, ALICE), (DAVE, BOB, "")):
        refused = host.send(sender, [to], login=login, files=[virus()])
        assert refused.code == 554 and "virus found" in refused.text, refused
    doubtful = host.inbox(BOB, host.send(DAVE, [BOB], sign=True, files=[pdf(700_000)], subject="gagnez une montre"))
    assert doubtful.header("X-Spam-Flag") == "YES" and "dkim=pass" in doubtful.header("Authentication-Results"), doubtful.message.items()
    assert doubtful.files and not doubtful.links and doubtful.dkim_valid, doubtful.text
    good = host.inbox(BOB, host.send(DAVE, [BOB], sign=True))
    assert not good.header("X-Spam-Flag") and "dkim=pass" in good.header("Authentication-Results"), good.message.items()
    host.must(f"bash {KIT}/mailcow/install --remove {COW}")
    started(host)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)]))
    assert got.files and not got.links and got.dkim_valid, got.text


COW = "/opt/mailcow-dockerized"
# What matters of mailcow's file: a flag is written for spam, and what stands there without being spam goes.
FLAG = """
use = ["spam-header", "x-spamd-result", "authentication-results"];
skip_local = false;
skip_authenticated = true;
routines {
  spam-header { header = "X-Spam-Flag"; value = "YES"; remove = 1; }
  authentication-results { add_smtp_user = false; remove = 1; }
}
"""
DOUBTFUL = 'SUBJECT_OF_SPAM { type = "header"; header = "Subject"; map = "/etc/rspamd/subjects.map"; regexp = true; score = 20.0; }\n'


def cow(host):
    """What a mailcow has: its services by the names that they have in its network, its list of milters, its headers."""
    host.must("echo '127.0.0.1 rspamd depollueur postfix' >>/etc/hosts")
    host.must("""postconf 'smtpd_milters = inet:rspamd:9900' 'non_smtpd_milters = inet:rspamd:9900' 'milter_default_action = tempfail' \
        'message_size_limit = 104857600' && cp /etc/postfix/main.cf /root/main.cf
        echo 'bind_socket = "rspamd:9900";' >>/etc/rspamd/local.d/worker-proxy.inc""")
    host.write("/etc/rspamd/local.d/milter_headers.conf", FLAG)
    host.write("/etc/rspamd/local.d/multimap.conf", DOUBTFUL)
    host.write("/etc/rspamd/local.d/greylist.conf", "enabled = false;\n")
    host.write("/etc/rspamd/subjects.map", "/montre/i\n")
    for name, text in {"docker-compose.yml": "services: {}\n", "mailcow.conf": "MAILCOW_HOSTNAME=mail.asso.example\n",
                       "data/conf/postfix/main.cf": host.read("/root/main.cf") + "# Overrides #\n", "data/conf/postfix/extra.cf": "",
                       "data/conf/rspamd/rspamd.conf.local": "# rspamd.conf.local\n", "data/conf/rspamd/lua/other.lua": "",
                       "data/conf/nginx/other": ""}.items():
        host.write(f"{COW}/{name}", text)


def started(host):
    """What the containers do when they start: rspamd has the directory for its own, Postfix adds extra.cf to its main.cf."""
    host.must(f"""cp {COW}/data/conf/rspamd/rspamd.conf.local /etc/rspamd/; rm -rf /etc/rspamd/lua; cp -r {COW}/data/conf/rspamd/lua /etc/rspamd/
        rspamadm configtest -q && systemctl restart rspamd
        cat {COW}/data/conf/postfix/main.cf {COW}/data/conf/postfix/extra.cf >/etc/postfix/main.cf; systemctl restart postfix""")
    host.serving()
    host.until("ss -Hltn sport = :9900 | grep -q .")


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
