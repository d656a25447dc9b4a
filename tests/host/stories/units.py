"""Service and socket: what goes wrong with them on a booted host, and that what is printed mends it."""

import re

from mail import ALICE, BOB, DAVE, pdf
from mailhost import CONFIG, DOMAIN, PUBLIC_URL, READY
from shipped import example
from stories.doctor import findings, type_told
from story import story

UNITS = "depollueur.socket depollueur.service"
SOCKET = "/var/spool/postfix/depollueur"
RESTART = "systemctl restart depollueur.socket depollueur.service"


def detached(host) -> str:
    """Mail goes on as it should: its link."""
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert len(got.links) == 1 and not got.files and got.dkim_valid, got.text
    assert host.download(got.links[0]) == {file.name: file.content}
    return got.links[0]


def set_value(host, key: str, value: str):
    """Writes a value where the file has its line, commented or not."""
    section, name = key.split(".")
    host.must(rf"sed -i '/^\[{section}\]/,/^\[/s|^#\?{name} = .*|{name} = {value}|' {CONFIG} && grep -qxF '{name} = {value}' {CONFIG}")


def of_units(host) -> tuple[str, list[str]]:
    """What doctor finds about the units, and the lines that it tells to type for that."""
    said = host.run("depollueur doctor").stdout
    found = "".join(re.findall(r"^(?:ERROR|WARNING) +unit\..*\n(?: +do: .*\n)*", said, re.M))
    return found, re.findall(r"^ +do: (.*)$", found, re.M)


def refused(host, *words: str) -> list[str]:
    """`check` ends with an error that has these words; the lines that it tells to type."""
    done = host.run("depollueur check")
    assert done.returncode == 78 and all(word in done.stderr for word in words), done
    return re.findall(r"^\S*:? *do: (.*)$", done.stderr, re.M)


def type_all(host, lines: list[str]):
    """Types lines of `check`; what begins with "set" is a value of the configuration and no command."""
    assert lines
    for line in lines:
        if not line.startswith("set "):
            type_told(host, line)


@story(on="live", short=True)
def after_a_typo_and_a_restart_mail_goes_on_as_soon_as_the_file_is_mended(host):
    good = host.read(CONFIG)
    set_value(host, "detach.threshold", '"a lot"')
    host.documented("systemctl restart depollueur", status=1)
    for _ in range(12):
        sent = host.send(DAVE, [BOB], files=[pdf(700_000)])
        assert sent.code == 451, sent
    assert "detach.threshold" in host.run("depollueur doctor").stderr
    assert "a lot" in host.documented("journalctl -u depollueur")
    host.write(CONFIG, good)
    host.documented("systemctl restart depollueur")
    detached(host)
    assert host.must(f"systemctl is-active {UNITS}") == "active\nactive\n"


@story(on="live", short=True)
def our_example_for_a_unix_socket_lets_the_proxy_alone_reach_the_drop(host):
    host.write("/etc/systemd/system/depollueur-web.socket", example(host, "unix-socket/depollueur-web.socket"))
    set_value(host, "web.listen", '"unix:/run/depollueur-web.sock"')
    host.documented(
        "systemctl daemon-reload && systemctl enable depollueur-web.socket && systemctl stop depollueur.service && "
        "systemctl start depollueur-web.socket depollueur.service")
    host.must("sed -i 's,http://127.0.0.1:8025,http://unix:/run/depollueur-web.sock,' /etc/nginx/sites-available/drop && nginx -t")
    host.must("systemctl reload nginx")
    detached(host)
    assert host.must("ss -Hltn sport = :8025") == "", "the port is there still"
    found, _ = findings(host)
    assert not [line for line in found if "web." in line], found
    nobody = host.run("runuser -u nobody -- curl -sS --unix-socket /run/depollueur-web.sock http://drop.asso.example/")
    assert nobody.returncode == 7, nobody
    host.must("systemctl restart depollueur")
    detached(host)


# What is done, and the words of doctor's finding.
FAULTS = (
    ("systemctl mask --now depollueur.service", "depollueur.service is masked"),
    ("systemctl mask --now depollueur.socket", "depollueur.socket is masked"),
    (f"systemctl stop {UNITS}; rm -r {SOCKET}; touch {SOCKET}; systemctl start depollueur.socket; rm {SOCKET}", "depollueur.socket has failed"),
    (f"rm -r {SOCKET}", "was removed"),
    (f"systemctl stop {UNITS}", "depollueur.service does not run"),
    ("systemctl disable depollueur.service", "depollueur.service runs, but does not start with the machine"),
    ("systemctl disable depollueur.socket", "depollueur.socket is active, but does not start with the machine"),
)


