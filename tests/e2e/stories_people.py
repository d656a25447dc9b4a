#!/usr/bin/env python3
"""The stories of who is meant: opt-out, extensions, aliases, the lookup tables of a real Postfix, and domains with
settings of their own.

    tests/e2e/stories_people.py             all of them
    tests/e2e/stories_people.py alias       those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser, and the servers of databases.py with Postfix's packages for them; lmdb if
the Postfix of this machine has it.
"""

from __future__ import annotations

import http.client
import re
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from databases import SERVERS  # noqa: E402
from lab import Daemon, Lab, toml, wait_until  # noqa: E402
from stories import check_untouched, leftovers, main, refused_with, story  # noqa: E402

# The others are told by their own file.
stories.STORIES.clear()


def table(lab: Lab, kind: str, lines: str) -> str:
    """A table of this type in the lab's Postfix; its name."""
    lab.tables = getattr(lab, "tables", 0) + 1
    path = lab.dir / f"table-{lab.tables}"
    path.write_text(lines)
    path.chmod(0o644)
    if kind not in ("texthash", "regexp", "pcre"):
        subprocess.run(["postmap", "-c", lab.first.directory / "etc", f"{kind}:{path}"], check=True)
    return f"{kind}:{path}"


@contextmanager
def postfix(lab: Lab, **parameters):
    """The lab's Postfix with these parameters, for a while."""
    etc = lab.first.directory / "etc"
    main_cf = (etc / "main.cf").read_text()
    lines = "".join(f"{name} = {value}\n" for name, value in parameters.items())
    (etc / "main.cf").write_text(main_cf + lines)
    subprocess.run(["postfix", "-c", etc, "reload"], check=True, capture_output=True)
    try:
        yield
    finally:
        (etc / "main.cf").write_text(main_cf)
        subprocess.run(["postfix", "-c", etc, "reload"], check=True, capture_output=True)


def daemon(lab: Lab, rules: str = "", users: str = "", **settings) -> Daemon:
    """A daemon that asks the lab's Postfix; `users` is what stands in [users]. All mail leaves the lab's first machine."""
    made = lab.daemon(**{"lookup_postfix_config": str(lab.first.directory / "etc"), "detach_forwarded": "treat", **settings})
    made.config.write_text(toml(made.settings) + f"[users]\n{users}\n" + rules)
    return made


def listed(key: str, *names: str) -> str:
    """A line of [users] with a list."""
    return f"{key} = [{', '.join(repr(name) for name in names)}]"


def report(to: str, size: int = 300_000) -> bytes:
    return m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(size), "report.pdf")), to=to)


def is_kept(lab: Lab, to: str, arrives_at: str | None = None, sender="zoe@elsewhere.test") -> bool:
    """Sends a report from outside; whether it arrives as it was."""
    arrives_at = arrives_at or to
    lab._scan()
    count = len(lab._received.get(arrives_at, [])) + 1
    lab.inject(report(to), to, sender=sender)
    received = lab.receive(arrives_at, count)
    return b"X-Depollueur: detached" not in received


