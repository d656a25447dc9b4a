"""Fourteen shapes of mail with something heavy in them, as the programs that write such mail make them.

Each is built from its parts, not by Python's own writer of mail, which would tidy up what is meant to be odd.
"""

from __future__ import annotations

import base64
import io
import quopri
import random
from email.header import Header

from PIL import Image, ImageChops

HEAVY = 60_000


def noise(size: int, start: bytes = b"%PDF-1.7\n") -> bytes:
    """Bytes that do not compress, the same in each run."""
    return start + random.Random(size).randbytes(size - len(start))


def picture(width: int, height: int, kind: str) -> bytes:
    """A picture that a reader can show: a landscape of squares, with grain so that it weighs something."""
    grain = Image.effect_noise((width, height), 90)
    sky = Image.linear_gradient("L").resize((width, height))
    file = io.BytesIO()
    Image.merge("RGB", (sky, grain, ImageChops.invert(sky))).save(file, kind)
    return file.getvalue()


def encoded(name: str) -> str:
    """A file name in a header field, as most programs write it."""
    return name if name.isascii() else Header(name, "utf-8", maxlinelen=400).encode()


def leaf(kind: str, body: bytes, *fields: str, encoding: str = "base64") -> bytes:
    """A part that is no multipart."""
    if encoding == "base64":
        body = base64.encodebytes(body)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body)
    head = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}", *fields]
    return "\n".join(head).encode() + b"\n\n" + body.rstrip(b"\n") + b"\n"


def text(words: str, kind: str = "plain", encoding: str = "quoted-printable") -> bytes:
    return leaf(f"text/{kind}; charset=utf-8", words.encode(), encoding=encoding)


def page(words: str, style: str = "") -> bytes:
    return text(f"<html><head>{style}</head><body>{words}</body></html>\n", "html")


def attachment(name: str, kind: str = "application/pdf", body: bytes | None = None, how: str = "attachment",
               *fields: str) -> bytes:
    return leaf(f'{kind}; name="{encoded(name)}"', body or noise(HEAVY + len(name)),
                f'Content-Disposition: {how}; filename="{encoded(name)}"', *fields)


def multipart(kind: str, *parts: bytes, parameters: str = "") -> bytes:
    boundary = f"=_{random.Random(repr(parts)).getrandbits(64):x}"
    delimiter = f"--{boundary}".encode()
    body = b"".join(delimiter + b"\n" + part + b"\n" for part in parts)
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{parameters}\n\n'
    return head.encode() + body + delimiter + b"--\n"


def message(subject: str, content: bytes, *fields: str, sender: str = "Camille Le Goff <camille@asso.example>") -> bytes:
    head = [f"From: {sender}", "To: Yann Kerbrat <yann@breizh.example>", f"Subject: {encoded(subject)}",
            "Date: Sat, 28 Nov 2026 10:10:00 +0100", f"Message-ID: <{random.Random(subject).getrandbits(64):x}@asso.example>",
            "MIME-Version: 1.0", *fields]
    return "\n".join(head).encode() + b"\n" + content


FRENCH = "Bonjour Yann,\n\nVoici le compte rendu de l’assemblée générale, relu par le bureau.\n\nBelle journée,\nCamille\n"
ENGLISH = "Dear Yann,\n\nHere are the minutes of the general meeting and the photos of the fair.\n\nBest wishes,\nCamille\n"


def paragraphs(words: str) -> str:
    """The same text as HTML."""
    return "".join(f"<p>{paragraph}</p>".replace("\n", "<br>") for paragraph in words.strip().split("\n\n"))


def plain() -> bytes:
    file = attachment("Compte rendu de l’assemblée générale.pdf")
    return message("Compte rendu de l’AG", multipart("mixed", text(FRENCH), file))


def html() -> bytes:
    return message("Minutes and photos", multipart("mixed", page(paragraphs(ENGLISH)), attachment("Minutes 2026.pdf"),
                                                   attachment("photos-of-the-fair.zip", "application/zip")))


def alternative() -> bytes:
    both = multipart("alternative", text(FRENCH), page(paragraphs(FRENCH)))
    files = [attachment("Compte rendu de l’assemblée générale.pdf"),
             attachment("budget 2027.ods", "application/vnd.oasis.opendocument.spreadsheet")]
    return message("Compte rendu et budget", multipart("mixed", both, *files))


