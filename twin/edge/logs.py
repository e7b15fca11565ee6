"""The edge's log lines: a few words, then what they are about as `key=value`.

The values are on the record as well, for a handler that writes them apart.
"""

from __future__ import annotations

import logging
from typing import Any

_log = logging.getLogger("twin.edge")


def note(level: int, event: str, **fields: Any) -> None:
    """Log an event. Fields must not be named like a log record's own attributes."""
    if _log.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        pairs = " ".join(f"{name}={_quoted(value)}" for name, value in known.items())
        _log.log(level, "%s %s", event, pairs, extra=known)


def _quoted(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return f'"{text}"' if " " in text else text
