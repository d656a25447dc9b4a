"""Mailing lists of Mailman 3 and of Sympa, set up by our examples: a post is treated once, and all else is left as it is."""

import json
import re

from listserver import LEA, LIST
from mail import ALICE, BOB, CAROL, DAVE, pdf
from story import story

SUBJECT, HELD = "La partition", "Un message retenu"
REST = "http://127.0.0.1:8001/3.1"


def rest() -> str:
    """curl as the admin of Mailman's REST interface."""
    return "curl -fsS -u restadmin:$(sed -n 's/^admin_pass: *//p' /etc/mailman3/mailman.cfg)"


def packages_in_drop(host) -> list[dict]:
    return json.loads(host.must("depollueur drop list --json"))


def one_link(host, messages) -> str:
    """All have the same link, once, nothing else of it, and a signature of this host that holds."""
    for got in messages:
        assert not got.files and len(got.links) == 1, got.text
        assert len(re.findall(re.escape(got.links[0]), got.message.get_body(("plain",)).get_content())) == 1, got.text
        assert any(one["valid"] and one["domain"] == "asso.example" for one in got.dkim), got.dkim
    [link] = {got.links[0] for got in messages}
    return link


def file_of(host, link: str, file):
    assert host.download(link) == {file.name: file.content}


@story(on="mailman")
def a_post_to_mailman_is_one_deposit_and_one_link_for_members_digest_and_archive(host):
    file = pdf(700_000)
    sent = host.send(ALICE, [LIST], login=ALICE, files=[file], subject=SUBJECT)
    got = [host.inbox(BOB, SUBJECT, within=180), host.outside(SUBJECT, within=180)]
    link = one_link(host, got)
    assert len(packages_in_drop(host)) == 1 and link.startswith("https://drop.asso.example/")
    file_of(host, link, file)
    archived = host.until("find /var/lib/mailman3/archives/prototype/*/new -type f | grep .")
    kept = host.read(archived.splitlines()[0])
    assert link.rpartition("/")[2] in kept.replace("=\n", "") and "application/pdf" not in kept
    # The digest is sent at once.
    host.must(f"runuser -u list -- mailman digests --send --list {LIST}")
    digest = host.outside("Digest, Vol", within=180)
    assert link in digest.text, digest.raw[:3000]
    assert len(packages_in_drop(host)) == 1 and sent.accepted


@story(on="mailman")
def a_post_that_mailman_holds_shows_its_link_to_the_moderator_and_is_the_same_when_it_is_let_through(host):
    file = pdf(700_000)
    assert host.send(CAROL, [LIST], login=ALICE, files=[file], subject=HELD).accepted
    notice = host.inbox(ALICE, HELD, within=180)
    held = json.loads(host.until(f"{rest()} {REST}/lists/{LIST}/held | grep -F '{HELD}'"))["entries"]
    [link] = {link for link in notice.links} or {"none"}
    assert link.startswith("https://drop.asso.example/") and not notice.files, notice.raw
    host.must(f"{rest()} -X POST -d action=accept {REST}/lists/{LIST}/held/{held[0]['request_id']}")
    assert one_link(host, [host.outside(HELD, within=180)]) == link
    assert len(packages_in_drop(host)) == 1
    file_of(host, link, file)


@story(on="mailman")
def commands_to_mailman_come_to_it_whole_and_what_comes_from_outside_goes_on_as_it_came(host):
    file = pdf(700_000)
    assert host.send(CAROL, [LIST.replace("@", "-join@")], login=ALICE, files=[file], subject="join").accepted
    assert host.inbox(CAROL, "confirm", within=180).header("Subject")
    # A member outside posts: his mail goes to all as it came, where the list lets it; by default a post has 40 kB at most.
    host.must(f"{rest()} -X PATCH -d max_message_size=0 {REST}/lists/{LIST}/config")
    assert host.send(DAVE, [LIST], sign=True, files=[file], subject=SUBJECT).accepted
    got = host.inbox(BOB, SUBJECT, within=180)
    assert got.files == {file.name: file.content} and not got.links
    assert not packages_in_drop(host)


SYMPA = "runuser -u sympa -- sympa"


@story(on="sympa")
def a_post_to_sympa_is_one_deposit_and_one_link_for_members_digest_and_archive(host):
    file = pdf(700_000)
    assert host.send(ALICE, [LIST], login=ALICE, files=[file], subject=SUBJECT).accepted
    link = one_link(host, [host.inbox(BOB, SUBJECT, within=180), host.outside(SUBJECT, within=180)])
    assert len(packages_in_drop(host)) == 1 and link.startswith("https://drop.asso.example/")
    file_of(host, link, file)
    page = host.until(f"grep -rl '{link}' /var/lib/sympa/arc/{LIST} --include='msg*.html'", within=180).splitlines()[0]
    assert f'href="{link}"' in host.read(page), "the archive's page leads to the drop"
    host.must(f"{SYMPA} send_digest")
    digest = host.received(None, f"To: {LEA}", 180)
    assert link in digest.text, digest.raw[:3000]
    assert len(packages_in_drop(host)) == 1


@story(on="sympa")
def a_post_that_sympa_holds_shows_its_link_to_the_moderator_and_is_the_same_when_it_is_let_through(host):
    file = pdf(700_000)
    assert host.send(CAROL, [LIST], login=ALICE, files=[file], subject=HELD).accepted
    notice = host.inbox(ALICE, HELD, within=180)
    # Sympa 6.2.70 names the command; 6.2.76 only its page, where it knows of one.
    key = re.search(r"distribute(?: |%20|/)chorale(?: |%20|/)([0-9a-f]+)", notice.text, re.IGNORECASE).group(1)
    [package] = packages_in_drop(host)
    accepted = host.send(ALICE, ["sympa@lists.asso.example"], login=ALICE, subject="x", text=f"DISTRIBUTE chorale {key}\n")
    assert accepted.accepted
    link = one_link(host, [host.outside(HELD, within=180)])
    assert link in notice.links and not notice.files, notice.raw
    assert packages_in_drop(host) == [package]
    file_of(host, link, file)


@story(on="sympa")
def commands_to_sympa_come_to_it_whole_and_what_comes_from_outside_goes_on_as_it_came(host):
    file = pdf(700_000)
    assert host.send(BOB, ["sympa@lists.asso.example"], login=BOB, files=[file], subject="x", text="WHICH\n").accepted
    assert LIST.partition("@")[0] in host.inbox(BOB, "<sympa@lists.asso.example>", within=180).text
    assert host.send(DAVE, [LIST], sign=True, files=[file], subject=SUBJECT).accepted
    got = host.inbox(BOB, SUBJECT, within=180)
    assert got.files == {file.name: file.content} and not got.links
    assert not packages_in_drop(host)
