"""Cryptomus' one signature, of calls and of webhooks alike: MD5 of the body's base64 and the key.

JSON is signed as PHP writes it: no spaces, `/` escaped, other letters as they are
(doc.cryptomus.com, read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import json

from twin.gateways.common.tables import Object


def sign(body: str | bytes, key: str) -> str:
    """Return the signature of a body."""
    sent = body if isinstance(body, bytes) else body.encode()
    text = base64.b64encode(sent) + key.encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def php(value: Object) -> str:
    """Write JSON as PHP's `json_encode` with JSON_UNESCAPED_UNICODE does."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("/", "\\/")
