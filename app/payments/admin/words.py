"""What admins read for statuses, states and names of the service."""

from __future__ import annotations

from typing import Final

from payments.pages.render import Note
from payments.pages.status import State, Tone

_TONES: Final[dict[str, Tone]] = {
    "intended": "wait",
    "unknown": "wait",
    "open": "wait",
    "processing": "wait",
    "review": "bad",
    "paid": "good",
    "remote_failed": "bad",
    "failed": "bad",
    "applied": "good",
    "parked": "wait",
    "abandoned": "bad",
}

PAYMENT_STATUSES: Final = (
    ("", "All"),
    ("paid", "Paid"),
    ("open", "Open"),
    ("unknown", "Unknown"),
    ("review", "Review"),
    ("failed", "Failed"),
    ("refunded", "Refunded"),
)
WEBHOOK_STATES: Final = (
    ("stuck", "Waiting"),
    ("all", "All"),
    ("parked", "Parked"),
    ("failed", "Failed"),
    ("abandoned", "Abandoned"),
    ("applied", "Applied"),
    ("refused", "Refused"),
    ("ignored", "Ignored"),
)
WAITING_PATHS: Final = {
    "webhooks_parked": "/admin/webhooks?state=parked",
    "webhooks_failed": "/admin/webhooks?state=failed",
    "payments_unknown": "/admin/payments?status=unknown",
    "payments_in_review": "/admin/reviews",
}
"""Where a person looks at what waits."""

PURPOSES: Final = (
    ("", "All"),
    ("wallet", "Wallets"),
    ("receivable", "Receivable"),
    ("gateway_clearing", "Clearing"),
    ("fees", "Fees"),
    ("suspense", "Suspense"),
)

ROLES: Final = (
    ("admin", "Make admin", "can do everything here."),
    ("viewer", "Let look only", "can look at everything here, and change nothing."),
    ("customer", "Take the role away", "cannot come here until somebody gives the role back."),
)
"""What a person on the list of admins can be made, and what becomes of them."""

NOTES: Final = {
    "replay-done": Note("good", "The event was tried again and has its effect now."),
    "replay-stuck": Note("wait", "The event was tried again and still waits; its row says why."),
    "replay-late": Note("info", "This event waits for nothing any more: nothing was changed."),
    "locked": Note("good", "The account is locked, and all its sessions have ended."),
    "unlocked": Note("good", "The account is unlocked."),
    "own-account": Note("bad", "You cannot lock your own account or change your own role."),
    "role-changed": Note("good", "The role is changed, from their next request on."),
    "role-same": Note("info", "They have this role already: nothing was changed."),
    "not-listed": Note("bad", "Only people on the list of admins have a role here."),
    "refunded": Note("good", "The refund is on its way; its row says how far it is."),
    "payout-requested": Note("wait", "The money is set aside. Another admin approves it."),
    "payout-approve": Note("good", "Approved: tell the bank, then note what it says."),
    "payout-decline": Note("good", "Declined: the merchant has its money again."),
    "payout-settled": Note("good", "Noted: the bank has paid it."),
    "payout-failed": Note("good", "Noted: it came back, and the merchant has its money again."),
    "credited": Note("good", "What waited is the customer's credit now."),
    "reconciling": Note("wait", "The worker is at it; its report appears here in a moment."),
    "rate-added": Note("good", "The rate holds from now on."),
    "cancelled": Note("good", "The subscription is cancelled."),
    "chain-holds": Note("good", "The chain holds: no row was changed, removed, added or moved."),
}


def refund_there(gateway: str) -> Note:
    """Return what to do about a payment whose gateway is not asked for refunds."""
    name = gateway.capitalize()
    return Note(
        "info",
        f"{name} gives nothing back by itself. Refund the payment at {name}: when it tells of that,"
        " the books and the customer's page follow.",
    )


def payment_state(status: str) -> State:
    """Return the badge of a payment's status."""
    return State(_words(status), _TONES.get(status, "calm"))


def webhook_state(state: str) -> State:
    """Return the badge of an event's state."""
    return State(_words(state), _TONES.get(state, "calm"))


def waiting_label(name: str) -> str:
    """Return an invariant's or a backlog's name as words."""
    return _words(name)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
