"""What the zone-level types share: the zone, its plan, and what a plan may."""

from __future__ import annotations

from typing import Any, Final

from twin.clouds.cloudflare.account import Zone, zone, zones
from twin.clouds.rules import known
from twin.protocol.resource import ApiError, Context, Failure, Props

PLANS: Final = ("free", "pro", "business", "enterprise")


def plan_of(ctx: Context, inputs: Props) -> str:
    """The plan of the zone that `zoneId` names; the widest while the zone is not known.

    A zone that does not exist is refused when it is asked for (`require_zone`), not here.
    """
    found = zone(ctx, known(inputs, "zoneId") or "")
    return found.plan if found else PLANS[-1]


def addons_of(ctx: Context, inputs: Props) -> frozenset[str]:
    """What was bought for the zone that `zoneId` names, beside its plan."""
    found = zone(ctx, known(inputs, "zoneId") or "")
    return found.addons if found else frozenset()


def account_plan(ctx: Context, account_id: str) -> str:
    """The widest plan among the zones of an account: what its account-level things go by."""
    found = [PLANS.index(it.plan) for it in zones(ctx) if it.account_id == account_id]
    return PLANS[max(found, default=0)]


def has(plan: str, least: str) -> bool:
    """Whether a plan is `least` or wider."""
    return PLANS.index(plan) >= PLANS.index(least)


def require_zone(ctx: Context, zone_id: str) -> Zone:
    """The zone, 403 for one that the token has no right to."""
    found = zone(ctx, zone_id)
    if found is None:
        raise ApiError(403, f'zoneId "{zone_id}": Authentication error (10000)')
    return found


def not_entitled(property: str, value: Any, least: str, plan: str) -> Failure:
    """A value that needs a wider plan."""
    return Failure(property, f"{_shown(value)} needs the plan {least}, the zone has {plan}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
