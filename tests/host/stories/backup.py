"""The chapter "Backup and restore" of the guide, typed line by line; what comes back is as it was."""

import re

from commands import ROOT, lines_of_shell
from mail import ALICE, DAVE, pdf
from mailhost import CONFIG, READY
from story import story


def chapter(number: int) -> list[str]:
    """The commands of a block of the chapter."""
    text = (ROOT / "doc" / "guide.en.md").read_text().split("## Backup and restore")[1].split("\n## ")[0]
    return list(lines_of_shell(re.findall(r"```sh\n(.*?)```", text, re.S)[number]))


def saved(host):
    """A link, and the backup that was made after it was sent."""
    file = pdf(700_000)
    link = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links[0]
    for command in chapter(0):
        host.documented(command)
    return link, file


def errors_of_doctor(host) -> list[str]:
    said = host.run("depollueur doctor").stdout
    return re.findall(r"^ERROR +(\S+ .*)$", said, re.M)


@story(on="live")
def a_backup_that_is_restored_leaves_no_error_of_doctor_and_its_links_work(host):
    host.must("echo '# a word of ours' >>" + CONFIG)
    before = errors_of_doctor(host)
    link, file = saved(host)
    configuration = host.read(CONFIG)
    host.must("rm -r /var/lib/depollueur/blobs; : >/var/lib/depollueur/drop.sqlite3; echo >" + CONFIG)
    for command in chapter(1):
        host.documented(command, status=None if command == "depollueur doctor" else 0)
    assert [error for error in errors_of_doctor(host) if error not in before] == []
    assert host.read(CONFIG) == configuration
    assert host.download(link) == {file.name: file.content}
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(800_000)]))
    assert host.download(got.links[0]) and got.dkim_valid


@story(on="live")
def nobody_but_root_and_the_daemon_reads_a_backup_or_what_was_restored(host):
    saved(host)
    for command in chapter(1):
        host.documented(command, status=None)
    readable = host.must("runuser -u nobody -- find /backup /backup-key /var/lib/depollueur /etc/depollueur -readable 2>/dev/null; true")
    assert readable == "", readable
    assert host.must("find /var/lib/depollueur ! -user depollueur") == ""


@story(on="live")
def a_backup_is_restored_on_another_machine_where_the_user_has_another_number(host):
    link, file = saved(host)
    host.must("systemctl stop depollueur.socket depollueur; rm -r /var/lib/depollueur; apt-get purge -y depollueur; "
              "userdel depollueur; useradd -r -u 777 somebody; apt-get install -y ./depollueur_*.deb")
    for command in chapter(1):
        host.documented(command, status=None)
    host.until(READY)
    assert host.must(f"stat -c %U {CONFIG} && runuser -u depollueur -- depollueur check --quiet 2>&1; true").startswith("root")
    assert host.must("find /var/lib/depollueur ! -user depollueur") == ""
    assert host.download(link) == {file.name: file.content}
