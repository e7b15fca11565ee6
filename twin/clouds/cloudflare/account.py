"""The account and its zones as they stand before the program runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from twin.protocol.resource import ApiError, Context

RECORD: Final = "cloudflare:index/dnsRecord:DnsRecord"
TUNNEL: Final = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
TUNNEL_CONFIG: Final = (
    "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig"
)


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A zone; `plan` is free, pro, business or enterprise, `addons` what was bought beside it.

    `ds_published`: its registrar publishes the zone's DS record as soon as there is one.
    """

    id: str
    name: str
    plan: str
    account_id: str
    addons: frozenset[str] = frozenset()
    ds_published: bool = True


def authorize(ctx: Context) -> None:
    """Refuse a token that is not the account's; the real API does so at the first call."""
    token = ctx.config.get("apiToken")
    if not token or token != _account(ctx).get("api_token"):
        raise ApiError(401, "cloudflare:apiToken: Authentication error (10000)")


def zones(ctx: Context) -> Iterator[Zone]:
    """Every zone that the token can see."""
    for zone in _account(ctx).get("zones", ()):
        yield Zone(
            id=zone["id"],
            name=zone["name"].lower(),
            plan=zone.get("plan", "free"),
            account_id=zone.get("account_id", ""),
            addons=frozenset(zone.get("addons", ())),
            ds_published=zone.get("ds_published", True),
        )


def zone(ctx: Context, zone_id: str) -> Zone | None:
    """A zone by its id."""
    return next((found for found in zones(ctx) if found.id == zone_id), None)


def zone_of(ctx: Context, host: str, account_id: str) -> Zone | None:
    """The zone of an account that a host name belongs to, the most specific one."""
    host = host.lower().rstrip(".")
    fitting = [
        found
        for found in zones(ctx)
        if found.account_id == account_id
        and (host == found.name or host.endswith(f".{found.name}"))
    ]
    return max(fitting, key=lambda found: len(found.name), default=None)


def require_account(ctx: Context, account_id: str) -> None:
    """403 for an account that the token has no right to."""
    if account_id not in {account["id"] for account in _account(ctx).get("accounts", ())}:
        raise ApiError(403, f'accountId "{account_id}": Authentication error (10000)')


def _account(ctx: Context) -> dict[str, Any]:
    found: dict[str, Any] = ctx.account.get("cloudflare", {})
    return found
