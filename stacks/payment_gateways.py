"""The payment gateways of a stack, from its settings and secrets."""

from __future__ import annotations

from components.payment_gateways import Cryptomus, PaymentGateways, Paypal, Razorpay, Stripe
from stacks.settings import Stack
from stacks.webhooks import sources


def payment_gateways(stack: Stack) -> PaymentGateways:
    """Return what the service is told; a gateway without settings is None."""
    found, secrets = stack.settings.gateways, stack.secrets
    razorpay, paypal, cryptomus = found.razorpay, found.paypal, found.cryptomus
    allowed = sources(found)
    return PaymentGateways(
        stripe=Stripe(
            secret_key=secrets.stripe_secret_key,
            webhook_secrets=secrets.stripe_webhook_secrets,
            api_base=found.stripe.api_base,
            webhook_sources=allowed["stripe"],
        ),
        razorpay=Razorpay(
            key_id=razorpay.key_id,
            key_secret=secrets.razorpay_key_secret,
            webhook_secrets=secrets.razorpay_webhook_secrets,
            checkout_script=razorpay.checkout_script,
            api_base=razorpay.api_base,
            webhook_sources=allowed["razorpay"],
        )
        if razorpay
        else None,
        paypal=Paypal(
            client_id=paypal.client_id,
            client_secret=secrets.paypal_client_secret,
            webhook_id=paypal.webhook_id,
            api_base=paypal.api_base,
            webhook_sources=allowed["paypal"],
        )
        if paypal
        else None,
        cryptomus=Cryptomus(
            merchant=cryptomus.merchant,
            api_key=secrets.cryptomus_api_key,
            api_base=cryptomus.api_base,
            webhook_sources=allowed["cryptomus"],
        )
        if cryptomus and cryptomus.enabled
        else None,
        routing=found.rules(),
    )
