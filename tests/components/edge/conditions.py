"""What a plan would refuse, written down a second time: an oracle for fitted rules.

Nothing here is shared with `components.edge.fitting`; the numbers are those of Cloudflare's pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from components.edge.rules import Rule

RULES = {"free": 5, "pro": 20, "business": 100, "enterprise": 1000}
RATES = {"free": 1, "pro": 2, "business": 5, "enterprise": 100}
LONGEST_PERIOD = {"free": 10, "pro": 60, "business": 600, "enterprise": 65535}
PERIODS = [10, 60, 120, 300, 600, 3600]
TIMEOUTS = {"free": [10], "pro": [*PERIODS], "business": [*PERIODS, 86400]}
TRANSFORMS = {"free": 10, "pro": 25, "business": 50, "enterprise": 300}
EDGE_TTL = {"free": 7200, "pro": 3600, "business": 1, "enterprise": 1}


def _names(expression: str) -> set[str]:
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    return set(re.findall(r"(?<![\w.$])(?:raw\.)?(?:http|ip|cf)\.[a-z0-9_.]+", plain))


def against_firewall(rules: Sequence[Rule], plan: str) -> Iterator[str]:
    """Why the plan would refuse these custom rules."""
    if len(rules) > RULES[plan]:
        yield f"{len(rules)} custom rules"
    if len({rule.ref for rule in rules}) < len(rules):
        yield "a ref twice"
    for rule in rules:
        plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", rule.expression)
        if plan in {"free", "pro"} and re.search(r"\bmatches\b|~", plain):
            yield f"{rule.ref}: a regular expression"
        if plan != "enterprise" and rule.action == "log":
            yield f"{rule.ref}: the action log"
        if len(rule.expression) > 4096:
            yield f"{rule.ref}: {len(rule.expression)} characters"
        if rule.action not in {"block", "skip", "log", "managed_challenge", "js_challenge",
                               "challenge"}:  # fmt: skip
            yield f"{rule.ref}: the action {rule.action}"
        if any(name.startswith("cf.bot_management.") for name in _names(rule.expression)):
            yield f"{rule.ref}: Bot Management"
        if plan in {"free", "pro"} and any(
            name.startswith("cf.waf.score") for name in _names(rule.expression)
        ):
            yield f"{rule.ref}: an attack score"
        if plan == "free" and "response" in rule.parameters:
            yield f"{rule.ref}: an own response"
        if plan == "free" and "http_request_sbfm" in rule.parameters.get("phases", ()):
            yield f"{rule.ref}: a phase that the plan does not run"
        if rule.action == "skip" and not rule.parameters:
            yield f"{rule.ref}: it skips nothing"


def against_rates(rules: Sequence[Rule], plan: str) -> Iterator[str]:
    """Why the plan would refuse these rate limits."""
    if len(rules) > RATES[plan]:
        yield f"{len(rules)} rate limits"
    allowed = {"http.request.uri.path"}
    if plan != "free":
        allowed |= {"http.host", "http.request.uri", "http.request.uri.query",
                    "http.request.full_uri"}  # fmt: skip
    if plan in {"business", "enterprise"}:
        allowed |= {"http.request.method", "ip.src", "http.user_agent"}
    for rule in rules:
        rate = rule.rate
        if rate is None:
            yield f"{rule.ref}: it does not count"
            continue
        if _names(rule.expression) - allowed:
            yield f"{rule.ref}: reads {sorted(_names(rule.expression) - allowed)}"
        if rate.period not in PERIODS or rate.period > LONGEST_PERIOD[plan]:
            yield f"{rule.ref}: counts over {rate.period} s"
        if rule.action in {"managed_challenge", "js_challenge", "challenge"}:
            if rate.timeout != 0:
                yield f"{rule.ref}: a challenge for {rate.timeout} s"
        elif rate.timeout not in TIMEOUTS.get(plan, range(1, 86401)):
            yield f"{rule.ref}: blocks for {rate.timeout} s"
        if rate.characteristics != ("cf.colo.id", "ip.src"):
            yield f"{rule.ref}: counts by {rate.characteristics}"
        if plan == "free" and "response" in rule.parameters:
            yield f"{rule.ref}: an own response"
        if rate.requests < 1:
            yield f"{rule.ref}: no request at all"
        if len(rule.expression) > 4096:
            yield f"{rule.ref}: {len(rule.expression)} characters"
