"""A real rspamd's word on configuration files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .checks import Missing, must


def configdump(directory: Path, files: dict[str, str]) -> dict:
    """The configuration that holds, of Debian's rspamd with these files in /etc/rspamd, after it has tested it."""
    if not shutil.which("rspamadm"):
        raise Missing("rspamd is not installed")
    etc = directory / "rspamd"
    shutil.copytree("/etc/rspamd", etc)
    for name, text in files.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    inside = f"mount --bind '{etc}' /etc/rspamd; rspamadm configtest -q >&2; exec rspamadm configdump --json"
    text = must("unshare", "--mount", "sh", "-ec", inside)
    return json.loads(text[text.index("{"):])
