"""List servers on a host that is live, set up by our examples: the list chorale@lists.asso.example.

Of asso.example bob gets its posts, outside dave, and lea as a digest; alice owns and moderates it. Who is no member is held.
"""

from __future__ import annotations

import configparser
import io

from shipped import example, main_cf, master_cf
from mail import ALICE, BOB, DAVE, MailMachine

LIST, LEA = "chorale@lists.asso.example", "lea@dehors.example"
CONFIG = "/etc/depollueur/depollueur.toml"


def mailman(machine: MailMachine):
    machine.packages("mailman3", "dbconfig-sqlite3")
    set_in_sections(machine, "/etc/mailman3/mailman.cfg", example(machine, "mailman/mailman.cfg") + "[archiver.prototype]\nenable: yes\n")
    main_cf(machine, "mailman/main.cf", without=("smtpd_milters",))
    left_alone(machine, "mailman")
    machine.documented("systemctl restart mailman3")
    # It is up long before its runners are.
    for port in (8001, 8024):
        machine.until(f"ss -Hltn src 127.0.0.1:{port} | grep -q .", within=300)
    for command, members in ((f"create --owner {ALICE} {LIST}", []), (f"addmembers --no-welcome-msg - {LIST}", [ALICE, BOB, DAVE]),
                             (f"addmembers --no-welcome-msg --delivery mime - {LIST}", [LEA]), ("aliases", [])):
        machine.must(f"runuser -u list -- mailman {command}", input="".join(f"{member}\n" for member in members))
    machine.must("postfix reload")


def sympa(machine: MailMachine):
    asked = {"sympa/hostname": "string lists.asso.example", "sympa/listmaster": f"string {ALICE}", "sympa/dbconfig-install": "boolean true",
             "sympa/database-type": "select sqlite3", "wwsympa/webserver_type": "select Other"}
    machine.must("debconf-set-selections", input="".join(f"sympa {name} {answer}\n" for name, answer in asked.items()))
    machine.packages("dbconfig-sqlite3", "sympa")
    machine.write("/etc/sympa/transport", example(machine, "sympa/transport"))
    machine.write("/etc/sympa/list_aliases.tt2", example(machine, "sympa/list_aliases.tt2"))
    for line in example(machine, "sympa/sympa.conf").splitlines():
        if line and not line.startswith("#"):
            machine.must(f"sympa config '{'='.join(line.split())}'")
    main_cf(machine, "sympa/main.cf", without=("smtpd_milters",),
            behind=("transport_maps", "virtual_mailbox_domains", "virtual_mailbox_maps"))
    master_cf(machine, "sympa/master.cf")
    left_alone(machine, "sympa")
    machine.documented("postmap /etc/sympa/transport")
    machine.must("install -o sympa -g sympa -m 0644 /dev/null /var/lib/sympa/transport && cd /var/lib/sympa && runuser -u sympa postmap transport")
    machine.write("/etc/sympa/list.xml", SYMPA_LIST)
    machine.must(f"runuser -u sympa -- sympa create --input_file=/etc/sympa/list.xml {LIST.partition('@')[2]}")
    machine.must(f"runuser -u sympa -- sympa add --quiet {LIST}", input="".join(f"{member}\n" for member in (ALICE, BOB, DAVE, LEA)))
    machine.must(f"""sqlite3 /var/lib/dbconfig-common/sqlite3/sympa/sympa \
        "UPDATE subscriber_table SET reception_subscriber = 'digest' WHERE user_subscriber = '{LEA}'" """)
    machine.documented("systemctl restart sympa")
    machine.must("postfix reload")


SYMPA_LIST = f"""\
<?xml version="1.0"?>
<list><listname>{LIST.partition("@")[0]}</listname><type>discussion_list</type><subject>La chorale</subject>
<description>La chorale</description><status>open</status><language>fr</language><topic>arts</topic>
<owner multiple="1"><email>{ALICE}</email></owner></list>
"""


def left_alone(machine: MailMachine, name: str):
    """The rules of our example behind what the host has; and what leaves a list server is signed like other mail of this host."""
    rules = example(machine, f"{name}/depollueur.toml")
    machine.write("/root/rules", rules[rules.index("# Mailing lists:"):])
    us = "{ unix:depollueur/milter.sock, default_action=tempfail }"
    machine.must(f"""cat /root/rules >>{CONFIG} && sed -i 's/^#\\?directions = .*/directions = "outgoing"/' {CONFIG}
        depollueur check --quiet && systemctl reload depollueur
        sed -i 's/^Mode .*/Mode sv/' /etc/opendkim.conf && systemctl restart opendkim
        postconf -e 'smtpd_milters = inet:127.0.0.1:11332, {us}, inet:127.0.0.1:8891' && postfix reload""")
    machine.serving()


def set_in_sections(machine: MailMachine, path: str, lines: str):
    """Writes the keys of each section into the section of the same name in a file."""
    there = configparser.ConfigParser(interpolation=None, delimiters=(":",))
    there.read_string(machine.read(path))
    there.read_string(lines)
    written = io.StringIO()
    there.write(written)
    machine.write(path, written.getvalue().replace(" : ", ": "))
