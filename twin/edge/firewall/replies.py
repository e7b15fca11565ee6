"""What a refused request gets: the rule's own response, or the edge's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from multidict import CIMultiDict

from twin.edge import pages
from twin.edge.exchange import Exchange, Reply

NO_STORE: Final = "private, max-age=0, no-store, no-cache, must-revalidate"
BLOCKED: Final = 1020
TOO_MANY: Final = 1015
BROWSER: Final = 1010


def blocked(
    exchange: Exchange,
    parameters: Mapping[str, Any],
    *,
    code: int = BLOCKED,
    retry_after: int | None = None,
) -> Reply:
    """Return a block's reply: `response` of the action's parameters, or the page of an error code.

    `retry_after` in seconds; the real edge sends it with error 1015.
    """
    own = parameters.get("response")
    if own:
        reply = Reply(
            status=int(own["statusCode"]),
            headers=CIMultiDict(
                {"Content-Type": _with_charset(own["contentType"]), "Cache-Control": NO_STORE}
            ),
            body=str(own["content"]).encode(),
        )
    else:
        reply = pages.error(code, host=exchange.host, ray=exchange.ray)
    if retry_after is not None:
        reply.headers["Retry-After"] = str(retry_after)
    return reply


def _with_charset(media: str) -> str:
    return f"{media}; charset=UTF-8" if media.startswith("text/") else media
