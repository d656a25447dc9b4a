#!/usr/bin/env python3
"""Takes pictures of all pages, to be looked at: both languages, phones and desktop, light and dark.

    tests/pictures.py OUTPUT_DIRECTORY [WORD ...]     only the pages whose name contains a word

Starts the program on loopback with packages of its own, and a headless Chromium; ends both. The binary
is `$DEPOLLUEUR`, else the release build.
"""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "e2e"))

import messages as m  # noqa: E402
from browser import Browser  # noqa: E402
from pages_site import Site  # noqa: E402

WIDTHS = {"narrow": 320, "phone": 390, "desktop": 1100}
SCHEMES = {"light": False, "dark": True}
LONG = "Compte rendu de l’assemblée générale extraordinaire du 21 novembre 2026 (version définitive, relue par le bureau).pdf"


def pages(site: Site) -> dict[str, str]:
    report, photos = m.pdf(9_400_000), m.noise(2_480_000)
    several = site.deposit(("Compte rendu de l'AG.pdf", report), ("photos-du-forum.zip", photos),
                           ("budget 2027.ods", m.noise(84_000)))
    one = site.deposit(("contrat signé.docx", m.noise(640_000)))
    received = site.deposit((LONG, m.noise(123_456)), ("facture.pdf.exe", m.noise(700_000)),
                            ("IMG_2031.jpeg", m.noise(3_000_000)), direction="incoming",
                            sender="info@un-domaine-vraiment-tres-long-pour-une-page.example.com")
    expired, revoked = site.expired(("a.pdf", report)), site.deposit(("a.pdf", report))
    if site.daemon.run("drop", "revoke", "--help").returncode == 0:
        site.revoke(revoked)
    reference = "0123456789abcdef" * 2
    site.daemon.configure(drop_end_to_end="true")
    sealed = site.deposit(("Compte rendu de l'AG.pdf", report), ("photos.zip", photos), ("facture.pdf.exe", m.noise(9000)))
    site.daemon.configure(drop_end_to_end="false")
    address = sealed.split("#")[0]
    return {"landing": several, "one": one, "received": received, "extended": several + "?done=extended",
            "report": several + "/report", "reported": f"{several}/report?done={reference}",
            "expired": expired, "revoked": revoked, "home": site.url, "about": site.url + "about",
            "unknown": site.url + "unknown", "sealed": sealed, "sealed-cut": address,
            "sealed-report": address + "/report"}


def open_in(browser: Browser, url: str, language: str):
    """Opens a page in a language. One that decrypts is waited for, and saves a file."""
    address, mark, fragment = url.partition("#")
    browser.open("about:blank")
    browser.open(f"{address}{'&' if '?' in address else '?'}lang={language}{mark}{fragment}")
    if fragment:
        browser.shows(".pdf")
        browser.click(".files .save")
        browser.shows("Fichier déchiffré" if language == "fr" else "Decrypted")
    elif "/e/" in address:
        # The tab may know the key from a page before.
        browser.script("sessionStorage.clear()")
        browser.reload()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    directory, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
    directory.mkdir(parents=True, exist_ok=True)
    with Site(drop_extend_expired="true", drop_extension="2 months") as site, Browser("fr") as browser:
        for (page, url), width, scheme, language in itertools.product(
                pages(site).items(), WIDTHS, SCHEMES, ("fr", "en")):
            if words and not any(word in page for word in words):
                continue
            browser.look(WIDTHS[width], dark=SCHEMES[scheme])
            open_in(browser, url, language)
            picture = directory / f"{page}-{width}-{scheme}-{language}.png"
            browser.picture(picture)
            print(picture)


if __name__ == "__main__":
    main()
