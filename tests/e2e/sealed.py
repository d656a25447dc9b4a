#!/usr/bin/env python3
"""Packages that the reader's browser decrypts, in a real Chromium: no mail system needed.

    tests/e2e/sealed.py                 all of them
    tests/e2e/sealed.py keyboard        those whose sentence contains a word
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import messages as m  # noqa: E402
from browser import ENTER, TAB, Browser  # noqa: E402
from lab import wait_until  # noqa: E402
from pages import axe_source  # noqa: E402
from pages_site import Site, tell  # noqa: E402

STORIES = []
# As WebCrypto sees it, the first segment of a file has 65,480 bytes and each other one 65,520.
FIRST, FULL = 65_480, 65_520
NO_STORAGE = "delete StorageManager.prototype.getDirectory"


def story(sentence: str):
    def register(function):
        STORIES.append((sentence, function))
        return function
    return register


def token_of(link: str) -> str:
    return link.rsplit("#", 1)[1]


def changed(token: str) -> str:
    return ("b" if token[0] == "a" else "a") + token[1:]


def ready(browser: Browser, link: str):
    """Opens a link and waits for the list of files."""
    browser.open(link)
    wait_until(lambda: browser.script("return !document.querySelector('.files').hidden"), "the list of files", 20)


def names(browser: Browser) -> list[str]:
    return browser.script("return [...document.querySelectorAll('.files .name')].map(e => e.textContent)")


def save(browser: Browser, number: int):
    browser.click(f".files li:nth-child({number}) .save")


def step(browser: Browser, number: int = 1) -> str:
    return browser.script("return document.querySelectorAll('.files .step')[arguments[0] - 1].textContent", number)


def finished(browser: Browser, number: int = 1, seconds: float = 60) -> str:
    """Waits until a file is saved or refused; what the page says of it."""
    def done():
        text = step(browser, number)
        return text if text and not text.startswith("Downloading and") else None
    return wait_until(done, "the end of a download", seconds)


def stored(browser: Browser) -> list[str]:
    """What the page's storage has."""
    return browser._call("POST", browser.session + "/execute/async", {"args": [], "script": """
        const done = arguments[0];
        (async () => {
            const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("unlocked", {create: true});
            const names = [];
            for await (const name of folder.keys()) names.push(name);
            done(names);
        })();"""})


