"""The headers that the edge sets, strips and passes on.

Sources: developers.cloudflare.com/fundamentals/reference/http-headers; RFC 9110 section 7.6.1 for
hop-by-hop headers; RFC 8586 for CDN-Loop. A visitor's X-Forwarded-For is kept and the address that
connected is appended, and True-Client-IP passes through where the plan does not set it, as the real
edge does: only CF-Connecting-IP can be relied upon.
"""

from __future__ import annotations

import secrets

from aiohttp import web
from multidict import CIMultiDict

_HOP_BY_HOP = (
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
_EDGE_ONLY = (
    "CF-Access-Authenticated-User-Email",
    "Cf-Access-Jwt-Assertion",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Connecting-O2O",
    "CF-EW-Via",
    "CF-IPCountry",
    "CF-Pseudo-IPv4",
    "CF-Ray",
    "CF-Visitor",
    "CF-Worker",
    "X-Forwarded-Proto",
)
"""Set by the edge alone: what a visitor sends under these names is dropped."""
COLO = "TWN"
"""The data centre's code in ray ids."""
UNKNOWN_COUNTRY = "XX"


def new_ray() -> str:
    """Return an id for a request: 16 hex digits and the data centre."""
    return f"{secrets.token_hex(8)}-{COLO}"


def is_websocket(request: web.BaseRequest) -> bool:
    """True when the request asks for a websocket."""
    connection = request.headers.get("Connection", "").lower()
    upgrade = request.headers.get("Upgrade", "").lower()
    return "upgrade" in connection and upgrade == "websocket"


def drop_hop_by_hop(headers: CIMultiDict[str]) -> None:
    """Remove what concerns one connection only, and what Connection names."""
    named = ",".join(headers.getall("Connection", [])).split(",")
    for name in (*_HOP_BY_HOP, *(part.strip() for part in named)):
        if name:
            headers.popall(name, None)


def for_origin(request: web.BaseRequest, visitor: str, scheme: str, ray: str) -> CIMultiDict[str]:
    """Return the headers that the origin sees of a request."""
    headers = CIMultiDict(request.headers)
    drop_hop_by_hop(headers)
    for name in _EDGE_ONLY:
        headers.popall(name, None)
    headers.popall("Expect", None)  # answered by the edge
    passed = headers.popall("X-Forwarded-For", [])
    headers["X-Forwarded-For"] = ",".join([*passed, visitor])
    headers["X-Forwarded-Proto"] = scheme
    headers["CF-Connecting-IP"] = visitor
    headers["CF-IPCountry"] = UNKNOWN_COUNTRY
    headers["CF-Ray"] = ray
    headers["CF-Visitor"] = f'{{"scheme":"{scheme}"}}'
    loops = headers.popall("CDN-Loop", [])
    headers["CDN-Loop"] = ", ".join([*_other_cdns(loops), "cloudflare; loops=1"])
    return headers


def _other_cdns(loops: list[str]) -> list[str]:
    entries = [entry.strip() for line in loops for entry in line.split(",")]
    return [entry for entry in entries if entry and not entry.lower().startswith("cloudflare")]
