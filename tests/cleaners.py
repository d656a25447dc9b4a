#!/usr/bin/env python3
"""Puts the notice through what webmails and list archives clean HTML, and show texts, with: after it, the link, the
name of its host and the names of the files are still there.

    tests/cleaners.py

$DEPOLLUEUR (else the release build) rewrites the messages. The cleaners are Debian's: libhtml-stripscripts-parser-perl
(with Sympa's options), roundcube-core with php-cli, php-xml and php-mbstring (ROUNDCUBE names another directory than
/usr/share/roundcube), HTML Purifier with php-xml and the options of Nextcloud Mail, but for style sheets (HTMLPURIFIER names its directory
`library`; Debian 12's does not run with its PHP), python3-bleach (with the tags of its
defaults and tables), SnappyMail's script in Chromium (SNAPPYMAIL names its sources' directory `dev`), lynx (by which Mailman makes text of HTML), python3-django-hyperkitty (Mailman's archive, which
shows the text, as text and as Markdown). A cleaner that is not there is an error;
SKIP=sympa,roundcube,nextcloud,snappymail,bleach,lynx,hyperkitty,hyperkitty-markdown leaves those out and says so.
"""

import email
import email.policy
import html.parser
import json
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

NEXTCLOUD = r"""
require getenv('HTMLPURIFIER') . '/HTMLPurifier.auto.php';
$config = HTMLPurifier_Config::createDefault();
$config->set('HTML.TargetBlank', true);
$config->set('URI.AllowedSchemes', ['cid' => true, 'http' => true, 'https' => true, 'ftp' => true, 'mailto' => true]);
$config->set('CSS.AllowTricky', true);
$config->set('CSS.Proprietary', true);
$config->set('Cache.DefinitionImpl', null);
echo (new HTMLPurifier($config))->purify(stream_get_contents(STDIN));
"""

BLEACH = """
import bleach, sys
tables = ["a", "b", "br", "div", "span", "p", "table", "tbody", "tr", "td"]
print(bleach.clean(sys.stdin.read(), tags=tables, attributes={"a": ["href"]}, strip=True))
"""

HYPERKITTY = """
import sys
from django.conf import settings
settings.configure()
from hyperkitty.lib import renderer
print(getattr(renderer, sys.argv[1])(sys.stdin.read()))
"""

SNAPPYMAIL = """
const createElement = (name, attributes = {}) => {
  const made = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
};
const forEachObjectEntry = (map, apply) => Object.entries(map).forEach(([key, value]) => apply(key, value));
const isArray = Array.isArray, pInt = value => parseInt(value, 10) || 0;
const SettingsUserStore = new Proxy({}, {get: () => () => 0});
const rl = {};
class TurndownService {}
"""

PHP = ["php", "-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-r"]
# These are given the text.
TEXTS = ("hyperkitty", "hyperkitty-markdown")
CLEANERS = {
    "sympa": ["perl", "-e", SYMPA],
    "roundcube": [*PHP, ROUNDCUBE],
    "nextcloud": [*PHP, NEXTCLOUD],
    "snappymail": [],
    "bleach": ["/usr/bin/python3", "-c", BLEACH],
    "lynx": ["lynx", "-dump", "-stdin", "-force_html", "-width=990", "-assume_charset=utf-8", "-display_charset=utf-8"],
    "hyperkitty": ["/usr/bin/python3", "-c", HYPERKITTY, "text_renderer"],
    "hyperkitty-markdown": ["/usr/bin/python3", "-c", HYPERKITTY, "markdown_renderer"],
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


def rewritten(program: str, text: str, directory: str) -> dict[str, str]:
    """The HTML and the text of the message that comes out."""
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
    return {kind: mail.get_body((kind,)).get_content() for kind in ("html", "plain")}


def plain(text: str) -> str:
    """Without what cleaners may change: blanks, and what keeps a dot from making a link."""
    return re.sub(r"[\s\u2060]+", "", text)


def in_browser(page: str) -> subprocess.CompletedProcess:
    """What SnappyMail's own script leaves of a page, in a browser."""
    source = Path(os.environ.get("SNAPPYMAIL", "/usr/share/snappymail/dev"), "Common/Html.js").read_text()
    script = re.sub(r"^import .*$|^export ", "", source, flags=re.M)
    literal = json.dumps(page).replace("</", "<\\/")
    with tempfile.TemporaryDirectory() as work:
        harness = (f"<meta charset=utf-8><body><script type=module>{SNAPPYMAIL}{script}\n"
                   f"document.body.innerHTML = rl.Utils.cleanHtml({literal}, [], '').html;</script>")
        Path(work, "page.html").write_text(harness)
        return subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={work}/profile",
                               "--virtual-time-budget=5000", "--dump-dom", f"file://{work}/page.html"], capture_output=True)


def check(name: str, body: dict[str, str]) -> None:
    page = body["plain" if name in TEXTS else "html"]
    links = re.findall(r"https://\S+", page) if name in TEXTS else [link for link in Shown(page).links if link]
    assert len(links) == 1 and links[0].startswith(f"https://{HOST}/"), links
    assert not re.search(r"<a [^>]*\n", page), "a line break inside the link"

    done = in_browser(page) if name == "snappymail" else subprocess.run(CLEANERS[name], input=page.encode(),
                                                                         capture_output=True)
    clean = done.stdout.decode()
    if done.returncode or not clean:
        sys.exit(f"{name} did not run (where it comes from: --help): {done.stderr.decode()}")
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
    os.environ.setdefault("HTMLPURIFIER", "/usr/share/php")
    skipped = [name for name in os.environ.get("SKIP", "").split(",") if name]
    for name in CLEANERS.keys() & skipped:
        print(f"none  {name}: not tried")
    with tempfile.TemporaryDirectory() as work:
        bodies = {language: rewritten(binary(), text, work) for language, text in WORDS.items()}
    for name in [name for name in CLEANERS if name not in skipped]:
        for body in bodies.values():
            check(name, body)
        print(f"ok    {name}: link, host and {len(FILES)} names are there, in {', '.join(bodies)}")


if __name__ == "__main__":
    main()
