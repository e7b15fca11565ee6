"""What an action's parameters may be, action by action.

Sources, all of cloudflare-docs: waf/custom-rules/skip/options, waf/custom-rules (custom
responses), waf/managed-rules, rules/url-forwarding/single-redirects/settings, rules/transform/*,
rules/origin-rules, rules/custom-errors; what a plan lacks: plans/index.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from twin.clouds.cloudflare.rulesets import phases
from twin.clouds.cloudflare.rulesets.caching import cache_failures
from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.rulesets.headers import header_failures
from twin.clouds.cloudflare.zones import has, not_entitled
from twin.clouds.rules import items, known, listed, unset
from twin.protocol.resource import UNKNOWN, Failure

Parameters = Mapping[str, Any]

_CACHE: Final = (
    "cache edgeTtl browserTtl cacheKey serveStale respectStrongEtags originErrorPagePassthru "
    "originCacheControl readTimeout additionalCacheablePorts cacheReserve stripEtags "
    "stripLastModified stripSetCookie vary originRangeRequests"
)
_CONFIG: Final = (
    "automaticHttpsRewrites autominify bic contentConverter disableApps disableRum disableZaraz "
    "emailObfuscation fonts hotlinkProtection mirage opportunisticEncryption polish "
    "redirectsForAiTraining requestBodyBuffering responseBodyBuffering rocketLoader securityLevel "
    "serverSideExcludes ssl sxg"
)
_PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    action: frozenset(names.split())
    for action, names in {
        "block": "response",
        "challenge": "",
        "js_challenge": "",
        "managed_challenge": "",
        "log": "",
        "skip": "ruleset rulesets rules phases products",
        "execute": "id overrides matchedData",
        "redirect": "fromValue",
        "rewrite": "headers uri",
        "route": "hostHeader origin sni",
        "set_cache_settings": _CACHE,
        "set_config": _CONFIG,
        "serve_error": "content contentType statusCode assetName",
        "compress_response": "algorithms",
        "log_custom_field": "cookieFields requestFields responseFields rawResponseFields "
        "transformedRequestFields",
    }.items()
}
_NEEDED: Final = frozenset(
    {"skip", "execute", "redirect", "rewrite", "route", "set_cache_settings"}
    | {"set_config", "serve_error", "compress_response", "log_custom_field"}
)
"""Actions that do nothing without parameters."""

SKIPPABLE: Final = {
    phases.RATE_LIMIT: "free",
    phases.MANAGED: "free",
    "http_request_sbfm": "pro",
}
"""Phases that a custom rule can skip, by the plan that has them."""
_RESPONSE_LIMIT: Final = {phases.CUSTOM: 2048, phases.RATE_LIMIT: 30720}
_ERROR_LIMIT: Final = 10240
_REDIRECTS: Final = (301, 302, 303, 307, 308)


def failures(path: str, rule: Mapping[str, Any], place: Place) -> Iterator[Failure]:
    """What the API refuses of a rule's `actionParameters`."""
    action, given = known(rule, "action"), rule.get("actionParameters")
    if action is None or given is UNKNOWN or action not in _PARAMETERS:
        return
    at = f"{path}.actionParameters"
    parameters: Parameters = given or {}
    for name in parameters:
        if parameters[name] is not None and name not in _PARAMETERS[action]:
            allowed = ", ".join(sorted(_PARAMETERS[action])) or "none"
            yield Failure(f"{at}.{name}", f'is no parameter of the action "{action}" ({allowed})')
    if action in _NEEDED and not any(value is not None for value in parameters.values()):
        yield Failure(at, f'is required for the action "{action}"')
    elif check := _CHECKS.get(action):
        yield from check(at, parameters, place)


