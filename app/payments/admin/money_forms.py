"""The forms on the admin's pages of money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from payments.admin.money_views import PayoutLine, ReviewLine
from payments.admin.tables import Form, Input
from payments.admin.views import PaymentRow
from payments.money import Money

NAMES: Final = {
    "stripe": "Stripe",
    "razorpay": "Razorpay",
    "paypal": "PayPal",
    "cryptomus": "Cryptomus",
}


def refund_form(payment: PaymentRow, key: str) -> Form:
    """Ask for a refund: the same form sent twice is one."""
    left = Money(max(payment.captured - payment.refunded, 0), payment.currency)
    return Form(
        title="Refund",
        action=f"/admin/payments/{payment.id}/refund",
        about="It goes back the way it came. The gateway may keep its own fee.",
        inputs=(
            Input(
                name="amount",
                label=f"Amount in {payment.currency}",
                value=f"{left.major:f}",
                hint=f"At most {left.major:f}.",
            ),
            Input(name="reason", label="Why", hint="For the books; the customer does not see it."),
        ),
        hidden=(("key", key),),
        buttons=(("", "", "Refund"),),
    )


def payout_form(key: str) -> Form:
    """Ask for a payout."""
    return Form(
        title="Ask for a payout",
        action="/admin/payouts",
        about="The money is set aside at once. Another admin has to approve it.",
        inputs=(
            Input(name="merchant", label="Merchant", maxlength=40),
            Input(name="amount", label="Amount", hint="Like 125.00.", maxlength=24),
            Input(name="currency", label="Currency", hint="Like EUR.", maxlength=5),
        ),
        hidden=(("key", key),),
        buttons=(("", "", "Ask for it"),),
    )


def payout_forms(line: PayoutLine, *, own: bool) -> list[Form]:
    """Decide about a payout; whoever asked for it can only take it back."""
    if line.status != "requested":
        return []
    approve = ("decision", "approve", "Approve")
    decline = ("decision", "decline", "Decline")
    return [
        Form(
            title="Decide",
            action=f"/admin/payouts/{line.id}/decide",
            about="You asked for it: somebody else has to approve it." if own else None,
            buttons=(decline,) if own else (approve, decline),
        )
    ]


def payout_end_form(line: PayoutLine) -> Form:
    """Note what the bank said."""
    return Form(
        title="What the bank says",
        action=f"/admin/payouts/{line.id}/end",
        inputs=(Input(name="bank_ref", label="The bank's reference"),),
        buttons=(("to", "settled", "It was paid"), ("to", "failed", "It came back")),
    )


def credit_form(line: ReviewLine) -> Form:
    """Resolve a payment in review."""
    ref = f" (payment {line.payment_ref})" if line.payment_ref else ""
    return Form(
        title="Decide",
        action=f"/admin/reviews/{line.payment_id}/credit",
        about=f"Either make it the customer's wallet credit, here. Or refund it at {line.gateway}"
        f"{ref}: its message books that, and nothing is to be done here.",
        buttons=(("", "", "Credit to the customer's wallet"),),
    )


def reconcile_forms(gateways: Sequence[str]) -> list[Form]:
    """Start a reconciliation."""
    if not gateways:
        return []
    return [
        Form(
            title="Reconcile now",
            action="/admin/reconciliation",
            about="The last two days are held against the gateway's own list. It also happens by"
            " itself, daily at 02:00 UTC.",
            buttons=[("gateway", name, NAMES.get(name, name)) for name in gateways],
        )
    ]


def rate_form() -> Form:
    """Add an exchange rate."""
    return Form(
        title="Add a rate",
        action="/admin/rates",
        about="It holds from now on, before every earlier one of the pair. Exchanging there and"
        " back must not gain: lower the one direction before you raise the other.",
        inputs=(
            Input(name="base", label="From", hint="Like EUR.", maxlength=5),
            Input(name="quote", label="To", hint="Like USD.", maxlength=5),
            Input(name="rate", label="Rate", hint="What one of the first is worth: 1.0835."),
            Input(name="hours", label="Hours it holds", value="24", maxlength=3),
        ),
        buttons=(("", "", "Add"),),
    )


def far_rate_form(asked: Mapping[str, str]) -> Form:
    """Ask whether a rate that is far from the last one is meant."""
    return Form(
        title="Add a rate",
        action="/admin/rates",
        about=f"{asked['base']} to {asked['quote']} at {asked['rate']}: is that meant?",
        hidden=tuple(asked.items()),
        buttons=(("far", "meant", "Yes, add it"),),
    )


def cancel_form(subscription_id: UUID) -> Form:
    """Cancel a subscription."""
    return Form(
        title="Cancel",
        action=f"/admin/subscriptions/{subscription_id}/cancel",
        about="Cancelled now, it ends at once, and what is paid cannot be used any more. Nothing is"
        " refunded by this alone.",
        buttons=(("when", "end", "Cancel at the end of the period"), ("when", "now", "Cancel now")),
    )
