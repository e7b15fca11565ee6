"""The paywall: what a customer's subscriptions open, now.

Read from the database, through a copy in the cache that every change makes worthless and that says
itself until when it holds: nothing in it outlives what was paid. Without the cache the database is
asked; without either the door stays closed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from sqlalchemy import select

from payments import cache
from payments.errors import ProblemError
from payments.resources import Resources
from payments.security import CurrentPrincipal
from payments.subscriptions.models import Subscription
from payments.subscriptions.periods import DUNNING
from payments.subscriptions.plans import PLANS

COPY_SECONDS: Final = 60
GRACE: Final[dict[str, timedelta]] = {
    # Until the worker has renewed it, which takes it seconds.
    "trialing": timedelta(hours=1),
    "active": timedelta(hours=1),
    # Two retries.
    "past_due": DUNNING[0] + DUNNING[1],
    "paused": timedelta(),
}
"""How long after the end of its period a subscription in a status still opens what it did; in the
others it opens nothing."""


class SubscriptionNeededError(ProblemError):
    """What is asked for belongs to a plan that the customer does not have."""

    status, code, title = 402, "subscription_needed", "This needs a subscription."


async def features(
    resources: Resources, customer_id: UUID, *, now: datetime | None = None
) -> frozenset[str]:
    """Return what is open to a customer now."""
    moment = (now or datetime.now(UTC)).timestamp()

    async def load() -> list[Any]:
        async with resources.database.transaction() as session:
            rows = await session.execute(
                select(Subscription).where(
                    Subscription.customer_id == customer_id, Subscription.status.in_(GRACE)
                )
            )
            return [[row.plan, _until(row)] for row in rows.scalars()]

    copy = f"subscriptions:{customer_id}"
    held = await cache.copied(resources.cache, copy, load, seconds=COPY_SECONDS)
    opened = [PLANS[plan].features for plan, until in held if plan in PLANS and moment < until]
    return frozenset().union(*opened)


def _until(row: Subscription) -> float:
    """Return until when a subscription opens its features, in seconds since the epoch."""
    if row.period_end is None:
        return 0.0
    grace = timedelta() if row.cancel_at_end else GRACE[row.status]
    return (row.period_end + grace).timestamp()


class RequireFeature:
    """A dependency that lets only those pass whose subscription opens a feature."""

    def __init__(self, feature: str) -> None:
        self.feature = feature

    async def __call__(self, request: Request, principal: CurrentPrincipal) -> None:
        """End the request with 402 where the feature is not open."""
        resources: Resources = request.app.state.resources
        if self.feature not in await features(resources, principal.id):
            raise SubscriptionNeededError(f"It belongs to a plan with {self.feature!r}.")
