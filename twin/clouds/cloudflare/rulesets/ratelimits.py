"""Rate limiting rules: what a plan can count, for how long, and what happens then.

Source: cloudflare-docs partials/waf/rate-limiting-availability-by-plan.mdx (periods, timeouts,
characteristics) and waf/rate-limiting-rules/parameters.mdx (the rest).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.rulesets.phases import CHALLENGES
from twin.clouds.cloudflare.zones import has, not_entitled
from twin.clouds.rules import items, known, listed, unset
from twin.protocol.resource import Failure
from twin.rules import RuleError, parse

PERIODS: Final = (10, 60, 120, 300, 600, 3600)
"""The supported periods in seconds, of which a plan has those up to its longest."""
TIMEOUTS: Final = (*PERIODS, 86400)
"""The same of mitigation. A footnote of the availability by plan has more of both; where the two
pages disagree the double is strict."""
LONGEST_PERIOD: Final = {"free": 10, "pro": 60, "business": 600, "enterprise": 65535}
LONGEST_TIMEOUT: Final = {"free": 10, "pro": 3600, "business": 86400, "enterprise": 86400}

DATA_CENTER: Final = "cf.colo.id"
_ADDRESSES: Final = ("ip.src", "cf.unique_visitor_id")
_CHARACTERISTICS: Final = {
    "free": ("ip.src",),
    "pro": ("ip.src",),
    "business": _ADDRESSES,
}
_ADVANCED: Final = (
    *_ADDRESSES,
    "http.host",
    "http.request.uri.path",
    "http.request.body.raw",
    "http.request.body.size",
    "ip.src.asnum",
    "ip.src.country",
    "ip.geoip.asnum",
    "ip.geoip.country",
    "cf.bot_management.ja3_hash",
    "cf.bot_management.ja4",
)
_KEYED: Final = re.compile(
    r'http\.request\.(headers|cookies|uri\.args|body\.form)\["[^"\\]+"\](\[\d+\])?'
)


def failures(path: str, rule: Mapping[str, Any], place: Place) -> Iterator[Failure]:
    """What the API refuses of a rule's `ratelimit`."""
    limit = known(rule, "ratelimit")
    if limit is None:
        if unset(rule, "ratelimit"):
            yield Failure(f"{path}.ratelimit", "is required for a rule of the phase http_ratelimit")
        return
    at = f"{path}.ratelimit"
    yield from _characteristics(at, limit, place.plan)
    yield from _times(at, rule, limit, place.plan)
    requests, score = known(limit, "requestsPerPeriod"), known(limit, "scorePerPeriod")
    if unset(limit, "requestsPerPeriod") and unset(limit, "scorePerPeriod"):
        yield Failure(f"{at}.requestsPerPeriod", "is required, or scorePerPeriod")
    if requests is not None and requests < 1:
        yield Failure(f"{at}.requestsPerPeriod", f"{requests} is not at least 1")
    if score is not None and not has(place.plan, "enterprise"):
        yield not_entitled(f"{at}.scorePerPeriod", score, "enterprise", place.plan)
    yield from _counting(at, rule, limit, place)


def _characteristics(at: str, limit: Mapping[str, Any], plan: str) -> Iterator[Failure]:
    given = [value for _, value in items(limit, "characteristics")]
    whole = len(given) == len(known(limit, "characteristics") or ())
    if whole and DATA_CENTER not in given:
        yield Failure(
            f"{at}.characteristics",
            f'{listed(given or ["nothing"])} lacks "{DATA_CENTER}", which is mandatory: '
            "counters are per data centre",
        )
    if set(_ADDRESSES) <= set(given):
        yield Failure(f"{at}.characteristics", f"{listed(_ADDRESSES)}, not both")
    if len(set(given)) < len(given):
        yield Failure(f"{at}.characteristics", "names one twice")
    if whole and set(given) == {DATA_CENTER} and not has(plan, "enterprise"):
        allowed = listed(_CHARACTERISTICS[plan])
        yield Failure(f"{at}.characteristics", f"needs {allowed} as well on the plan {plan}")
    for index, value in items(limit, "characteristics"):
        if value == DATA_CENTER:
            continue
        if has(plan, "enterprise"):
            if not _is_characteristic(value):
                yield Failure(f"{at}.characteristics[{index}]", f'"{value}" cannot be counted by')
        elif value not in _CHARACTERISTICS[plan]:
            yield not_entitled(f"{at}.characteristics[{index}]", value, _plan_for(value), plan)


def _is_characteristic(value: str) -> bool:
    if value in _ADVANCED or _KEYED.fullmatch(value):
        return True
    try:
        return bool(parse(value).functions)
    except RuleError:
        return False


def _plan_for(value: str) -> str:
    return "business" if value in _ADDRESSES else "enterprise"


def _times(
    at: str, rule: Mapping[str, Any], limit: Mapping[str, Any], plan: str
) -> Iterator[Failure]:
    period, timeout = known(limit, "period"), known(limit, "mitigationTimeout")
    action = known(rule, "action")
    allowed = [value for value in PERIODS if value <= LONGEST_PERIOD[plan]]
    if period is not None and period not in allowed:
        yield Failure(f"{at}.period", f"{period} s: the plan {plan} counts for {listed(allowed)} s")
    if unset(limit, "mitigationTimeout") and action == "block":
        yield Failure(f"{at}.mitigationTimeout", 'is required for the action "block"')
    if timeout is None:
        return
    enterprise = has(plan, "enterprise")
    if action in CHALLENGES and not enterprise and timeout != 0:
        yield Failure(
            f"{at}.mitigationTimeout",
            f'{timeout} s must be 0 for the action "{action}" on the plan {plan}: a challenge is '
            "asked of each request above the limit",
        )
    elif action not in CHALLENGES and timeout == 0 and not enterprise:
        yield Failure(
            f"{at}.mitigationTimeout",
            f'0 s for the action "{action}" (throttling) needs the plan enterprise, the zone has '
            f"{plan}",
        )
    elif enterprise:
        if not 0 <= timeout <= LONGEST_TIMEOUT[plan]:
            yield Failure(f"{at}.mitigationTimeout", f"{timeout} s is not from 0 to 86400 s")
    elif timeout != 0:
        allowed = [value for value in TIMEOUTS if value <= LONGEST_TIMEOUT[plan]]
        if timeout not in allowed:
            yield Failure(
                f"{at}.mitigationTimeout",
                f"{timeout} s: the plan {plan} acts for {listed(allowed)} s",
            )


def _counting(
    at: str, rule: Mapping[str, Any], limit: Mapping[str, Any], place: Place
) -> Iterator[Failure]:
    counting = known(limit, "countingExpression")
    if counting:
        found = list(place.failures(f"{at}.countingExpression", counting, counting=True))
        yield from found
        if found:
            return
        expression = parse(counting)
        if expression.lists and any(
            name.startswith("http.response.") for name in expression.fields
        ):
            yield Failure(
                f"{at}.countingExpression", "a list and a field of the response cannot be mixed"
            )
    text = known(rule, "expression")
    if known(limit, "requestsToOrigin") and isinstance(text, str):
        try:
            lists = parse(text).lists
        except RuleError:
            return
        if lists:
            yield Failure(
                f"{at}.requestsToOrigin",
                f"true: a rule that asks the list ${min(lists)} must count cached answers as well",
            )
