"""What people read for the statuses of orders and payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["good", "wait", "bad", "calm"]


@dataclass(frozen=True)
class State:
    """A status as a badge: its words, and the tone that chooses colour."""

    label: str
    tone: Tone


ORDER_STATES: Final[dict[str, State]] = {
    "pending": State("Waiting for payment", "wait"),
    "remote_failed": State("Not accepted", "bad"),
    "failed": State("Payment failed", "bad"),
    "expired": State("Expired", "calm"),
    "review": State("Being checked", "wait"),
    "paid": State("Paid", "good"),
    "partially_refunded": State("Partly refunded", "calm"),
    "refunded": State("Refunded", "calm"),
}

CONFIRMING: Final = State("Confirming", "wait")
"""The badge of an order whose customer has just come back from the checkout."""

DECIDED: Final = State("Settled otherwise", "calm")
"""The badge of an order that was not paid as ordered, when what came for it has been dealt with."""

WAITING: Final = frozenset({"pending", "review"})
"""An order may still become paid without the customer doing anything."""

CONFIRMABLE: Final = frozenset({"pending", "failed"})
"""Whoever comes back from the checkout having paid waits for the confirmation. A failed attempt is
no end: the customer tried again on the same page."""

PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})
"""The provider's confirmation is in the books. Nothing else is ever called paid."""


@dataclass(frozen=True)
class Event:
    """A change of status as a line of the history."""

    title: str
    about: str | None
    tone: Tone


CREATED: Final = Event("Order created", None, "calm")

ORDER_EVENTS: Final[dict[str, Event]] = {
    "pending": Event("The provider accepted it after all", None, "calm"),
    "remote_failed": Event("The provider did not accept it", "Nothing was charged.", "bad"),
    "failed": Event("Payment failed", "The provider refused it. Nothing was charged.", "bad"),
    "expired": Event("Expired", "Nobody paid in time. Nothing was charged.", "calm"),
    "review": Event(
        "Being checked", "What arrived does not fit the order. A person looks at it.", "wait"
    ),
    "paid": Event("Paid", "Confirmed by the provider's signed message.", "good"),
    "partially_refunded": Event("Partly refunded", None, "calm"),
    "refunded": Event("Refunded", None, "calm"),
}

PAYMENT_EVENTS: Final[dict[str, Event]] = {
    "open": Event("Checkout opened", "Card details are entered at the provider.", "wait"),
    "processing": Event("The provider is working on it", None, "wait"),
}
"""Only what an order's own history does not say already."""


def order_state(status: str) -> State:
    """Return the badge of an order's status; one that is new to the pages shows as it is."""
    return ORDER_STATES.get(status, State(status.replace("_", " ").capitalize(), "calm"))


_REFUNDS: Final[dict[str, State]] = {
    "succeeded": State("Refunded", "good"),
    "failed": State("Did not go through", "bad"),
    "remote_failed": State("Did not go through", "bad"),
    "returned": State("Came back", "bad"),
}


def refund_state(status: str) -> State:
    """Return the badge of a refund's status."""
    return _REFUNDS.get(status, State("On its way", "wait"))
