#!/usr/bin/env python3
"""Takes pictures of the notice in mails, to be looked at: phone and desktop, both languages, as mail clients
show it: light, dark, with colours that the client turns itself, with what Word understands, without styles.

    tests/notice_pictures.py OUTPUT_DIRECTORY [PROGRAM [TEMPLATES]]

PROGRAM (target/debug/depollueur) rewrites the messages; what is shown is what it made of them. TEMPLATES is a
directory for notice.templates: the notice is an admin's own then. One picture for
each language and way of showing, with all messages in it. Needs Chromium; CHROMIUM names another one than
`chromium`.
"""

import email
import email.policy
import html
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from email.message import EmailMessage

WIDTHS = (320, 720)

WAYS = {
    "light": ("", []),
    "dark": ('<meta name="color-scheme" content="dark">', []),
    "turned": ("", ["--enable-features=WebContentsForceDark"]),
    "word": ("", []),
    "bare": ("", []),
}

# What Outlook's engine does not know.
NOT_WORD = re.compile(
    r"(?<=[\";])\s*(max-width|border-radius|opacity|overflow-wrap|display):[^;\"]*;?"
)

QUOTE_FR = """<div class="moz-cite-prefix">Le 21/11/2026 à 18:02, Yann Le Goff a écrit&nbsp;:</div>
<blockquote type="cite" style="margin:0;padding-left:12px;border-left:2px solid #99a">
<p>Peux-tu nous envoyer le compte rendu&nbsp;?</p></blockquote>"""
QUOTE_EN = """<div class="gmail_quote"><div class="gmail_attr">On Sat, Nov 21, 2026 at 6:02 PM Yann wrote:</div>
<blockquote class="gmail_quote" style="margin:0 0 0 8px;border-left:1px solid #ccc;padding-left:8px">
<p>Could you send us the minutes?</p></blockquote></div>"""

WORDS = {
    "fr": {
        "hello": "Bonjour à toutes et tous,",
        "text": "Voici le compte rendu de l’assemblée générale et les photos du forum.",
        "bye": "Belle journée,",
        "quote": QUOTE_FR,
        "quoted": "Le 21/11/2026 à 18:02, Yann Le Goff a écrit :\n> Peux-tu nous envoyer le compte rendu ?\n",
        "files": ["Compte rendu de l’assemblée générale.pdf", "photos-du-forum.zip"],
    },
    "en": {
        "hello": "Dear all,",
        "text": "Here are the minutes of the general meeting and the photos of the fair.",
        "bye": "Have a nice day,",
        "quote": QUOTE_EN,
        "quoted": "On 21/11/2026 18:02, Yann wrote:\n> Could you send us the minutes?\n",
        "files": ["Minutes of the general meeting.pdf", "photos-of-the-fair.zip"],
    },
}

HOSTILE = [
    "تقرير الجمعية العامة.pdf",
    "invoice\u202efdp.exe",
    "www.bank.example (copy).html",
    "פרוטוקול האסיפה 2026 (סופי).docx",
    "x" * 90 + "-" + "é" * 60 + ".tar.gz",
]


def message(html_body: str, text: str, files: list[tuple[str, int]]) -> bytes:
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "camille@asso.example", "yann@breizh.example", "x"
    mail.set_content(text)
    mail.add_alternative(html_body, subtype="html")
    for name, size in files:
        mail.add_attachment(os.urandom(size), "application", "octet-stream", filename=name)
    return mail.as_bytes()


def messages(language: str) -> dict[str, bytes]:
    w = WORDS[language]
    body = f"<p>{w['hello']}</p><p>{w['text']}</p><p>{w['bye']}<br>Camille</p>"
    plain = f"{w['hello']}\n\n{w['text']}\n\n{w['bye']}\nCamille\n"
    two = [(w["files"][0], 94_321), (w["files"][1], 2_480_000)]
    many = [(f"IMG_{2040 + n}.jpg", 20_000 + 997 * n) for n in range(100)]
    hostile = [(name, 30_000 * n) for n, name in enumerate(HOSTILE, 1)]
    rtl = (
        '<html dir="rtl"><body dir="rtl"><p>مرحبا يان،</p><p>تجدون طيه تقرير الجمعية العامة.</p>'
        "<p>مع أطيب التحيات</p></body></html>"
    )
    rtl_text = "مرحبا يان،\n\nتجدون طيه تقرير الجمعية العامة.\n\nمع أطيب التحيات\n"

    def page(text: str) -> str:
        return f"<html><body>{text}</body></html>"

    return {
        "short": message(page(body), plain, two[:1]),
        "reply": message(page(body + w["quote"]), f"{plain}\n{w['quoted']}", two),
        "names": message(page(body), plain, hostile),
        "right-to-left": message(rtl, rtl_text, [hostile[0], two[1]]),
        "many": message(page(body), plain, many),
    }


