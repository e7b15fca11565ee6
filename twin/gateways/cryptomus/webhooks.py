"""How Cryptomus tells events: to the address that an invoice names, with `sign` inside the body.

There is no event id and no time in it, so that a delivery can be replayed for ever.
"""

from __future__ import annotations

import secrets as random
from collections.abc import Sequence

from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Dialect
from twin.gateways.cryptomus.signing import php, sign

RETRIES = (2, 5, 15, 60, 300, 900, 3600, 3600)
"""Seconds after each failed attempt. How long the real gateway goes on is not published."""
ENDPOINT = "url_callback of each invoice"
"""What stands for the addresses that invoices name: its secret is the API key."""


class CryptomusDialect(Dialect):
    """Cryptomus' webhooks. A rolled secret is another API key; there is one at a time."""

    retries = RETRIES
    timeout = 10.0

    def write(
        self, event: Object, delivery: Object, secrets: Sequence[str], at: float
    ) -> tuple[str, dict[str, str]]:
        """Write the invoice's state, signed with the newest key."""
        signed = {**event["body"], "sign": sign(php(event["body"]), secrets[0])}
        return php(signed), {"Content-Type": "application/json", "User-Agent": "Cryptomus"}

    def fresh_secret(self) -> str:
        """Return a new API key."""
        return random.token_hex(64)
