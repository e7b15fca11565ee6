"""Two lists of payments held against each other: every class of difference, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.gateways.protocol import ListedPayment
from payments.money import Money
from payments.reconcile.compare import OurPayment, compare, unsettled

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ID = UUID("00000000-0000-4000-8000-000000000001")
OURS = OurPayment(
    id=ID,
    payment_ref="pi_1",
    checkout_ref="cs_1",
    paid=True,
    in_review=False,
    money=Money(2490, "EUR"),
    refunded=Money(0, "EUR"),
    paid_at=NOW,
)
THEIRS = ListedPayment(
    payment_ref="pi_1",
    checkout_ref=None,
    payment_id=ID,
    status="paid",
    money=Money(2490, "EUR"),
    refunded=Money(0, "EUR"),
    fee=Money(50, "EUR"),
    created=NOW,
)

GIVEN_BACK = replace(THEIRS, refunded=THEIRS.money)
BACK = ("refunded", True)
DECLINED = replace(THEIRS, status="failed", fee=None)
SECOND = replace(THEIRS, payment_ref="pi_2")


def kinds(theirs: ListedPayment | None, ours: OurPayment | None) -> list[tuple[str, bool]]:
    found = compare([theirs] if theirs else [], [ours] if ours else [])
    return [(one.kind, one.repairable) for one in found]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (THEIRS, OURS, []),
        (THEIRS, None, [("unknown_here", False)]),
        (replace(THEIRS, status="failed"), None, []),
        (THEIRS, replace(OURS, paid=False), [("unpaid_here", True)]),
        (replace(THEIRS, status="failed"), replace(OURS, paid=False), []),
        (replace(THEIRS, status="failed"), OURS, [("unpaid_there", False)]),
        (None, OURS, [("unpaid_there", False)]),
        (None, replace(OURS, paid=False), []),
        (replace(THEIRS, money=Money(2491, "EUR")), OURS, [("amount", False)]),
        (replace(THEIRS, money=Money(2490, "USD")), OURS, [("amount", False)]),
        (replace(THEIRS, refunded=Money(1, "EUR")), OURS, [("refunded", True)]),
        (THEIRS, replace(OURS, refunded=Money(1, "EUR")), [("refunded", False)]),
        (replace(THEIRS, fee=Money(50, "USD")), OURS, [("fee_currency", False)]),
        (replace(THEIRS, money=Money(1, "EUR")), replace(OURS, paid=False, in_review=True), []),
        (replace(THEIRS, refunded=Money(9, "EUR")), replace(OURS, under_way=9), []),
        (replace(THEIRS, refunded=Money(10, "EUR")), replace(OURS, under_way=9), [BACK]),
        (GIVEN_BACK, replace(OURS, paid=False, in_review=True, waits=True), [BACK]),
        (GIVEN_BACK, replace(OURS, paid=False, in_review=True), []),
        (replace(THEIRS, payment_id=None), OURS, []),
        (replace(THEIRS, payment_id=None, payment_ref="x", checkout_ref="cs_1"), OURS, []),
    ],
)
def test_each_difference_has_one_name(
    theirs: ListedPayment | None, ours: OurPayment | None, expected: list[tuple[str, bool]]
) -> None:
    assert kinds(theirs, ours) == expected


@pytest.mark.parametrize(
    ("theirs", "paid", "expected"),
    [
        ([DECLINED, THEIRS], True, []),
        ([THEIRS, DECLINED, DECLINED], True, []),
        ([DECLINED, THEIRS], False, ["unpaid_here"]),
        ([DECLINED, DECLINED], False, []),
        ([DECLINED, DECLINED], True, ["unpaid_there"]),
        ([SECOND, THEIRS], True, ["unknown_here"]),
        ([SECOND, THEIRS, THEIRS], True, ["unknown_here"]),
    ],
)
def test_several_attempts_are_one_payment_and_what_was_paid_is(
    theirs: list[ListedPayment], paid: bool, expected: list[str]
) -> None:
    ours = replace(OURS, paid=paid)
    assert [one.kind for one in compare(theirs, [ours])] == expected
    assert unsettled(theirs, [ours]) == ({ours.id} if expected == ["unpaid_there"] else set())


def test_a_second_payment_that_is_booked_as_unexpected_is_known() -> None:
    ours = replace(OURS, unexpected={SECOND.payment_ref: 0})
    assert compare([SECOND, THEIRS], [ours]) == []
    assert (unsettled([SECOND, THEIRS], [ours]), unsettled([SECOND], [ours])) == (set(), {ours.id})
    assert compare([SECOND], [ours], {ours.id}) == [], "listed alone it says nothing of the first"
    back = replace(SECOND, refunded=SECOND.money)
    assert [one.kind for one in compare([back], [ours], {ours.id})] == ["refunded"]


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20), unique=True))
def test_a_payment_is_counted_on_one_side_or_both_and_never_twice(
    there: list[int], here: list[int]
) -> None:
    theirs = [replace(THEIRS, payment_ref=f"pi_{n}", payment_id=UUID(int=n)) for n in there]
    ours = [
        replace(OURS, id=UUID(int=n), payment_ref=f"pi_{n}", checkout_ref=f"cs_{n}") for n in here
    ]
    found = [(one.kind, one.payment_ref) for one in compare(theirs, ours)]
    assert sorted(found) == sorted(
        [("unknown_here", f"pi_{n}") for n in there if n not in here]
        + [("unpaid_there", f"pi_{n}") for n in here if n not in there]
    )
