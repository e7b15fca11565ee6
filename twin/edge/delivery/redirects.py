"""Redirects: plain HTTP to HTTPS, and the zone's single redirects.

cloudflare-docs: ssl/edge-certificates/additional-options/always-use-https (301 for every method);
rules/url-forwarding/single-redirects/settings. The twin's port on the laptop is not 443: a redirect
within its zones keeps the port that the visitor came by, which production does not have.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from multidict import CIMultiDict

from twin.edge.delivery.deployed import REDIRECTS, Rule, ZoneDelivery
from twin.edge.exchange import Exchange, Reply
from twin.edge.fields import Fields
from twin.edge.routes import Routes

DEFAULT_STATUS: Final = 301


def to_https(exchange: Exchange) -> Reply:
    """Return the redirect to the same address by HTTPS."""
    # Not the normalised path: it is the visitor's own request that is asked for again.
    return _redirect(301, f"https://{exchange.request.headers['Host'].strip()}{exchange.target}")


def single(
    exchange: Exchange, zone: ZoneDelivery, fields: Fields, routes: Routes
) -> tuple[Rule, Reply] | None:
    """Return the first redirect that matches, with its rule."""
    for rule in zone.rules.get(REDIRECTS, ()):
        if not rule.condition(fields):
            continue
        value = rule.parameters["fromValue"]
        made = rule.texts.get("target")
        target = made(fields) if made else str(value["targetUrl"]["value"])
        query = exchange.target.partition("?")[2]
        if value.get("preserveQueryString") and query:
            target += ("&" if "?" in target else "?") + query
        status = int(value.get("statusCode") or DEFAULT_STATUS)
        return rule, _redirect(status, _with_port(target, exchange, routes))
    return None


def _redirect(status: int, location: str) -> Reply:
    return Reply(status=status, headers=CIMultiDict({"Location": location}))


def _with_port(target: str, exchange: Exchange, routes: Routes) -> str:
    came_by = exchange.request.headers["Host"].strip().rpartition(":")
    parts = urlsplit(target)
    if not came_by[1] or parts.port or parts.scheme not in ("http", "https"):
        return target
    if parts.hostname is None or routes.zone(parts.hostname.lower()) is None:
        return target
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{came_by[2]}"))