@story(on="live")
def doctor_names_what_is_wrong_with_a_unit_and_its_lines_mend_it(host):
    before, _ = findings(host)
    wrong = []
    for fault, words in FAULTS:
        host.run(fault)
        found, lines = of_units(host)
        if words not in found:
            wrong.append(f"{fault}: doctor does not say {words!r}: {found}")
        for line in lines:
            # The service comes first, and cannot start before the lines for a masked socket, below.
            type_told(host, line, may_fail="socket is masked" in words)
        host.until(READY)
        after, _ = findings(host)
        wrong += [f"{fault}: {lines} left {line}" for line in after if line not in before]
        if not host.send(ALICE, [BOB], login=ALICE, files=[pdf(700_000)]).accepted:
            wrong.append(f"{fault}: mail is refused after {lines}")
    assert not wrong, "\n".join(wrong)
    assert host.must(f"systemctl is-enabled {UNITS}") == "enabled\nenabled\n"
    detached(host)


@story(on="live")
def a_daemon_whose_port_is_taken_is_named_with_its_last_words_and_comes_back(host):
    host.must("systemctl stop depollueur.service && systemd-run -q --unit=taker python3 -m http.server --bind 127.0.0.1 8025")
    host.until("ss -Hltn src 127.0.0.1:8025 | grep -q .")
    host.run("systemctl restart depollueur")
    found, lines = of_units(host)
    assert "127.0.0.1:8025" in found, found
    host.must("systemctl stop taker")
    for line in lines:
        type_told(host, line)
    host.until(READY)
    detached(host)


@story(on="live")
def doctor_says_that_a_milter_listen_is_not_used_beside_the_socket_and_its_lines_make_it_so(host):
    set_value(host, "milter.listen", '"127.0.0.1:8895"')
    host.must("systemctl restart depollueur")
    found, lines = findings(host)
    assert any("is not used, for depollueur.socket is active" in line for line in found), found
    for line in ("systemctl disable --now depollueur.socket", "systemctl restart depollueur.service"):
        assert line in lines, lines
        type_told(host, line)
    host.until(READY)
    host.must("ss -Hltn src 127.0.0.1:8895 | grep -q .")
    assert not any("is not used" in line for line in findings(host)[0])


@story(on="installed", short=True)
def the_package_does_nothing_before_setup_and_says_so(host):
    assert host.run(f"systemctl is-active {UNITS}").stdout == "inactive\ninactive\n"
    assert not host.exists(f"{SOCKET}/milter.sock") and not host.exists("/var/lib/depollueur/drop.sqlite3")
    host.must("! ss -Hltn | grep -q ':802[5-9] '")
    for command in ("check", "doctor", "run", "reload"):
        done = host.run(f"depollueur {command}")
        assert done.returncode == 78 and "depollueur setup" in done.stderr, done
    host.documented("depollueur doctor --quick", status=2)
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert got.files == {file.name: file.content} and not got.links
    told = re.findall(r"^ {4}(\S.*)$", host.must(f"depollueur setup --domain {DOMAIN} --public-url {PUBLIC_URL}"), re.M)
    for command in ("systemctl enable depollueur.socket depollueur.service", RESTART):
        assert command in told, told
        type_told(host, command)
    host.until(READY)
    assert host.must(f"systemctl is-enabled {UNITS}") == "enabled\nenabled\n"


@story(on="live")
def a_reload_that_does_not_take_effect_fails_and_names_the_restart(host):
    set_value(host, "web.public_url", '"https://fichiers.asso.example/"')
    host.documented("systemctl reload depollueur", status=1)
    assert "web.public_url changed, which needs a restart" in host.documented("journalctl -u depollueur")
    assert "restart" in host.documented("systemctl status depollueur")
    assert detached(host).startswith(PUBLIC_URL)
    found, lines = findings(host)
    assert any("needs a restart: web.public_url" in line for line in found) and "systemctl restart depollueur" in lines, found
    host.documented("systemctl restart depollueur")
    host.until(READY)
    host.documented("systemctl reload depollueur")
    assert not any("needs a restart" in line for line in findings(host)[0])
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[pdf(700_000)]))
    assert got.links[0].startswith("https://fichiers.asso.example/")


