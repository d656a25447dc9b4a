"""A real Chromium, driven over the WebDriver protocol (chromedriver, plain HTTP)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from lab import free_port, port_is_open, stop_pid, wait_until

TAB, ENTER, SPACE = "\ue004", "\ue007", " "
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A headless browser in one language, with a download directory of its own.

    Without `scripts` it runs none, ours or a page's: then `script` and `axe` cannot be used. It is
    started with these `arguments` more.
    """

    def __init__(self, language: str, scripts: bool = True, arguments: tuple[str, ...] = ()):
        self.language = language
        self.scripts = scripts
        self.arguments = arguments
        self.directory = tempfile.TemporaryDirectory(prefix="browser-")
        self.downloads = Path(self.directory.name) / "downloads"
        self.downloads.mkdir()

    def __enter__(self):
        self.port = free_port()
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: port_is_open(self.port), "chromedriver", 30)
            self.session = self._session()
        except BaseException:
            stop_pid(self.driver.pid)
            raise
        return self

    def _session(self) -> str:
        profile = Path(self.directory.name) / "profile"
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     f"--user-data-dir={profile}", f"--accept-lang={self.language}",
                     *self.arguments],
            "prefs": {"download.default_directory": str(self.downloads),
                      "download.prompt_for_download": False,
                      "intl.accept_languages": self.language,
                      # 2 is "block".
                      **({} if self.scripts else
                         {"profile.managed_default_content_settings.javascript": 2})},
        }
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                        "goog:loggingPrefs": {"performance": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        return "/session/" + answer["sessionId"]

    def __exit__(self, *_):
        try:
            self._call("DELETE", self.session)
        except (OSError, RuntimeError):
            pass
        stop_pid(self.driver.pid)
        self.driver.wait()
        self.directory.cleanup()

    def _call(self, method: str, path: str, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if data is None else json.dumps(data).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"{method} {path}: {e.read().decode()[:500]}") from None

    def open(self, url: str):
        self._call("POST", self.session + "/url", {"url": url})

    def text(self) -> str:
        """What a person reads on the page."""
        return self._call("GET", f"{self._find('body')}/text")

    def shows(self, words: str) -> bool:
        """Whether the page shows these words; one that is on its way is waited for."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if words in self.text():
                    return True
            except RuntimeError as error:
                # The page went away between two questions: the next one is on its way.
                if "stale element" not in str(error):
                    raise
            time.sleep(0.05)
        return False

    def attribute(self, selector: str, name: str) -> str:
        return self._call("GET", f"{self._find(selector)}/attribute/{name}")

    def click(self, selector: str):
        self._call("POST", f"{self._find(selector)}/click", {})

    def type(self, selector: str, text: str):
        self._call("POST", f"{self._find(selector)}/value", {"text": text})

    def url(self) -> str:
        return self._call("GET", self.session + "/url")

    def reload(self):
        self._call("POST", self.session + "/refresh", {})

    def close_tab(self):
        """Closes the tab as a person does; the browser goes on in another one."""
        other = self._call("POST", self.session + "/window/new", {"type": "tab"})["handle"]
        self._call("DELETE", self.session + "/window")
        self._call("POST", self.session + "/window", {"handle": other})

    def profile_holds(self, data: bytes) -> list[str]:
        """The files of the browser's own directory that have these bytes in them."""
        profile = Path(self.directory.name) / "profile"
        done = subprocess.run(["grep", "-rlaF", data, profile], capture_output=True, text=True, env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
        return [str(Path(line).relative_to(profile)) for line in done.stdout.splitlines()]

    def has(self, selector: str) -> bool:
        return bool(self._call("POST", self.session + "/elements",
                               {"using": "css selector", "value": selector}))

    def script(self, text: str, *arguments):
        """What a function body returns in the page."""
        return self._call("POST", self.session + "/execute/sync",
                          {"script": text, "args": list(arguments)})

    def keys(self, *keys: str):
        """Presses keys where the focus is, one after the other."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", self.session + "/actions",
                   {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call, by whatever page."""
        entries = self._call("POST", self.session + "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [event["params"]["request"]["url"] for event in events
                if event["method"] == "Network.requestWillBeSent"]

    def cdp(self, command: str, **parameters):
        """A command of the Chrome DevTools protocol."""
        return self._call("POST", self.session + "/goog/cdp/execute",
                          {"cmd": command, "params": parameters})

    def look(self, width: int, height: int = 800, dark: bool = False):
        """Sets the size of the window, and which colours the reader prefers."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=2 if width < 600 else 1, mobile=width < 600)
        scheme = "dark" if dark else "light"
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path):
        """The whole page, however long."""
        data = self.cdp("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def axe(self, source: str) -> list[str]:
        """What axe-core, given as its source, finds wrong on the page, one line each."""
        self.script(source + "\nwindow.axe = axe;")
        found = self._call("POST", self.session + "/execute/async", {"args": [], "script": """
            const done = arguments[0];
            axe.run(document).then(r => done(r.passes.length ? r.violations :
                [{impact: "critical", id: "nothing was looked at", nodes: []}]), e => done([{impact: "critical",
                id: String(e), nodes: []}]));"""})
        return [f"{v['impact']}: {v['id']}: {[n['target'] for n in v['nodes']]}" for v in found]

    def screenshot(self, path: Path):
        path.write_bytes(base64.b64decode(self._call("GET", self.session + "/screenshot")))

    def _find(self, selector: str) -> str:
        """An element. After a click the next page may still be on its way: it is waited for."""
        deadline = time.monotonic() + 10
        while True:
            try:
                found = self._call("POST", self.session + "/element",
                                   {"using": "css selector", "value": selector})
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        return f"{self.session}/element/{found[ELEMENT]}"

    def downloaded(self, size: int) -> Path:
        """The file that a click brought, once it is whole and has its own name."""
        def whole():
            # Chromium writes to a hidden file first, then to one that ends in .crdownload.
            files = [p for p in self.downloads.iterdir()
                     if p.suffix != ".crdownload" and not p.name.startswith(".")]
            return next((p for p in files if p.stat().st_size == size), None)
        try:
            return wait_until(whole, f"a download of {size} bytes", 60)
        except Exception as error:
            there = [(path.name, path.stat().st_size) for path in self.downloads.iterdir()]
            raise AssertionError(f"{error}; there are {there}") from None
