#!/usr/bin/env python3
"""The stories of the notice, with a real Postfix: whose words it has, and in which language.

    tests/e2e/stories_notice.py            all of them
    tests/e2e/stories_notice.py reload     those whose sentence contains a word

Needs what tests/e2e/stories.py needs, but no browser.
"""

from __future__ import annotations

import email
import email.policy
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
import stories  # noqa: E402
from lab import ROOT, Daemon, Lab, toml  # noqa: E402
from reload import REFUSED, RELOADED, reload  # noqa: E402
from stories import check_rewritten, main, story  # noqa: E402

# The others are told by their own files.
stories.STORIES.clear()

FILE = {"report.pdf": m.pdf(300_000)}
EXAMPLES = ROOT / "config" / "notice"

FRENCH_TEXT = """\
* * *
Bonjour ! {{ operator }} garde pour vous {{ count }} fichier{% if count > 1 %}s{% endif %},
jusqu’au {{ expires.date }} :
{% for file in files %}
* « {{ file.name }} » ({{ file.size }})
{% endfor %}
{{ link }}
{% if contact %}Une question ? {{ contact }}{% endif %}

* * *
"""
FRENCH_HTML = """\
<div style="border:1px solid #999;padding:8px">
<p>Bonjour ! {{ operator }} garde pour vous{% for file in files %} <b>{{ file.name }}</b> ({{ file.size }}){% endfor %}.</p>
<p><a href="{{ link }}">Télécharger ({{ total }})</a>, jusqu’au {{ expires.text }}</p>
</div>
"""
ENGLISH_TEXT = "Kept by {{ operator }}, sent by {{ sender }}, {{ direction }}:\n\n<{{ link }}>\n"


def templates(lab: Lab, name: str, **files: str) -> Path:
    """A directory of templates: `fr_txt` becomes `fr.txt`."""
    directory = lab.dir / name
    directory.mkdir(parents=True)
    for file, source in files.items():
        (directory / file.replace("_", ".")).write_text(source)
    return directory


def daemon(lab: Lab, tables: str = "", **settings) -> Daemon:
    """A daemon with tables of its own behind its settings."""
    made = lab.daemon(web_operator="asso.example", web_contact="aide@asso.example",
                      sender_domains=["@lab.test"], **settings)
    made.config.write_text(toml(made.settings) + tables)
    return made


def both(text: str, *, charset: str = "utf-8") -> bytes:
    """A text, the same as HTML, and the file."""
    plain = m.part(f"text/plain; charset={charset}", m.quoted(text, charset),
                   "Content-Transfer-Encoding: quoted-printable")
    html = m.part(f"text/html; charset={charset}",
                  m.quoted(f"<html><body>\r\n<p>{text}</p>\r\n</body></html>\r\n", charset),
                  "Content-Transfer-Encoding: quoted-printable")
    alternative = m.multipart("alternative", plain, html, boundary="=_alternative")
    return m.multipart("mixed", alternative, m.attachment(FILE["report.pdf"], "report.pdf"))


def sent(lab: Lab, filter: Daemon, content: bytes, *recipients: str, subject="Report", header="") -> str:
    """Sends; what arrives is sound, and its texts are returned."""
    message = header.encode() + m.message(content, to=recipients[0], subject=subject)
    with lab.smtp("submission", login="alice") as client:
        client.sendmail("alice@lab.test", list(recipients), message)
    received = [lab.receive(to) for to in recipients][0]
    check_rewritten(filter, message, received, FILE)
    return texts(received)


def texts(received: bytes) -> str:
    parsed = email.message_from_bytes(received, policy=email.policy.default)
    return "\n".join(part.get_content() for part in parsed.walk() if part.get_content_maintype() == "text")


def language(text: str) -> str:
    """Of the built-in notice."""
    found = [code for code, words in (("fr", "Pour alléger ce message"), ("en", "To keep this message light"))
             if words in text.replace("&eacute;", "é").replace("&#233;", "é")]
    assert len(found) == 1, text
    return found[0]


@story("a template of the admin's in French for one domain, in English for another; HTML that he has not is built in")
def _(lab):
    home = templates(lab, "own", fr_txt=FRENCH_TEXT, fr_html=FRENCH_HTML, en_txt=ENGLISH_TEXT)
    tables = f'[notice]\ntemplates = "{home}"\nlanguages = {{ "fr.example" = "fr", ".uk" = "en" }}\n'
    with daemon(lab, tables) as filter:
        text = sent(lab, filter, both("Voici le compte rendu."), "zoe@fr.example")
        assert "Bonjour ! asso.example garde pour vous 1 fichier," in text, text
        assert "* « report.pdf » (300\u00a0ko)" in text and "Une question ? aide@asso.example" in text, text
        assert '">T&#233;l&#233;charger (300&#160;ko)</a>' in text, text
        text = sent(lab, filter, both("Here are the minutes."), "bob@mail.example.uk")
        assert "Kept by asso.example, sent by lab\u2060.test, outgoing:" in text, text
        assert "To keep this message light" in text, text
        latin = both("Voilà l'été.", charset="iso-8859-1")
        text = sent(lab, filter, latin, "yann@fr.example")
        assert "jusqu'au" in text and "« report.pdf »" in text, text


