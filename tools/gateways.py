"""The keys of the gateways that the twin simulates, made once for an instance and kept."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_LETTERS = string.ascii_letters + string.digits
STRIPE_API = "api.stripe.test"
RAZORPAY_API, RAZORPAY_CHECKOUT = "api.razorpay.test", "checkout.razorpay.localhost"
PAYPAL_API = "api-m.paypal.test"
CRYPTOMUS_API = "api.cryptomus.test"
RAZORPAY_PATH = "/api/payments/webhook/razorpay/"
PAYPAL_PATH = "/webhooks/paypal"
"""Where the service takes their events. Cryptomus is told with each invoice."""


def accounts(kept: Mapping[str, Any], site: str) -> Json:
    """Return the accounts for account.json: with the keys that were kept, or with new ones."""
    old = {name: kept.get(name) or {} for name in ("razorpay", "paypal", "cryptomus")}
    hook = (old["razorpay"].get("webhook_endpoints") or [{}])[0]
    return {
        "razorpay": {
            "key_id": old["razorpay"].get("key_id") or "rzp_test_" + letters(14),
            "key_secret": old["razorpay"].get("key_secret") or letters(24),
            "webhook_endpoints": [
                {"url": site + RAZORPAY_PATH, "secret": hook.get("secret") or letters(32)}
            ],
        },
        "paypal": {
            "client_id": old["paypal"].get("client_id") or "A" + letters(79),
            "client_secret": old["paypal"].get("client_secret") or "E" + letters(79),
            "webhook_id": old["paypal"].get("webhook_id")
            or letters(17, string.ascii_uppercase + string.digits),
            "webhook_url": site + PAYPAL_PATH,
        },
        "cryptomus": {
            "merchant": old["cryptomus"].get("merchant") or str(uuid.uuid4()),
            "api_key": old["cryptomus"].get("api_key") or letters(128),
        },
    }


def settings(found: Mapping[str, Any], port: int) -> Json:
    """Return `payments:gateways` for the local stack."""
    suffix = "" if port == 443 else f":{port}"
    return {
        "stripe": {"api-base": f"https://{STRIPE_API}"},
        "razorpay": {
            "key-id": found["razorpay"]["key_id"],
            "api-base": f"https://{RAZORPAY_API}",
            "checkout-script": f"https://{RAZORPAY_CHECKOUT}{suffix}/v1/checkout.js",
        },
        "paypal": {
            "client-id": found["paypal"]["client_id"],
            "webhook-id": found["paypal"]["webhook_id"],
            "api-base": f"https://{PAYPAL_API}",
        },
        "cryptomus": {
            "enabled": True,  # off by default; what stands in for it is nobody's money
            "merchant": found["cryptomus"]["merchant"],
            "api-base": f"https://{CRYPTOMUS_API}",
        },
    }


def stack_secrets(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the stack's secrets."""
    return {
        "payments:razorpay-key-secret": found["razorpay"]["key_secret"],
        "payments:razorpay-webhook-secrets": found["razorpay"]["webhook_endpoints"][0]["secret"],
        "payments:paypal-client-secret": found["paypal"]["client_secret"],
        "payments:cryptomus-api-key": found["cryptomus"]["api_key"],
    }


def letters(count: int, alphabet: str = _LETTERS) -> str:
    """Return so many random letters and digits."""
    return "".join(secrets.choice(alphabet) for _ in range(count))