class Socketmap(socketserver.ThreadingUnixStreamServer):
    """A server of the socketmap protocol (socketmap_table(5)): netstrings, `NAME KEY` and `OK VALUE`."""

    daemon_threads = True

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        def handle(self):
            while (length := self._length()) is not None:
                name, _, key = self.rfile.read(length).decode().partition(" ")
                self.rfile.read(1)
                self.server.asked.append((name, key))
                reply = self.server.answer(key).encode()
                self.wfile.write(b"%d:%s," % (len(reply), reply))

        def _length(self):
            digits = b""
            while (byte := self.rfile.read(1)) not in (b":", b""):
                digits += byte
            return int(digits) if digits else None

    def __init__(self, path: Path, answer):
        super().__init__(str(path), self.RequestHandlerClass)
        path.chmod(0o666)
        self.answer, self.asked = answer, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that was tired of waiting is gone when the answer comes."""


@story("who opted out is known with an extension and behind an alias")
def _(lab):
    out = lab.dir / "opt-out-1"
    out.write_text("alice@example.com\n")
    virtual = table(lab, "hash", "contact@example.com alice@example.com\n"
                                 "far@example.com near@example.com\nnear@example.com alice@example.com\n"
                                 "other@example.com carol@example.com\n@old.example alice@example.com\n")
    with postfix(lab, recipient_delimiter="+", virtual_alias_maps=virtual), \
            daemon(lab, users=listed("opt_out", str(out))) as filter:
        assert is_kept(lab, "alice@example.com")
        assert is_kept(lab, "alice+news@example.com")
        assert is_kept(lab, "Alice+News@Example.com", "Alice+News@Example.com")
        assert is_kept(lab, "contact@example.com", "alice@example.com")
        assert is_kept(lab, "contact+x@example.com", "alice+x@example.com")
        assert is_kept(lab, "far@example.com", "alice@example.com")
        assert is_kept(lab, "anybody@old.example", "alice@example.com")
        assert not is_kept(lab, "bob+alice@example.com")
        assert not is_kept(lab, "other@example.com", "carol@example.com")
        message = report("contact@example.com")
        lab._scan()
        count = len(lab._received.get("alice@example.com", [])) + 1
        lab.submit(message, "contact@example.com")
        check_untouched(lab, message, lab.receive("alice@example.com", count))
        assert "left alone" not in filter.log(), filter.log()


@story("mail from outside to an alias that leads to another machine keeps its files; the same mail of a user does not")
def _(lab):
    virtual = table(lab, "texthash", "away@here.test mate@far.test\nnear@here.test box@here.test\n")
    with postfix(lab, virtual_alias_maps=virtual, virtual_mailbox_domains="here.test",
                 virtual_transport="$default_transport"):
        with daemon(lab, detach_forwarded="spare") as filter:
            assert is_kept(lab, "away@here.test", "mate@far.test")
            assert filter.metric('depollueur_messages_total{outcome="passed",reason="forwarded"}') == 1
            assert not is_kept(lab, "near@here.test", "box@here.test")
            lab._scan()
            count = len(lab._received.get("mate@far.test", [])) + 1
            lab.submit(report("away@here.test"), "away@here.test")
            assert b"X-Depollueur: detached" in lab.receive("mate@far.test", count)
        with daemon(lab):
            assert not is_kept(lab, "away@here.test", "mate@far.test")


@story("where it cannot be asked who forwards, mail from outside is treated, and the log says so once")
def _(lab):
    with daemon(lab, users="alias_maps = ['fail:x']\n", detach_forwarded="spare", lookup_cache="0 s") as filter:
        assert not any(is_kept(lab, f"unasked-{n}@example.com") for n in range(3))
        assert filter.log().count("is not known, and it is treated: ") == 1, filter.log()


@story("past the share of strangers mail is delivered as it came, and the log says so once")
def _(lab):
    with daemon(lab, quota_incoming_per_day="700 kB", detach_on_failure="tempfail") as filter:
        assert [is_kept(lab, f"stranger-{n}@example.com") for n in range(5)] == [False, False, True, True, True]
        assert filter.log().count("quota.incoming_per_day is used up") == 1, filter.log()
        assert filter.metric('depollueur_messages_total{outcome="passed",reason="incoming-quota"}') == 3


@story("an alias of several people is several recipients")
def _(lab):
    out = lab.dir / "opt-out-2"
    out.write_text("dan@example.com\n")
    virtual = table(lab, "texthash", "team@example.com dan@example.com, eve@example.com\n")
    with postfix(lab, virtual_alias_maps=virtual):
        for mode, kept in (("any-keep", True), ("any-detach", False)):
            with daemon(lab, users=listed("opt_out", str(out)), detach_recipients=mode):
                assert is_kept(lab, "team@example.com", "eve@example.com") == kept, mode
        rules = '[[rule]]\nrecipient = "team@example.com"\naction = "keep"\n'
        with daemon(lab, rules):
            assert is_kept(lab, "team@example.com", "eve@example.com"), "a rule for the alias itself"
            assert not is_kept(lab, "eve@example.com")


@story("aliases and extensions are what the configuration says, whatever Postfix does")
def _(lab):
    out = lab.dir / "opt-out-3"
    out.write_text("fay@example.com\n")
    virtual = table(lab, "hash", "info@example.com fay@example.com\n")
    ours = table(lab, "hash", "sales@example.com fay@example.com\n")
    users = listed("opt_out", str(out)) + f"\nalias_maps = ['{ours}']\nrecipient_delimiter = '-'\n"
    with postfix(lab, recipient_delimiter="+", virtual_alias_maps=virtual), daemon(lab, users=users):
        assert not is_kept(lab, "info@example.com", "fay@example.com")
        assert not is_kept(lab, "fay+x@example.com")
        assert is_kept(lab, "fay-x@example.com")
        assert is_kept(lab, "sales@example.com")


@story("users stand in tables of Postfix, of whatever type")
def _(lab):
    asked = ["postconf", "-c", lab.first.directory / "etc", "-m"]
    words = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    kinds = [kind for kind in ("texthash", "hash", "lmdb") if kind in words]
    lines = "gil@example.com OK\n@whole.example OK\nhal@example.com received\nida@example.com sent\njim@example.com DUNNO\n"
    tables = [table(lab, kind, lines) for kind in kinds]
    tables += ["inline:{ gil@example.com=OK, @whole.example=OK, hal@example.com=received, ida@example.com=sent }",
               "proxy:" + tables[0]]
    for name in tables:
        with daemon(lab, users=listed("opt_out", name)) as filter:
            for to, kept in (("gil@example.com", True), ("GIL@example.com", True), ("x@whole.example", True),
                             ("hal@example.com", True), ("ida@example.com", False), ("jim@example.com", False),
                             ("kim@example.com", False)):
                assert is_kept(lab, to) == kept, (name, to)
            assert "left alone" not in filter.log(), filter.log()
    patterns = table(lab, "regexp", "/^lea@/ OK\n")
    with daemon(lab, users=listed("opt_in", patterns)):
        assert not is_kept(lab, "lea@example.com")
        assert is_kept(lab, "mia@example.com")


@story("users stand in PostgreSQL, MariaDB or OpenLDAP, which Postfix asks for us, and a server that is down changes no mail")
def _(lab):
    for kind, serving in SERVERS.items():
        path = lab.dir / f"{kind}.cf"
        with serving(lab.dir / kind, {"quy@example.com": "OK", "ray@example.com": "sent"}) as text:
            path.write_text(text)
            # The program that asks runs as the daemon does, the proxy as Postfix.
            path.chmod(0o644)
            for name in (f"{kind}:{path}", f"proxy:{kind}:{path}"):
                with daemon(lab, users=listed("opt_out", name)) as filter:
                    assert is_kept(lab, "quy@example.com"), name
                    assert not is_kept(lab, "ray@example.com"), name
                    assert not is_kept(lab, "tom@example.com"), name
                    assert "left alone" not in filter.log(), filter.log()
        with daemon(lab, users=listed("opt_out", f"{kind}:{path}")) as filter:
            assert is_kept(lab, "tom@example.com"), f"{kind} is down"
            assert re.search(r"WARN.*left alone: could not look up", filter.log()), filter.log()


@story("a socketmap is asked for whole addresses, and once in a minute for each")
def _(lab):
    path = lab.dir / "people.sock"
    with Socketmap(path, lambda key: "OK yes" if key == "ned@example.com" else "NOTFOUND ") as server:
        with daemon(lab, users=listed("opt_out", f"socketmap:unix:{path}:people")):
            # The daemon has tried a lookup at its start.
            wait_until(lambda: server.asked, "a first lookup")
            server.asked.clear()
            for _ in range(3):
                assert is_kept(lab, "ned@example.com")
                assert not is_kept(lab, "oda@example.com")
            assert sorted(server.asked) == [("people", "ned@example.com"), ("people", "oda@example.com")], server.asked
            lab.inject(report("pia@example.com", 10_000), "pia@example.com", options=("SIZE=20000",))
            lab.receive("pia@example.com")
            assert len(server.asked) == 2, "nothing is asked for mail of which nothing can be detached"
        server.shutdown()


@story("rules know who stands in a table, by sender, login and recipient")
def _(lab):
    people = table(lab, "hash", "rob@example.com OK\nalice OK\n@partner.test OK\n")
    for condition, ask in (("recipient", lambda: (is_kept(lab, "rob@example.com"), is_kept(lab, "sue@example.com"))),
                           ("sender", lambda: (is_kept(lab, "t1@example.com", sender="x@partner.test"),
                                               is_kept(lab, "t2@example.com", sender="x@other.test")))):
        with daemon(lab, f'[[rule]]\n{condition} = "{people}"\naction = "keep"\n'):
            assert ask() == (True, False), condition
    with daemon(lab, f'[[rule]]\nlogin = ["{people}"]\naction = "keep"\n'):
        message = report("una@example.com")
        lab.submit(message, "una@example.com")
        check_untouched(lab, message, lab.receive("una@example.com"))
        assert not is_kept(lab, "una2@example.com")
    with daemon(lab, f'[[rule]]\nsender = "{people}"\naction = "reject"\n'):
        small = report("v@example.com", 1000)
        refused_with(550, lambda: lab.inject(small, "v@example.com", sender="x@partner.test"))
        lab.inject(small, "v@example.com", sender="x@other.test")
        lab.receive("v@example.com")


@story("a message about which Postfix cannot be asked is left alone, and the log says what to type")
def _(lab):
    for users, said in ((listed("opt_out", "hash:/nonexistent/people"), "postmap hash:/nonexistent/people"),
                        (listed("opt_out", f"socketmap:unix:{lab.dir}/nobody.sock:people"), "No such file"),
                        ("opt_out = 'texthash:/dev/null'\nalias_maps = ['fail:x']", "fail:x")):
        with daemon(lab, users=users, detach_on_failure="tempfail") as filter:
            wait_until(lambda: said in filter.log(), "a warning at the start")
            to = lab.address()
            assert is_kept(lab, to), users
            assert re.search(r"WARN.*left alone: could not look up", filter.log()), filter.log()
            assert not leftovers(filter)
            wished = m.message(m.multipart("mixed", m.TEXT, m.attachment(m.pdf(300_000), "report.pdf")),
                               to=to, subject="[DEPOLLUER] x")
            lab.submit(wished, to)
            assert b"X-Depollueur: detached" in lab.receive(to, 2), "a wish needs no lookup"


@story("a lookup that hangs holds up a message no longer than its time")
def _(lab):
    path = lab.dir / "slow.sock"
    free = threading.Event()

    def answer(key):
        free.wait(60)
        return "NOTFOUND "

    with Socketmap(path, answer) as server:
        users = listed("opt_out", f"socketmap:unix:{path}:people")
        with daemon(lab, users=users, lookup_timeout="1 s") as filter:
            assert is_kept(lab, lab.address())
            assert "within 1s (lookup.timeout)" in filter.log(), filter.log()
            children = Path(f"/proc/{filter.process.pid}/task/{filter.process.pid}/children")
            wait_until(lambda: not children.read_text().split(), "no postmap is left")
        free.set()
        server.shutdown()


@story("aliases that lead in a circle, too deep or to too many end, and the message is left alone")
def _(lab):
    out = lab.dir / "opt-out-4"
    out.write_text("nobody@example.com\n")
    chain = "".join(f"c{n}@example.com c{n + 1}@example.com\n" for n in range(25))
    crowd = "crowd@example.com " + ", ".join(f"p{n}@example.com" for n in range(1100)) + "\n"
    ours = table(lab, "hash", "x@example.com y@example.com\ny@example.com x@example.com\n" + chain + crowd)
    users = listed("opt_out", str(out)) + f"\nalias_maps = ['{ours}']\n"
    with daemon(lab, users=users) as filter:
        assert not is_kept(lab, "x@example.com"), "a circle has an end"
        assert is_kept(lab, "c0@example.com")
        assert "aliases lead to aliases more than 20 times" in filter.log()
        assert is_kept(lab, "crowd@example.com")
        assert "more than 1000 people" in filter.log()
        assert not is_kept(lab, "c10@example.com")


@story("a reload reads Postfix's settings again")
def _(lab):
    out = lab.dir / "opt-out-5"
    out.write_text("wes@example.com\n")
    with daemon(lab, users=listed("opt_out", str(out))) as filter:
        assert not is_kept(lab, "wes+a@example.com")
        with postfix(lab, recipient_delimiter="+"):
            filter.process.send_signal(1)
            wait_until(lambda: "configuration reloaded" in filter.log(), "a reload")
            assert is_kept(lab, "wes+b@example.com")


@story("what check says of a file in which nobody stands, and of tables that cannot be asked")
def _(lab):
    empty = lab.dir / "empty"
    empty.write_text("# nobody yet\n")
    filter = daemon(lab, users=listed("opt_in", str(empty), "hash:/nonexistent/people"))
    said = filter.run("check", "--quiet")
    errors = said.stderr.decode()
    assert said.returncode == 0 and f'users.opt_in = "{empty}": nobody stands in it' in errors, errors
    assert 'could not look up "hash:/nonexistent/people"' in errors, errors
    bad = lab.dir / "bad"
    bad.write_text("zoe@example.org\nbob\nasso.example\n")
    filter = daemon(lab, users=listed("opt_out", str(bad)))
    said = filter.run("check", "--quiet")
    assert said.returncode == 78, said
    assert f'{bad}:2: "bob" is no address' in said.stderr.decode(), said
    assert f'{bad}:3: "asso.example" is no address: write "@asso.example"' in said.stderr.decode(), said


def page(daemon: Daemon, path: str, host: str) -> str:
    """A page as a browser sees it that came under this name."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.web_port, timeout=30)
    connection.request("GET", path, headers={"Host": host, "Accept-Language": "en"})
    response = connection.getresponse()
    assert response.status == 200, (path, host, response.status)
    return response.read().decode(errors="replace")


