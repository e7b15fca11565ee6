"""The gateways' keys: made once, kept, and the same for the twin and for the stack."""

from __future__ import annotations

import re

from tools import gateways

SITE = "https://pay.example:8443"


def test_keys_are_made_once_and_kept_wherever_the_site_moves() -> None:
    first = gateways.accounts({}, SITE)
    assert gateways.accounts(first, SITE) == first
    moved = gateways.accounts(first, "https://pay.example:9443")
    assert moved["paypal"]["webhook_url"] == "https://pay.example:9443/webhooks/paypal"
    (hook,) = moved["razorpay"]["webhook_endpoints"]
    assert hook["url"] == "https://pay.example:9443/api/payments/webhook/razorpay/"
    assert gateways.stack_secrets(moved) == gateways.stack_secrets(first)
    assert gateways.accounts({}, SITE) != first, "another instance has other keys"


def test_keys_look_like_the_gateways_own() -> None:
    made = gateways.accounts({}, SITE)
    assert re.fullmatch(r"rzp_test_\w{14}", made["razorpay"]["key_id"])
    assert re.fullmatch(r"[A-Z0-9]{17}", made["paypal"]["webhook_id"])
    assert re.fullmatch(r"[0-9a-f-]{36}", made["cryptomus"]["merchant"])


def test_the_stack_is_told_what_the_twin_knows() -> None:
    made = gateways.accounts({}, SITE)
    told = gateways.settings(made, 8443)
    assert told["razorpay"]["key-id"] == made["razorpay"]["key_id"]
    assert told["razorpay"]["checkout-script"] == (
        "https://checkout.razorpay.localhost:8443/v1/checkout.js"
    )
    assert gateways.settings(made, 443)["razorpay"]["checkout-script"].endswith(
        ".localhost/v1/checkout.js"
    )
    assert told["paypal"]["webhook-id"] == made["paypal"]["webhook_id"]
    secrets = gateways.stack_secrets(made)
    text = str(told)
    assert not any(value in text for value in secrets.values()), "no secret among the settings"
    assert set(secrets) == {
        "payments:razorpay-key-secret",
        "payments:razorpay-webhook-secrets",
        "payments:paypal-client-secret",
        "payments:cryptomus-api-key",
    }