@story(on="live")
def a_drop_on_a_disk_of_its_own_is_opened_by_the_lines_that_check_prints(host):
    host.must("mkdir -p /srv/drop && mount -t tmpfs tmpfs /srv/drop")
    set_value(host, "drop.directory", '"/srv/drop"')
    lines = refused(host, "drop.directory", "/srv/drop", "ProtectSystem=strict")
    type_told(host, lines[0])
    assert set(lines) <= set(findings(host)[1])
    type_all(host, lines[1:])
    host.until(READY)
    host.must("depollueur check --quiet")
    detached(host)
    host.must("find /srv/drop/blobs -type f | grep -q .")


@story(on="live")
def a_directory_that_the_unit_names_and_that_is_gone_is_made_by_the_line_that_is_printed(host):
    place = "/etc/systemd/system/depollueur.service.d"
    host.must(rf"mkdir -p {place} && printf '[Service]\nReadWritePaths=/srv/gone\n' >{place}/directories.conf && systemctl daemon-reload")
    host.run("systemctl restart depollueur")
    lines = refused(host, "ReadWritePaths=/srv/gone", "does not exist")
    assert any("226" in line for line in findings(host)[0])
    type_all(host, lines)
    host.documented(RESTART)
    host.until(READY)
    detached(host)


@story(on="live")
def a_spool_that_is_missing_is_made_by_the_line_that_is_printed(host):
    set_value(host, "spool.directory", '"/var/lib/depollueur/spool"')
    # doctor and check say it each in their own words.
    told = [line for line in findings(host)[1] if line.startswith("install ")]
    type_all(host, told)
    host.must("depollueur check --quiet; rmdir /var/lib/depollueur/spool")
    type_all(host, refused(host, "spool.directory", "does not exist"))
    host.must("depollueur check --quiet && systemctl restart depollueur")
    host.until(READY)
    detached(host)


LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'


@story(on="live")
def a_file_that_the_daemon_cannot_read_is_opened_by_the_line_that_is_printed(host):
    host.write("/etc/depollueur/logo.svg", LOGO, mode=0o600)
    set_value(host, "web.logo", '"/etc/depollueur/logo.svg"')
    type_all(host, refused(host, "web.logo", "cannot be read by the daemon"))
    host.must("depollueur check --quiet")
    host.must("chown root:root /etc/depollueur; chmod 0700 /etc/depollueur")
    for line in dict.fromkeys(refused(host, "may not enter")):
        type_told(host, line)
    host.must("depollueur check --quiet && systemctl restart depollueur")
    host.until(READY)
    detached(host)


@story(on="live")
def a_file_at_a_place_that_the_service_hides_is_moved_as_is_printed(host):
    host.write("/root/marque.svg", LOGO)
    set_value(host, "web.logo", '"/root/marque.svg"')
    lines = refused(host, "web.logo", "ProtectHome=")
    type_all(host, lines)
    assert 'set web.logo to the new place, "/etc/depollueur/marque.svg"' in lines
    set_value(host, "web.logo", '"/etc/depollueur/marque.svg"')
    host.must("depollueur check --quiet && systemctl restart depollueur")
    host.until(READY)
    detached(host)


@story(on="live")
def a_command_for_reports_that_is_no_program_is_made_one_by_the_line_that_is_printed(host):
    host.write("/etc/depollueur/report", "#!/bin/sh\ncat >/dev/null\n", mode=0o644)
    set_value(host, "web.report_command", '["/etc/depollueur/report"]')
    said = host.run("depollueur check").stderr
    assert "web.report_command" in said, said
    type_all(host, re.findall(r"do: (chmod .*)$", said, re.M))
    assert "is no program" not in host.run("depollueur check").stderr


@story(on="live")
def doctor_quick_speaks_to_a_monitoring_system(host):
    # What doctor has to say of the host itself; but a host in namespaces cannot set the clock, and says so.
    host.must("postconf -e virtual_mailbox_limit=0 smtpd_forbid_bare_newline=normalize && postfix reload")
    said = host.documented("depollueur doctor --quick", status=None)
    assert re.fullmatch(r"DEPOLLUEUR (OK|WARNING) - [^|\n]* \| errors=0 warnings=\d+ drop_free=\d+B\n", said), said
    code = {"OK": 0, "WARNING": 1}[said.split()[1]]
    host.documented("depollueur doctor --quick", status=code)
    host.must(f"systemctl stop {UNITS}")
    assert "depollueur.service does not run" in host.documented("depollueur doctor --quick", status=2)
    host.must(f"systemctl start {UNITS}")
    host.until(READY)
    host.documented("depollueur doctor --quick", status=code)
    done = host.run("depollueur doctor --quick", user="nobody")
    assert done.returncode == 3 and done.stdout.startswith("DEPOLLUEUR UNKNOWN - "), done


