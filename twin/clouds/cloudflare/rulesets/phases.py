"""The phases of a zone: what their rules may do, and how many a plan has.

Rule counts: cloudflare-docs src/content/plans/index.json; actions: the pages of each product
(waf/custom-rules, waf/rate-limiting-rules/parameters, rules/*, cache/how-to/cache-rules).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CHALLENGES: Final = frozenset({"challenge", "js_challenge", "managed_challenge"})
CUSTOM: Final = "http_request_firewall_custom"
RATE_LIMIT: Final = "http_ratelimit"
MANAGED: Final = "http_request_firewall_managed"
RESPONSE_MANAGED: Final = "http_response_firewall_managed"
REDIRECT: Final = "http_request_dynamic_redirect"
URL_REWRITE: Final = "http_request_transform"
REQUEST_HEADERS: Final = "http_request_late_transform"
RESPONSE_HEADERS: Final = "http_response_headers_transform"
CACHE: Final = "http_request_cache_settings"

CLOUDFLARE_MANAGED: Final = "efb7b8c949ac4650a09736fc376e9aee"
OWASP: Final = "4814384a9e5d4991b9815dcfc25d2f1f"
EXPOSED_CREDENTIALS: Final = "c2e184081120413c86c3ab7e14069605"
FREE_MANAGED: Final = "77454fe2d30c4220b5701f6fdfb893ba"
SENSITIVE_DATA: Final = "e22d83c647c64a3eae91b71b499d988e"
DDOS: Final = "4d21379b4f9f4bb088e0729962c8b3cf"

MANAGED_RULESETS: Final[Mapping[str, tuple[str, str, str]]] = {
    CLOUDFLARE_MANAGED: ("Cloudflare Managed Ruleset", "pro", MANAGED),
    OWASP: ("Cloudflare OWASP Core Ruleset", "pro", MANAGED),
    EXPOSED_CREDENTIALS: ("Cloudflare Exposed Credentials Check", "pro", MANAGED),
    FREE_MANAGED: ("Cloudflare Free Managed Ruleset", "free", MANAGED),
    SENSITIVE_DATA: ("Cloudflare Sensitive Data Detection", "enterprise", RESPONSE_MANAGED),
    DDOS: ("HTTP DDoS Attack Protection", "free", "ddos_l7"),
}
"""Managed rulesets by id: name, the plan they need, their phase (waf/managed-rules)."""

_RULES: Final = {"free": 10, "pro": 25, "business": 50, "enterprise": 300}
TRANSFORMS: Final = frozenset({URL_REWRITE, REQUEST_HEADERS, RESPONSE_HEADERS})
"""Phases whose rules are counted together."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What a phase takes: its actions, the plan that each needs, and how many rules a plan has."""

    actions: Mapping[str, str]
    quota: Mapping[str, int]
    plan: str = "free"


def _phase(actions: str, quota: Mapping[str, int], plan: str = "free", **paid: str) -> Phase:
    return Phase(actions={**dict.fromkeys(actions.split(), "free"), **paid}, quota=quota, plan=plan)


PHASES: Final[Mapping[str, Phase]] = {
    CUSTOM: _phase(
        "block challenge js_challenge managed_challenge skip",
        {"free": 5, "pro": 20, "business": 100, "enterprise": 1000},
        log="enterprise",
    ),
    RATE_LIMIT: _phase(
        "block challenge js_challenge managed_challenge",
        {"free": 1, "pro": 2, "business": 5, "enterprise": 100},
        log="enterprise",
    ),
    MANAGED: _phase("execute skip", _RULES),
    RESPONSE_MANAGED: _phase("execute skip", _RULES, plan="enterprise"),
    "ddos_l7": _phase("execute", dict.fromkeys(_RULES, 1)),
    REDIRECT: _phase("redirect", _RULES),
    URL_REWRITE: _phase("rewrite", _RULES),
    REQUEST_HEADERS: _phase("rewrite", _RULES),
    RESPONSE_HEADERS: _phase("rewrite", _RULES),
    CACHE: _phase("set_cache_settings", _RULES),
    "http_config_settings": _phase("set_config", _RULES),
    "http_request_origin": _phase("route", _RULES),
    "http_custom_errors": _phase("serve_error", _RULES, plan="pro"),
    "http_response_compression": _phase("compress_response", _RULES),
    "http_log_custom_fields": _phase("log_custom_field", _RULES, plan="enterprise"),
}
OTHERWISE: Final[Mapping[str, str]] = {
    "http_request_sbfm": "Cloudflare's own: use BotManagement",
    "http_request_sanitize": "Cloudflare's own: use UrlNormalizationSettings",
    "http_request_redirect": "an account's: bulk redirects are rulesets of the kind root",
}
"""Phases that a zone's ruleset cannot be of, and what to do instead."""
