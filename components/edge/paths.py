"""The addresses of the service that the edge treats differently; pure data.

Webhooks and health checks come from machines: nothing may ever challenge or slow them down, and so
they are named exactly, never by a prefix that something else could be found under.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

API: Final = "/api/"
ADMIN: Final = "/admin"
ADMIN_API: Final = "/api/admin"
STATIC: Final = "/static/"
LOGIN_FORM: Final = "/login"

HEALTH: Final = ("/livez", "/readyz", "/health", "/api/health")

LOGIN: Final = ("/login", "/api/auth/login", "/api/v1/auth/login")
REGISTER: Final = ("/register", "/api/register", "/api/v1/register")
CREATE_SUBSCRIPTION: Final = ("/api/v1/payments/create-subscription",)
TRANSACTIONS: Final = ("/api/transactions", "/api/v1/transactions")


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where a payment gateway delivers, and from where; no sources: it publishes none."""

    gateway: str
    paths: tuple[str, ...]
    sources: tuple[str, ...] = ()


WEBHOOKS: Final = (
    Webhook(
        gateway="stripe",
        paths=("/webhooks/stripe",),
        # https://stripe.com/files/ips/ips_webhooks.txt, as of 2026-05-15. Stripe announces changes
        # seven days ahead on its api-announce list.
        sources=(
            "3.18.12.63",
            "3.69.109.8",
            "3.120.168.93",
            "3.130.192.231",
            "13.235.14.237",
            "13.235.122.149",
            "18.211.135.69",
            "35.154.171.200",
            "35.157.207.129",
            "52.15.183.38",
            "54.88.130.119",
            "54.88.130.237",
            "54.187.174.169",
            "54.187.205.235",
            "54.187.216.72",
        ),
    ),
    # Razorpay's page names different addresses per country and account; PayPal and Cryptomus
    # publish no fixed ones. Their sources are a setting; without it the path alone decides, and
    # the service's check of the signature.
    Webhook(
        gateway="razorpay",
        paths=(
            "/webhooks/razorpay",
            "/api/payments/webhook/razorpay",
            "/api/payments/webhook/razorpay/",
        ),
    ),
    Webhook(gateway="paypal", paths=("/webhooks/paypal",)),
    Webhook(gateway="cryptomus", paths=("/webhooks/cryptomus",)),
)

WEBHOOK_PATHS: Final = tuple(path for hook in WEBHOOKS for path in hook.paths)

MACHINES: Final = (*HEALTH, *WEBHOOK_PATHS)
"""What no limit and no challenge ever covers: whoever calls it cannot solve one."""