def _block(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    response = known(given, "response")
    if response is None:
        return
    if not has(place.plan, "pro"):
        yield not_entitled(f"{at}.response", "a custom response", "pro", place.plan)
    status, content = known(response, "statusCode"), known(response, "content")
    if status is not None and not 400 <= status <= 499:
        yield Failure(f"{at}.response.statusCode", f"{status} is not between 400 and 499")
    limit = _RESPONSE_LIMIT.get(place.phase, 2048)
    if content is not None and len(content.encode()) > limit:
        size = len(content.encode())
        yield Failure(f"{at}.response.content", f"has {size} bytes, {limit} is the limit")
    kinds = ("application/json", "text/html", "text/xml", "text/plain")
    kind = known(response, "contentType")
    if kind is not None and kind not in kinds:
        yield Failure(f"{at}.response.contentType", f'"{kind}" is not {listed(kinds)}')


def _skip(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    for name in ("ruleset", "phases"):
        if not unset(given, name) and not unset(given, "rulesets"):
            yield Failure(f"{at}.rulesets", f'conflicts with "{name}"; give one of them')
    for index, phase in items(given, "phases"):
        where = f"{at}.phases[{index}]"
        if place.phase != phases.CUSTOM:
            yield Failure(where, f"a rule of the phase {place.phase} cannot skip phases")
        elif phase not in SKIPPABLE:
            yield Failure(where, f'"{phase}" cannot be skipped, only {listed(SKIPPABLE)}')
        elif not has(place.plan, SKIPPABLE[phase]):
            yield not_entitled(where, phase, SKIPPABLE[phase], place.plan)
    if not unset(given, "products") and place.phase != phases.CUSTOM:
        yield Failure(f"{at}.products", f"a rule of the phase {place.phase} cannot skip products")
    named = [(f"{at}.rulesets[{i}]", id) for i, id in items(given, "rulesets")]
    named += [(f'{at}.rules["{id}"]', id) for id in known(given, "rules") or {}]
    for where, id in named:
        if place.phase == phases.CUSTOM:
            yield Failure(where, "a custom rule skips the phase http_request_firewall_managed")
        else:
            yield from _managed_failures(where, id, place)


def _managed_failures(at: str, id: str, place: Place) -> Iterator[Failure]:
    found = phases.MANAGED_RULESETS.get(id)
    if found is None:
        yield Failure(at, f'"{id}": there is no such managed ruleset')
        return
    name, plan, phase = found
    if phase != place.phase:
        yield Failure(at, f'"{id}" ({name}) is of the phase {phase}, not {place.phase}')
    elif not has(place.plan, plan):
        yield not_entitled(at, f"{id} ({name})", plan, place.plan)


def _execute(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    id = known(given, "id")
    if unset(given, "id"):
        yield Failure(f"{at}.id", 'is required for the action "execute"')
    if id is not None:
        yield from _managed_failures(f"{at}.id", id, place)
    if not unset(given, "matchedData") and not has(place.plan, "enterprise"):
        yield not_entitled(f"{at}.matchedData", "payload logging", "enterprise", place.plan)
    overrides = known(given, "overrides") or {}
    for index, entry in items(overrides, "rules"):
        where = f"{at}.overrides.rules[{index}]"
        score = known(entry, "scoreThreshold")
        if score is not None and id is not None and id != phases.OWASP:
            yield Failure(f"{where}.scoreThreshold", "is for the OWASP ruleset's scoring rule")
        elif score is not None and score < 1:
            yield Failure(f"{where}.scoreThreshold", f"{score} is not at least 1")
        yield from _override(where, entry, place)
    for index, entry in items(overrides, "categories"):
        yield from _override(f"{at}.overrides.categories[{index}]", entry, place)
    yield from _override(f"{at}.overrides", overrides, place)


def _override(at: str, entry: Mapping[str, Any], place: Place) -> Iterator[Failure]:
    action, allowed = known(entry, "action"), ("block", "log", *sorted(phases.CHALLENGES))
    if action is not None and action not in allowed:
        yield Failure(f"{at}.action", f'"{action}" is not {listed(allowed)}')
    if known(entry, "sensitivityLevel") is not None and place.phase != "ddos_l7":
        yield Failure(f"{at}.sensitivityLevel", "is for the phase ddos_l7 only")


def _redirect(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    value = known(given, "fromValue")
    if value is None:
        return
    target = known(value, "targetUrl") or {}
    where = f"{at}.fromValue.targetUrl"
    yield from place.failures(f"{where}.expression", target.get("expression"), value=True)
    url = known(target, "value")
    if url is not None and not _is_target(url):
        yield Failure(f"{where}.value", f'"{url}" is neither an http(s) URL nor a path')
    status = known(value, "statusCode")
    if status is not None and status not in _REDIRECTS:
        yield Failure(f"{at}.fromValue.statusCode", f"{status} is not {listed(_REDIRECTS)}")


def _is_target(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    return url.startswith("/")


def _rewrite(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    wanted, other = ("uri", "headers") if place.phase == phases.URL_REWRITE else ("headers", "uri")
    if not unset(given, other):
        yield Failure(f"{at}.{other}", f"the phase {place.phase} rewrites {wanted} only")
    if wanted == "headers":
        yield from header_failures(f"{at}.headers", known(given, "headers"), place)
        return
    uri = known(given, "uri") or {}
    for part in ("path", "query"):
        new = known(uri, part) or {}
        yield from place.failures(f"{at}.uri.{part}.expression", new.get("expression"), value=True)
        text = known(new, "value")
        if part == "path" and text is not None and not text.startswith("/"):
            yield Failure(f"{at}.uri.path.value", f'"{text}" must start with /')


def _route(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    origin = known(given, "origin") or {}
    for name, value in (
        ("hostHeader", given.get("hostHeader")),
        ("sni", given.get("sni")),
        ("origin.host", origin.get("host")),
    ):
        if value is not None and not has(place.plan, "enterprise"):
            yield not_entitled(f"{at}.{name}", "an override", "enterprise", place.plan)
    port = known(origin, "port")
    if port is not None and not 1 <= port <= 65535:
        yield Failure(f"{at}.origin.port", f"{port} is not between 1 and 65535")


def _config(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    for name in ("polish", "mirage"):
        if not unset(given, name) and not has(place.plan, "pro"):
            yield not_entitled(f"{at}.{name}", name, "pro", place.plan)
    if known(given, "ssl") == "origin_pull" and not has(place.plan, "enterprise"):
        yield not_entitled(f"{at}.ssl", "origin_pull", "enterprise", place.plan)
    if known(given, "securityLevel") == "off" and not has(place.plan, "enterprise"):
        yield not_entitled(f"{at}.securityLevel", "off", "enterprise", place.plan)


def _serve_error(at: str, given: Parameters, place: Place) -> Iterator[Failure]:
    status, content = known(given, "statusCode"), known(given, "content")
    if status is not None and not 400 <= status <= 999:
        yield Failure(f"{at}.statusCode", f"{status} is not between 400 and 999")
    if unset(given, "content") == unset(given, "assetName"):
        yield Failure(f"{at}.content", "needs one of content and assetName")
    if content is not None and len(content.encode()) > _ERROR_LIMIT:
        size = len(content.encode())
        yield Failure(f"{at}.content", f"has {size} bytes, {_ERROR_LIMIT} is the limit")


_CHECKS: Final[Mapping[str, Callable[[str, Parameters, Place], Iterator[Failure]]]] = {
    "block": _block,
    "skip": _skip,
    "execute": _execute,
    "redirect": _redirect,
    "rewrite": _rewrite,
    "route": _route,
    "set_cache_settings": cache_failures,
    "set_config": _config,
    "serve_error": _serve_error,
}
