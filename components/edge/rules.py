"""A rule as data, before and after it was fitted; and helpers that write expressions.

Nothing here knows Pulumi. Parameters have the provider's names in Python's spelling
(`status_code`); `rulesets` turns them into its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Phase = Literal[
    "http_request_dynamic_redirect",
    "http_request_firewall_custom",
    "http_ratelimit",
    "http_request_firewall_managed",
    "http_request_late_transform",
    "http_request_cache_settings",
    "http_response_headers_transform",
]

PATH: Final = "http.request.uri.path"

PHASES: Final[dict[Phase, str]] = {
    "http_request_dynamic_redirect": "redirects",
    "http_request_firewall_custom": "firewall",
    "http_ratelimit": "rate-limits",
    "http_request_firewall_managed": "managed",
    "http_request_late_transform": "request-headers",
    "http_request_cache_settings": "cache",
    "http_response_headers_transform": "response-headers",
}
"""Every phase in use and the short name of its ruleset, in the order the edge runs them."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How a rate limit counts: `requests` in `period` seconds, then its action for `timeout`."""

    requests: int
    period: int
    timeout: int
    characteristics: tuple[str, ...] = ("cf.colo.id", "ip.src")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a phase.

    `ref` stays the same for ever: Cloudflare keeps a rule's id, and so its history, by it. Rules of
    one `joins` that stand side by side and do the same may become one rule of that name. `rank`
    orders rules for plans without room for all: the highest goes first. `otherwise` says who makes
    up for a rule that is missing.
    """

    ref: str
    description: str
    expression: str
    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rate: Rate | None = None
    joins: str = ""
    rank: int = 0
    otherwise: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", self.ref):
            raise ValueError(f"ref={self.ref!r}: use lower-case letters, digits and dashes")


_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_FIELD: Final = re.compile(r"(?<![$\w.])[a-z_]+[a-z0-9_]*(?:\.[a-z0-9_]+)+")
_BARE: Final = re.compile(r"(?<![$\w.])(ssl)(?![\w.])")


def without_texts(expression: str) -> str:
    """An expression whose quoted texts are empty: what is left are its own words."""
    return _TEXT.sub('""', expression)


def fields(expression: str) -> frozenset[str]:
    """The fields that an expression reads, without what stands in its texts."""
    plain = without_texts(expression)
    return frozenset(_FIELD.findall(plain)) | frozenset(_BARE.findall(plain))


def uses_regex(expression: str) -> bool:
    """Whether an expression needs regular expressions."""
    plain = without_texts(expression)
    return re.search(r"(?<!\w)(matches|regex_replace)(?!\w)|~", plain) is not None


def text(value: str) -> str:
    """A quoted text of the rule language."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def one_of(subject: str, values: Iterable[str]) -> str:
    """`subject in {"a" "b"}`."""
    return f"{subject} in {{{' '.join(text(value) for value in values)}}}"


def address_in(networks: Iterable[str]) -> str:
    """`ip.src in {…}`; addresses are not quoted."""
    return f"ip.src in {{{' '.join(networks)}}}"


def below(prefix: str, subject: str = PATH) -> str:
    """`starts_with(subject, "prefix")`."""
    return f"starts_with({subject}, {text(prefix)})"


def either(conditions: Iterable[str]) -> str:
    """Any of the conditions, in parentheses where there are several."""
    given = list(conditions)
    return given[0] if len(given) == 1 else "(" + " or ".join(given) + ")"


def every(*conditions: str) -> str:
    """All of the conditions."""
    return " and ".join(conditions)
