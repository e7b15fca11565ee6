"""Payment gateways: their settings, and the rules between them, their secrets and the environment.

Real and pretended money never share a stack: production has live accounts only, every other
environment none. What a key says of itself is believed; PayPal's and Cryptomus's say nothing, there
the address decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from stacks.settings_problems import HIDDEN, NOT_SET, Problem, show
from stacks.settings_values import Section, WebhookSource

if TYPE_CHECKING:
    from stacks.settings_model import Settings

ADDRESS: Final = r"^https://[a-z0-9.-]+(:\d+)?$"
SANDBOX: Final = "https://api-m.sandbox.paypal.com"

STRIPE_KEY: Final = "payments:stripe-secret-key"
RAZORPAY_SECRET: Final = "payments:razorpay-key-secret"  # noqa: S105  (a setting's name)
STRIPE_WEBHOOKS: Final = "payments:stripe-webhook-secrets"
RAZORPAY_WEBHOOKS: Final = "payments:razorpay-webhook-secrets"
PAYPAL_SECRET: Final = "payments:paypal-client-secret"  # noqa: S105
CRYPTOMUS_KEY: Final = "payments:cryptomus-api-key"

END: Final = ";until="
"""Between a webhook secret and its end, as `payments.gateways.secrets` reads them."""

Amount = Annotated[int, Field(ge=0)]


class Gateway(Section):
    """What every gateway has: where its API answers, when not at its own address, and who delivers.

    `webhook_sources`: deliveries from elsewhere are refused, at the edge and by the service. Left
    out, Stripe's are the addresses that it publishes; the others publish none to rely on.
    """

    api_base: str | None = Field(default=None, pattern=ADDRESS)
    webhook_sources: tuple[WebhookSource, ...] = Field(default=(), examples=[["198.51.100.7/32"]])


class Stripe(Gateway):
    """The Stripe account: its keys are secrets."""


class Razorpay(Gateway):
    """The Razorpay account."""

    key_id: str = Field(
        pattern=r"^rzp_(live|test)_[A-Za-z0-9]+$", examples=["rzp_test_1DP5mmOlF5G5ag"]
    )
    checkout_script: str | None = Field(default=None, pattern=r"^https://[a-z0-9.:-]+/[^?#;,\s]+$")


class Paypal(Gateway):
    """The PayPal application. `webhook_id` is shown where its webhook was made."""

    client_id: str = Field(pattern=r"^[A-Za-z0-9_-]{20,100}$", examples=["A" * 80])
    webhook_id: str | None = Field(
        default=None, pattern=r"^[A-Z0-9]{1,50}$", examples=["8PT597110X687430L"]
    )


class Cryptomus(Gateway):
    """The Cryptomus merchant; off unless `enabled` says otherwise.

    Who runs it was fined CAD 177 million by FINTRAC, Canada's authority against money laundering,
    on 2025-10-16: turning it on is a decision.
    """

    enabled: bool = False
    merchant: str = Field(
        pattern=r"^[0-9a-f-]{36}$", examples=["8b03432e-385b-4670-8d06-064591096795"]
    )


class Route(Section):
    """One rule: what it covers (left out: all), and which gateways take it, in this order.

    Amounts are minor units of the one currency that is named then.
    """

    currencies: tuple[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], ...] | None = None
    kinds: tuple[Literal["purchase", "top_up"], ...] | None = None
    least: Amount | None = None
    most: Amount | None = None
    gateways: tuple[Literal["stripe", "razorpay", "paypal", "cryptomus"], ...] = Field(
        min_length=1, examples=[["stripe", "paypal"]]
    )


class Gateways(Section):
    """The payment gateways; one that has no settings here is not offered."""

    stripe: Stripe = Stripe()
    razorpay: Razorpay | None = None
    paypal: Paypal | None = None
    cryptomus: Cryptomus | None = None
    routing: tuple[Route, ...] = ()

    def offered(self) -> dict[str, Gateway]:
        """The gateways that this stack has, by name."""
        named = {
            "stripe": self.stripe,
            "razorpay": self.razorpay,
            "paypal": self.paypal,
            "cryptomus": _on(self.cryptomus),
        }
        return {name: section for name, section in named.items() if section is not None}

    def rules(self) -> str | None:
        """The routing as the service reads it."""
        rows = [route.model_dump(exclude_none=True) for route in self.routing]
        return json.dumps(rows) if rows else None


def gateways(s: Settings) -> Iterator[Problem]:
    """What is wrong by the settings alone."""
    yield from _addresses(s)
    yield from _modes(s)
    yield from _routes(s)


def secrets(s: Settings, values: Mapping[str, str]) -> Iterator[Problem]:
    """A live key moves real money; and a gateway with settings needs its secret."""
    wanted = _wanted(s)
    mode = re.match(r"(?:sk|rk)_(live|test)_", values.get(STRIPE_KEY, ""))
    if mode and mode[1] != wanted:
        yield Problem(
            field=STRIPE_KEY,
            value=f"sk_{mode[1]}_...",
            reason=f"a {mode[1]} key in the environment {s.environment}",
            remedy=f"store a {wanted} key: pulumi config set --secret {STRIPE_KEY}",
        )
    yield from _ends(values)
    needs = (
        (s.gateways.razorpay, "razorpay", RAZORPAY_SECRET),
        (s.gateways.paypal, "paypal", PAYPAL_SECRET),
        (_on(s.gateways.cryptomus), "cryptomus", CRYPTOMUS_KEY),
    )
    for section, name, key in needs:
        if section is not None and not values.get(key):
            yield Problem(
                field=key,
                value=NOT_SET if key not in values else HIDDEN,
                reason=f"gateways.{name} asks for this",
                remedy=f"pulumi config set --secret {key}, or remove gateways.{name}",
            )


def _ends(values: Mapping[str, str]) -> Iterator[Problem]:
    """What the service would refuse to start with: ends of webhook secrets."""
    for key in (STRIPE_WEBHOOKS, RAZORPAY_WEBHOOKS):
        given = [part.strip() for part in values.get(key, "").split(",") if part.strip()]
        ends = [part.partition(END)[2] if END in part else None for part in given]
        wrong = [n for n, end in enumerate(ends, 1) if end is not None and not _is_moment(end)]
        if wrong:
            yield Problem(
                field=key,
                value=HIDDEN,
                reason=f"number {wrong[0]} has an end that is no time with its zone",
                remedy=f"write it as secret{END}2026-12-31T00:00:00Z",
            )
        elif ends and None not in ends:
            yield Problem(
                field=key,
                value=HIDDEN,
                reason="each of them has an end: after the last, every delivery would be refused",
                remedy="add the secret that is to hold from then on, without an end",
            )


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _on(section: Cryptomus | None) -> Cryptomus | None:
    return section if section is not None and section.enabled else None


def _wanted(s: Settings) -> str:
    return "live" if s.environment == "production" else "test"


def _addresses(s: Settings) -> Iterator[Problem]:
    if s.environment != "production":
        return
    found = s.gateways
    for name, title, address in (
        ("stripe.api-base", "Stripe", found.stripe.api_base),
        ("razorpay.api-base", "Razorpay", found.razorpay and found.razorpay.api_base),
        (
            "razorpay.checkout-script",
            "Razorpay",
            found.razorpay and found.razorpay.checkout_script,
        ),
        ("paypal.api-base", "PayPal", found.paypal and found.paypal.api_base),
        ("cryptomus.api-base", "Cryptomus", found.cryptomus and found.cryptomus.api_base),
    ):
        if address:
            yield _problem(
                name,
                address,
                f"production's payments would go to another server than {title}'s",
                f"remove gateways.{name}",
            )


def _modes(s: Settings) -> Iterator[Problem]:
    """The accounts' modes, as far as the settings tell (`secrets` has Stripe's)."""
    found, wanted = s.gateways, _wanted(s)
    if found.razorpay is not None and not found.razorpay.key_id.startswith(f"rzp_{wanted}_"):
        yield _problem(
            "razorpay.key-id",
            found.razorpay.key_id,
            f"it is no {wanted} key, in the environment {s.environment}",
            f"use a key whose id begins with rzp_{wanted}_, and its secret",
        )
    if wanted == "live":
        return
    if found.paypal is not None and found.paypal.api_base in (None, "https://api-m.paypal.com"):
        yield _problem(
            "paypal.api-base",
            found.paypal.api_base,
            f"PayPal's own address moves real money, in the environment {s.environment}",
            f"set gateways.paypal.api-base to {SANDBOX}, with the sandbox's client",
        )
    merchant = _on(found.cryptomus)
    if merchant is not None and merchant.api_base in (None, "https://api.cryptomus.com"):
        yield _problem(
            "cryptomus.api-base",
            merchant.api_base,
            f"Cryptomus has no test mode: it moves real money, in the environment {s.environment}",
            "remove gateways.cryptomus, or name what stands in for it",
        )


def _routes(s: Settings) -> Iterator[Problem]:
    found = s.gateways
    offered = found.offered()
    for number, route in enumerate(found.routing):
        field = f"routing.{number}"
        missing = [name for name in route.gateways if name not in offered]
        if missing:
            yield _problem(
                f"{field}.gateways",
                missing,
                "this stack does not have them, so the rule would send payments nowhere",
                f"name some of {', '.join(sorted(offered))}, or add gateways.{missing[0]}",
            )
        amounts = [amount for amount in (route.least, route.most) if amount is not None]
        if amounts and len(route.currencies or ()) != 1:
            yield _problem(
                f"{field}.currencies",
                route.currencies,
                "least and most are minor units, which mean nothing without one currency",
                "name exactly one currency beside least and most",
            )
        if len(amounts) == 2 and amounts[0] > amounts[1]:
            yield _problem(
                f"{field}.least",
                amounts[0],
                f"it is above most={amounts[1]}: the rule covers nothing",
                "swap the two",
            )


def _problem(name: str, value: object, reason: str, remedy: str) -> Problem:
    return Problem(
        field=f"payments:gateways.{name}",
        value=NOT_SET if value is None else show(value),
        reason=reason,
        remedy=remedy,
    )
