"""Well-formed and devious messages, the same for the same seed.

A message has at most two kinds of deviance: with more, nearly every one would be left alone, and nothing
would be learned. Each kind is a name; where a message is built, `self.odd("name")` asks whether to deviate.
Names of files are drawn apart from that: none of them is a reason to leave a message alone.

    tests/e2e/devious.py SEED [big]      prints one message
"""

from __future__ import annotations

import base64
import quopri
import random
import sys
from functools import cache

KINDS = """
boundary-prefix boundary-extends boundary-same boundary-long boundary-blanks boundary-punctuation
boundary-dashes boundary-all-dashes boundary-word boundary-word-inside boundary-unquoted boundary-folded
boundary-escaped boundary-unclosed boundary-rfc2231 boundary-sections boundary-twice boundary-missing
boundary-comment boundary-case boundary-spaced boundary-trailing-blank boundary-8bit boundary-same-protected
boundary-same-embedded boundary-angle boundary-leading-blank boundary-tab boundary-apostrophe
type-comment type-twice type-missing type-empty type-no-slash type-8bit type-junk type-space-colon type-upper
type-trailing-semicolon type-no-semicolon type-folded type-quoted type-many type-unknown-multipart
type-second-after-body type-slash-blanks
encoding-twice encoding-comment encoding-unknown encoding-quoted encoding-empty encoding-on-multipart
encoding-8bit-multipart encoding-semicolon encoding-upper encoding-on-message encoding-hyphen
disposition-twice disposition-odd disposition-empty name-unclosed
delimiter-padding delimiter-tail delimiter-mid-line delimiter-bare-cr delimiter-in-header delimiter-at-once
delimiter-close-tail delimiter-after-close delimiter-lf delimiter-cr-cr-lf delimiter-vt delimiter-indented
no-close no-outer-close no-inner-close close-without-eol close-twice preamble epilogue zero-parts no-delimiter
empty-part part-without-header header-without-end header-junk header-blank-line header-nul header-cr
header-long header-from header-fold-first header-many header-8bit header-no-value header-dash header-64k
header-long-line
base64-one-line base64-odd-lines base64-short-lines base64-ragged base64-blanks base64-unpadded base64-inner-padding base64-foreign
base64-tail base64-lonely base64-lf base64-empty-lines base64-url base64-padding-over
quoted-blanks quoted-lower quoted-open quoted-malformed quoted-long quoted-bare-cr quoted-soft-blanks
identity-8bit identity-nul identity-cr identity-lf identity-dashes identity-no-end identity-long-line uuencode
digest embedded embedded-multipart signed encrypted report related related-orphan apple external partial
single single-no-type single-quoted charset-utf16 charset-unknown html-first no-text attachment-first
deep many-parts thousands-of-parts depth-bomb calendar two-texts mixed-in-related pgp footer shown-later
""".split()


# How names are written, and what stands in the name: `%s` is a word of the message's own.
NAMES = (
    'attachment; filename="%s.pdf"',
    "attachment; filename=%s.pdf",
    'attachment; filename="=?utf-8?Q?=C3=A9t=C3=A9_?= =?iso-8859-1?q?%s=E9?=.pdf"',
    'attachment; filename="=?windows-1251?B?z/Do4uXy?=%s.pdf"',
    "attachment; filename*=utf-8''%%C3%%A9t%%C3%%A9%%20%s.pdf",
    "attachment; filename*=koi8-r'ru'%%F0%%D2%%C9%%D7%%C5%%D4%s.pdf",
    "attachment; filename*=big5''%%A4%%A4%%A4%%E5%s.pdf",
    "attachment; filename*=x-martian''%%A4%s.pdf",
    "attachment; filename*0*=utf-8''%%E2%%82;{n}filename*1*=%%AC%s;{n}filename*2=.pdf",
    "attachment; filename*1=%s.pdf;{n}filename*0=\"a \"",
    "attachment; filename*0*=iso-8859-15''%%A4;{n}filename*2=lost%s.pdf",
    'attachment; filename="\u00e9t\u00e9 %s \u65e5\u672c.pdf"',
    'attachment; filename="%s/../../etc/passwd"',
    'attachment; filename=".."; x=%s',
    'attachment; filename="..\\..\\%s.exe"',
    'attachment; filename="C:\\Users\\%s\\x.pdf"',
    "attachment; filename*=utf-8''%s%%00.pdf%%0D%%0ABcc:%%20x",
    "attachment; filename*=utf-8''%s%%1B[31m%%07.pdf",
    "attachment; filename*=utf-8''%s%%E2%%80%%AEfdp.exe",
    'attachment; filename="%s\u202efdp.exe"',
    'attachment; filename="%s' + "x" * 4000 + '.pdf"',
    "attachment; filename*=utf-8''%s" + "%%C3%%A9" * 700 + ".pdf",
    'attachment; filename="CON"; x=%s',
    'attachment; filename="   "; x=%s',
    'attachment; filename=""; x=%s',
    "attachment; x=%s",
)


