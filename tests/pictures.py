#!/usr/bin/env python3
"""Takes pictures of the pages, to be looked at: both languages, phone and desktop, light and dark.

    tests/pictures.py OUTPUT_DIRECTORY BASE_URL [TOKEN ...]

The server runs already at BASE_URL (`depollueur run`). The start page and the page for unknown links
are always taken; each TOKEN (the last part of a link) adds its page. Needs Chromium; CHROMIUM names
another one than `chromium`.
"""

import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

SIZES = {"phone": "375,1100", "narrow": "320,1300", "desktop": "1100,900"}
SCHEMES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}
LANGUAGES = ("fr", "en")


def take(url: str, size: str, scheme: list[str], picture: pathlib.Path) -> None:
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
                *scheme,
                url,
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    directory, base, tokens = pathlib.Path(sys.argv[1]), sys.argv[2].rstrip("/"), sys.argv[3:]
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"home": "/", "unknown": "/unknown"}
    pages |= {f"package-{n}": f"/{token}" for n, token in enumerate(tokens, 1)}
    for (page, path), size, scheme, language in itertools.product(
        pages.items(), SIZES, SCHEMES, LANGUAGES
    ):
        picture = directory / f"{page}-{size}-{scheme}-{language}.png"
        take(f"{base}{path}?lang={language}", SIZES[size], SCHEMES[scheme], picture)
        print(picture)


if __name__ == "__main__":
    main()
