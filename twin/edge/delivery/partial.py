"""Answers from a kept reply: whole, unchanged since (304), or a part of it (206)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import CIMultiDict

from twin.edge.delivery.shelf import Kept
from twin.edge.exchange import Exchange, Reply

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def answer(exchange: Exchange, kept: Kept) -> Reply:
    """Answer a request by a kept reply, its conditions and its range respected (RFC 9110, 13-14).

    Of several ranges none is taken: the whole is sent, as a server may.
    """
    headers = CIMultiDict(kept.headers)
    given = exchange.request.headers
    if kept.status == 200 and unchanged(given, kept.headers):
        return not_modified(headers)
    asked = _RANGE.fullmatch(given.get("Range", "").strip())
    if kept.status == 200 and asked and (asked[1] or asked[2]) and _same(given, kept):
        return _part(kept, headers, asked[1], asked[2])
    headers["Content-Length"] = str(len(kept.body))
    if kept.status == 200:
        headers["Accept-Ranges"] = "bytes"
    return Reply(status=kept.status, reason=kept.reason, headers=headers, body=kept.body)


def not_modified(headers: CIMultiDict[str]) -> Reply:
    """Return the reply to a visitor who has it already."""
    for name in ("Content-Length", "Content-Type", "Content-Encoding"):
        headers.popall(name, None)
    return Reply(status=304, headers=headers)


def _part(kept: Kept, headers: CIMultiDict[str], first: str, last: str) -> Reply:
    size = len(kept.body)
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        if first and last and int(last) < int(first):  # invalid, and so ignored
            headers["Content-Length"] = str(size)
            return Reply(status=200, reason=kept.reason, headers=headers, body=kept.body)
        headers["Content-Range"] = f"bytes */{size}"
        headers["Content-Length"] = "0"
        return Reply(status=416, headers=headers)
    body = kept.body[start : end + 1]
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    headers["Content-Length"] = str(len(body))
    return Reply(status=206, headers=headers, body=body)


def unchanged(given: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """True where a visitor has what `headers` describe already, by tag or by date."""
    if "If-None-Match" in given:
        tag = headers.get("ETag", "")
        wanted = [each.strip() for each in given["If-None-Match"].split(",")]
        weak = tag.removeprefix("W/")
        return "*" in wanted or (
            bool(tag) and any(each.removeprefix("W/") == weak for each in wanted)
        )
    if "If-Modified-Since" in given and "Last-Modified" in headers:
        try:
            since = parsedate_to_datetime(given["If-Modified-Since"])
            return parsedate_to_datetime(headers["Last-Modified"]) <= since
        except (ValueError, TypeError):
            return False
    return False


def _same(given: Mapping[str, str], kept: Kept) -> bool:
    """True where If-Range, if there is one, names this very reply (strong comparison)."""
    wanted = given.get("If-Range", "").strip()
    if not wanted:
        return True
    tag = kept.headers.get("ETag", "")
    if wanted.startswith(('"', "W/")):
        return wanted == tag and not tag.startswith("W/")
    return wanted == kept.headers.get("Last-Modified", "")