@story(on="live")
def root_is_told_by_mail_that_the_service_has_failed(host):
    host.documented("install -m 0755 /usr/share/doc/depollueur/examples/on-failure /etc/depollueur/on-failure")
    host.must("echo 'root: alice@asso.example' >>/etc/aliases && newaliases")
    good = host.read(CONFIG)
    set_value(host, "detach.threshold", '"a lot"')
    host.run("systemctl restart depollueur")
    host.until("systemctl show -P Result depollueur-failed@depollueur.service.service | grep -x success && "
               "systemctl show -P ExecMainExitTimestampMonotonic depollueur-failed@depollueur.service.service | grep -v '^0$'")
    # It is asked for mail of local programs, too: that waits as long.
    host.write(CONFIG, good)
    host.must(f"{RESTART} && postqueue -f")
    host.until(READY)
    got = host.inbox(ALICE, "depollueur.service has failed", within=120)
    assert "depollueur.service has failed on mail" in got.header("Subject") and "status=78" in got.text, got.text


# Readers of one file who take a byte and no more, each from an address of his own; prints what the service has resident in KiB:
# before, with all of them there, and at the end.
CROWD = r"""
import re, socket, subprocess, sys, time

pid = subprocess.check_output(["systemctl", "show", "-P", "MainPID", "depollueur.service"], text=True).strip()

def resident():
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])

def crowd():
    readers = [socket.socket() for _ in range(400)]
    for n, reader in enumerate(readers):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", 8025))
        address = f"198.51.100.{n % 200}"
        reader.sendall(f"GET {sys.argv[1]} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n".encode())
    answers = [reader.recv(12) for reader in readers]
    held = resident()
    for reader in readers:
        reader.close()
    assert set(answers) == {b"HTTP/1.1 200"}, set(answers)
    return held

idle, held = resident(), crowd()
for _ in range(60):
    if resident() < 1.5 * idle:
        break
    time.sleep(1)
print(idle, held, resident())
"""


@story(on="live", short=True)
def in_the_sandbox_of_the_unit_memory_goes_back_to_the_system_after_a_crowd_and_nobody_complains(host):
    limits = host.must("systemctl show -p LimitCORE -p TasksMax -p MemoryHigh -p MemoryMax depollueur.service").split()
    assert sorted(limits) == ["LimitCORE=0", "MemoryHigh=1610612736", "MemoryMax=2147483648", "TasksMax=2048"], limits
    link = detached(host)
    host.write("/root/crowd.py", CROWD)
    idle, held, after = map(int, host.must(f"python3 /root/crowd.py /{link.rsplit('/', 1)[1]}/1").split())
    print(f"      {idle // 1024} MiB when idle, {held // 1024} with 400 readers, {after // 1024} after", flush=True)
    assert held > 1.5 * idle, "the crowd took no memory: nothing is shown"
    assert after < 1.5 * idle
    # What the allocator cannot do it says on standard error.
    said = host.must("journalctl -q -o cat -u depollueur.service")
    assert "jemalloc" not in said and "panicked" not in said, said
    assert host.must("systemctl show -P NRestarts depollueur.service").strip() == "0"
    detached(host)


@story(on="live")
def a_disk_that_is_mounted_below_the_drop_needs_no_line_in_a_unit(host):
    place = "/var/lib/depollueur/disk"
    host.must(f"install -d {place} && mount -t tmpfs -o mode=755 tmpfs {place}")
    set_value(host, "drop.directory", f'"{place}"')
    # A new disk is root's.
    type_all(host, refused(host, "drop.directory", place))
    host.must(f"depollueur check --quiet && {RESTART}")
    host.until(READY)
    detached(host)
    host.must(f"find {place}/blobs -type f | grep -q .")
    assert not host.must("systemctl show -P DropInPaths depollueur.service").strip()


@story(on="live")
def a_disk_of_its_own_at_the_place_of_the_drop_is_made_the_daemons_by_the_lines_that_are_printed(host):
    host.must(f"systemctl stop {UNITS} && mount -t tmpfs -o mode=755 tmpfs /var/lib/depollueur")
    done = host.run("depollueur check")
    if done.returncode:
        type_all(host, re.findall(r"^\S*:? *do: (.*)$", done.stderr, re.M))
    host.must(f"depollueur check --quiet && {RESTART}")
    host.until(READY)
    detached(host)
    host.must("find /var/lib/depollueur/blobs -type f | grep -q .")
    assert not host.must("find /var/lib/depollueur ! -user depollueur")
