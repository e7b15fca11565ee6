"""Leaked-credentials detection: finds a login's user name and password, and knows the test ones.

The real edge compares with lists of breaches; the twin knows the credentials that Cloudflare
publishes for testing a configuration (developers.cloudflare.com/waf/detections/leaked-credentials/
get-started, "Test your configuration"), case-sensitive. It looks where the documentation's "generic
rules for other common web authentication patterns" look: usual names of fields in a form or a flat
JSON object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from twin.edge.exchange import Exchange

_USERNAMES: Final = ("username", "user", "email", "login", "log", "name")
_PASSWORDS: Final = ("password", "pass", "passwd", "pwd")
_FREE_USERNAMES: Final = frozenset({"CF_LEAKED_USERNAME_FREE"})
_PAID_USERNAMES: Final = frozenset({"CF_EXPOSED_USERNAME", "CF_EXPOSED_USERNAME@example.com"})
_FREE_PASSWORDS: Final = frozenset({"CF_LEAKED_PASSWORD"})
_PAID_PASSWORDS: Final = frozenset({"CF_EXPOSED_PASSWORD"})


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """What was found: credentials at all, a leaked user name, a leaked password, a leaked pair."""

    detected: bool = False
    username: bool = False
    password: bool = False
    both: bool = False

    @staticmethod
    def of(exchange: Exchange, *, enabled: bool) -> Leaks:
        """Look at the part of the body that was read; nothing is found where it is off."""
        if not enabled or not exchange.seen_body:
            return NOTHING
        sent = _sent(exchange)
        username = next((sent[name] for name in _USERNAMES if name in sent), "")
        password = next((sent[name] for name in _PASSWORDS if name in sent), "")
        if not password:
            return NOTHING
        paid = exchange.zone.plan != "free"
        leaked_name = username in _FREE_USERNAMES or (paid and username in _PAID_USERNAMES)
        leaked_word = password in _FREE_PASSWORDS or (paid and password in _PAID_PASSWORDS)
        return Leaks(
            detected=True,
            username=leaked_name,
            password=leaked_word,
            both=leaked_name and leaked_word,
        )


NOTHING: Final = Leaks()


def _sent(exchange: Exchange) -> dict[str, str]:
    media = exchange.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = exchange.seen_body or b""
    if media == "application/x-www-form-urlencoded":
        form = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        return {name.lower(): values[0] for name, values in form.items()}
    if media == "application/json":
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return {}
        if isinstance(found, dict):
            return {str(k).lower(): v for k, v in found.items() if isinstance(v, str)}
    return {}
