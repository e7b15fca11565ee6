"""Cache rules: times that a plan can set, and keys.

Source: cloudflare-docs cache/how-to/cache-rules/settings and plans/index.json (shortest edge TTL,
custom cache keys for Enterprise).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.zones import has, not_entitled
from twin.clouds.rules import items, known, unset
from twin.protocol.resource import Failure

SHORTEST_EDGE_TTL: Final = {"free": 7200, "pro": 3600, "business": 1, "enterprise": 1}
LONGEST_TTL: Final = 31536000
_ONLY_CACHED: Final = ("edgeTtl", "cacheKey", "serveStale", "cacheReserve")
_ENTERPRISE: Final = ("readTimeout", "additionalCacheablePorts", "cacheReserve")


def cache_failures(at: str, given: Mapping[str, Any], place: Place) -> Iterator[Failure]:
    """What the API refuses of a cache rule's parameters."""
    if known(given, "cache") is False:
        for name in _ONLY_CACHED:
            if not unset(given, name):
                yield Failure(f"{at}.{name}", "cannot be set where cache is false")
    for name in _ENTERPRISE:
        if not unset(given, name) and not has(place.plan, "enterprise"):
            yield not_entitled(f"{at}.{name}", name, "enterprise", place.plan)
    edge = known(given, "edgeTtl") or {}
    yield from _ttl(f"{at}.edgeTtl", edge, SHORTEST_EDGE_TTL[place.plan], place.plan)
    for index, entry in items(edge, "statusCodeTtls"):
        value = known(entry, "value")
        if value is not None and not -1 <= value <= LONGEST_TTL:
            yield Failure(f"{at}.edgeTtl.statusCodeTtls[{index}].value", f"{value} s is no TTL")
    yield from _ttl(f"{at}.browserTtl", known(given, "browserTtl") or {}, 0, place.plan)
    yield from _key(f"{at}.cacheKey", known(given, "cacheKey") or {}, place)


def _ttl(at: str, given: Mapping[str, Any], shortest: int, plan: str) -> Iterator[Failure]:
    mode, default = known(given, "mode"), known(given, "default")
    if mode == "override_origin" and unset(given, "default"):
        yield Failure(f"{at}.default", 'is required for the mode "override_origin"')
    elif mode not in (None, "override_origin") and not unset(given, "default"):
        yield Failure(f"{at}.default", f'must be left out for the mode "{mode}"')
    elif default is not None and not shortest <= default <= LONGEST_TTL:
        yield Failure(
            f"{at}.default",
            f"{default} s is not between {shortest} and {LONGEST_TTL} s on the plan {plan}",
        )


def _key(at: str, given: Mapping[str, Any], place: Place) -> Iterator[Failure]:
    if known(given, "cacheByDeviceType") and not has(place.plan, "enterprise"):
        yield not_entitled(f"{at}.cacheByDeviceType", True, "enterprise", place.plan)
    custom = known(given, "customKey") or {}
    query = known(custom, "queryString") or {}
    if not unset(query, "include") and not unset(query, "exclude"):
        yield Failure(f"{at}.customKey.queryString.exclude", 'conflicts with "include"')
    lists = [
        name for name in ("include", "exclude") if not unset(known(query, name) or {}, "lists")
    ]
    paid = [name for name in ("cookie", "header", "host", "user") if not unset(custom, name)]
    paid += [f"queryString.{name}.lists" for name in lists]
    for name in paid:
        if not has(place.plan, "enterprise"):
            where = f"{at}.customKey.{name}"
            yield not_entitled(where, "a custom cache key", "enterprise", place.plan)
