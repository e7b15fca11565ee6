"""Money: integers, real exponents, and what each gateway makes of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.money import EXPONENTS, MAX_AMOUNT, STRIPE, Money, MoneyError, share

AMOUNTS = st.integers(-MAX_AMOUNT, MAX_AMOUNT)


@pytest.mark.parametrize("amount", [1.0, "1", True, None, Decimal(1)])
def test_an_amount_is_an_integer(amount: object) -> None:
    with pytest.raises(MoneyError):
        Money(amount, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["eur", "XXX", "XAU", "EURO", ""])
def test_a_currency_is_an_iso_code_with_a_minor_unit(currency: str) -> None:
    with pytest.raises(MoneyError):
        Money(1, currency)


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(1999, "EUR"), "19.99 EUR"),
        (Money(5, "EUR"), "0.05 EUR"),
        (Money(-5, "USD"), "-0.05 USD"),
        (Money(1999, "JPY"), "1999 JPY"),
        (Money(1999, "KWD"), "1.999 KWD"),
        (Money(12345, "CLF"), "1.2345 CLF"),
        (Money(0, "EUR"), "0.00 EUR"),
    ],
)
def test_money_shows_its_real_decimal_places(money: Money, text: str) -> None:
    assert str(money) == text


@given(AMOUNTS, AMOUNTS)
def test_sums_are_exact_or_refused(first: int, second: int) -> None:
    if abs(first + second) > MAX_AMOUNT:
        with pytest.raises(MoneyError):
            Money(first, "EUR") + Money(second, "EUR")
    else:
        total = Money(first, "EUR") + Money(second, "EUR")
        assert total - Money(second, "EUR") == Money(first, "EUR")


def test_currencies_do_not_mix() -> None:
    with pytest.raises(MoneyError):
        Money(1, "EUR") + Money(1, "USD")


@given(st.sampled_from(sorted(EXPONENTS)), st.integers(0, 10**12))
def test_stripe_reads_back_what_it_was_told_or_refuses_to_be_told(
    currency: str, amount: int
) -> None:
    money = Money(amount, currency)
    try:
        written = STRIPE.write(money)
    except MoneyError:
        return
    assert STRIPE.read(written, currency.lower()) == money


@pytest.mark.parametrize(
    ("money", "written"),
    [
        (Money(6000, "JPY"), 6000),
        (Money(1234, "EUR"), 1234),
        (Money(42500, "KWD"), 42500),
        (Money(500, "ISK"), 50000),
        (Money(500, "UGX"), 50000),
        (Money(500, "MGA"), 5),
        (Money(500, "KRW"), 500),
        (Money(10, "BHD"), 10),
    ],
)
def test_stripes_own_minor_units(money: Money, written: int) -> None:
    assert STRIPE.write(money) == written


@pytest.mark.parametrize(
    "money", [Money(42501, "KWD"), Money(550, "MGA"), Money(1, "CLF"), Money(1, "IQD")]
)
def test_what_stripe_cannot_write_is_refused_and_not_rounded(money: Money) -> None:
    with pytest.raises(MoneyError):
        STRIPE.write(money)


def test_a_part_of_a_minor_unit_is_refused() -> None:
    with pytest.raises(MoneyError):
        STRIPE.read(150, "isk")


def test_every_currency_with_two_places_is_written_as_it_is() -> None:
    assert all(
        STRIPE.write(Money(1, code)) == 1
        for code, exponent in EXPONENTS.items()
        if exponent == 2 and code != "MGA"
    )


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 10_000))
def test_a_share_is_never_more_than_its_rate(amount: int, points: int) -> None:
    part = share(amount, points)
    assert 0 <= part <= amount
    assert part * 10_000 <= amount * points < (part + 1) * 10_000