def nextcloud() -> bytes:
    """A reply of Nextcloud Mail with a long thread below it."""
    old = "".join(f"<p>Une ligne d’un vieux fil de discussion, la {n}e, qui continue.</p>" for n in range(2, 40))
    quote = ('<div class="quote">"Yann Kerbrat" yann@breizh.example – 21 novembre 2026 18:02<br>'
             f"<blockquote><p>Peux-tu nous envoyer le compte rendu ?</p>{old}</blockquote></div>")
    both = multipart("alternative", text("Bonjour,\n\nci-joint le rapport.\n"),
                     page(f"<p>Bonjour,</p><p>ci-joint le rapport.</p><p></p>{quote}"))
    return message("Re: compte rendu", multipart("mixed", both, attachment("rapport.pdf")))


def word_newsletter() -> bytes:
    """A newsletter that Word wrote: 150 kB of HTML, its head full of styles."""
    rules = "\n".join(f'p.MsoNormal{n}{{margin:0cm;font-size:11.0pt;font-family:"Calibri",sans-serif;mso-style-priority:99}}'
                      for n in range(900))
    article = ("<p class=MsoNormal1><b>Article {n}</b></p><p class=MsoNormal1><span style='mso-fareast-language:FR'>"
               "Le forum des associations a réuni plus de trois cents personnes cette année. Les photos sont dans le "
               "dossier joint, et le bilan sera présenté à la prochaine réunion.<o:p></o:p></span></p>")
    articles = "".join(article.replace("{n}", str(n)) for n in range(1, 200))
    body = (f"<p class=MsoNormal1><span style='font-size:18pt;color:#1F3864'>La lettre de l’association</span></p>{articles}"
            "<p class=MsoNormal1><a href='https://asso.example/unsubscribe'>Se désabonner</a></p>")
    return message("La lettre de novembre", multipart("mixed", page(body, f"<style><!--\n{rules}\n--></style>"),
                                                      attachment("dossier de la lettre.pdf")),
                   "List-Unsubscribe: <https://asso.example/unsubscribe>", "Precedence: bulk")


