"""Bots: Bot Fight Mode and Super Bot Fight Mode as set, and the browser integrity check.

Super Bot Fight Mode is a phase of the ruleset engine and can be skipped; Bot Fight Mode cannot
(developers.cloudflare.com/bots/get-started/bot-fight-mode). Who is a bot is told by
`twin.edge.visitors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twin.edge.fields import Fields
from twin.edge.visitors import automated, has_no_browser_name, is_abuse_tool

_EXTENSIONS: Final = """
ico jpg png jpeg gif css js tif tiff bmp pict webp svg svgz class jar txt csv doc docx xls xlsx pdf
ps pls ppt pptx ttf otf woff woff2 eot eps ejs swf torrent midi mid m3u8 m4a mp3 ogg ts mp4 webm
"""
STATIC: Final = frozenset(_EXTENSIONS.split())
"""Extensions of static files, spared without static resource protection (bots/reference)."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is done to a bot, and which setting says so."""

    setting: str
    action: str


def judge(settings: Mapping[str, Any], fields: Fields, *, skipped: bool) -> Verdict | None:
    """Return what the settings do to a request, or None where they let it by."""
    program = automated(str(fields["http.user_agent"]))
    verified = fields.known.bot
    if settings.get("fightMode") and program and not verified:
        return Verdict(setting="fight_mode", action="managed_challenge")
    if skipped:
        return None
    if verified:
        return _verdict(settings, "sbfmVerifiedBots", "sbfm_verified_bots")
    if not program or (not settings.get("sbfmStaticResourceProtection") and _static(fields)):
        return None
    return _verdict(settings, "sbfmDefinitelyAutomated", "sbfm_definitely_automated")


def browser_check(user_agent: str) -> str:
    """Return the browser integrity check's action, empty where a browser's name is sent.

    "Looks for common HTTP headers abused most commonly by spammers and denies access", and "will
    also challenge visitors that do not have a user agent" (Cloudflare's API, `browser_check`).
    """
    if is_abuse_tool(user_agent):
        return "block"
    return "managed_challenge" if has_no_browser_name(user_agent) else ""


def _verdict(settings: Mapping[str, Any], key: str, setting: str) -> Verdict | None:
    action = settings.get(key) or "allow"
    return None if action == "allow" else Verdict(setting=setting, action=str(action))


def _static(fields: Fields) -> bool:
    return fields["http.request.uri.path.extension"] in STATIC
