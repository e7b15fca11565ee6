"""The payment gateways as the service is told of them: accounts, addresses, rules. Data only.

Each writes its own part of the environment (`app/payments/gateways/config.py` reads it). An address
(`api_base`) is given only where something stands in for the gateway; `webhook_sources`, where its
deliveries come from (empty: anywhere), the edge is told as well. A gateway that the stack does not
have is None, and the service does not offer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

Variables = dict[str, pulumi.Input[str]]


def _given(variables: Mapping[str, pulumi.Input[str] | None]) -> Variables:
    return {name: value for name, value in variables.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Stripe:
    """The Stripe account."""

    secret_key: pulumi.Input[str]
    webhook_secrets: pulumi.Input[str]
    api_base: str | None = None
    webhook_sources: Sequence[str] = ()

    def variables(self) -> Variables:
        """As environment variables."""
        return _given(
            {
                "PAYMENTS_STRIPE_SECRET_KEY": self.secret_key,
                "PAYMENTS_STRIPE_WEBHOOK_SECRETS": self.webhook_secrets,
                "PAYMENTS_STRIPE_API_BASE": self.api_base,
                "PAYMENTS_STRIPE_WEBHOOK_SOURCES": ",".join(self.webhook_sources) or None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Razorpay:
    """The Razorpay account."""

    key_id: str
    key_secret: pulumi.Input[str]
    webhook_secrets: pulumi.Input[str]
    checkout_script: str | None = None
    api_base: str | None = None
    webhook_sources: Sequence[str] = ()

    def variables(self) -> Variables:
        """As environment variables."""
        return _given(
            {
                "PAYMENTS_RAZORPAY_KEY_ID": self.key_id,
                "PAYMENTS_RAZORPAY_KEY_SECRET": self.key_secret,
                "PAYMENTS_RAZORPAY_WEBHOOK_SECRETS": self.webhook_secrets,
                "PAYMENTS_RAZORPAY_CHECKOUT_SCRIPT": self.checkout_script,
                "PAYMENTS_RAZORPAY_API_BASE": self.api_base,
                "PAYMENTS_RAZORPAY_WEBHOOK_SOURCES": ",".join(self.webhook_sources) or None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Paypal:
    """The PayPal application. Without a webhook's id it can deliver nothing."""

    client_id: str
    client_secret: pulumi.Input[str]
    webhook_id: str | None = None
    api_base: str | None = None
    webhook_sources: Sequence[str] = ()

    def variables(self) -> Variables:
        """As environment variables."""
        return _given(
            {
                "PAYMENTS_PAYPAL_CLIENT_ID": self.client_id,
                "PAYMENTS_PAYPAL_CLIENT_SECRET": self.client_secret,
                "PAYMENTS_PAYPAL_WEBHOOK_ID": self.webhook_id,
                "PAYMENTS_PAYPAL_API_BASE": self.api_base,
                "PAYMENTS_PAYPAL_WEBHOOK_SOURCES": ",".join(self.webhook_sources) or None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Cryptomus:
    """The Cryptomus merchant; that it exists means that it was turned on."""

    merchant: str
    api_key: pulumi.Input[str]
    api_base: str | None = None
    webhook_sources: Sequence[str] = ()

    def variables(self) -> Variables:
        """As environment variables."""
        return _given(
            {
                "PAYMENTS_CRYPTOMUS_ENABLED": "true",
                "PAYMENTS_CRYPTOMUS_MERCHANT": self.merchant,
                "PAYMENTS_CRYPTOMUS_API_KEY": self.api_key,
                "PAYMENTS_CRYPTOMUS_API_BASE": self.api_base,
                "PAYMENTS_CRYPTOMUS_WEBHOOK_SOURCES": ",".join(self.webhook_sources) or None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class PaymentGateways:
    """All that this stack has. `routing`: the rules as JSON, where there are any."""

    stripe: Stripe
    razorpay: Razorpay | None = None
    paypal: Paypal | None = None
    cryptomus: Cryptomus | None = None
    routing: str | None = None

    def variables(self) -> Variables:
        """As environment variables."""
        found: Variables = {}
        for gateway in (self.stripe, self.razorpay, self.paypal, self.cryptomus):
            if gateway is not None:
                found |= gateway.variables()
        return found | _given({"PAYMENTS_ROUTING": self.routing})
