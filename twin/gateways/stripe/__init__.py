"""Stripe as its client and its payers see it: the API, the hosted checkout page, the webhooks.

Everything is in the twin's store, so a restart loses nothing: not an object, not an idempotency
key, not a delivery that still waits for its next attempt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.edge.logs import note
from twin.edge.site import Site
from twin.gateways.stripe import api, sessions
from twin.gateways.stripe.api import Api
from twin.gateways.stripe.checkout import Checkout
from twin.gateways.stripe.faults import FaultBox
from twin.gateways.stripe.state import State
from twin.gateways.stripe.webhooks import Webhooks
from twin.store import Store

CHECKOUT_HOST = "checkout.stripe.localhost"
_SWEEP = 5.0
"""Seconds between looks for sessions whose time is over."""


class Stripe:
    """The simulated gateway of one account: `{"secret_key", "webhook_endpoints": [...]}`."""

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        mine = account.get("stripe", {})
        self.state = State(store)
        self.faults = FaultBox(store)
        self.webhooks = Webhooks(
            self.state, self.faults, mine.get("webhook_endpoints", []), authority
        )
        self._port = 443
        self.api = Api(self.state, self.faults, mine.get("secret_key", ""), self.checkout_url)
        self.checkout: Site = Checkout(self.state, self.webhooks, self.faults).site
        self._sweeper: asyncio.Task[None] | None = None

    def checkout_url(self) -> str:
        """Return the address of the hosted pages."""
        port = "" if self._port == 443 else f":{self._port}"
        return f"https://{CHECKOUT_HOST}{port}"

    async def start(self, port: int) -> None:
        """Begin to deliver events and to expire sessions; `port` is where browsers reach us."""
        self._port = port
        api.prune(self.state)
        await self.webhooks.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.webhooks.stop()

    async def _sweep(self) -> None:
        while True:
            self.expire_overdue()
            await asyncio.sleep(_SWEEP)

    def expire_overdue(self) -> None:
        """Expire the open sessions whose time is over."""
        now = time.time()
        for session in list(self.state.tables["session"].newest_first()):
            if session["status"] == "open" and session["expires_at"] <= now:
                with self.state.transaction():
                    sessions.expire(self.state, self.state.get("session", session["id"]))
                note(logging.INFO, "checkout session expired", session=session["id"])
