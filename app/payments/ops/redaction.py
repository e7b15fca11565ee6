"""Removes from a log line what must never be written down.

By name (a field called `password` is dropped whatever it holds) and by shape (a card number, a key
of a gateway, a bearer token, a password inside a URL, one of our cookies), at any depth, in texts,
numbers, exceptions and tracebacks. A false alarm costs a few digits in a log; a miss costs a
breach: when in doubt the pattern takes more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MARK = "[redacted]"

_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|cookie|credential|api[_-]?key"
    r"|session[_-]?(id|key)|private[_-]?key|csrf|signature|^cvc$|^cvv2?$|^pan$|card[_-]?number"
    r"|^dsn$|(database|cache)_url|otp$",
    re.IGNORECASE,
)

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@host of any URL
    (
        re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@", re.I),
        r"\g<keep>:" + MARK + "@",
    ),
    # the person in an e-mail address: drivers quote whole rows in their errors
    (re.compile(r"[\w.+%-]+@(?P<keep>[\w-]+(?:\.[\w-]+)+)"), MARK + r"@\g<keep>"),
    # Stripe's and its like: sk_live_…, rk_test_…, whsec_…; DigitalOcean's dop_v1_…
    (re.compile(r"\b(?:[sr]k_(?:live|test)_|whsec_|do[pors]_v1_)[A-Za-z0-9_+/=-]{4,}"), MARK),
    # the client's secret of an intent or a checkout: pi_…_secret_…
    (re.compile(r"\b[a-z]+_[A-Za-z0-9_]+_secret_[A-Za-z0-9]+"), MARK),
    (re.compile(r"\b(?P<keep>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.I), r"\g<keep> " + MARK),
    # JSON web tokens, in a query, a header or a text
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MARK),
    (re.compile(r"(?P<keep>__Host-[a-z]+)=[^;\s\"',}]+", re.I), r"\g<keep>=" + MARK),
    (re.compile(r"\$argon2(?:id|i|d)\$[^\s\"']+"), MARK),
    # password=…, "csrf": "…" in a form body, a query or a repr
    (
        re.compile(
            r"(?P<keep>\b(?:password|passwd|passphrase|secret|csrf|api_?key|cvc|cvv|authorization"
            r"|cookie)[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"')}\]]+)",
            re.I,
        ),
        r"\g<keep>" + MARK,
    ),
)

_DIGITS = re.compile(r"(?<![0-9A-Za-z.])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])")
_MAX_DEPTH = 8


def clean(value: Any, *, depth: int = 0) -> Any:
    """Return the value with secrets replaced; mappings and sequences become dicts and lists."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return MARK if _is_card(str(value)) else value
    if isinstance(value, str):
        return clean_text(value)
    if depth >= _MAX_DEPTH:
        return MARK
    if isinstance(value, Mapping):
        return {
            clean_text(str(k)): MARK if _NAMES.search(str(k)) else clean(v, depth=depth + 1)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(item, depth=depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"  # a raw body is evidence in the inbox, not in a log
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """Return the text with secrets of a known shape replaced."""
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return _DIGITS.sub(lambda m: MARK if _is_card(m.group()) else m.group(), text)


def _is_card(text: str) -> bool:
    """Say whether 13 to 19 digits pass the Luhn check (ISO/IEC 7812-1) and do not start with 0."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] == 0:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