INVITATION = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Asso//EN\r
METHOD:REQUEST\r
BEGIN:VEVENT\r
UID:board@asso.example\r
DTSTAMP:20261128T090000Z\r
DTSTART:20261210T130000Z\r
DTEND:20261210T140000Z\r
SUMMARY:Board meeting\r
LOCATION:Town hall\r
ORGANIZER;CN=Camille:mailto:camille@asso.example\r
ATTENDEE;CN=Yann;RSVP=TRUE:mailto:yann@breizh.example\r
END:VEVENT\r
END:VCALENDAR\r
"""


def invitation() -> bytes:
    both = multipart("alternative", text("You are invited to the board meeting. The agenda is attached.\n"),
                     leaf("text/calendar; charset=utf-8; method=REQUEST", INVITATION.encode()))
    return message("Invitation: board meeting", multipart("mixed", both, attachment("agenda.pdf")))


def enriched() -> bytes:
    rich = "<bold>Dear Yann</bold>,\n\n\nhere are the minutes of the meeting.\n\n\nBest wishes,\n\nCamille\n"
    both = multipart("alternative", text("Dear Yann,\n\nhere are the minutes of the meeting.\n\nBest wishes,\nCamille\n"),
                     leaf("text/enriched; charset=us-ascii", rich.encode(), encoding="7bit"))
    return message("Minutes", multipart("mixed", both, attachment("minutes.pdf")), "X-Mailer: Evolution 1.0")


def phone() -> bytes:
    """Text, picture, text, picture, text, as phones send it."""
    photos = [attachment(f"IMG_{number}.jpeg", "image/jpeg", picture(number, 300, "JPEG"), "inline") for number in (418, 421)]
    parts = [text("Bonjour Yann, voici le stand ce matin :\n\n"), photos[0], text("\n\net le voici ce soir :\n\n"), photos[1],
             text("\n\nOn range demain.\n\nEnvoyé de mon iPhone\n")]
    return message("Le stand", multipart("mixed", *parts), "X-Mailer: iPhone Mail (22B91)")


def related() -> bytes:
    """A picture that the text shows, which stays, and a file that goes."""
    words = paragraphs(ENGLISH) + '<p><img src="cid:logo@asso" width="240" height="60" alt="Our logo"></p>'
    logo = attachment("logo.png", "image/png", picture(240, 60, "PNG"), "inline", "Content-ID: <logo@asso>")
    both = multipart("alternative", text(ENGLISH), multipart("related", page(words), logo, parameters='; type="text/html"'))
    return message("Minutes, with our logo", multipart("mixed", both, attachment("Minutes 2026.pdf")))


def forwarded() -> bytes:
    inner = multipart("mixed", text("Bonjour,\n\nvoici le dossier.\n\nRenée\n"), attachment("dossier.pdf"))
    inner = message("Le dossier complet", inner, sender="Renée Martin <renee@example.org>")
    whole = b'Content-Type: message/rfc822\nContent-Disposition: attachment; filename="Le dossier complet.eml"\n\n' + inner
    words = text("Bonjour Yann,\n\nje te transfère le message de Renée.\n\nCamille\n")
    return message("Tr: le dossier complet", multipart("mixed", words, whole))


def winmail() -> bytes:
    """What Outlook sends to people who do not have it: a TNEF stream (MS-OXTNEF) with one file."""
    def attribute(level: int, number: int, value: bytes) -> bytes:
        return (bytes([level]) + number.to_bytes(4, "little") + len(value).to_bytes(4, "little") + value
                + (sum(value) & 0xFFFF).to_bytes(2, "little"))

    tnef = (0x223E9F78).to_bytes(4, "little") + (1).to_bytes(2, "little")
    tnef += attribute(1, 0x00089006, (0x00010000).to_bytes(4, "little"))
    tnef += attribute(1, 0x00069007, bytes([0xE4, 4, 0, 0, 0, 0, 0, 0]))
    tnef += attribute(2, 0x00069002, bytes([1, 0]) + b"\xff\xff\xff\xff" + bytes(8))
    tnef += attribute(2, 0x00018010, b"tableau.xls\0") + attribute(2, 0x0006800F, noise(HEAVY, b"\xd0\xcf\x11\xe0"))
    words = text("Bonjour,\n\nci-joint le tableau.\n\nCamille\n")
    content = multipart("mixed", words, attachment("winmail.dat", "application/ms-tnef", tnef), attachment("plan.pdf"))
    return message("Le tableau", content, "X-MS-Has-Attach: yes")


def digest() -> bytes:
    """What a list manager sends once a day: its posts as they came."""
    def post(number: int) -> bytes:
        words = text(f"Bonjour, voici le compte rendu {number}.\n")
        return message(f"Compte rendu {number}", multipart("mixed", words, attachment(f"cr{number}.pdf")))

    contents = text("Table des matières :\n\n1. Compte rendu 1\n2. Compte rendu 2\n")
    posts = multipart("digest", *[b"\n" + post(number) for number in (1, 2)])
    return message("Digest de la liste", multipart("mixed", contents, posts, attachment("programme.pdf")),
                   "List-Id: <liste.asso.example>", "Precedence: bulk")


def undeclared() -> bytes:
    """Latin-1 that does not say so."""
    words = FRENCH.replace("’", "'").encode("latin-1")
    words = leaf("text/plain; format=flowed", words, encoding="8bit")
    return message("Compte rendu", multipart("mixed", words, attachment("compte rendu.pdf")))


def right_to_left() -> bytes:
    words = "مرحبا يان،\n\nتجدون طيه تقرير الجمعية العامة.\n\nمع أطيب التحيات\nكاميل\nAssociation Ker Avel\n"
    both = multipart("alternative", text(words, encoding="base64"), page(f'<div dir="rtl">{paragraphs(words)}</div>'))
    files = [attachment("تقرير الجمعية العامة.pdf"), attachment("photos.zip", "application/zip")]
    return message("تقرير الجمعية العامة", multipart("mixed", both, *files))


# Each with what people read of it before the rewrite, and so after it; a program may show only some of that.
SHAPES = {
    "plain": (plain, ["voici le compte rendu", "belle journ"]),
    "html": (html, ["here are the minutes", "minutes 2026.pdf", "photos-of-the-fair.zip"]),
    "alternative": (alternative, ["voici le compte rendu", "belle journ"]),
    "nextcloud": (nextcloud, ["ci-joint le rapport", "peux-tu nous envoyer"]),
    "word-newsletter": (word_newsletter, ["la lettre de", "article 1"]),
    "invitation": (invitation, ["board meeting"]),
    "enriched": (enriched, ["here are the minutes", "best wishes"]),
    "phone": (phone, ["voici le stand ce matin", "et le voici ce soir"]),
    "related": (related, ["here are the minutes", "best wishes"]),
    "forwarded": (forwarded, ["le message de"]),
    "winmail": (winmail, ["ci-joint le tableau", "tableau.xls"]),
    "digest": (digest, ["table des mati", "voici le compte rendu 1"]),
    "undeclared": (undeclared, ["voici le compte rendu", "belle journ"]),
    "right-to-left": (right_to_left, ["association ker avel"]),
}
