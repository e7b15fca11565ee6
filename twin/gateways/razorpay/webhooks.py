"""How Razorpay tells events (razorpay.com/docs/webhooks, read 2026-11).

The signature covers the body alone: neither the event's id, a header, nor a time. What was not
taken within 5 s is tried again for 24 hours, signed with the secret of its first day; then the
webhook is disabled, and nothing more is sent until a person enables it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets as random
from collections.abc import Sequence

from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Dialect

RETRIES = (2, 5, 15, 60, 300, 900, 1800, 3600, *[3600 * 3] * 6, 3600 * 4 + 500)
"""Seconds after each failed attempt: 24 hours in all."""


class RazorpayDialect(Dialect):
    """Razorpay's webhooks."""

    retries = RETRIES
    timeout = 5.0
    keeps_secrets = True
    disables = True

    def write(
        self, event: Object, delivery: Object, secrets: Sequence[str], at: float
    ) -> tuple[str, dict[str, str]]:
        """Write the event; one secret signs, the newest: Razorpay knows no overlap."""
        payload = json.dumps(event["body"], separators=(",", ":"), ensure_ascii=False)
        return payload, {
            "Content-Type": "application/json",
            "User-Agent": "Razorpay-Webhook/v1",
            "X-Razorpay-Event-Id": event["id"],
            "X-Razorpay-Signature": sign(payload, secrets[0]) if secrets else "",
        }

    def fresh_secret(self) -> str:
        """Return a secret as a person might choose it: Razorpay makes none."""
        return random.token_urlsafe(24)


def sign(text: str, secret: str) -> str:
    """Return a signature: HMAC-SHA256, in hex. That of a payment is over `order|payment`."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
