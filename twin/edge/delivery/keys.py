"""Cache keys: which requests get the same kept reply.

cloudflare-docs, cache/how-to/cache-keys: scheme, host, the URL as the origin gets it, and the
headers that make origins answer otherwise. Vary is not looked at, apart from Accept-Encoding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from twin.edge.delivery.shelf import Key
from twin.edge.exchange import Exchange
from twin.edge.logs import note

_DEFAULT_HEADERS: Final = (
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-forwarded-host",
    "x-host",
    "x-forwarded-scheme",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
)
_ENCODINGS: Final = ("gzip", "br", "zstd")


def make(exchange: Exchange, wanted: Mapping[str, Any]) -> Key:
    """Return a request's key; `wanted` are the rule's `cacheKey` parameters.

    The query string and header parts are carried out; cookies, users and devices are not, and
    whatever asks for those is not shared at all: its key has the visitor in it.
    """
    custom = wanted.get("customKey") or {}
    headers = exchange.headers
    named = custom.get("header") or {}
    parts = [
        exchange.zone.id,
        exchange.scheme,
        exchange.host,
        exchange.to_origin.partition("?")[0],
        _query(exchange, wanted, custom.get("queryString") or {}),
        *(headers.get(name, "") for name in _DEFAULT_HEADERS),
        "" if named.get("excludeOrigin") else headers.get("Origin", ""),
        *(headers.get(name, "") for name in named.get("includes") or ()),
        *(str(name in headers) for name in named.get("checkPresences") or ()),
    ]
    if custom.get("cookie") or custom.get("user") or wanted.get("cacheByDeviceType"):
        note(logging.ERROR, "cache key by cookie, user or device is not carried out")
        parts.append(exchange.visitor)
    return tuple(parts)


def encodings(exchange: Exchange) -> str:
    """Return what a visitor accepts of the encodings that the edge knows, for the key."""
    accepted = exchange.request.headers.get("Accept-Encoding", "").lower()
    return "+".join(name for name in _ENCODINGS if name in accepted)


def _query(exchange: Exchange, wanted: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    arguments = exchange.to_origin.partition("?")[2].split("&")
    include, exclude = chosen.get("include") or {}, chosen.get("exclude") or {}
    if exclude.get("all"):
        arguments = []
    elif exclude.get("lists"):
        arguments = [it for it in arguments if it.partition("=")[0] not in exclude["lists"]]
    elif include.get("lists"):
        arguments = [it for it in arguments if it.partition("=")[0] in include["lists"]]
    if wanted.get("ignoreQueryStringsOrder"):
        arguments = sorted(arguments)
    return "&".join(arguments)
