"""Mail and readers in processes of their own, on a booted host: two lines there, two lines back, and what doctor says of it."""

from mail import ALICE, DAVE, pdf
from shipped import example
from stories.doctor import findings, type_told
from stories.units import READY, detached, of_units, set_value
from story import story

WHOLE = "depollueur.socket depollueur.service"
SPLIT = "depollueur-milter.socket depollueur-milter.service depollueur-web.service depollueur-sweep.timer"
WEB_READY = "curl -fsS http://127.0.0.1:8027/readyz"


def splits(host):
    host.documented(f"systemctl disable {WHOLE}")
    host.documented(f"systemctl enable --now {SPLIT}")
    host.until(f"{READY} && {WEB_READY}")


def only(host, these: str, others: str):
    """These units run and start with the machine, and the others do neither."""
    for units, active, enabled in ((these, "active", "enabled"), (others, "inactive", "disabled")):
        count = len(units.split())
        assert host.run(f"systemctl is-active {units}").stdout == f"{active}\n" * count, units
        assert host.run(f"systemctl is-enabled {units}").stdout == f"{enabled}\n" * count, units


@story(on="live")
def mail_and_readers_get_processes_of_their_own_by_two_lines_and_go_back_by_two(host):
    file = pdf(700_000)
    before = detached(host)
    known, _ = findings(host)
    splits(host)
    only(host, SPLIT, WHOLE)
    during = detached(host)
    assert host.download(before), "a link from before is dead"
    found, _ = findings(host)
    assert not set(found) - set(known), found
    host.must("systemctl start depollueur-sweep.service && systemctl is-active depollueur-sweep.timer")
    host.must("systemctl reload depollueur-milter depollueur-web")

    # What the public touches is not let to the milter's socket, nor to the files of the drop.
    web = "nsenter -t $(systemctl show -P MainPID depollueur-web) -m runuser -u depollueur --"
    assert host.run(f"{web} test -e /var/spool/postfix/depollueur/milter.sock").returncode != 0
    assert host.run(f"{web} touch /var/lib/depollueur/blobs/x").returncode != 0

    # Its end is no message's.
    host.must("systemctl kill -s KILL depollueur-web")
    assert host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file])).links
    host.until(WEB_READY)
    host.must("systemctl kill -s KILL depollueur-milter")
    assert host.download(during), "a link is dead while the milter is started again"
    host.until(READY)
    detached(host)

    host.documented(f"systemctl disable {SPLIT}")
    host.documented(f"systemctl enable --now {WHOLE}")
    host.until(READY)
    only(host, WHOLE, SPLIT)
    assert host.download(during) and detached(host)


@story(on="live")
def the_socket_for_the_proxy_goes_over_to_the_pages_before_the_units_do(host):
    unit, place = "/etc/systemd/system/depollueur-web.socket", "/run/depollueur-web.sock"
    host.write(unit, example(host, "unix-socket/depollueur-web.socket"))
    set_value(host, "web.listen", f'"unix:{place}"')
    host.must("systemctl daemon-reload && systemctl enable depollueur-web.socket && systemctl stop depollueur.service")
    host.must("systemctl start depollueur-web.socket depollueur.service")
    host.must(f"sed -i 's,http://127.0.0.1:8025,http://unix:{place},' /etc/nginx/sites-available/drop && nginx -t")
    host.must("systemctl reload nginx")
    link = detached(host)

    host.documented("systemctl disable --now depollueur-web.socket")
    host.must(f"sed -i 's/=depollueur.service$/=depollueur-web.service/' {unit}")
    host.documented("systemctl daemon-reload && systemctl enable depollueur-web.socket")
    assert host.download(link), "the old form does not serve until the change-over"
    splits(host)
    only(host, f"{SPLIT} depollueur-web.socket", WHOLE)
    assert host.download(link) and detached(host)
    assert host.must("ss -Hltn sport = :8025") == "", "the pages do not listen at the socket"
    found, _ = findings(host)
    assert not [line for line in found if "web." in line], found

    host.documented(
        "systemctl daemon-reload && systemctl enable depollueur-web.socket && systemctl stop depollueur-web.service && "
        "systemctl start depollueur-web.socket depollueur-web.service")
    host.until(WEB_READY)
    assert host.download(link)


# What is done in the split form, and the words of doctor's finding.
FAULTS = (
    ("systemctl stop depollueur-web", "depollueur-web.service does not run"),
    ("systemctl stop depollueur-sweep.timer", "depollueur-sweep.timer does not run"),
    (f"systemctl enable {WHOLE}", "would start with the machine beside what runs now"),
)


@story(on="live")
def doctor_names_what_is_wrong_with_the_units_of_both_forms_and_its_lines_mend_it(host):
    splits(host)
    before, _ = findings(host)
    for fault, words in FAULTS:
        host.must(fault)
        found, lines = of_units(host)
        assert words in found, (fault, found)
        for line in lines:
            type_told(host, line)
        host.until(f"{READY} && {WEB_READY}")
        after, _ = findings(host)
        assert not set(after) - set(before), (fault, after)
    host.must("systemctl stop depollueur-web")
    host.documented("systemctl start {name}", name="depollueur-web")
    host.until(WEB_READY)
    detached(host)