@cache
def filler(size: int) -> bytes:
    """The same bytes each time: what is large is cheap."""
    return random.Random(size).randbytes(size)


@cache
def filler_lines(size: int, eol: bytes) -> bytes:
    """`filler` in base64; `size` is a multiple of 57, so that more may follow it."""
    return base64.encodebytes(filler(size)).replace(b"\n", eol)


class Maker:
    """Makes one message; if it may be big, one in four has an attachment of 100 kB to 1.2 MB."""

    def __init__(self, seed: int, big: bool = False):
        self.random = random.Random(seed)
        self.big = 0
        # What must go from a message without deviance: the decoded sizes of its attachments.
        self.sizes: list[int] = []
        count = self.random.choice((0, 1, 1, 1, 1, 2, 2))
        self.kinds = set(self.random.sample(KINDS, count))
        self.used: set[str] = set()
        self.eol = b"\n" if self.random.random() < 0.2 else b"\r\n"
        self.open: list[bytes] = []
        self.cids: list[bytes] = []
        if big and self.random.random() < 0.25:
            self.big = 57 * self.random.choice((1700, 1755, 1800, 3600, 17_544, 21_000))

    def odd(self, kind: str) -> bool:
        assert kind in KINDS, kind
        if kind in self.kinds and self.random.random() < 0.7:
            self.used.add(kind)
            return True
        return False

    def lines(self, *lines: bytes) -> bytes:
        return b"".join(line + self.eol for line in lines)

    # ---- the message

    def message(self) -> bytes:
        top = self.lines(b"From: Zo\xc3\xab <zoe@elsewhere.test>" if self.odd("header-8bit")
                         else b"From: Zoe <zoe@elsewhere.test>",
                         b"To: bob@lab.test", b"Subject: A message",
                         b"Date: Sun, 22 Nov 2026 10:00:00 +0100", b"Message-ID: <1@elsewhere.test>",
                         b"MIME-Version: 1.0")
        if any(kind.startswith("single") for kind in self.kinds):
            return top + self.single()
        return top + self.tree()

    def single(self) -> bytes:
        if self.odd("single-no-type"):
            return self.lines(b"Content-Disposition: attachment; filename=a.txt") + self.eol + self.text(3000)
        encoding = "quoted-printable" if self.odd("single-quoted") else None
        return self.attachment(encoding)

    def tree(self) -> bytes:
        parts = [self.body()]
        if self.odd("attachment-first"):
            parts.insert(0, self.attachment())
        if self.odd("no-text"):
            parts = []
        if self.odd("two-texts"):
            parts.append(self.leaf(b"text/plain; charset=utf-8", self.text(300)))
        for _ in range(self.random.choice((1, 1, 2, 3))):
            parts.append(self.attachment())
        for kind, make in (("digest", self.digest), ("embedded", self.embedded), ("signed", self.signed),
                           ("encrypted", self.signed), ("report", self.signed), ("calendar", self.calendar),
                           ("embedded-multipart", self.embedded), ("boundary-same-embedded", self.embedded),
                           ("boundary-same-protected", self.signed), ("encoding-on-message", self.embedded),
                           ("external", self.external), ("partial", self.external)):
            if kind in self.kinds and (self.random.random() < 0.8):
                self.used.add(kind)
                parts.insert(self.random.randrange(len(parts) + 1), make)
        if self.odd("many-parts"):
            parts += [self.attachment() for _ in range(30)]
        if self.odd("attachment-first"):
            self.random.shuffle(parts)
        if self.odd("footer"):
            parts.append(self.leaf(b"text/plain; charset=utf-8", self.lines(b"____", b"list mailing list"), encoding="7bit"))
        if self.odd("shown-later"):
            cid = b"late@elsewhere.test"
            parts.append(lambda: self.leaf(b"image/png", self.content(2500), self.lines(b"Content-ID: <" + cid + b">"),
                                           encoding="base64"))
            parts.append(lambda: self.leaf(self.text_type(b"html"), self.lines(b'<img src="cid:' + cid + b'">')))
        if self.odd("thousands-of-parts"):
            one = b"Content-Type: image/gif" + self.eol + self.eol + b"GIF"
            parts += [one] * self.random.choice((800, 3000, 10_100))
        if self.odd("depth-bomb"):
            parts.append(lambda: self.bomb(self.random.choice((20, 40, 90))))
        sub = b"mixed"
        if self.odd("type-unknown-multipart"):
            sub = self.random.choice((b"parallel", b"x-thing", b"related", b"form-data"))
        if self.odd("deep"):
            parts.append(lambda: self.multipart(
                b"mixed", [lambda: self.multipart(b"mixed", [lambda: self.multipart(
                    b"mixed", [self.attachment()])])]))
        nested = self.random.random()
        if nested < 0.2:
            inner = parts
            parts = [lambda: self.multipart(b"mixed", inner), self.attachment()]
        elif nested < 0.3:
            last = self.attachment()
            parts.append(lambda: self.multipart(b"mixed", [last]))
        return self.multipart(sub, parts)

    def body(self):
        plain = lambda: self.leaf(self.text_type(b"plain"), self.text(self.random.choice((40, 400))))  # noqa: E731
        html = lambda: self.leaf(self.text_type(b"html"), self.html())  # noqa: E731
        choice = self.random.random()
        if self.odd("apple"):
            parts = [html, self.attachment(), html]
            return lambda: self.multipart(b"alternative", [plain, lambda: self.multipart(b"mixed", parts)])
        if self.odd("related") or self.odd("related-orphan") or self.odd("mixed-in-related") or choice < 0.2:
            orphan = "related-orphan" in self.used
            image = self.image(orphan)
            more = [self.attachment()] if "mixed-in-related" in self.used else []
            related = lambda: self.multipart(b"related", [html, image, *more])  # noqa: E731
            return lambda: self.multipart(b"alternative", [plain, related])
        if choice < 0.45:
            forms = [html, plain] if self.odd("html-first") else [plain, html]
            return lambda: self.multipart(b"alternative", forms)
        return html if choice < 0.55 else plain

    def text_type(self, sub: bytes) -> bytes:
        charset = b"utf-8"
        if self.odd("charset-unknown"):
            charset = b"x-martian"
        if self.odd("charset-utf16"):
            charset = b"utf-16"
        return b"text/" + sub + b"; charset=" + charset

    # ---- header fields

    def fold(self, value: bytes) -> bytes:
        return value.replace(b"; ", b";" + self.eol + b"\t") if self.odd("type-folded") else value

    def field(self, name: bytes, value: bytes) -> bytes:
        if self.odd("type-space-colon"):
            name += b" "
        return self.lines(name + b": " + value)

    def header(self, value: bytes | None, *fields: bytes) -> bytes:
        """A part's header block with its blank line; `value` is that of Content-Type."""
        odd, block = self.odd, b""
        if odd("header-from"):
            block += self.lines(b"From zoe@elsewhere.test Sun Nov 22 10:00:00 2026")
        if odd("header-fold-first"):
            block += self.lines(b" folded")
        if value is not None and not odd("type-missing"):
            value = self.deviant_type(value)
            block += self.field(b"CONTENT-type" if odd("type-upper") else b"Content-Type", self.fold(value))
            if odd("type-twice"):
                block += self.field(b"Content-Type", b"text/plain")
        block += b"".join(fields)
        if odd("header-many"):
            block += self.lines(*(b"X-%d: y" % n for n in range(300)))
        if odd("header-long"):
            block += self.lines(b"X-Long: " + b"y" * 3000)
        if odd("header-64k"):
            size = self.random.choice((60_000, 65_000, 66_000))
            block += b"".join(self.lines(b"X-Many: " + b"y" * 90) for _ in range(size // 100))
        if odd("header-long-line"):
            block += self.lines(b"X-Long: " + b"y" * self.random.choice((998, 5000, 66_000)))
        if odd("header-no-value"):
            block += self.lines(b"X-Empty:")
        for kind, line in (("header-junk", b"this is no field"), ("header-nul", b"X-Nul: a\0b"),
                           ("header-cr", b"X-Cr: a\rContent-Type: text/plain"), ("header-blank-line", b"  "),
                           ("header-dash", b"--: a"), ("type-second-after-body", b"")):
            if odd(kind):
                block += self.lines(line)
        if self.open and odd("delimiter-in-header"):
            block += self.lines(b"--" + self.random.choice(self.open))
        if odd("header-without-end"):
            return block
        return block + self.eol

    def deviant_type(self, value: bytes) -> bytes:
        word, semicolon, rest = value.partition(b";")
        for kind, changed in (
                ("type-comment", word + b" (a comment)" + semicolon + rest),
                ("type-empty", semicolon + rest), ("type-no-slash", word.replace(b"/", b"") + semicolon + rest),
                ("type-8bit", word + b"; x=\xe9" + semicolon + rest), ("type-junk", word + b" junk" + semicolon + rest),
                ("type-trailing-semicolon", value + b";"), ("type-no-semicolon", word + rest),
                ("type-quoted", b'"' + word + b'"' + semicolon + rest),
                ("type-slash-blanks", word.replace(b"/", b" / ") + semicolon + rest),
                ("type-many", word + b"".join(b"; x%d=y" % n for n in range(300)) + semicolon + rest)):
            if self.odd(kind):
                return changed
        return value

    def encoding(self, value: bytes) -> bytes:
        name = b"Content-Transfer-Encoding"
        for kind, changed in (("encoding-comment", value + b" (c)"), ("encoding-unknown", b"x-uuencode"),
                              ("encoding-quoted", b'"' + value + b'"'), ("encoding-empty", b""),
                              ("encoding-semicolon", value + b";"), ("encoding-upper", value.upper() + b" "),
                              ("encoding-hyphen", b"8-bit")):
            if self.odd(kind):
                value = changed
        block = self.field(name, value)
        if self.odd("encoding-twice"):
            block += self.field(name, b"7bit")
        return block

    def disposition(self, name: bytes) -> bytes:
        value = (self.random.choice(NAMES) % name.decode()).replace("{n}", self.eol.decode() + " ").encode()
        if self.random.random() < 0.1:
            value = value.decode().encode("iso-8859-1", "replace")
        for kind, changed in (("disposition-odd", b"x-odd; filename=" + name), ("disposition-empty", b""),
                              ("name-unclosed", b'attachment; filename="a.pdf')):
            if self.odd(kind):
                value = changed
        block = self.field(b"Content-Disposition", self.fold(value))
        if self.odd("disposition-twice"):
            block += self.field(b"Content-Disposition", b"inline")
        return block

    # ---- multiparts

    def boundary(self) -> bytes:
        fresh = self.random.choice((b"=_%08x", b"=_%08x", b"b%08x")) % self.random.randrange(1 << 32)
        outer = self.open[-1] if self.open else fresh
        for kind, value in (
                ("boundary-prefix", outer[:-1]), ("boundary-extends", outer + b"x"), ("boundary-same", outer),
                ("boundary-long", fresh * 7 + b"z" * self.random.randrange(150)), ("boundary-blanks", b"a b  " + fresh),
                ("boundary-punctuation", b"'()+_,-./:=?" + fresh), ("boundary-dashes", b"----" + fresh + b"--"),
                ("boundary-all-dashes", b"-----"), ("boundary-word", b"=?utf-8?q?" + fresh + b"?="),
                ("boundary-word-inside", fresh + b"=?utf-8?q?b?=x"), ("boundary-apostrophe", b"utf-8'en'" + fresh),
                ("boundary-trailing-blank", fresh + b" "), ("boundary-8bit", fresh + b"\xe9"),
                ("boundary-leading-blank", b" " + fresh), ("boundary-tab", b"a\t" + fresh),
                ("boundary-angle", b"<" + fresh + b">"), ("boundary-unquoted", b"=_a/b:c?d@e=" + fresh)):
            if self.odd(kind):
                return value
        return fresh

    def parameter(self, value: bytes) -> bytes:
        quoted = b'boundary="' + value + b'"'
        half = len(value) // 2
        for kind, written in (
                ("boundary-unquoted", b"boundary=" + value), ("boundary-case", b'BOUNDARY="' + value + b'"'),
                ("boundary-folded", b'boundary="' + value[:half] + self.eol + b" " + value[half:] + b'"'),
                ("boundary-escaped", b'boundary="' + value[:half] + b"\\" + value[half:] + b'"'),
                ("boundary-unclosed", b'boundary="' + value), ("boundary-rfc2231", b"boundary*=utf-8''" + value),
                ("boundary-sections", b"boundary*0=" + value[:half] + b"; boundary*1=" + value[half:]),
                ("boundary-twice", quoted + b'; boundary="other"'), ("boundary-missing", b"charset=utf-8"),
                ("boundary-comment", quoted + b" (comment)"), ("boundary-spaced", b'boundary = "' + value + b'"')):
            if self.odd(kind):
                return written
        return b"boundary=" + value if value.isalnum() else quoted

    def multipart(self, sub: bytes, parts, parameters: bytes = b"") -> bytes:
        boundary = self.boundary()
        fields = []
        if self.odd("encoding-on-multipart"):
            fields.append(self.lines(b"Content-Transfer-Encoding: base64"))
        elif self.odd("encoding-8bit-multipart"):
            fields.append(self.lines(b"Content-Transfer-Encoding: 8bit"))
        header = self.header(b"multipart/" + sub + b"; " + parameters + self.parameter(boundary), *fields)
        self.open.append(boundary)
        made = [part() if callable(part) else part for part in parts]
        self.open.pop()
        return header + self.enclosed(boundary, made)

    def enclosed(self, boundary: bytes, parts) -> bytes:
        odd, eol = self.odd, self.eol
        delimiter = b"--" + boundary
        body = self.lines(b"This is a message in parts.") if self.random.random() < 0.3 else b""
        if odd("preamble"):
            body += self.random.choice((eol, delimiter[:-1] + eol, b"x" + delimiter + eol, b"--" + eol, b"-" + delimiter + eol))
        if odd("zero-parts"):
            parts = []
        if odd("no-delimiter"):
            return body + b"nothing" + eol
        for part in parts:
            body += delimiter + self.padding() + eol
            if odd("part-without-header"):
                body += eol
            if odd("empty-part"):
                body += b"Content-Type: image/png" + eol + eol + delimiter + eol
            if odd("delimiter-at-once"):
                body += delimiter + eol
            body += part
            for kind, junk in (("delimiter-mid-line", b"x " + delimiter + eol),
                               ("delimiter-bare-cr", b"x\r" + delimiter + eol),
                               ("delimiter-tail", delimiter + b"x" + eol),
                               ("delimiter-close-tail", delimiter + b"--x" + eol),
                               ("delimiter-vt", b"x\x0b" + delimiter + eol),
                               ("delimiter-indented", b" " + delimiter + eol),
                               ("close-twice", delimiter + b"--" + eol)):
                if odd(kind):
                    body += junk
            if odd("delimiter-lf"):
                body += b"\n"
            elif odd("delimiter-cr-cr-lf"):
                body += b"\r\r\n"
            else:
                body += eol
        outer = not self.open
        if odd("no-close") or (outer and odd("no-outer-close")) or (not outer and odd("no-inner-close")):
            return body
        body += delimiter + b"--" + self.padding()
        if odd("close-without-eol"):
            return body
        body += eol
        if odd("delimiter-after-close"):
            body += delimiter + eol + self.attachment() + eol + delimiter + b"--" + eol
        if odd("epilogue"):
            body += self.random.choice((b"bye" + eol, eol + eol, b"--" + eol, delimiter + b"x" + eol))
        return body

    def padding(self) -> bytes:
        return self.random.choice((b" ", b"\t ", b" " * 100, b" " * 200)) if self.odd("delimiter-padding") else b""

    # ---- leaves

    def leaf(self, value: bytes, data: bytes, *fields: bytes, encoding: str | None = None) -> bytes:
        encoding = encoding or self.random.choice(("7bit", "quoted-printable", "base64", None))
        written = self.encoded(data, encoding)
        if encoding:
            fields = (self.encoding(encoding.encode()), *fields)
        return self.header(value, *fields) + written

    def encoded(self, data: bytes, encoding: str | None) -> bytes:
        if encoding == "base64":
            return self.base64(data)
        if encoding == "quoted-printable":
            return self.quoted(data)
        for kind, changed in (("identity-8bit", data + b"\xe9\xff" + self.eol), ("identity-nul", data + b"\0" + self.eol),
                              ("identity-cr", data + b"a\rb" + self.eol), ("identity-lf", data + b"a\nb" + self.eol),
                              ("identity-no-end", data.rstrip(b"\r\n")),
                              ("identity-long-line", data + b"x" * self.random.choice((998, 999, 70_000)) + self.eol),
                              ("identity-dashes", data + b"--" + self.eol + b"----" + self.eol)):
            if self.odd(kind):
                data = changed
        return data

    def base64(self, data: bytes) -> bytes:
        odd = self.odd
        text = base64.b64encode(data)
        if odd("base64-unpadded"):
            text = text.rstrip(b"=")
        if odd("base64-inner-padding"):
            half = len(data) // 6 * 3 + 1
            text = base64.b64encode(data[:half]) + base64.b64encode(data[half:])
        if odd("base64-foreign"):
            text = text[:500] + b"!" + text[500:]
        if odd("base64-url"):
            text = text.replace(b"+", b"-").replace(b"/", b"_")
        if odd("base64-lonely"):
            text = text.rstrip(b"=")
            text = text[: len(text) // 4 * 4] + b"A"
        if odd("base64-padding-over"):
            text += b"="
        width = 10_000_000 if odd("base64-one-line") else 76
        if odd("base64-odd-lines"):
            width = self.random.choice((1, 3, 60, 64, 74, 77, 78, 997, 998, 65_535))
        if odd("base64-short-lines"):
            width = 4
        eol = b"\n" if odd("base64-lf") else self.eol
        if odd("base64-ragged"):
            cuts = sorted(self.random.randrange(len(text) + 1) for _ in range(40))
            return b"".join(text[at:to] + eol for at, to in zip([0, *cuts], [*cuts, len(text)]))
        if odd("base64-blanks"):
            eol = b" \t" + eol
        if odd("base64-empty-lines"):
            eol += eol
        if width == 76 and eol == self.eol and self.big and data.startswith(filler(self.big)):
            return filler_lines(self.big, eol) + base64.encodebytes(data[self.big:]).replace(b"\n", eol)
        written = b"".join(text[at:at + width] + eol for at in range(0, len(text), width))
        return written + self.lines(b"-- ", b"a footer") if odd("base64-tail") else written

    def quoted(self, data: bytes) -> bytes:
        odd = self.odd
        text = quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", self.eol)
        for kind, changed in (("quoted-blanks", text + b"blanks  " + self.eol), ("quoted-lower", text + b"=c3=a9" + self.eol),
                              ("quoted-open", text + b"open="), ("quoted-malformed", text + b"=zz =4" + self.eol),
                              ("quoted-long", text + b"x" * 2000 + self.eol), ("quoted-bare-cr", text + b"a\rb" + self.eol),
                              ("quoted-soft-blanks", text + b"soft= " + self.eol + b"break" + self.eol)):
            if odd(kind):
                text = changed
        return text

    def attachment(self, encoding: str | None = None) -> bytes:
        size = self.random.choice((200, 1500, 2000, 3000, 5000))
        encoding = encoding or self.random.choice(("base64", "base64", "base64", "quoted-printable", "8bit", "7bit", "binary"))
        if self.big and encoding in ("base64", "binary"):
            data = self.content(self.big)
            if encoding == "binary":
                data = base64.encodebytes(data)
        elif encoding in ("base64", "quoted-printable") and self.random.random() < 0.8:
            data = self.random.randbytes(size)
        else:
            data = self.text(size)
        if self.big and encoding == "quoted-printable":
            data = base64.encodebytes(filler(self.big)) + data
        kind = self.random.choice((b"application/pdf", b"application/octet-stream", b"image/png", b"text/csv", b"text/plain",
                                   b"text/html"))
        name = b"file%d" % self.random.randrange(100)
        self.sizes.append(len(data))
        return self.leaf(kind + b'; name="' + name + b'"', data, self.disposition(name), encoding=encoding)

    def content(self, size: int) -> bytes:
        """Bytes of a file: of a big one only the last ones are its own."""
        if self.big and size >= self.big:
            return filler(self.big) + self.random.randbytes(self.random.randrange(1, 5))
        return self.random.randbytes(size)

    def bomb(self, levels: int) -> bytes:
        """Multiparts in each other, with a file in the innermost one."""
        if levels:
            return self.multipart(b"mixed", [lambda: self.bomb(levels - 1)])
        return self.attachment()

    def image(self, orphan: bool):
        cid = b"img%d@elsewhere.test" % len(self.cids)
        if not orphan:
            self.cids.append(cid)
        return lambda: self.leaf(b"image/png", self.random.randbytes(2500), self.lines(b"Content-ID: <" + cid + b">"),
                                 encoding="base64")

    def text(self, size: int) -> bytes:
        words = b"the quick brown fox jumps over the lazy dog and sends a report to Bob".split()
        lines, length = [], 0
        while length < size:
            lines.append(b" ".join(self.random.choice(words) for _ in range(self.random.randrange(1, 12))))
            length += len(lines[-1]) + 2
        if self.odd("uuencode"):
            lines += [b"begin 644 report.bin", *[b"M" + b"0" * 60 for _ in range(40)], b"`", b"end"]
        if self.odd("pgp"):
            lines += [b"-----BEGIN PGP MESSAGE-----", b"", b"abcd", b"-----END PGP MESSAGE-----"]
        return self.lines(*lines)

    def html(self) -> bytes:
        images = b"".join(b'<img src="cid:' + cid + b'">' for cid in self.cids)
        return self.lines(b"<html><body>", b"<p>Hello</p>" + images, b"</body></html>")

    def digest(self) -> bytes:
        one = self.eol + self.lines(b"Subject: one", b"") + self.text(100)
        two = self.lines(b"Content-Type: text/plain", b"") + self.text(100)
        return self.multipart(b"digest", [one, two, self.eol + self.lines(b"Subject: three", b"") + self.text(2000)])

    def embedded(self) -> bytes:
        inner = self.lines(b"Subject: inner", b"MIME-Version: 1.0")
        if self.odd("embedded-multipart") or "boundary-same-embedded" in self.kinds:
            boundary = self.open[-1] if self.odd("boundary-same-embedded") else b"=_inner"
            parts = [self.lines(b"Content-Type: text/plain", b"") + self.text(60), self.attachment()]
            inner += self.lines(b'Content-Type: multipart/mixed; boundary="' + boundary + b'"', b"")
            inner += self.enclosed(boundary, parts)
        else:
            inner += self.lines(b"Content-Type: text/plain", b"") + self.text(self.random.choice((100, 2000)))
        fields = []
        if self.odd("encoding-on-message"):
            fields.append(self.lines(b"Content-Transfer-Encoding: base64"))
            inner = self.base64(inner)
        return self.header(b"message/rfc822", *fields) + inner

    def signed(self) -> bytes:
        sub = b"encrypted" if "encrypted" in self.used else b"report" if "report" in self.used else b"signed"
        same = self.odd("boundary-same-protected")
        boundary = self.open[-1] if same else b"=_protected"
        parts = [self.lines(b"Content-Type: text/plain", b"") + self.text(60), self.attachment()]
        header = self.lines(b"Content-Type: multipart/" + sub + b'; boundary="' + boundary + b'"', b"")
        return header + self.enclosed(boundary, parts)

    def calendar(self) -> bytes:
        return self.leaf(b"text/calendar; method=REQUEST; name=invite.ics", self.text(1500))

    def external(self) -> bytes:
        value = b"message/partial; id=x; number=1" if "partial" in self.used else b"message/external-body; access-type=URL"
        return self.lines(b"Content-Type: " + value, b"", b"Content-Type: image/png", b"") + self.text(1500)


def make(seed: int) -> tuple[bytes, set[str]]:
    """A message and its deviances."""
    maker = Maker(seed)
    return maker.message(), maker.used


def make_big(seed: int) -> tuple[bytes, set[str], int | None]:
    """A message that may be big, its deviances, and how large its largest attachment is if there are none."""
    maker = Maker(seed, big=True)
    message = maker.message()
    return message, maker.used, None if maker.used else max(maker.sizes, default=0)


if __name__ == "__main__":
    sys.stdout.buffer.write(Maker(int(sys.argv[1]), big=len(sys.argv) > 2).message())
