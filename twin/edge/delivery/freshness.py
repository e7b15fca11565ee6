"""Whether a reply may be kept, for how long, and what browsers are told: pure.

cloudflare-docs, cache/concepts: default-cache-behavior (extensions; methods; what is not kept),
cache-control (Origin Cache Control, which every plan below Enterprise has and cannot switch off),
cache-behavior (Set-Cookie); cache/how-to: cache-rules/settings, configure-cache-status-code (TTLs
by status), edge-browser-cache-ttl. Where those pages differ on `no-cache` and `max-age=0` (kept and
always revalidated, or bypassed) this follows cache-responses: BYPASS, nothing is kept.
`stale-while-revalidate` is not done here: who asks for something stale waits for the origin.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from multidict import CIMultiDict

HOUR: Final = 3600
_EXTENSIONS: Final = """
    7z avi avif apk bin bmp bz2 class css csv doc docx dmg ejs eot eps exe flac gif gz ico iso jar
    jpg jpeg js mid midi mkv mp3 mp4 ogg otf pdf pict pls png ppt pptx ps rar svg svgz swf tar tif
    tiff ttf webm webp woff woff2 xls xlsx zip zst
"""
EXTENSIONS: Final = frozenset(_EXTENSIONS.split())
"""What is kept without any rule; by name alone, whatever the type."""
DEFAULT_TTLS: Final = {
    **dict.fromkeys((200, 206, 301), 2 * HOUR),
    **dict.fromkeys((302, 303), HOUR // 3),
    **dict.fromkeys((404, 410), HOUR // 20),
}
"""Seconds by status, where the origin says nothing."""
MINIMUM_TTLS: Final = {"free": 2 * HOUR, "pro": HOUR, "business": 1, "enterprise": 1}
"""The least Edge Cache TTL that a plan's rules can set."""
DEFAULT_BROWSER_TTL: Final = 4 * HOUR
"""`browser_cache_ttl` of a zone that never set it."""
_ARMOR_ALIKE: Final = {
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "image/webp": "image/jpeg",
    "video/webm": "image/gif",
    "application/font-woff": "font/woff",
    "application/font-woff2": "font/woff2",
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What extensions, settings and cache rules say about one request."""

    eligible: bool
    by_rule: bool = False
    """True where a rule made it eligible."""
    edge: Mapping[str, Any] = field(default_factory=dict)
    browser: Mapping[str, Any] | None = None
    key: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with a reply: `ttl` in seconds, 0 is not kept; `status` for CF-Cache-Status."""

    status: str
    ttl: float = 0.0
    strip_cookies: bool = False


def directives(headers: CIMultiDict[str]) -> dict[str, str]:
    """Return what steers a shared cache: the most specific of three headers (RFC 9213)."""
    for name in ("Cloudflare-CDN-Cache-Control", "CDN-Cache-Control", "Cache-Control"):
        if name in headers:
            return _parse(",".join(headers.getall(name)))
    return {}


def judge(
    status: int,
    headers: CIMultiDict[str],
    policy: Policy,
    *,
    authorised: bool,
    plan: str,
    path: str,
) -> Verdict:
    """Say whether the reply to an eligible request is kept, and for how long."""
    mode, by_status = policy.edge.get("mode"), _by_status(policy.edge, status)
    if by_status is not None or mode == "override_origin":
        ttl = policy.edge.get("default") or 0 if by_status is None else by_status
        if ttl <= 0 or (by_status is None and status not in DEFAULT_TTLS):
            return Verdict(status="MISS" if ttl > 0 else "BYPASS")
        return Verdict(status="MISS", ttl=max(ttl, MINIMUM_TTLS[plan]), strip_cookies=True)
    told = directives(headers)
    if told.keys() & {"private", "no-store", "no-cache"}:
        return Verdict(status="BYPASS")
    if "Set-Cookie" in headers:
        return Verdict(status="MISS" if policy.by_rule else "BYPASS")
    if authorised and not told.keys() & {"must-revalidate", "public", "s-maxage"}:
        return Verdict(status="BYPASS")
    explicit = lifetime(headers)
    if explicit is not None:
        return Verdict(status="MISS", ttl=explicit) if explicit > 0 else Verdict(status="BYPASS")
    if mode == "bypass_by_default":
        return Verdict(status="BYPASS")
    if policy.key.get("cacheDeceptionArmor") and not _fits(path, headers):
        return Verdict(status="BYPASS")
    return Verdict(status="MISS", ttl=DEFAULT_TTLS.get(status, 0))


def lifetime(headers: CIMultiDict[str]) -> float | None:
    """Return the seconds that the origin grants a shared cache; None where it says nothing."""
    told = directives(headers)
    for name in ("s-maxage", "max-age"):
        if name in told:
            return float(told[name]) if told[name].isdigit() else 0.0
    if "Expires" not in headers:
        return None
    try:
        expires = parsedate_to_datetime(headers["Expires"])
        date = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError):
        return 0.0  # `Expires: 0` and its like have passed (RFC 9111, section 5.3)
    return (expires - date).total_seconds()


def tell_browser(headers: CIMultiDict[str], policy: Policy, zone_ttl: int) -> None:
    """Set what browsers are told about keeping the reply; the edge's own words stay here.

    `zone_ttl` is `browser_cache_ttl`; 0 leaves the origin's headers alone.
    """
    headers.popall("Cloudflare-CDN-Cache-Control", None)
    if policy.browser is not None:
        mode = policy.browser.get("mode")
        if mode == "override_origin":
            _set_max_age(headers, int(policy.browser.get("default") or 0))
        elif mode == "bypass":
            headers["Cache-Control"] = "no-store"
            headers.popall("Expires", None)
        return
    told = _parse(",".join(headers.getall("Cache-Control", ())))
    if not zone_ttl or told.keys() & {"private", "no-store", "no-cache"}:
        return
    own = told.get("max-age", "")
    if not own and "Expires" in headers:
        own = str(int(max(lifetime(headers) or 0, 0)))
    if not own.isdigit() or int(own) < zone_ttl:
        _set_max_age(headers, zone_ttl)


def _set_max_age(headers: CIMultiDict[str], seconds: int) -> None:
    parts = [
        part.strip()
        for part in ",".join(headers.getall("Cache-Control", ())).split(",")
        if part.strip() and not part.strip().lower().startswith("max-age")
    ]
    headers["Cache-Control"] = ", ".join([*parts, f"max-age={seconds}"])
    headers.popall("Expires", None)


def _parse(text: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name:
            found[name.lower()] = value.strip('"')
    return found


def _by_status(edge: Mapping[str, Any], status: int) -> int | None:
    for given in edge.get("statusCodeTtls") or []:
        between = given.get("statusCodeRange") or {}
        low = given.get("statusCode") or between.get("from") or 0
        high = given.get("statusCode") or between.get("to") or 999
        if low <= status <= high:
            return int(given["value"])
    return None


def _fits(path: str, headers: CIMultiDict[str]) -> bool:
    """True where a reply's type is what the path's extension promises (Cache Deception Armor)."""
    media = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    promised, _ = mimetypes.guess_type(path, strict=False)
    if promised is None or media in ("", "application/octet-stream"):
        return True
    return _ARMOR_ALIKE.get(media, media) == _ARMOR_ALIKE.get(promised, promised)
