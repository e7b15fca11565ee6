"""E-mail addresses as keys of accounts."""

from __future__ import annotations

import re
import unicodedata

MAX_LENGTH = 254
"""Octets of an address that mail can be sent to (RFC 5321, errata 1690)."""

# What a browser's own e-mail field accepts (HTML standard, "valid e-mail address"), with at least
# one dot in the domain: the form and the service must not disagree.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_ADDRESS = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")


def normalise(typed: str) -> str | None:
    """Return the address as the account's key, lower-case, or None when it is not one.

    The local part is case-sensitive by the letter of RFC 5321 and by nobody's practice: two
    accounts that differ in case alone would be a trap for their owners.
    """
    text = unicodedata.normalize("NFKC", typed).strip().lower()
    if len(text) > MAX_LENGTH or not _ADDRESS.fullmatch(text):
        return None
    return text
