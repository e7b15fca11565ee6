"""Holding two lists of payments against each other. Pure: no database, no gateway.

- `unknown_here`: the gateway has a paid payment that is none of ours: a person looks. Or it has a
  second one for one of ours that we do not know of: that goes to suspense.
- `unpaid_here`: the gateway was paid and we do not know it: an event was lost. Repaired.
- `unpaid_there`: we say paid and the gateway does not. Never repaired: somebody may have been sold
  something for nothing.
- `amount`: both say paid, and not the same. A person looks.
- `refunded`: more was given back than we have booked. Repaired; where it is less, a person looks.
- `dispute`: the gateway says of one what we have not heard (`disputes`). Repaired.
- `fee_currency`: the gateway keeps its fee in another currency than the payment's: not booked.
- `error`: this one could not be read, compared or repaired; the others were. A person looks.

A payment may have several rows at the gateway: a declined card leaves one, the good one after it
another. What was paid is paid, whatever failed before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

from payments.gateways.protocol import ListedPayment
from payments.gateways.reading import decisive
from payments.money import Money

Kind = Literal[
    "unknown_here",
    "unpaid_here",
    "unpaid_there",
    "amount",
    "refunded",
    "dispute",
    "fee_currency",
    "error",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class OurPayment:
    """A payment as our books have it. `refunded` is net: what came back again does not count.

    `under_way` is what we have asked back and do not know the end of: a gateway may count it
    already. So it may each of the sums in `contested`, which a dispute has booked. `unexpected` has
    the gateway's ids of what came and was not ordered, and how much of each was given back;
    `waits`: some of it is in suspense. `version` is another one after every booking.
    """

    id: UUID
    payment_ref: str | None
    checkout_ref: str | None
    paid: bool
    in_review: bool
    money: Money
    refunded: Money
    paid_at: datetime | None
    under_way: int = 0
    contested: frozenset[int] = frozenset()
    unexpected: Mapping[str, int] = field(default_factory=dict)
    waits: bool = False
    version: int = 0


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
            second = self.ours.unexpected.get(self.theirs.payment_ref)
            booked = self.ours.refunded.amount if second is None else second
            return self.ours.in_review or self.theirs.refunded.amount > booked
        return self.kind in ("unpaid_here", "unknown_here")


def compare(
    theirs: Iterable[ListedPayment],
    ours: Iterable[OurPayment],
    unsure: Collection[UUID] = frozenset(),
) -> list[Found]:
    """Return what the two sides say differently, what is none of ours first.

    Of the payments in `unsure` these rows do not tell enough, but of second sums.
    """
    known = list(ours)
    rows = _matched(theirs, known)
    found = [_difference("unknown_here", None, row) for row in rows.foreign if row.status == "paid"]
    for payment in known:
        of_ours = rows.of_ours.get(payment.id, [])
        found += [one for row in of_ours for one in _of_second(payment, row)]
        if payment.id not in unsure:
            found += _of_payment(payment, of_ours)
    return found


def unsettled(theirs: Iterable[ListedPayment], ours: Iterable[OurPayment]) -> set[UUID]:
    """Return which of ours these rows do not tell enough of: in none, or paid here and not there.

    A list shows a period, and some of it late: the gateway is asked before anything is said.
    """
    known = list(ours)
    rows = _matched(theirs, known).of_ours
    first = {one.id: _ordered(one, rows.get(one.id, [])) for one in known}
    return {
        one.id
        for one in known
        if not first[one.id] or (one.paid and all(row.status != "paid" for row in first[one.id]))
    }


def _ordered(ours: OurPayment, rows: Iterable[ListedPayment]) -> list[ListedPayment]:
    """Leave out what we know to be a second sum: it is never what was ordered."""
    if ours.in_review:
        return list(rows)
    return [row for row in rows if row.payment_ref not in ours.unexpected]


def _of_payment(ours: OurPayment, rows: Sequence[ListedPayment]) -> list[Found]:
    first = _ordered(ours, rows)
    theirs = decisive(first, ours.payment_ref)
    if ours.in_review:
        # A person has it already; but what the gateway has given back waits for nobody.
        gone = ours.waits and theirs and theirs.status == "paid" and theirs.refunded == theirs.money
        return [_difference("refunded", ours, theirs)] if theirs and gone else []
    if theirs is None:
        ref = ours.payment_ref or ""
        lost = Found(kind="unpaid_there", payment_ref=ref, ours=ours, theirs=None)
        return [lost] if ours.paid else []
    # Another payment of the same thing is money that nobody expects.
    more = {row.payment_ref: row for row in first if row.status == "paid"}
    more.pop(theirs.payment_ref, None)
    return [
        *_differences(ours, theirs),
        *(_difference("unknown_here", ours, row) for row in more.values()),
    ]


def _of_second(ours: OurPayment, theirs: ListedPayment) -> list[Found]:
    given_back = ours.unexpected.get(theirs.payment_ref)
    if ours.in_review or given_back is None or theirs.refunded.currency != ours.money.currency:
        return []
    return [_difference("refunded", ours, theirs)] if theirs.refunded.amount > given_back else []


def _differences(ours: OurPayment, theirs: ListedPayment) -> list[Found]:
    if theirs.status != "paid":
        return [_difference("unpaid_there", ours, theirs)] if ours.paid else []
    if not ours.paid:
        return [_difference("unpaid_here", ours, theirs)]
    found = []
    if theirs.money != ours.money:
        found.append(_difference("amount", ours, theirs))
    elif not _explained(ours, theirs.refunded.amount - ours.refunded.amount):
        found.append(_difference("refunded", ours, theirs))
    if theirs.fee is not None and theirs.fee.currency != ours.money.currency:
        found.append(_difference("fee_currency", ours, theirs))
    return found


def _explained(ours: OurPayment, more: int) -> bool:
    """Whether more was given back by the gateway's count for a reason that we know."""
    return any(0 <= more - contested <= ours.under_way for contested in {0, *ours.contested})


def _difference(kind: Kind, ours: OurPayment | None, theirs: ListedPayment) -> Found:
    return Found(kind=kind, payment_ref=theirs.payment_ref, ours=ours, theirs=theirs)


@dataclass(frozen=True, slots=True)
class _Matched:
    """The gateway's rows by whose they are."""

    of_ours: dict[UUID, list[ListedPayment]] = field(default_factory=dict)
    foreign: list[ListedPayment] = field(default_factory=list)


def _matched(theirs: Iterable[ListedPayment], ours: Iterable[OurPayment]) -> _Matched:
    index, rows = _index(ours), _Matched()
    for row in theirs:
        match = _match(index, row)
        if match is None:
            rows.foreign.append(row)
        else:
            rows.of_ours.setdefault(match.id, []).append(row)
    return rows


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
