"""Header transforms of requests and replies, and the managed ones.

cloudflare-docs, rules/transform: request-header-modification, response-header-modification (which
headers may not be touched; an expression that makes nothing removes the header; replies that the
edge makes itself are changed too) and managed-transforms/reference. Rules look at the values from
before the phase, whatever earlier rules of it changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from multidict import CIMultiDict

from twin.edge.body import look
from twin.edge.delivery.deployed import REPLY_HEADERS, REQUEST_HEADERS, Rule, ZoneDelivery
from twin.edge.exchange import Exchange, Reply
from twin.edge.fields import Fields

_CLOUDFLARE: Final = ("cf-", "x-cf-")
_CONNECTION: Final = {
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_REQUEST_KEPT: Final = _CONNECTION | {
    "accept-encoding",
    "x-forwarded-for",
    "x-forwarded-proto",
    "true-client-ip",
    "x-real-ip",
}
_REPLY_KEPT: Final = _CONNECTION | {"server", "eh-cache-tag", "eh-cdn-cache-control"}
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Expect-CT": "max-age=86400, enforce",
}
"""What the managed transform `add_security_headers` adds."""


def may_change(name: str, operation: str, *, reply: bool) -> bool:
    """True where a transform rule may do this to a header."""
    name = name.lower()
    if name.startswith(_CLOUDFLARE):
        return not reply and name == "cf-connecting-ip" and operation == "remove"
    if reply:
        return name not in _REPLY_KEPT
    return name not in _REQUEST_KEPT and (name != "cookie" or operation == "remove")


async def transform_request(exchange: Exchange, zone: ZoneDelivery, fields: Fields) -> None:
    """Change what the origin will see of a request."""
    for rule in _matching(zone.rules.get(REQUEST_HEADERS, ()), fields):
        _apply(rule, exchange.headers, fields, reply=False)
    managed = zone.managed
    if "remove_visitor_ip_headers" in managed:
        exchange.headers.popall("CF-Connecting-IP", None)
        exchange.headers.popall("True-Client-IP", None)
        passed = exchange.headers.get("X-Forwarded-For", "").split(",")[:-1]
        exchange.headers.popall("X-Forwarded-For", None)
        if passed:  # another CDN's address stays, the visitor's does not
            exchange.headers["X-Forwarded-For"] = passed[-1].strip()
    if "add_true_client_ip_headers" in managed:
        exchange.headers["True-Client-IP"] = exchange.visitor
    if "add_visitor_location_headers" in managed:
        exchange.headers["CF-IPCountry"] = str(fields["ip.src.country"])
        exchange.headers["CF-IPContinent"] = str(fields["ip.src.continent"])
    if "add_waf_credential_check_status_header" in managed:
        await look(exchange)
        found = _leaked(exchange, fields)
        if found:
            exchange.headers["Exposed-Credential-Check"] = found


def transform_reply(reply: Reply, zone: ZoneDelivery, fields: Fields) -> None:
    """Change what the visitor sees of a reply."""
    rules = zone.rules.get(REPLY_HEADERS, ())
    if rules:
        fields.answered(reply)
    for rule in _matching(rules, fields):
        _apply(rule, reply.headers, fields, reply=True)
    if "remove_x-powered-by_header" in zone.managed:
        reply.headers.popall("X-Powered-By", None)
    if "add_security_headers" in zone.managed:
        reply.headers.update(SECURITY_HEADERS)


def _matching(rules: tuple[Rule, ...], fields: Fields) -> list[Rule]:
    return [rule for rule in rules if rule.condition(fields)]


def _apply(rule: Rule, headers: CIMultiDict[str], fields: Fields, *, reply: bool) -> None:
    changes: Mapping[str, Mapping[str, str]] = rule.parameters.get("headers") or {}
    for name, change in changes.items():
        operation = str(change["operation"])
        if not may_change(name, operation, reply=reply):
            continue
        made = rule.texts.get(name.lower())
        value = made(fields) if made else str(change.get("value") or "")
        if operation == "remove" or (made and not value and operation == "set"):
            headers.popall(name, None)
        elif operation == "set":
            headers[name] = value
        elif operation == "add" and value:
            headers.add(name, value)


def _leaked(exchange: Exchange, fields: Fields) -> str:
    """Return the header's value: both leaked, or the password; the plan says which are told."""
    both = fields["cf.waf.credential_check.username_and_password_leaked"]
    if both and exchange.zone.plan != "free":
        return "1"
    return "4" if fields["cf.waf.credential_check.password_leaked"] else ""