@story("the examples that come along make a notice that the oracle accepts")
def _(lab):
    home = templates(lab, "examples")
    for example in EXAMPLES.iterdir():
        shutil.copy(example, home)
    for code in ("fr", "en"):
        with daemon(lab, notice_templates=str(home), notice_language=code) as filter:
            assert language(sent(lab, filter, both("Hello."), lab.address())) == code


@story("a message alone, without text, has the template's words as its text")
def _(lab):
    home = templates(lab, "scan", fr_txt=FRENCH_TEXT)
    with daemon(lab, notice_templates=str(home)) as filter:
        to = lab.address()
        message = m.message(m.attachment(FILE["report.pdf"], "report.pdf"), to=to)
        lab.submit(message, to)
        received = lab.receive(to)
        check_rewritten(filter, message, received, FILE)
        assert "Bonjour ! asso.example garde" in texts(received)


@story("with auto, the notice is in the language that the message declares, else in that of its author's words")
def _(lab):
    with daemon(lab, notice_language="auto", notice_fallback="en") as filter:
        for text, header, subject, expected in [
            ("Bonjour à tous,\r\nvoici le compte rendu de la réunion.\r\n", "", "x", "fr"),
            ("Dear all,\r\nhere are the minutes of the meeting.\r\n", "", "x", "en"),
            ("Dear all,\r\nhere are the minutes of the meeting.\r\n", "Content-Language: fr-FR\r\n", "x", "fr"),
            ("Bonjour, voici le compte rendu.\r\n", "Content-Language: de\r\n", "x", "en"),
            ("Sehr geehrte Damen und Herren, anbei die Rechnung.\r\n", "", "x", "en"),
            ("PJ\r\n", "", "Compte rendu de la reunion du bureau", "fr"),
            ("Voici les photos de la fête.\r\n\r\nOn 21/11/2026, Bob wrote:\r\n> Could you please send us all the "
             "photos that you took at the party?\r\n> We would like to print them.\r\n", "", "x", "fr"),
        ]:
            said = sent(lab, filter, both(text), lab.address(), header=header, subject=subject)
            assert language(said) == expected, (text, said)


@story("a fallback in both languages says it twice, with one link, where the message is in neither")
def _(lab):
    with daemon(lab, notice_language="auto", notice_fallback="both") as filter:
        for text, both_ways in [("Sehr geehrte Damen und Herren, anbei die Rechnung.\r\n", True),
                                ("Dear all,\r\nhere are the minutes of the meeting.\r\n", False)]:
            said = sent(lab, filter, both(text), lab.address())
            assert ("à télécharger jusqu" in said) == both_ways and "to download until" in said, said
            assert ("Voir et t" in said) == both_ways, said
            assert said.count("<a ") == 1, said


@story("recipients of two languages get one notice: the message's own language decides; a rule's counts more")
def _(lab):
    tables = ('[notice]\nlanguage = "auto"\nlanguages = { ".fr" = "fr", ".uk" = "en" }\n'
              '[[rule]]\nrecipient = "@strict.uk"\nlanguage = "fr"\n'
              '[[rule]]\nrecipient = "@free.example"\nlanguage = "auto"\n')
    english = both("Dear all, here are the minutes of the general meeting.\r\n")
    with daemon(lab, tables) as filter:
        for recipients, expected in [
            (("a1@x.fr",), "fr"),
            (("a2@x.fr", "b2@y.fr", "c2@z.example"), "fr"),
            (("a3@x.fr", "b3@y.uk"), "en"),
            (("a4@strict.uk",), "fr"),
            (("a5@free.example",), "en"),
        ]:
            assert language(sent(lab, filter, english, *recipients)) == expected, recipients


@story("a reload with a broken template is refused in one line with its name and line, and the old one stays")
def _(lab):
    home = templates(lab, "reloaded", fr_txt=FRENCH_TEXT)
    message = both("Voici le compte rendu.")
    with daemon(lab, notice_templates=str(home)) as filter:
        for source, says in [
            ("{{ link }}\n{% if %}", 'fr.txt", line 2: syntax error'),
            ("Bonjour {{ nom }}\n{{ link }}", 'fr.txt", line 1: there is no variable "nom"'),
            ("Bonjour", 'fr.txt": does not show the link'),
        ]:
            (home / "fr.txt").write_text(source)
            said = reload(filter, REFUSED)
            assert says in said and len(said.splitlines()) == 1, said
            to = lab.address()  # no judge: its commands would read what is broken
            lab.submit(m.message(message, to=to), to)
            assert "Bonjour ! asso.example" in texts(lab.receive(to))
            checked = filter.run("check", "--quiet")
            assert checked.returncode == 78 and says in checked.stderr.decode(), checked
        (home / "fr.txt").write_text("Autrement : {{ link }}\n")
        reload(filter, RELOADED)
        text = sent(lab, filter, message, lab.address())
        assert "Autrement : https://" in text and "Bonjour !" not in text, text


@story("rules and files of addresses still hold after a reload")
def _(lab):
    keep = lab.dir / "keep"
    keep.write_text("zoe@example.com\n")
    rules = '[[rule]]\nrecipient = "bob@example.com"\naction = "keep"\n'
    with daemon(lab, rules, users_opt_out=str(keep)) as filter:
        reload(filter, RELOADED)
        for to in ("zoe@example.com", "bob@example.com"):
            lab.submit(m.report(to), to)
            assert b"X-Depollueur" not in lab.receive(to), to


if __name__ == "__main__":
    sys.exit(main())
