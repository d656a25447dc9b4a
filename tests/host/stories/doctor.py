"""What doctor tells to type, typed: it mends what it was told for."""

import re

from commands import documented
from mail import ALICE, DAVE, pdf
from mailhost import CONFIG, READY
from story import story

DROP, SOCKET = "/var/lib/depollueur", "/var/spool/postfix/depollueur"
FAULTS = (
    f"chmod 0755 {DROP}",
    f"chown root {DROP}",
    f"chmod -R a+rX {DROP}/blobs",
    f"chown -R root: {DROP}/blobs",
    f"chmod o+w {CONFIG}",
    f"chmod g+w {CONFIG}",
    "systemctl stop depollueur.socket depollueur.service",
    f"chmod 0700 {SOCKET}; chgrp root {SOCKET}",
    f"chgrp root {SOCKET}/milter.sock",
    "postconf -e milter_mail_macros=i; postfix reload",
    "postconf -e smtpd_forbid_bare_newline=no; postfix reload",
    "postconf -e message_size_limit=100000; postfix reload",
    "postconf -e 'smtpd_milters = inet:127.0.0.1:11332'; postfix reload",
)


def findings(host) -> tuple[dict[str, str], list[str]]:
    """What doctor finds, by check and message, and the lines that it tells to type."""
    said = host.run("depollueur doctor").stdout
    found = {line: line.split()[0] for line in re.findall(r"^(?:ERROR|WARNING) +.*$", said, re.M)}
    return found, re.findall(r"^ +do: (.*)$", said, re.M)


def type_told(host, line: str, may_fail: bool = False):
    """Types a line of doctor; it counts for the text of the program that it was made of."""
    for template in documented():
        pattern = re.sub(r"\\\{\w*\\\}", ".+", re.escape(template))
        if re.fullmatch(pattern, line):
            host.typed.add(template)
    done = host.run(line)
    assert may_fail or done.returncode == 0, f"{line}\nended with {done.returncode}: {done.stdout}{done.stderr}"


@story(on="live")
def what_doctor_tells_to_type_mends_what_it_found(host):
    # On Debian 12 the default is the fault.
    host.must("postconf -e smtpd_forbid_bare_newline=normalize; postfix reload")
    before, lines_before = findings(host)
    wrong = []
    for fault in FAULTS:
        host.must(fault)
        found, lines = findings(host)
        if not set(found) - set(before):
            wrong.append(f"{fault}: doctor finds nothing")
        for line in lines:
            if line not in lines_before:
                type_told(host, line)
        # The daemon tries the drop again when its last trial is some seconds old.
        host.until(READY)
        after, _ = findings(host)
        wrong += [f"{fault}: {lines} left {line}" for line in after if line not in before]
    assert not wrong, "\n".join(wrong)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)]))
    assert host.download(got.links[0]) and got.dkim_valid
