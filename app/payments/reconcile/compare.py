"""Holding two lists of payments against each other. Pure: no database, no gateway.

- `unknown_here`: the gateway has a paid payment that is none of ours. A person looks.
- `unpaid_here`: the gateway was paid and we do not know it: an event was lost. Repaired.
- `unpaid_there`: we say paid and the gateway does not. Never repaired: somebody may have been sold
  something for nothing.
- `amount`: both say paid, and not the same. A person looks.
- `refunded`: more was given back than we have booked. Repaired; where it is less, a person looks.
- `fee_currency`: the gateway keeps its fee in another currency than the payment's: not booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from payments.gateways.protocol import ListedPayment
from payments.money import Money

Kind = Literal["unknown_here", "unpaid_here", "unpaid_there", "amount", "refunded", "fee_currency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OurPayment:
    """A payment as our books have it. `refunded` is net: what came back again does not count."""

    id: UUID
    payment_ref: str | None
    checkout_ref: str | None
    paid: bool
    in_review: bool
    money: Money
    refunded: Money
    paid_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One difference. `theirs` is the gateway's side, where it has one."""

    kind: Kind
    payment_ref: str
    ours: OurPayment | None
    theirs: ListedPayment | None

    @property
    def repairable(self) -> bool:
        """Whether what the gateway says can simply be applied."""
        if self.ours is None or self.theirs is None:
            return False
        if self.kind == "refunded":
            return self.theirs.refunded.amount > self.ours.refunded.amount
        return self.kind == "unpaid_here"


def compare(theirs: Iterable[ListedPayment], ours: Iterable[OurPayment]) -> list[Found]:
    """Return what the two sides say differently, the gateway's order first."""
    known = list(ours)
    index = _index(known)
    seen: set[UUID] = set()
    found: list[Found] = []
    for listed in theirs:
        match = _match(index, listed)
        if match is None:
            if listed.status == "paid":
                found.append(_difference("unknown_here", None, listed))
            continue
        seen.add(match.id)
        found += _differences(match, listed)
    found += [
        Found(kind="unpaid_there", payment_ref=missing.payment_ref or "", ours=missing, theirs=None)
        for missing in known
        if missing.paid and missing.id not in seen
    ]
    return found


def _differences(ours: OurPayment, theirs: ListedPayment) -> list[Found]:
    if ours.in_review:
        return []  # a person has it already
    if theirs.status != "paid":
        return [_difference("unpaid_there", ours, theirs)] if ours.paid else []
    if not ours.paid:
        return [_difference("unpaid_here", ours, theirs)]
    found = []
    if theirs.money != ours.money:
        found.append(_difference("amount", ours, theirs))
    elif theirs.refunded != ours.refunded:
        found.append(_difference("refunded", ours, theirs))
    if theirs.fee is not None and theirs.fee.currency != ours.money.currency:
        found.append(_difference("fee_currency", ours, theirs))
    return found


def _difference(kind: Kind, ours: OurPayment | None, theirs: ListedPayment) -> Found:
    return Found(kind=kind, payment_ref=theirs.payment_ref, ours=ours, theirs=theirs)


_Index = Mapping[tuple[str, object], OurPayment]


def _index(ours: Iterable[OurPayment]) -> _Index:
    index: dict[tuple[str, object], OurPayment] = {}
    for payment in ours:
        index["id", payment.id] = payment
        if payment.payment_ref is not None:
            index["payment", payment.payment_ref] = payment
        if payment.checkout_ref is not None:
            index["checkout", payment.checkout_ref] = payment
    return index


def _match(index: _Index, listed: ListedPayment) -> OurPayment | None:
    """Find a listed payment's own: by our id, else by the gateway's."""
    return (
        index.get(("id", listed.payment_id))
        or index.get(("payment", listed.payment_ref))
        or index.get(("checkout", listed.checkout_ref))
    )
