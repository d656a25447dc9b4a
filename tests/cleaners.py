#!/usr/bin/env python3
"""Puts the notice, as HTML, through what webmails and list archives clean HTML with: after it, the link, the
name of its host and the names of the files are still there.

    tests/cleaners.py

$DEPOLLUEUR (else the release build) rewrites the messages. The cleaners are Debian's: libhtml-stripscripts-parser-perl
(with Sympa's options), roundcube-core with php-cli, php-xml and php-mbstring (ROUNDCUBE names another directory than
/usr/share/roundcube), python3-bleach (with the tags of its defaults and tables), lynx (by which Mailman makes text of
HTML). A cleaner that is not there is an error; SKIP=sympa,roundcube,bleach,lynx leaves those out and says so.
"""

import email
import email.policy
import html.parser
import os
import re
import subprocess
import sys
import tempfile
from email.message import EmailMessage
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "e2e"))

from lab import binary  # noqa: E402

HOST = "depot.asso.example"
FILES = [
    "Compte rendu de l’assemblée générale.pdf",
    "photos-du-forum.zip",
    "تقرير الجمعية العامة.pdf",
    "www.bank.example (copy).html",
    "日本語" * 30 + ".odt",
    'R&D <b> "2026" \'plan\'.pdf',
]
WORDS = {
    "fr": "Bonjour, voici le compte rendu de l’assemblée générale et les photos.",
    "en": "Dear all, here are the minutes of the general meeting and the photos.",
    "both": "Sehr geehrte Damen und Herren, anbei finden Sie die Rechnung.",
}

SYMPA = r"""
use strict; use warnings;
package Cleaner; use base qw(HTML::StripScripts::Parser);
sub validate_href_attribute { my ($self, $text) = @_; return $text }  # allowed_external_origin names the host
package main;
binmode STDIN, ':utf8'; binmode STDOUT, ':utf8';
my $cleaner = Cleaner->new({Context => 'Document', AllowSrc => 1, AllowHref => 1, AllowRelURL => 1,
    EscapeFiltered => 0});
local $/; print $cleaner->filter_html(scalar <STDIN>);
"""

ROUNDCUBE = r"""
$library = getenv('ROUNDCUBE') . '/program/lib/Roundcube';
define('RCUBE_CHARSET', 'UTF-8');
require "$library/rcube_utils.php";
require "$library/rcube_washtml.php";
$washer = new rcube_washtml(['charset' => 'UTF-8', 'allow_remote' => false, 'show_washed' => true]);
echo $washer->wash(stream_get_contents(STDIN));
"""

BLEACH = """
import bleach, sys
tables = ["a", "b", "br", "div", "span", "p", "table", "tbody", "tr", "td"]
print(bleach.clean(sys.stdin.read(), tags=tables, attributes={"a": ["href"]}, strip=True))
"""

CLEANERS = {
    "sympa": ["perl", "-e", SYMPA],
    "roundcube": ["php", "-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-r", ROUNDCUBE],
    "bleach": ["/usr/bin/python3", "-c", BLEACH],
    "lynx": ["lynx", "-dump", "-stdin", "-force_html", "-width=990", "-assume_charset=utf-8", "-display_charset=utf-8"],
}


class Shown(html.parser.HTMLParser):
    """What a reader sees, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.links = "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "a":
            self.links.append(dict(attrs).get("href"))

    def handle_data(self, data: str) -> None:
        self.text += data


def message(text: str) -> bytes:
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "zoe@asso.example", "list@asso.example", "x"
    mail.set_content(text + "\n")
    mail.add_alternative(f"<html><body><p>{text}</p></body></html>\n", subtype="html")
    for name in FILES:
        mail.add_attachment(os.urandom(20_000), "application", "octet-stream", filename=name)
    return mail.as_bytes()


def rewritten(program: str, text: str, directory: str) -> str:
    """The HTML of the message that comes out."""
    settings = {
        "drop.directory": f"{directory}/drop",
        "detach.threshold": "10 kB",
        "notice.language": "auto",
        "notice.fallback": "both",
        "web.public_url": f"https://{HOST}/",
        "web.operator": "asso.example",
    }
    options = [word for item in settings.items() for word in ("--set", "=".join(item))]
    done = subprocess.run([program, "rewrite", "--deposit", *options], input=message(text), stdout=subprocess.PIPE,
                          check=True)
    mail = email.message_from_bytes(done.stdout, policy=email.policy.default)
    return mail.get_body(("html",)).get_content()


def plain(text: str) -> str:
    """Without what cleaners may change: blanks, and what keeps a dot from making a link."""
    return re.sub(r"[\s\u2060]+", "", text)


def check(name: str, page: str) -> None:
    links = [link for link in Shown(page).links if link]
    assert len(links) == 1 and links[0].startswith(f"https://{HOST}/"), links
    assert not re.search(r"<a [^>]*\n", page), "a line break inside the link"

    done = subprocess.run(CLEANERS[name], input=page.encode(), capture_output=True)
    clean = done.stdout.decode()
    if done.returncode or not clean:
        sys.exit(f"{name} did not run (its packages: {__doc__.split('Debian')[1][4:]}): {done.stderr.decode()}")
    if name == "lynx":
        text, kept = clean.split("References", 1)[0], re.findall(r"https://\S+", clean)
    else:
        shown = Shown(clean)
        text, kept = shown.text, [link for link in shown.links if link]
    assert kept == links, (name, kept, clean)
    for word in [HOST, *FILES]:
        start = plain(word)[:40]
        assert start in plain(text), (name, word, clean)


def main() -> None:
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    os.environ.setdefault("ROUNDCUBE", "/usr/share/roundcube")
    skipped = [name for name in os.environ.get("SKIP", "").split(",") if name]
    for name in CLEANERS.keys() & skipped:
        print(f"none  {name}: not tried")
    with tempfile.TemporaryDirectory() as work:
        pages = {language: rewritten(binary(), text, work) for language, text in WORDS.items()}
    for name in [name for name in CLEANERS if name not in skipped]:
        for page in pages.values():
            check(name, page)
        print(f"ok    {name}: link, host and {len(FILES)} names are there, in {', '.join(pages)}")


if __name__ == "__main__":
    main()
