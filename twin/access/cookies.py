"""Access's cookies: reading all of one name, setting one, taking them out of what the origin gets.

Names and attributes: cloudflare-docs, authorization-cookie (the tables of "Access cookies").
"""

from __future__ import annotations

from typing import Final, Literal

from aiohttp import web
from multidict import CIMultiDict

AUTHORIZATION: Final = "CF_Authorization"
BINDING: Final = "CF_Binding"
APP_SESSION: Final = "CF_AppSession"
TEAM_SESSION: Final = "CF_Session"
DEVICE: Final = "CF_Device"
NEVER_FORWARDED: Final = (BINDING, APP_SESSION)
"""Stripped at the edge; the authorization cookie itself reaches the origin."""


def values(request: web.BaseRequest, name: str) -> list[str]:
    """Return every cookie of a name: those of narrower paths come first."""
    found = []
    for line in request.headers.getall("Cookie", []):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                found.append(value)
    return found


def value(request: web.BaseRequest, name: str) -> str:
    """Return the first one, or nothing."""
    return next(iter(values(request, name)), "")


def cookie(
    name: str,
    content: str,
    *,
    seconds: float,
    path: str = "/",
    http_only: bool = True,
    same_site: Literal["none", "lax", "strict"] | str = "none",
) -> str:
    """Return a `Set-Cookie` line; no content and no seconds take the cookie away."""
    parts = [f"{name}={content}", f"Path={path}", f"Max-Age={int(seconds)}", "Secure"]
    if http_only:
        parts.append("HttpOnly")
    parts.append(f"SameSite={same_site.capitalize()}")
    return "; ".join(parts)


def strip(headers: CIMultiDict[str]) -> None:
    """Take out of the origin's headers what never leaves the edge."""
    lines = headers.popall("Cookie", [])
    for line in lines:
        kept = [
            part.strip()
            for part in line.split(";")
            if part.strip().partition("=")[0] not in NEVER_FORWARDED
        ]
        if kept:
            headers.add("Cookie", "; ".join(kept))