@story("each domain has its own name on its links, in its notices and on its pages")
def _(lab):
    filter = daemon(lab, web_operator="The Hoster")
    own = filter.directory / "domains.d"
    own.mkdir()
    (own / "amis.example.toml").write_text(
        '[web]\npublic_url = "https://drop.amis.example/"\noperator = "Les Amis"\n[detach]\nthreshold = "10 kB"\n'
        '[drop]\nexpiry = "3 days"\n[notice]\nlanguage = "fr"\n')
    (own / "club.example.toml").write_text('[web]\noperator = "Le Club"\n[detach]\nthreshold = "10 MB"\n')
    with filter:
        def sent(to, *others, login=None, sender="zoe@elsewhere.test", size=300_000) -> str:
            lab._scan()
            count = len(lab._received.get(to, [])) + 1
            with lab.smtp("submission" if login else "incoming", login=login) as client:
                client.sendmail(sender, [to, *others], report(to, size))
            return lab.receive(to, count).decode()

        amis = sent("a@Amis.example", size=20_000)
        link = re.search(r"https://drop\.amis\.example/(\w+)", amis)
        assert link and "Les Amis" in amis and "The Hoster" not in amis, amis
        assert "https://drop.lab.test/" in sent("b@other.example")
        assert "X-Depollueur" not in sent("c@club.example"), "its threshold"
        both = sent("d@amis.example", "e@club.example")
        assert "https://drop.lab.test/" in both and "The Hoster" in both, both
        assert "https://drop.amis.example/" in sent("f@other.example", login="alice", sender="x@amis.example")
        path = "/" + link.group(1)
        for host, operator in (("drop.amis.example", "Les Amis"), ("DROP.amis.example:443", "Les Amis"),
                               ("drop.lab.test", "The Hoster"), ("127.0.0.1", "The Hoster")):
            shown = page(filter, path, host)
            assert operator in shown and "report.pdf" in shown, (host, shown)
        assert len(page(filter, path + "/1", "drop.lab.test")) > 10_000
        (own / "club.example.toml").write_text('[web]\nlisten = "[::1]:1"\n')
        filter.process.send_signal(1)
        wait_until(lambda: "configuration not reloaded" in filter.log(), "a refused reload")
        said = filter.run("check", "--quiet")
        assert said.returncode == 78 and f'{own}/club.example.toml:2: "web.listen"' in said.stderr.decode(), said
        (own / "club.example.toml").write_text('[web]\noperator = "Le Club"\n')
        filter.process.send_signal(1)
        wait_until(lambda: "configuration reloaded" in filter.log(), "a reload")
        notice = sent("g@club.example")
        assert "Le Club" in notice and "https://drop.lab.test/" in notice, notice
        shown = filter.run("check", "--domain", "amis.example").stdout.decode()
        assert 'operator = "Les Amis"' in shown and 'threshold = "10 kB"' in shown, shown[:400]


