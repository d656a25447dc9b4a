"""The package on a living host: what it does when it comes, is renewed, and goes."""

import re

from mail import ALICE, BOB, DAVE, pdf, virus
from mailhost import CONFIG, READY, installed
from story import story


@story(on="living", short=True)
def mail_stays_as_it_was_when_the_package_is_only_installed(host):
    before = host.must("postconf -n; postconf -M; postconf -P")
    installed(host)
    assert host.must("postconf -n; postconf -M; postconf -P") == before
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert got.files == {file.name: file.content} and not got.links and got.dkim_valid


@story(on="live", short=True)
def an_upgrade_keeps_configuration_links_and_mail(host):
    file = pdf(700_000)
    link = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links[0]
    configuration = host.read(CONFIG)
    renew(host)
    host.documented("apt install ./depollueur_*.deb", **{"./depollueur_*.deb": "-y /root/new.deb"})
    host.documented("depollueur doctor", status=None)
    host.until(READY)
    assert host.read(CONFIG) == configuration
    assert host.download(link) == {file.name: file.content}
    assert host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links


def renew(host):
    """/root/new.deb, the same package with a higher version."""
    host.must("""set -e; dpkg-deb -R depollueur_*.deb tree; sed -i 's/^Version: .*/Version: 98.0-1/' tree/DEBIAN/control
        dpkg-deb -Znone --root-owner-group -b tree new.deb >/dev/null; rm -r tree""")


@story(on="live")
def an_upgrade_refuses_no_mail(host):
    renew(host)
    host.must("systemd-run --unit=renewal --no-block apt-get install -y /root/new.deb")
    answers = []
    while not answers or host.run("systemctl is-active renewal").stdout.strip() in ("active", "activating"):
        answers.append(host.send(ALICE, [BOB], login=ALICE, files=[pdf(700_000)]))
    assert all(sent.accepted for sent in answers), answers
    assert host.must("dpkg-query -W -f '${Version}' depollueur") == "98.0-1"


@story(on="live")
def a_configuration_that_the_daemon_cannot_read_does_not_take_it_down_at_an_upgrade(host):
    host.must(f"chown root:root {CONFIG}; chmod 0600 {CONFIG}")
    renew(host)
    done = host.run("apt-get install -y /root/new.deb")
    assert CONFIG in done.stdout + done.stderr, done
    assert host.send(ALICE, [BOB], login=ALICE, files=[pdf(700_000)]).accepted


@story(on="live")
def a_removal_keeps_the_drop_and_a_purge_too(host):
    link = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])).links[0]
    shown = host.documented("postconf smtpd_milters non_smtpd_milters")
    shown += host.documented("grep -n depollueur /etc/postfix/main.cf /etc/postfix/master.cf")
    assert shown.count("depollueur/milter.sock") >= 2, shown
    for name in ("smtpd_milters", "outgoing_milters"):
        listed = re.sub(r"\{[^}]*depollueur[^}]*\},? *", "", host.must(f"postconf -h {name}").strip()).rstrip(", ")
        host.must(f"postconf -e '{name} = {listed}'")
    host.documented("postfix reload")
    said = host.documented("apt purge depollueur", apt="apt -y")
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)]))
    assert got.files and got.dkim_valid and not host.send(DAVE, [BOB], files=[virus()]).accepted
    assert "is kept" in said and host.must("find /var/lib/depollueur/blobs -type f")
    assert not host.exists("/etc/depollueur")
    installed(host)
    host.must("depollueur drop show " + link)


@story(on="live")
def the_units_are_enabled_as_the_program_says(host):
    units = "depollueur.socket depollueur.service"
    restart = "systemctl restart depollueur.socket depollueur.service"
    # The daemon goes on beside it, at milter.listen: what is told must mend that, too.
    host.documented("systemctl disable --now depollueur.socket")
    host.documented("systemctl enable {both} && systemctl restart {both}", both=units)
    host.documented("systemctl disable --now depollueur.socket")
    host.documented(f"systemctl enable depollueur.socket && {restart}")
    assert host.must(f"systemctl is-enabled {units}") == "enabled\nenabled\n"
    assert host.must(f"systemctl is-active {units}") == "active\nactive\n"
    host.until(READY)
    assert host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)])).links


@story(on="live")
def without_a_socket_unit_postfix_reaches_the_socket_by_the_group(host):
    host.documented("systemctl disable --now depollueur.socket")
    host.must(f"""sed -i 's,^#\\?listen = .*milter.sock.*,listen = "unix:/run/depollueur/milter.sock",' {CONFIG}; systemctl restart depollueur""")
    host.documented("adduser postfix depollueur")
    host.documented("adduser postfix depollueur && systemctl restart postfix")
    host.must("test -S /run/depollueur/milter.sock && runuser -u postfix -g depollueur -- test -w /run/depollueur/milter.sock")
