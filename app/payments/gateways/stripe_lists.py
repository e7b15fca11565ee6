"""Stripe's lists: a period of one, and the disputes of an account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Any, Final

import stripe
from stripe import StripeClient

from payments.gateways import stripe_events
from payments.gateways.protocol import GatewayRefusedError, ListedDispute, Unreadable
from payments.gateways.reading import documented, row

PAGE_SIZE: Final = 100

Call = Callable[[], AbstractAsyncContextManager[None]]


def between(since: datetime, until: datetime) -> Any:
    """Return the filter of what was created in `[since, until)`."""
    return {"gte": int(since.timestamp()), "lt": int(until.timestamp())}


async def first(call: Call, ask: Callable[[], Awaitable[Any]], most: int) -> AsyncIterator[Any]:
    """Yield what a list has, at most `most`.

    Each page is a call by itself: who is given a row may make calls of his own.
    """
    seen = 0
    async with call():
        page = await ask()
    while True:
        for one in page.data:
            if seen >= most:
                return
            seen += 1
            yield one
        if not page.has_more:
            return
        async with call():
            page = await page.next_page_async()


class StripeDisputes:
    """The disputes of an account; a list tells when they began, not when they changed."""

    def __init__(self, client: StripeClient, call: Call) -> None:
        self._disputes = client.v1.disputes
        self._call = call

    async def changed(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedDispute | Unreadable]:
        """Yield those that began in a period, newest first."""
        ask = partial(
            self._disputes.list_async,
            {"created": between(since, until), "limit": min(most, PAGE_SIZE)},
        )
        async for one in first(self._call, ask, most):
            yield row(one.to_dict(), stripe_events.listed_dispute, name="id")

    async def find(self, dispute_ref: str) -> ListedDispute | None:
        """Retrieve one."""
        try:
            async with self._call():
                found = await self._disputes.retrieve_async(dispute_ref)
        except GatewayRefusedError as error:
            if error.code == "resource_missing":
                return None
            raise
        with documented():
            return stripe_events.listed_dispute(found.to_dict())

    async def beside(self, charge: stripe.Charge) -> dict[str, Any]:
        """Return a charge with its disputes, which Stripe charges for, under `disputes`."""
        whole = charge.to_dict()
        if whole.get("disputed"):
            async with self._call():
                found = await self._disputes.list_async({"charge": charge.id, "limit": PAGE_SIZE})
            whole["disputes"] = [one.to_dict() for one in found.data]
        return whole
