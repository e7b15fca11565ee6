"""Amounts as people read them, for every currency there is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.money import EXPONENTS, MAX_AMOUNT, Money
from payments.pages.money import amount_text


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(0, "EUR"), "€0.00"),
        (Money(5, "EUR"), "€0.05"),
        (Money(123_456_789, "USD"), "$1,234,567.89"),
        (Money(500, "JPY"), "¥500"),
        (Money(1_234, "KWD"), "1.234"),
        (Money(1_000_000, "CHF"), "10,000.00"),
        (Money(-1_999, "GBP"), "\N{MINUS SIGN}\N{NARROW NO-BREAK SPACE}£19.99"),
        (Money(9_007_199_254_740_991, "EUR"), "€90,071,992,547,409.91"),
    ],
)
def test_an_amount_is_written_with_its_currency_s_own_places(money: Money, text: str) -> None:
    assert amount_text(money) == text


def test_only_what_came_in_gets_a_plus() -> None:
    assert amount_text(Money(100, "EUR"), sign=True) == "+\N{NARROW NO-BREAK SPACE}€1.00"
    assert amount_text(Money(0, "EUR"), sign=True) == "€0.00"


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.sampled_from(sorted(EXPONENTS)))
def test_what_is_written_is_exactly_the_amount(amount: int, currency: str) -> None:
    money = Money(amount, currency)
    written = amount_text(money).replace("\N{MINUS SIGN}", "-").replace(",", "")
    number = Decimal("".join(c for c in written if c in "-.0123456789"))
    assert number == money.major
    assert -number.as_tuple().exponent == money.exponent  # type: ignore[operator]
