"""What an OpenAPI description cannot say, for schemathesis: the id in a path is derived from the token
in a header, a package expires in the future, and no file is listed twice.

Most generated cases would only meet "id and token do not belong together"; with these hooks they get
behind it. One case in eight is left as it was made up.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
import zlib

import schemathesis

TOKEN = re.compile(r"[a-z2-7]{25}[aeimquy4]")


def package_id(token: str) -> str:
    """HKDF (RFC 5869) with SHA-256."""
    secret = hmac.new(b"depollueur drop 1", base64.b32decode(token.upper() + "======"), hashlib.sha256).digest()
    return hmac.new(secret, b"record id\x01", hashlib.sha256).digest()[:16].hex()


@schemathesis.hook
def before_call(context, case, **kwargs):
    token = str((case.headers or {}).get("Drop-Token", ""))
    if not TOKEN.fullmatch(token) or zlib.crc32(token.encode()) % 8 == 0:
        return
    path = case.path_parameters or {}
    if re.fullmatch(r"[0-9a-f]{32}", str(path.get("id", ""))):
        path["id"] = package_id(token)
    body = case.body
    if isinstance(body, dict) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", str(body.get("expires", ""))):
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
        body["expires"] = soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    files = body.get("files") if isinstance(body, dict) else None
    if isinstance(files, list) and all(isinstance(file, dict) for file in files):
        numbers = [file.get("number") for file in files]
        if len(set(map(str, numbers))) < len(numbers) <= 1000 and all(type(n) is int for n in numbers):
            for number, file in enumerate(files):
                file["number"] = number
