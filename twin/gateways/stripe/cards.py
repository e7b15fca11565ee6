"""The test cards and what each does (docs.stripe.com/testing). No card number is ever kept."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Decline:
    """Why an issuer refuses; the texts are the API's."""

    code: str
    decline_code: str | None
    message: str
    seller_message: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is kept of a card."""

    brand: str
    last4: str
    exp_month: int = 12
    exp_year: int = 2034
    decline: Decline | None = None
    later: Decline | None = None
    """Why it is refused when it was saved and is charged without its holder."""
    authenticate: bool = False
    refunds: str = "succeeded"
    """How a refund to it goes: `succeeded`, `pending` and then so, or so and then `failed`."""
    dispute: str | None = None
    """Why its charges are disputed soon after."""

    def blocked(self) -> Card:
        """Return the card after its bank blocked it."""
        return replace(self, decline=_GENERIC, later=_GENERIC)


_GENERIC = Decline(
    code="card_declined",
    decline_code="generic_decline",
    message="Your card was declined.",
    seller_message="The bank did not return any further details with this decline.",
)
_FUNDS = Decline(
    code="card_declined",
    decline_code="insufficient_funds",
    message="Your card has insufficient funds.",
    seller_message="The bank returned the decline code `insufficient_funds`.",
)
_EXPIRED = Decline(
    code="expired_card",
    decline_code="expired_card",
    message="Your card has expired.",
    seller_message="The bank returned the decline code `expired_card`.",
)
_CVC = Decline(
    code="incorrect_cvc",
    decline_code="incorrect_cvc",
    message="Your card's security code is incorrect.",
    seller_message="The bank returned the decline code `incorrect_cvc`.",
)
_ABSENT = Decline(
    code="authentication_required",
    decline_code="authentication_required",
    message="Your card was declined. This transaction requires authentication.",
    seller_message="The bank returned the decline code `authentication_required`.",
)
AUTHENTICATION_FAILED = Decline(
    code="payment_intent_authentication_failure",
    decline_code=None,
    message="We are unable to authenticate your payment method. "
    "Please choose a different payment method and try again.",
    seller_message="The customer failed to authenticate.",
)

TEST_CARDS = {
    "4242424242424242": ("Succeeds", Card(brand="visa", last4="4242")),
    "5555555555554444": ("Succeeds (Mastercard)", Card(brand="mastercard", last4="4444")),
    "4000000000000002": ("Declined", Card(brand="visa", last4="0002", decline=_GENERIC)),
    "4000000000009995": (
        "Declined: insufficient funds",
        Card(brand="visa", last4="9995", decline=_FUNDS),
    ),
    "4000000000000069": ("Declined: expired", Card(brand="visa", last4="0069", decline=_EXPIRED)),
    "4000000000000127": ("Declined: wrong CVC", Card(brand="visa", last4="0127", decline=_CVC)),
    "4000002500003155": (
        "Asks for 3D Secure",
        Card(brand="visa", last4="3155", authenticate=True),
    ),
    "4000002760003184": (
        "Asks for 3D Secure each time; declined when charged without its holder",
        Card(brand="visa", last4="3184", authenticate=True, later=_ABSENT),
    ),
    # At Stripe a saved card's first charge fails as well; here there is no other way to save one
    # than to pay with it.
    "4000000000000341": (
        "Pays and can be saved; declined when charged later",
        Card(brand="visa", last4="0341", later=_GENERIC),
    ),
    "4000000000000259": (
        "Succeeds, and is disputed as fraudulent",
        Card(brand="visa", last4="0259", dispute="fraudulent"),
    ),
    "4000000000002685": (
        "Succeeds, and is disputed as not received",
        Card(brand="visa", last4="2685", dispute="product_not_received"),
    ),
    "4000000000007726": (
        "Succeeds; its refunds are pending for a while",
        Card(brand="visa", last4="7726", refunds="pending"),
    ),
    "4000000000005126": (
        "Succeeds; its refunds fail later",
        Card(brand="visa", last4="5126", refunds="failed"),
    ),
}
"""By number: what it does, for people, and what is kept of it."""

TOKENS = {
    "pm_card_visa": TEST_CARDS["4242424242424242"][1],
    "pm_card_mastercard": TEST_CARDS["5555555555554444"][1],
    "pm_card_visa_chargeDeclined": TEST_CARDS["4000000000000002"][1],
    "pm_card_visa_chargeDeclinedInsufficientFunds": TEST_CARDS["4000000000009995"][1],
    "pm_card_authenticationRequired": TEST_CARDS["4000002760003184"][1],
    "pm_card_chargeCustomerFail": TEST_CARDS["4000000000000341"][1],
    "pm_card_createDispute": TEST_CARDS["4000000000000259"][1],
    "pm_card_createDisputeProductNotReceived": TEST_CARDS["4000000000002685"][1],
    "pm_card_pendingRefund": TEST_CARDS["4000000000007726"][1],
    "pm_card_refundFail": TEST_CARDS["4000000000005126"][1],
}
"""Test payment methods that the API takes by name."""

SAVED_CARDS = {card.last4: card for _, card in TEST_CARDS.values()}
"""What a kept card does, by its last four digits."""


def luhn(number: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
