"""The admin's lists of money as tables: pure, from rows to what `admin/money.html` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from payments.admin.money_views import (
    DeliveryLine,
    DisputeLine,
    Health,
    PayoutLine,
    RateLine,
    RefundLine,
    ReviewLine,
    RunDetail,
    RunLine,
    ShareLine,
    SubscriptionLine,
)
from payments.admin.tables import Cell, Table, amount, at, link, mono, text
from payments.admin.words import payment_state
from payments.pages.status import State, Tone

SECTIONS: Final = (
    ("/admin/money", "Report"),
    ("/admin/refunds", "Refunds"),
    ("/admin/disputes", "Disputes"),
    ("/admin/payouts", "Payouts"),
    ("/admin/reviews", "Review"),
    ("/admin/reconciliation", "Reconciliation"),
    ("/admin/rates", "Rates"),
    ("/admin/subscriptions", "Subscriptions"),
    ("/admin/deliveries", "Deliveries"),
)


def tabs(*statuses: str) -> tuple[tuple[str, str], ...]:
    """Return the tabs of a list: all, and each status."""
    return (("", "All"), *((s, s.replace("_", " ").capitalize()) for s in statuses))


REFUND_TABS: Final = tabs("succeeded", "pending", "unknown", "failed", "remote_failed", "returned")
DISPUTE_TABS: Final = tabs("open", "won", "lost")
PAYOUT_TABS: Final = tabs("requested", "approved", "settled", "declined", "failed")
SUBSCRIPTION_TABS: Final = tabs(
    "active", "trialing", "past_due", "paused", "incomplete", "canceled"
)
DELIVERY_TABS: Final = tabs("waiting", "delivered", "failed")

_TONES: Final[dict[str, Tone]] = {
    "succeeded": "good", "settled": "good", "won": "good", "delivered": "good", "active": "good",
    "trialing": "good", "approved": "wait", "requested": "wait", "waiting": "wait",
    "pending": "wait", "unknown": "wait", "open": "wait", "incomplete": "wait", "past_due": "bad",
    "failed": "bad", "remote_failed": "bad", "lost": "bad", "returned": "bad",
}  # fmt: skip


def badge(status: str) -> Cell:
    """Return the badge of any status of money."""
    return Cell(badge=State(payment_state(status).label, _TONES.get(status, "calm")))


def refunds(lines: Sequence[RefundLine], *, empty: str = "There is no such refund.") -> Table:
    """Return refunds."""
    return Table(
        label="Refunds",
        empty=empty,
        columns=("Refund", "Asked", "Gateway", "By", "Status", "Amount"),
        rows=[
            (
                link(line.reason, f"/admin/payments/{line.payment_id}", about=line.last_error),
                at(line.created_at),
                text(line.gateway),
                text(line.requested_by),
                badge(line.status),
                amount(line.money),
            )
            for line in lines
        ],
    )


def disputes(lines: Sequence[DisputeLine]) -> Table:
    """Return disputes."""
    return Table(
        label="Disputes",
        empty="There is no such dispute.",
        columns=("Dispute", "Opened", "Gateway", "Status", "Amount"),
        rows=[
            (
                link(line.dispute_ref, f"/admin/payments/{line.payment_id}"),
                at(line.created_at),
                text(line.gateway),
                badge(line.status),
                amount(line.money),
            )
            for line in lines
        ],
    )


def payouts(lines: Sequence[PayoutLine]) -> Table:
    """Return payouts."""
    return Table(
        label="Payouts",
        empty="There is no such payout.",
        columns=("Merchant", "Asked", "By", "Status", "Amount"),
        rows=[
            (
                link(line.merchant, f"/admin/payouts/{line.id}"),
                at(line.created_at),
                text(line.requested_by),
                badge(line.status),
                amount(line.money),
            )
            for line in lines
        ],
    )


def reviews(lines: Sequence[ReviewLine]) -> Table:
    """Return payments that did not fit."""
    return Table(
        label="Payments in review",
        empty="Nothing waits for a decision: all money that came fits its order.",
        columns=("Order", "Since", "Gateway", "State", "Waits"),
        rows=[
            (
                link(line.description, f"/admin/reviews/{line.payment_id}"),
                at(line.created_at),
                text(line.gateway),
                Cell(badge=State("Decide", "bad") if line.waits else State("Decided", "good")),
                amount(*line.waits),
            )
            for line in lines
        ],
    )


def runs(lines: Sequence[RunLine]) -> Table:
    """Return reconciliations."""
    return Table(
        label="Reconciliations",
        columns=("Gateway", "Run", "Listed", "Agree", "Repaired", "Open", "State"),
        rows=[
            (
                link(line.gateway, f"/admin/reconciliation/{line.id}", about=line.error),
                at(line.started_at),
                text(str(line.listed)),
                text(str(line.agreed)),
                text(str(line.repaired)),
                text(str(line.open)),
                Cell(badge=_run_state(line)),
            )
            for line in lines
        ],
        empty="No gateway was reconciled yet.",
    )


def _run_state(line: RunLine) -> State:
    if line.error is not None:
        return State("Not done", "bad")
    if line.open:
        return State("Look at it", "bad")
    return State("Agree", "good") if line.complete else State("Not all", "wait")


def differences(detail: RunDetail) -> Table:
    """Return what a reconciliation found."""
    return Table(
        label="Differences",
        columns=("Difference", "Payment", "Ours", "Theirs", "Repaired"),
        rows=[
            (
                text(one.kind.replace("_", " ").capitalize()),
                link(one.payment_ref or "ours", f"/admin/payments/{one.payment_id}")
                if one.payment_id
                else mono(one.payment_ref),
                text(one.ours),
                text(one.theirs),
                Cell(badge=State("Repaired", "good") if one.repaired else State("Open", "bad")),
            )
            for one in detail.differences
        ],
        # Whoever was not asked, or not to the end, has not agreed.
        empty="It was not done: nothing is known of the two sides."
        if detail.run.error
        else "Both sides agree."
        if detail.run.complete
        else "What was listed agrees, and not all was listed.",
    )


def rates(lines: Sequence[RateLine]) -> Table:
    """Return exchange rates."""
    return Table(
        label="Exchange rates",
        empty="There is no rate yet: nothing can be exchanged.",
        columns=("Pair", "Rate", "From", "Until", "Source"),
        rows=[
            (
                text(f"{line.base} → {line.quote}"),
                text(line.rate),
                at(line.valid_from),
                at(line.valid_until),
                text(line.source),
            )
            for line in lines
        ],
    )


def subscriptions(lines: Sequence[SubscriptionLine]) -> Table:
    """Return subscriptions."""
    return Table(
        label="Subscriptions",
        empty="There is no such subscription.",
        columns=("Plan", "Since", "Period ends", "Status", "Price"),
        rows=[
            (
                link(
                    line.plan,
                    f"/admin/subscriptions/{line.id}",
                    about="Ends with its period" if line.cancel_at_end else None,
                ),
                at(line.created_at),
                at(line.period_end),
                badge(line.status),
                amount(line.money),
            )
            for line in lines
        ],
    )


def deliveries(lines: Sequence[DeliveryLine]) -> Table:
    """Return webhooks to customers."""
    return Table(
        label="Deliveries",
        empty="There is no such delivery.",
        columns=("Event", "When", "Attempts", "Answer", "State"),
        rows=[
            (
                text(line.type, about=line.url),
                at(line.created_at),
                text(str(line.attempts)),
                text(line.answer if line.answer is not None else line.error),
                badge(line.state),
            )
            for line in lines
        ],
    )


def health(found: Health) -> list[Table]:
    """Return the report's tables."""
    return [
        _shares("The last hour", found.hour, found.threshold_percent),
        _shares("The week", found.week, found.threshold_percent),
        Table(
            label="Differences that nobody has repaired",
            empty="There is none.",
            columns=("Kind", "Number"),
            rows=[
                (text(kind.replace("_", " ").capitalize()), text(str(number)))
                for kind, number in found.differences.items()
            ],
        ),
    ]


def _shares(label: str, lines: Sequence[ShareLine], threshold: float) -> Table:
    return Table(
        label=label,
        columns=("Gateway", "Taken", "Failed", "Share that failed"),
        rows=[
            (
                text(line.gateway),
                text(str(line.taken)),
                text(str(line.failed)),
                Cell(
                    badge=State(
                        f"{line.percent_failed} %",
                        "bad" if line.percent_failed > threshold else "good",
                    )
                ),
            )
            for line in lines
        ],
        empty="No payment ended.",
    )