def fetched(site: Site, link: str) -> dict[str, bytes]:
    """What `depollueur drop get` makes of a link."""
    with tempfile.TemporaryDirectory(prefix="got-") as directory:
        done = site.daemon.run("drop", "get", link, "--into", directory)
        assert done.returncode == 0, done.stderr.decode()
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def blobs(site: Site) -> list[Path]:
    found = [path for path in (site.daemon.drop / "blobs").glob("*/*") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def saved(browser: Browser) -> list[Path]:
    return list(browser.downloads.iterdir())


def flip(path: Path, offset: int):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@story("files of every length come as they were deposited, under the names that drop get gives them")
def _(site):
    sizes = (0, 1, FIRST, FIRST + 1, FIRST + FULL, FIRST + FULL + 1, 1_000_003)
    files = [(f"file {size}.bin", m.noise(size)) for size in sizes]
    link = site.deposit(*files)
    with Browser("en") as browser:
        ready(browser, link)
        assert names(browser) == [name for name, _ in files], names(browser)
        for number, (name, data) in enumerate(files, 1):
            save(browser, number)
            assert finished(browser, number).startswith("Decrypted"), step(browser, number)
            path = browser.downloaded(len(data))
            assert path.name == name and path.read_bytes() == data, path
            path.unlink()
    assert fetched(site, link) == dict(files)
    details = [detail for action, detail in site.audit() if action == "download"]
    assert details == [f"file={n}" for n in range(1, len(files) + 1)], details


@story("hostile names are shown and saved as safely as by the server")
def _(site):
    # No more than ten: Chromium takes more in a second for a flood, and drops them.
    hostile = ["../../etc/passwd", "a\u202egpj.exe", "CON.txt", "<img src=x onerror=alert(1)>.pdf", ".bashrc",
               "x" * 300 + ".pdf", "e\u0301te\u0301.odt", "a\tb\u200b c.txt", "...", "a:b|c?.txt"]
    files = [(name, m.noise(1000 + n)) for n, name in enumerate(hostile)]
    link = site.deposit(*files)
    expected = {data: name for name, data in fetched(site, link).items()}
    with Browser("en") as browser:
        ready(browser, link)
        assert not browser.has("img[src=x]")
        shown = names(browser)
        assert all(name and len(name) <= 120 and "\u202e" not in name and "/" not in name for name in shown), shown
        cautions = browser.script("return [...document.querySelectorAll('.caution')].map(e => !e.hidden)")
        assert cautions == [name.endswith(".exe") for name in hostile], cautions
        for number, (_, data) in enumerate(files, 1):
            save(browser, number)
            assert finished(browser, number).startswith("Decrypted")
            path = browser.downloaded(len(data))
            # Chromium puts something else in front of what hides a file.
            assert path.read_bytes() == data and path.name == expected[data], (path.name, expected[data])
            path.unlink()


@story("all files come as one archive that opens")
def _(site):
    files = [("one.pdf", m.pdf(300_000)), ("one.pdf", m.noise(90_000)), ("empty.txt", b""), ("trois é.txt", m.noise(70_000))]
    link = site.deposit(*files)
    with Browser("en") as browser:
        ready(browser, link)
        assert names(browser) == ["one.pdf", "one (2).pdf", "empty.txt", "trois é.txt"], names(browser)
        browser.click(".all .save")
        wait_until(lambda: "Decrypted" in browser.script("return document.querySelector('.all .step').textContent"),
                   "the archive", 60)
        path = wait_until(lambda: next(filter(zipfile.is_zipfile, browser.downloads.glob("*.zip")), None), "the archive", 60)
        assert path.name.startswith("exemple.org 20"), path.name
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["one.pdf", "one (2).pdf", "empty.txt", "trois é.txt"], archive.namelist()
            for name, (_, data) in zip(archive.namelist(), files, strict=True):
                assert archive.read(name) == data


@story("of many files a page shows a hundred; the next page and the archive of all need no other link")
def _(site):
    files = [(f"file {n}.txt", f"contents {n}".encode()) for n in range(1, 102)]
    link = site.deposit(*files)
    with Browser("en") as browser:
        ready(browser, link)
        assert names(browser) == [name for name, _ in files[:100]], names(browser)
        browser.click(".pages a[rel=next]")
        wait_until(lambda: names(browser) == ["file 101.txt"], "the second page", 20)
        wait_until(lambda: browser.script("return !document.querySelector('.files').hidden"), "its file", 20)
        save(browser, 1)
        assert finished(browser).startswith("Decrypted"), step(browser)
        path = browser.downloaded(len(files[100][1]))
        assert path.name == "file 101.txt" and path.read_bytes() == files[100][1]
        browser.click(".all .save")
        wait_until(lambda: "Decrypted" in browser.script("return document.querySelector('.all .step').textContent"),
                   "the archive", 60)
        path = wait_until(lambda: next(filter(zipfile.is_zipfile, browser.downloads.glob("*.zip")), None), "the archive", 60)
        with zipfile.ZipFile(path) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == dict(files)


class Memory(contextlib.AbstractContextManager):
    """The most memory that one of a browser's page processes takes meanwhile, in bytes."""

    def __init__(self, browser: Browser):
        self.root, self.peak, self.stop = browser.driver.pid, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def watch(self):
        while not self.stop.wait(0.1):
            self.peak = max([self.peak, *self.look()])

    def look(self):
        parents, kinds = {}, {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = (process / "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(process.name)] = int(stat[1])
                kinds[int(process.name)] = b"--type=renderer" in (process / "cmdline").read_bytes()
        for pid in (pid for pid, is_page in kinds.items() if is_page):
            above = pid
            while above not in (0, 1, self.root):
                above = parents.get(above, 0)
            if above == self.root:
                with contextlib.suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    yield next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon"))


@story("200 MB are decrypted in a bounded memory, and refused where that cannot be")
def _(site):
    size = 200_000_000
    data = m.noise(size)
    digest = hashlib.sha256(data).hexdigest()
    link = site.deposit(("film.mp4", data))
    del data
    with Browser("en") as browser:
        ready(browser, link)
        assert browser.script("return document.querySelector('code').textContent") == digest
        begun = time.monotonic()
        with Memory(browser) as memory:
            save(browser, 1)
            assert finished(browser, seconds=300).startswith("Decrypted"), step(browser)
        took = time.monotonic() - begun
        with browser.downloaded(size).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == digest
        print(f"      {took:.1f} s, {size / took / 1e6:.0f} MB/s, the page took {memory.peak / 1e6:.0f} MB")
        assert memory.peak < 150e6, memory.peak
    with Browser("en") as browser:
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=NO_STORAGE)
        ready(browser, link)
        browser.requests()
        save(browser, 1)
        assert "up to 100 MB only" in finished(browser)
        assert saved(browser) == [] and browser.requests() == []


@story("without storage of its own a page decrypts smaller files in memory")
def _(site):
    data = m.noise(3_000_000)
    link = site.deposit(("a.bin", data))
    with Browser("en") as browser:
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=NO_STORAGE)
        ready(browser, link)
        save(browser, 1)
        assert finished(browser).startswith("Decrypted"), step(browser)
        assert browser.downloaded(len(data)).read_bytes() == data


@story("a link that lost its end or has another one opens nothing, and the page says why")
def _(site):
    link = site.deposit(("secret plan.pdf", m.pdf(90_000)))
    address, token = link.split("#")
    with Browser("en") as browser:
        for wrong, words in ((address, "The link is incomplete"), (address + "#" + token[:20], "The link is incomplete"),
                             (address + "#" + changed(token), "is not the one of these files"),
                             (address + "#" + token[:25] + "b", "is not the one of these files")):
            browser.open("about:blank")
            browser.open(wrong)
            assert browser.shows(words), (wrong, browser.text())
            assert "secret plan" not in browser.text() and not browser.script(
                "return [...document.querySelectorAll('.locked')].some(e => !e.hidden)")
        browser.open(link)
        assert browser.shows("secret plan.pdf"), "a corrected address is read again"
        browser.open("about:blank")
        browser.open(link + ".")
        assert browser.shows("secret plan.pdf"), "what a mail program adds at the end does no harm"


@story("a flipped bit, a cut file and another file are refused, and nothing is saved")
def _(site):
    size = 3 * FULL
    link = site.deposit(("a.bin", m.noise(size)), ("b.bin", m.noise(size)))
    one, two = blobs(site)
    whole, other = one.read_bytes(), two.read_bytes()
    with Browser("en") as browser:
        ready(browser, link)
        number = 1 + int(one.name.rsplit("-", 1)[1])
        for offset in (0, 5, 35, 100, 65_536 * 2 + 7, len(whole) - 1):
            flip(one, offset)
            save(browser, number)
            assert "not what was deposited" in finished(browser, number), (offset, step(browser, number))
            flip(one, offset)
        segments = [whole[i:i + 65_536] for i in range(0, len(whole), 65_536)]
        swapped = b"".join([segments[0], segments[2], segments[1], *segments[3:]])
        for wrong in (other, swapped):
            one.write_bytes(wrong)
            save(browser, number)
            assert "not what was deposited" in finished(browser, number), step(browser, number)
        one.write_bytes(whole[:-20])
        save(browser, number)
        assert "Nothing was saved" in finished(browser, number), step(browser, number)
        assert saved(browser) == [] and stored(browser) == [], (saved(browser), stored(browser))
        one.write_bytes(whole)
        save(browser, number)
        assert finished(browser, number).startswith("Decrypted")
        browser.downloaded(size)
        database = sqlite3.connect(site.daemon.drop / "drop.sqlite3")
        with database:
            manifest = bytearray(database.execute("SELECT manifest FROM package").fetchone()[0])
            manifest[20] ^= 1
            database.execute("UPDATE package SET manifest = ?", (bytes(manifest),))
        database.close()
        browser.open("about:blank")
        browser.open(link)
        assert browser.shows("not what was deposited")


@story("the server is never shown the key, and stores it nowhere")
def _(site):
    link = site.deposit(("a.bin", m.noise(200_000)))
    token = token_of(link)
    with Browser("en") as browser:
        ready(browser, link)
        save(browser, 1)
        assert finished(browser).startswith("Decrypted")
        browser.click("header nav a")
        assert browser.shows("a.bin") and token in browser.url()
        browser.click(".extend button")
        assert browser.shows("C’est fait") and browser.shows("a.bin"), browser.text()
        browser.click("footer a[href*=report]")
        assert browser.shows("pas les ouvrir") and not browser.has("input[name=share]")
        browser.click(".all a:not(.button)")
        assert browser.shows("a.bin"), "the way back has the key"
        entries = browser._call("POST", browser.session + "/se/log", {"type": "performance"})
        asked = [entry["message"] for entry in entries if "requestWillBeSent" in entry["message"]]
        assert asked and not any(f"{token}\"" in sent.replace(f"#{token}", "") for sent in asked)
    for path in [site.daemon.log_path, *site.daemon.drop.rglob("*")]:
        assert not path.is_file() or token.encode() not in path.read_bytes(), path


@story("a package has one door: neither its token in a path nor the id of another kind opens anything")
def _(site):
    link = site.deposit(("a.bin", m.noise(2000)), ("b.bin", m.noise(2000)))
    token, page = token_of(link), link.split("#")[0]
    for rest in ("", ".json", "/1", "/all.zip", "/report", "?lang=en"):
        assert site.daemon.get(site.url + token + rest)[0] == 404, rest
    site.daemon.configure(drop_end_to_end="false")
    other = site.deposit(("a.bin", m.noise(2000)))
    done = site.daemon.run("drop", "show", other, "--json")
    identity = done.stdout.decode().split('"id": "')[1].split('"')[0]
    for rest in ("", "/manifest", "/1", "/report"):
        assert site.daemon.get(f"{site.url}e/{identity}{rest}")[0] == 404, rest
        assert site.daemon.get(page + rest)[0] == 200, rest
    assert site.daemon.get(other + "/1")[0] == 200
    for command in ("show", "revoke"):
        assert site.daemon.run("drop", command, link).returncode == 0
    assert site.daemon.get(page)[0] == 410


@story("without JavaScript the page says what is missing, and shows what it knows")
def _(site):
    link = site.deposit(("secret plan.pdf", m.pdf(90_000)))
    with Browser("en", scripts=False) as browser:
        browser.open(link)
        assert browser.shows("it needs JavaScript") and "1 file sent by exemple.org" in browser.text()
        assert "Download" not in browser.text() and not browser.has("a[href$='/1']")


@story("on a page that came in clear nothing is decrypted, and the page says why")
def _(site):
    link = site.deposit(("secret plan.pdf", m.pdf(90_000)))
    with Browser("en", arguments=("--host-resolver-rules=MAP drop.lab.test 127.0.0.1",)) as browser:
        browser.open(link.replace("127.0.0.1", "drop.lab.test"))
        assert browser.shows("secure connection (https)"), browser.text()
        assert not browser.script("return [...document.querySelectorAll('.locked')].some(e => !e.hidden)")


@story("a connection that breaks is made again where it broke; one that is cancelled saves nothing")
def _(site):
    site.daemon.stop()
    site.daemon.configure(web_max_rate="4 MB")
    site.daemon.start()
    data = m.noise(12_000_000)
    link = site.deposit(("a.bin", data))
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    with Browser("en") as browser:
        browser.cdp("Network.enable")
        ready(browser, link)
        save(browser, 1)
        wait_until(lambda: "0%" in step(browser) and step(browser)[-3] in "1234", "the first tenth", 30)
        browser.click(".cancel")
        assert finished(browser).startswith("Cancelled")
        assert saved(browser) == [] and stored(browser) == []
        save(browser, 1)
        wait_until(lambda: "20%" in step(browser), "the second tenth", 30)
        browser.cdp("Network.emulateNetworkConditions", offline=True, **network)
        time.sleep(1)
        browser.cdp("Network.emulateNetworkConditions", offline=False, **network)
        assert finished(browser).startswith("Decrypted"), step(browser)
        assert browser.downloaded(len(data)).read_bytes() == data


# In clear nothing of a file is ever beside it: no noise has this in it.
MARK = b"this stands in the file in clear, "


def marked(size: int) -> bytes:
    """A file all of which can be found again."""
    return (MARK * (size // len(MARK) + 1))[:size]


@story("when the tab is closed nothing in clear is left on the disk, whether its file was saved or was on its way")
def _(site):
    small, large = marked(3_000_000), marked(120_000_000)
    link = site.deposit(("small.bin", small), ("large.bin", large))
    with Browser("en") as browser:
        for number, data in ((1, small), (2, large)):
            ready(browser, link)
            save(browser, number)
            assert finished(browser, number, seconds=200).startswith("Decrypted"), step(browser, number)
            browser.downloaded(len(data))
            assert (browser.profile_holds(MARK) != []) == (data is large), browser.profile_holds(MARK)
            browser.close_tab()
            wait_until(lambda: browser.profile_holds(MARK) == [], "what is in clear to go with the tab", 20)
    site.daemon.stop()
    site.daemon.configure(web_max_rate="20 MB")
    site.daemon.start()
    with Browser("en") as browser:
        ready(browser, link)
        save(browser, 2)
        wait_until(lambda: "20%" in step(browser, 2), "the second tenth", 60)
        assert browser.profile_holds(MARK)
        # A page that is at work asks whether to leave: nobody answers.
        browser.script("addEventListener('beforeunload', event => event.stopImmediatePropagation(), true)")
        browser.close_tab()
        wait_until(lambda: browser.profile_holds(MARK) == [], "what is in clear to go with the tab", 20)


@story("a file that is being copied when the tab is closed is copied to its end")
def _(site):
    data = marked(150_000_000)
    link = site.deposit(("large.bin", data))
    with Browser("en") as browser:
        ready(browser, link)
        save(browser, 1)
        wait_until(lambda: saved(browser), "the browser to begin the copy", 200)
        browser.close_tab()
        assert browser.downloaded(len(data)).stat().st_size == len(data)
        wait_until(lambda: browser.profile_holds(MARK) == [], "what is in clear to go with the tab", 20)


@story("what a page that died left in the storage is removed at the next visit")
def _(site):
    link = site.deposit(("a.bin", m.noise(2000)))
    with Browser("en") as browser:
        ready(browser, link)
        stored(browser)
        browser._call("POST", browser.session + "/execute/async", {"args": [], "script": """
            const done = arguments[0];
            (async () => {
                const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("unlocked");
                const writable = await (await folder.getFileHandle("dead.1", {create: true})).createWritable();
                await writable.write("in clear");
                await writable.close();
                done();
            })();"""})
        browser.reload()
        ready(browser, link)
        assert stored(browser) == ["dead.1"], "the browser may still be copying it"
        browser.cdp("Page.addScriptToEvaluateOnNewDocument",
                    source="const then = Date.now; Date.now = () => then() + 11 * 60 * 1000")
        browser.reload()
        ready(browser, link)
        wait_until(lambda: stored(browser) == [], "the storage to be empty", 10)


@story("axe-core finds nothing, no page is too wide, and the script is the only one")
def _(site):
    source = axe_source()
    link = site.deposit(("compte rendu.pdf", m.pdf(90_000)), ("facture.pdf.exe", m.noise(5000)))
    expired = site.expired(("a.pdf", m.noise(5000)))
    wrong = []
    with Browser("en") as browser:
        for url in (link, link.split("#")[0], expired.split("#")[0], link.split("#")[0] + "/report"):
            for language, width, dark in (("fr", 320, False), ("en", 390, True), ("fr", 1100, True), ("en", 1100, False)):
                browser.look(width, dark=dark)
                address, _, fragment = url.partition("#")
                browser.open("about:blank")
                browser.script("return 0")
                browser.open(f"{address}?lang={language}" + (f"#{fragment}" if fragment else ""))
                if fragment:
                    assert browser.shows("facture.pdf.exe")
                wrong += [f"{url} {language} {width}: {line}" for line in browser.axe(source)]
                wide = browser.script("return document.documentElement.scrollWidth")
                assert wide <= width, f"{url} is {wide} wide at {width}"
        ready(browser, link)
        sources = browser.script("return [...document.scripts].map(s => new URL(s.src).pathname)")
        assert sources == ["/unlock.js"], sources
    assert not wrong, "\n".join(wrong)


@story("with the keyboard alone a reader saves a file, and keeps their place")
def _(site):
    link = site.deposit(("compte rendu.pdf", m.pdf(300_000)))
    with Browser("en") as browser:
        ready(browser, link)
        seen = []
        for _ in range(8):
            browser.keys(TAB)
            seen.append(browser.script("return document.activeElement.className"))
            if "save" in seen[-1]:
                break
        assert "save" in seen[-1], seen
        browser.keys(ENTER)
        assert browser.downloaded(300_000).name == "compte rendu.pdf"
        assert finished(browser).startswith("Decrypted")
        assert "save" in browser.script("return document.activeElement.className")


def site() -> Site:
    return Site(drop_end_to_end="true", drop_extension="2 months", web_posts_per_minute=1000,
                web_misses_per_minute=1000, detach_threshold=0, log_level="debug")


if __name__ == "__main__":
    sys.exit(tell(STORIES, site))
