"""How Stripe tells events: the event itself, signed with each secret that is active.

The real gateway retries for three days with growing pauses (docs.stripe.com/webhooks); the first
pauses are shorter here, so that a person at a laptop sees the next attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets as random
from collections.abc import Sequence

from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Dialect

RETRIES = (2, 5, 15, 60, 300, 1800, 3600 * 2, *[3600 * 5] * 13)
"""Seconds after each failed attempt; after the last, three days on, the delivery has failed."""
_USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


def sign(payload: str, keys: Sequence[str], timestamp: int) -> str:
    """Return the Stripe-Signature header: one `v1` for each secret that is active."""
    message = f"{timestamp}.{payload}".encode()
    signatures = [hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in keys]
    # Test mode sends a `v0` as well, which receivers must ignore.
    fake = hmac.new(b"v0", message, hashlib.sha256).hexdigest()
    parts = [f"t={timestamp}", *(f"v1={each}" for each in signatures), f"v0={fake}"]
    return ",".join(parts)


class StripeDialect(Dialect):
    """Stripe's webhooks. A rolled secret signs beside the new one while it lasts."""

    retries = RETRIES

    def write(
        self, event: Object, delivery: Object, secrets: Sequence[str], at: float
    ) -> tuple[str, dict[str, str]]:
        """Write the event as the API shows it."""
        payload = json.dumps(event, indent=2, ensure_ascii=False)
        return payload, {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": _USER_AGENT,
            "Accept": "*/*; q=0.5, application/xml",
            "Cache-Control": "no-cache",
            "Stripe-Signature": sign(payload, secrets, int(at)),
        }

    def fresh_secret(self) -> str:
        """Return a new signing secret."""
        return "whsec_" + random.token_hex(16)
