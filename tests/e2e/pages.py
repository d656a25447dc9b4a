#!/usr/bin/env python3
"""The pages in a real Chromium, as a reader uses them: no mail system needed.

    tests/e2e/pages.py                 all of them
    tests/e2e/pages.py keyboard        those whose sentence contains a word

axe-core, which looks for what keeps people with disabilities out, is fetched by npm from its registry
when it is not there; a run that cannot fetch it fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from browser import ENTER, TAB, Browser  # noqa: E402
from lab import ROOT, free_port, port_is_open, wait_until  # noqa: E402
from milter_client import Milter  # noqa: E402
from pages_site import Site, tell  # noqa: E402

AXE = "axe-core@4"
STORIES = []


def story(sentence: str):
    def register(function):
        STORIES.append((sentence, function))
        return function
    return register


def axe_source() -> str:
    """The script of axe-core: `$AXE_CORE` names a file of it, else npm fetches it."""
    if path := os.environ.get("AXE_CORE"):
        return Path(path).read_text()
    with tempfile.TemporaryDirectory(prefix="axe-") as directory:
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
                        "--prefix", directory, AXE], check=True, timeout=180)
        return (Path(directory) / "node_modules/axe-core/axe.min.js").read_text()


def two_files(site: Site) -> str:
    return site.deposit(("compte rendu.pdf", m.pdf(400_000)), ("budget.ods", m.noise(90_000)))


def all_pages(site: Site) -> list[str]:
    link = two_files(site)
    received = site.deposit(("facture.pdf.exe", m.noise(5000)), direction="incoming")
    expired, revoked = site.expired(("a.pdf", m.noise(5000))), two_files(site)
    site.revoke(revoked)
    return [link, link + "?done=extended", link + "/report", received, expired, revoked,
            f"{link}/report?done={'0123456789abcdef' * 2}", site.url, site.url + "about",
            site.url + "unknown"]


@story("axe-core finds nothing on any page, in both languages, on phone and desktop, light and dark")
def _(site):
    source = axe_source()
    wrong = []
    with Browser("en") as browser:
        for url in all_pages(site):
            for language, width, dark in (("fr", 320, False), ("fr", 390, True), ("en", 390, False),
                                          ("en", 1100, True), ("fr", 1100, False)):
                browser.look(width, dark=dark)
                browser.open(f"{url}{'&' if '?' in url else '?'}lang={language}")
                wrong += [f"{url} {language} {width} {'dark' if dark else 'light'}: {line}"
                          for line in browser.axe(source)]
    assert not wrong, "\n".join(wrong)


@story("no page is wider than the phone, and what is pressed is large enough for a thumb")
def _(site):
    with Browser("fr") as browser:
        for url in all_pages(site):
            for width in (320, 390):
                browser.look(width)
                browser.open(url)
                wide = browser.script("return document.documentElement.scrollWidth")
                assert wide <= width, f"{url} is {wide} wide at {width}"
                small = browser.script(
                    "return [...document.querySelectorAll('.button')].map(b => b.getBoundingClientRect())"
                    ".filter(r => r.height < 44 || r.width < 44).length")
                assert small == 0, f"{url} has {small} small buttons"


@story("pages ask nobody but this server for anything, and run no script")
def _(site):
    with Browser("fr") as browser:
        for url in all_pages(site):
            browser.open(url)
            assert not browser.has("script"), url
            # The browser's own pages and the download of its icon are none of ours.
            asked = [u for u in browser.requests() if u.startswith("http")]
            assert asked and all(u.startswith(site.url) for u in asked), asked


@story("a reader switches the language and keeps it on the way to other pages")
def _(site):
    link = two_files(site)
    with Browser("fr") as browser:
        browser.open(link)
        assert browser.shows("2 fichiers envoyés par exemple.org")
        browser.click("header nav a")
        assert browser.shows("2 files sent by exemple.org")
        browser.click("footer a[href*=report]")
        assert browser.shows("Report content")
        browser.click(".all a:not(.button)")
        assert browser.shows("2 files sent by exemple.org") and browser.attribute("html", "lang") == "en"


@story("without JavaScript a reader extends, once, and loading the page again sends nothing")
def _(site):
    link = two_files(site)
    with Browser("en", scripts=False) as browser:
        browser.open(link)
        assert browser.shows("Keep until")
        browser.click(".extend button")
        assert browser.shows("Done: the files can be downloaded until")
        assert browser.url() == link + "?done=extended"
        before = len(site.audit())
        browser.reload()
        assert len(site.audit()) == before


@story("without JavaScript a reader reports content, and is told when something is missing")
def _(site):
    link = two_files(site)
    with Browser("en", scripts=False) as browser:
        browser.open(link + "/report")
        browser.click("input[value=fraud]")
        browser.type("#text", "   ")
        browser.click("form button")
        assert browser.shows("say in a few words what is wrong")
        assert browser.attribute("input[value=fraud]", "checked") == "true"
        browser.type("#text", "This pretends to be my bank.")
        browser.type("#contact", "me@example.org")
        browser.click("form button")
        assert browser.shows("your report is recorded"), browser.text()
        reference = browser.url().rsplit("done=", 1)[1]
        assert reference in browser.text()
        action, detail = site.audit()[-1]
        assert action == "report" and "fraud: This pretends to be my bank." in detail, detail


def place_of(browser: Browser, selector: str) -> dict:
    """Where the first element of a selector lies on the page that is not scrolled."""
    return browser.script("const r = document.querySelector(arguments[0]).getBoundingClientRect();"
                          "return {top: r.top, bottom: r.bottom, height: r.height}", selector)


@story("of several files the button for all is on the first screen, and each has one compact row that is its link")
def _(site):
    photos = [(f"photo {n:02}.jpg", m.noise(3000 + n)) for n in range(50)]
    sum_of = {2: "490", 50: "151"}
    with Browser("fr") as browser:
        for link, count in ((two_files(site), 2), (site.deposit(*photos), 50)):
            for width, height in ((360, 740), (1280, 900)):
                browser.look(width, height)
                browser.open(link)
                assert f"{sum_of[count]} ko en tout" in browser.text(), browser.text()
                assert place_of(browser, ".all .button")["bottom"] < height, "the main button is below the first screen"
                rows = browser.script("return [...document.querySelectorAll('.rows > li')].filter(r => r.checkVisibility({"
                                      "contentVisibilityAuto: true})).map(r => r.getBoundingClientRect().height)")
                assert len(rows) == min(count, 20) and max(rows) <= 88, rows
                assert min(rows) >= 44, rows
            tabs = 0
            while not browser.script("return document.activeElement.matches('.all .button')"):
                browser.keys(TAB)
                tabs += 1
            assert tabs <= 3, f"{tabs} presses of Tab to the main button"
        assert browser.shows("30 autres fichiers")
        browser.click(".more summary")
        assert place_of(browser, ".more li:last-child")["height"] > 44
        prints = browser.script("return [...document.querySelectorAll('.prints li')].map(e => e.textContent)")
        assert prints == [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in photos], prints[:2]
        browser.click(".more li:last-child a")
        assert browser.downloaded(len(photos[-1][1])).read_bytes() == photos[-1][1]


@story("a link whose tail a mail program mangled leads to its page")
def _(site):
    link = two_files(site)
    with Browser("en") as browser:
        for tail in (".", ")", ">", "/", ").", "/)", "%3E", "\u00a0", "\u00bb", "&gt;", "?"):
            browser.open(link + tail)
            assert browser.shows("2 files sent by exemple.org"), f"{tail!r}: {browser.text()}"
            assert browser.url().rstrip("?") == link, browser.url()
        browser.open(link + ".?lang=fr")
        assert browser.shows("2 fichiers envoyés par exemple.org")
        browser.open(link[:-1] + ".")
        assert browser.shows("There is nothing at this address"), browser.text()


@story("an expired page says what it was, and brings the files back where that is allowed")
def _(site):
    data = m.pdf(50_000)
    link = site.expired(("contrat.pdf", data))
    with Browser("fr", scripts=False) as browser:
        browser.open(link)
        text = browser.text()
        assert "ne sont plus disponibles" in text and "exemple.org" in text and "abuse@exemple.org" in text
        assert "contrat" not in text
        browser.click(".extend button")
        assert browser.shows("contrat.pdf")
        browser.click(".files a.button")
        assert browser.downloaded(len(data)).read_bytes() == data


@story("a revoked page says so, and offers nothing")
def _(site):
    link = two_files(site)
    site.revoke(link)
    with Browser("fr") as browser:
        browser.open(link)
        assert browser.shows("Ces fichiers ont été retirés")
        assert "de nouveau" not in browser.text()
        assert not browser.has("form") and not browser.has(".files")


@story("all files come as one archive that opens")
def _(site):
    report, budget = m.pdf(400_000), m.noise(90_000)
    link = two_files(site)
    with Browser("fr") as browser:
        browser.open(link)
        size = int(site.daemon.get(link + "/all.zip", method="HEAD")[1]["content-length"])
        browser.click(".all a")
        with zipfile.ZipFile(browser.downloaded(size)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["compte rendu.pdf", "budget.ods"]
            assert archive.read("compte rendu.pdf") == report
            assert len(archive.read("budget.ods")) == len(budget)


@story("with the keyboard alone a reader reaches everything in order, sees where they are, and downloads")
def _(site):
    link = site.deposit(("compte rendu.pdf", m.pdf(300_000)))
    focused = """const e = document.activeElement, s = getComputedStyle(e);
        return [e.className || e.tagName.toLowerCase(), s.outlineStyle, parseFloat(s.outlineWidth)]"""
    with Browser("fr") as browser:
        browser.look(390)
        browser.open(link)
        seen = []
        for _ in range(20):
            browser.keys(TAB)
            name, style, width = browser.script(focused)
            if name == "body" or (seen and name == seen[0]):
                break
            assert style != "none" and width >= 2, f"{name}: the focus cannot be seen"
            seen.append(name)
        assert seen[:4] == ["skip", "a", "button", "summary"], seen
        assert "button quiet" in seen, seen
        browser.open(link)
        browser.keys(TAB, ENTER)
        assert browser.url().endswith("#main")
        browser.keys(TAB, ENTER)
        assert browser.downloaded(300_000).name == "compte rendu.pdf"
        browser.keys(TAB, ENTER)
        assert browser.shows("SHA-256")


@story("a screen reader finds the landmarks, one heading, and a name for each button")
def _(site):
    link = two_files(site)
    with Browser("en") as browser:
        browser.open(link)
        nodes = browser.cdp("Accessibility.getFullAXTree")["nodes"]
        def named(role):
            return [n.get("name", {}).get("value", "") for n in nodes
                    if n.get("role", {}).get("value") == role and not n.get("ignored")]
        assert len(named("main")) == len(named("banner")) == len(named("contentinfo")) == 1, nodes
        assert named("navigation") == ["Language", "This site"], named("navigation")
        assert named("heading")[0] == "2 files sent by exemple.org"
        links = named("link")
        for name in ("compte rendu.pdf", "budget.ods", "Download all (ZIP, 490\xa0kB)"):
            assert name in links, links
        assert any(name.startswith("Keep until") for name in named("button"))


@story("the first byte of a page comes within milliseconds")
def _(site):
    link = two_files(site)
    with Browser("fr") as browser:
        waits = []
        for _ in range(10):
            browser.open(link)
            waits.append(browser.script("""const n = performance.getEntriesByType("navigation")[0];
                return n.responseStart - n.requestStart"""))
        print(f"      the best of ten: {min(waits):.1f} ms")
        assert min(waits) < 100, waits


@story("another site that knows the link cannot press its buttons")
def _(site):
    link = two_files(site)
    form = f"<form method=post action='{link}/extend'><button>x</button></form>"
    with Browser("fr") as browser:
        browser.open("data:text/html," + urllib.request.quote(form))
        browser.click("button")
        assert browser.shows("ne vient pas de ce site"), browser.text()
        assert site.audit()[-1][0] == "deposit"


@story("nine hundred readers who take next to nothing hold up neither mail nor another reader")
def _(site):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    site.daemon.stop()
    site.daemon.configure(web_max_connections_per_address=1000)
    site.daemon.start()
    link = site.deposit(("film.mp4", m.noise(20_000_000)))
    path = urllib.parse.urlsplit(link).path
    request = f"GET {path}/1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    message = m.report("bob@example.com", 2_000_000)
    with contextlib.ExitStack() as crowd:
        for _ in range(900):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            crowd.enter_context(reader)
            reader.connect(("127.0.0.1", site.daemon.web_port))
            reader.sendall(request)
            assert reader.recv(1) == b"H"
        begun = time.monotonic()
        with Milter(site.daemon.settings["milter_listen"]) as milter:
            milter.open()
            replies = milter.message(message)
        mail = time.monotonic() - begun
        assert any(command == "b" for command, _ in replies), replies
        begun = time.monotonic()
        assert site.daemon.get(link)[0] == 200
        page = time.monotonic() - begun
        print(f"      a message took {mail:.2f} s, a page {page * 1000:.0f} ms")
        assert mail < 10 and page < 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@story("a slow reader of a page of 1,000 files costs what one of a page of 100 costs, and most of it comes back")
def _(site):
    unit = (ROOT / "systemd" / "depollueur.service").read_text()
    before, site.daemon.prefix = site.daemon.prefix, ["env", *re.findall(r"^Environment=(\S+)$", unit, re.M)]
    few, many = [urllib.parse.urlsplit(site.deposit(*((f"file number {n} of this package.pdf", b"x") for n in range(count)))).path
                 for count in (100, 1000)]
    site.daemon.stop()
    site.daemon.start()

    def resident() -> int:
        status = Path(f"/proc/{site.daemon.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1))

    def crowd(path: str) -> tuple[int, int]:
        """What 200 readers who read one byte add, and what of it is still there when they have gone."""
        idle = resident()
        with contextlib.ExitStack() as stack:
            for n in range(200):
                reader = stack.enter_context(socket.socket())
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.connect(("127.0.0.1", site.daemon.web_port))
                reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.{n}\r\n\r\n".encode())
                assert reader.recv(1) == b"H"
            added = resident() - idle
        wait_until(lambda: len(os.listdir(f"/proc/{site.daemon.process.pid}/fd")) < 100, "the readers to be gone")
        return added, resident() - idle
    crowd(few)
    added, _ = crowd(few)
    more, left = crowd(many)
    site.daemon.prefix = before
    print(f"      {added} and {more} KiB, of which {left} stay")
    assert more < 2 * added + 10_000 and left < more / 2 + 10_000


@story("over a unix socket nginx is believed, what a client wrote is not, and nobody without rights to it reaches the drop")
def _(site):
    home = Path(site.home.name)
    home.chmod(0o711)
    place, port = home / "web.sock", free_port()
    link = urllib.parse.urlsplit(site.deposit(("a.pdf", b"a"))).path
    site.daemon.stop()
    before = site.daemon.settings["web_listen"]
    site.daemon.configure(web_listen=f"unix:{place}", web_misses_per_minute=3)
    site.daemon.start()
    shipped = (ROOT / "config" / "examples" / "nginx" / "drop.conf").read_text()
    shipped = re.sub(r"    listen \[::\].*\n|    ssl_.*\n", "", shipped).replace("/var/log/nginx", str(home))
    shipped = shipped.replace("listen 443 ssl http2", f"listen 127.0.0.1:{port}")
    address = re.search(r"# With ../unix-socket: (\S+)", shipped).group(1)
    shipped = shipped.replace("proxy_pass http://127.0.0.1:8025", f"proxy_pass {address}").replace("/run/depollueur-web.sock", str(place))
    temporary = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(f"daemon off; master_process off; pid {home}/pid; error_log {home}/main.log;\n"
                                     f"events {{}} http {{ {temporary} {shipped} }}\n")

    def ask(path: str, source: str = "127.0.0.1", **fields) -> int:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
        client.request("GET", path, headers={"Host": "drop.example.org", **fields})
        return client.getresponse().status
    nginx = subprocess.Popen(["nginx", "-c", home / "nginx.conf", "-e", home / "e.log"])
    try:
        wait_until(lambda: port_is_open(port), "nginx")
        assert ask(link) == 200 and ask(link + "/1") == 200
        for n in range(3):
            assert ask("/nothing", **{"X-Forwarded-For": f"198.51.100.{n}"}) == 404
        assert ask("/nothing") == 429 and ask(link) == 429
        assert ask(link, source="127.0.0.7") == 200
        # Another user of the machine.
        stranger = ("import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
                    "socket.socket(socket.AF_UNIX).connect(sys.argv[1])")
        said = subprocess.run([sys.executable, "-c", stranger, place], capture_output=True, text=True)
        assert "PermissionError" in said.stderr, said
        assert place.stat().st_mode & 0o777 == 0o660
    finally:
        nginx.terminate()
        nginx.wait(30)
        site.daemon.stop()
        assert not place.exists(), "the socket stays behind"
        site.daemon.configure(web_listen=before, web_misses_per_minute=60)
        site.daemon.start()


@story("readers who take too little are cut off, and those who take enough are not")
def _(site):
    site.daemon.stop()
    site.daemon.configure(web_timeout="2 s", web_min_rate="100 kB")
    site.daemon.start()
    data = m.noise(20_000_000)
    path = urllib.parse.urlsplit(site.deposit(("film.mp4", data))).path
    request = f"GET {path}/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()

    def read(rate: int) -> int:
        """How many bytes a reader gets who takes `rate` a second, for 12 seconds at most."""
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            reader.connect(("127.0.0.1", site.daemon.web_port))
            reader.sendall(request)
            got, begun = 0, time.monotonic()
            while time.monotonic() < begun + 12:
                try:
                    piece = reader.recv(rate // 10)
                except ConnectionResetError:
                    return got
                got += len(piece)
                if not piece:
                    return got
                time.sleep(max(0, begun + got / rate - time.monotonic()))
            return got
    assert read(10_000) < 120_000 and read(1_000_000) > 5_000_000


def site() -> Site:
    return Site(drop_extend_expired="true", drop_extension="2 months", web_posts_per_minute=1000)


if __name__ == "__main__":
    sys.exit(tell(STORIES, site))
