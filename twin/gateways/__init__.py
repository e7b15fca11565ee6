"""The payment gateways, simulated: each a dialect over what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.gateways.common.gateway import Gateway
from twin.gateways.cryptomus import Cryptomus
from twin.gateways.paypal import PayPal
from twin.gateways.razorpay import Razorpay
from twin.gateways.stripe import Stripe
from twin.store import Store


class Gateways:
    """The gateways of an account, by name."""

    def __init__(self, store: Store, account: Mapping[str, Any], authority: Path) -> None:
        self.stripe = Stripe(store, account, authority)
        self.razorpay = Razorpay(store, account, authority)
        self.paypal = PayPal(store, account, authority)
        self.cryptomus = Cryptomus(store, account, authority)
        every = (self.stripe, self.razorpay, self.paypal, self.cryptomus)
        self.all: Mapping[str, Gateway] = {each.name: each for each in every}

    async def start(self, port: int) -> None:
        """Begin to deliver events; `port` is where browsers reach the pages."""
        for gateway in self.all.values():
            await gateway.start(port)

    async def stop(self) -> None:
        """Stop those that run."""
        for gateway in self.all.values():
            await gateway.stop()