def rewritten(program: str, templates: str, language: str, raw: bytes, directory: str) -> EmailMessage:
    settings = {
        "drop.directory": f"{directory}/drop",
        "detach.threshold": "10 kB",
        "notice.language": language,
        "notice.time_zone": "Europe/Paris",
        "notice.templates": templates,
        "web.public_url": "https://depot.asso.example/",
        "web.operator": "asso.example",
    }
    options = [word for item in settings.items() for word in ("--set", "=".join(item))]
    done = subprocess.run([program, "rewrite", "--deposit", *options], input=raw, stdout=subprocess.PIPE, check=True)
    return email.message_from_bytes(done.stdout, policy=email.policy.default)


def shown(mail: EmailMessage, kind: str, way: str) -> str:
    """The part as a page, in the way of a mail client."""
    text = mail.get_body((kind,)).get_content()
    scheme = WAYS[way][0]
    if kind == "plain":
        # As webmails do: links found in the text, each line with the direction of its letters.
        text = re.sub(r"https://[^\s<>]+", lambda link: f'<a href="#">{link[0]}</a>', html.escape(text))
        text = f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;font:14px/1.4 sans-serif">{text}</pre>'
    elif way == "word":
        text = NOT_WORD.sub("", text.replace("padding:10px 18px;", "").replace("mso-padding-alt", "padding"))
    elif way == "bare":
        text = re.sub(r' (style|bgcolor)="[^"]*"', "", text)
    head = f'<meta charset="utf-8">{scheme}<style>body{{margin:8px;font-family:sans-serif}}</style>'
    return head + text


def sheet(pages: dict[str, str], way: str) -> str:
    """All pages beside each other, the phone's above the desktop's; each frame as high as its content."""
    rows = []
    for width in WIDTHS:
        frames = [
            f'<figure><figcaption>{html.escape(name)}, {width}</figcaption><iframe width="{width}" height="100" '
            f'srcdoc="{html.escape(page)}" onload="this.height=this.contentDocument.documentElement.scrollHeight">'
            "</iframe></figure>"
            for name, page in pages.items()
        ]
        rows.append(f'<div style="display:flex;align-items:start">{"".join(frames)}</div>')
    style = "figure{margin:8px}iframe{border:1px dotted #888}figcaption{font:12px sans-serif}"
    return f"<!doctype html><meta charset='utf-8'>{WAYS[way][0]}<style>{style}</style>{''.join(rows)}"


def take(page: pathlib.Path, picture: pathlib.Path, size: str, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                os.environ.get("CHROMIUM", "chromium"),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={size}",
                f"--screenshot={picture}",
                *options,
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )


def main() -> None:
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1]).absolute()
    program = sys.argv[2] if len(sys.argv) > 2 else "target/debug/depollueur"
    templates = str(pathlib.Path(sys.argv[3]).absolute()) if len(sys.argv) > 3 else ""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for language in WORDS:
            mails = {
                name: rewritten(program, templates, language, raw, work) for name, raw in messages(language).items()
            }
            for way, (_, options) in WAYS.items():
                for kind in ("html", "plain") if way in ("light", "dark") else ("html",):
                    pages = {name: shown(mail, kind, way) for name, mail in mails.items()}
                    page = pathlib.Path(work) / "sheet.html"
                    page.write_text(sheet(pages, way), encoding="utf-8")
                    picture = directory / f"notice-{kind}-{way}-{language}.png"
                    take(page, picture, "3760,2000", options)
                    print(picture)


if __name__ == "__main__":
    main()