@story("pages name a sender of a domain that Postfix knows as its own, whole where its map lets the login send as it")
def _(lab):
    owners = table(lab, "texthash", "info@lab.test alice, bob\n@asso.lab.test carol\n")
    domains = table(lab, "texthash", "asso.lab.test ok\n")
    with postfix(lab, smtpd_sender_login_maps=owners, virtual_mailbox_domains=domains), \
            daemon(lab, web_show_sender="address") as filter:
        def shown(sender: str, to: str, login="alice") -> str:
            with lab.smtp("submission", login=login) as client:
                client.sendmail(sender, [to], report(to))
            token = re.search(r"https://drop\.lab\.test/(\w+)", lab.receive(to).decode())[1]
            text = page(filter, "/" + token, "drop.lab.test")
            return re.sub(r"\s+", " ", re.search(r"<main.*?</p>", text, re.S)[0])

        assert "1 file sent by info@lab.test" in shown("info@lab.test", "reader-a@other.example")
        assert "1 file sent by lab.test" in shown("boss@lab.test", "reader-b@other.example")
        assert "1 file sent by asso.lab.test" in shown("president@asso.lab.test", "reader-c@other.example")
        foreign = shown("ceo@impots.example", "reader-d@other.example")
        assert "sender not verified" in foreign and "impots" not in foreign, foreign


if __name__ == "__main__":
    sys.exit(main())
