"""Sets of wishes for property tests: firewall rules and rate limits of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from components.edge import plans
from components.edge.limits import Limit
from components.edge.rules import Rule
from twin.rules.fields import FIELDS
from twin.rules.types import (
    ADDRESS,
    BOOLEAN,
    INTEGER,
    INTEGER_LISTS,
    INTEGERS,
    STRING,
    STRING_LISTS,
    STRINGS,
    array,
)

PLANS = st.sampled_from(plans.NAMES)
REFS = st.from_regex(r"[a-z][a-z0-9]{2,8}", fullmatch=True)
PATHS = st.from_regex(r"/[a-z]{1,8}(/[a-z0-9-]{1,8}){0,3}", fullmatch=True)

KNOWN_FIELDS = dict(FIELDS)
"""Every field that the double knows, whatever phase or plan has it."""
_ASKED = {
    BOOLEAN: "{0}",
    STRING: '{0} eq "x"',
    INTEGER: "{0} eq 1",
    ADDRESS: "{0} eq 192.0.2.1",
    STRINGS: 'any({0}[*] eq "x")',
    INTEGERS: "any({0}[*] eq 1)",
    STRING_LISTS: 'any({0}["x"][*] eq "x")',
    INTEGER_LISTS: 'any({0}["x"][*] eq 1)',
    array(STRINGS): 'any({0}[0][*] eq "x")',
}


def about(name: str) -> str:
    """A condition that asks a field, whatever its type."""
    return _ASKED[KNOWN_FIELDS[name].type].format(name)


CONDITIONS = st.sampled_from([about(name) for name in sorted(KNOWN_FIELDS)]) | st.sampled_from(
    [
        'http.host eq "pay.example.com"',
        'http.request.uri.path contains "/x"',
        'http.user_agent matches "bot.*"',
        'http.user_agent contains "matches ~ this"',
        "cf.waf.score lt 20",
        'cf.waf.score.class eq "attack"',
        "cf.waf.credential_check.username_and_password_leaked",
        "cf.bot_management.score lt 30",
        "not ip.src in $admins",
        "cf.waf.credential_check.password_leaked",
        f'http.cookie contains "{"x" * 1500}"',
        f'http.cookie contains "{"y" * 5000}"',
    ]
)
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "block": [{}, {"response": {"status_code": 403, "content_type": "text/plain", "content": "x"}}],
    "managed_challenge": [{}],
    "js_challenge": [{}],
    "log": [{}],
    "skip": [
        {"ruleset": "current"},
        {"ruleset": "current", "phases": ["http_request_sbfm"]},
        {"phases": ["http_ratelimit", "http_request_sbfm"], "products": ["bic"]},
    ],
}


@st.composite
def firewalls(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Rule]:
    wanted = []
    for ref in draw(st.lists(REFS, max_size=30, unique=True)):
        action = draw(st.sampled_from(sorted(PARAMETERS)))
        wanted.append(
            Rule(
                ref=ref,
                description=ref,
                expression=" and ".join(draw(st.lists(CONDITIONS, min_size=1, max_size=3))),
                action=action,
                parameters=draw(st.sampled_from(PARAMETERS[action])),
                joins=draw(st.sampled_from(["", "first-group", "second-group"])),
                rank=draw(st.integers(0, 9)),
            )
        )
    return wanted


@st.composite
def limits(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Limit]:
    wanted = []
    for name in draw(st.lists(REFS, max_size=8, unique=True)):
        action = draw(st.sampled_from(["block", "managed_challenge", "js_challenge"]))
        period = draw(st.integers(1, 200_000))
        wanted.append(
            Limit(
                name=name,
                requests=draw(st.integers(1, 100_000)),
                period=period,
                action=action,
                block=period + draw(st.integers(0, 100_000)) if action == "block" else 0,
                methods=draw(st.sampled_from([None, ("POST",), ("POST", "PUT")])),
                paths=tuple(draw(st.lists(PATHS, min_size=1, max_size=5, unique=True))),
                prefixes=tuple(draw(st.lists(PATHS, max_size=3, unique=True))),
                form=draw(st.booleans()),
                rank=draw(st.integers(0, 9)),
            )
        )
    return wanted
