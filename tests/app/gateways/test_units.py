"""The currency matrix: every code of ISO 4217, at every gateway, exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies

from payments.gateways import units
from payments.money import EXPONENTS, MAX_AMOUNT, OTHERS, STRIPE, GatewayUnits, Money, MoneyError

GATEWAYS = (STRIPE, units.RAZORPAY, units.PAYPAL, units.CRYPTOMUS)
AMOUNTS = (1, 9, 10, 99, 100, 101, 999, 1000, 2490, 12345, 100_000, 123_456_789, 10**11)


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
@pytest.mark.parametrize("currency", sorted({**EXPONENTS, **OTHERS}))
def test_every_currency_comes_back_as_it_went_or_is_refused(
    gateway: GatewayUnits, currency: str
) -> None:
    for amount in AMOUNTS:
        money = Money(amount, currency)
        if not gateway.can_write(money):
            with pytest.raises(MoneyError):
                gateway.write(money)
            with pytest.raises(MoneyError):
                gateway.write_text(money)
            continue
        assert gateway.read(gateway.write(money), currency.lower()) == money
        text = gateway.write_text(money)
        assert gateway.read_text(text, currency) == money
        # What the gateway understands is the same amount of major units: nothing was rounded.
        assert Decimal(gateway.write(money)).scaleb(-gateway.places[currency]) == money.major
        assert Decimal(text) == money.major


@given(
    gateway=strategies.sampled_from(GATEWAYS),
    currency=strategies.sampled_from(sorted(EXPONENTS)),
    amount=strategies.integers(0, MAX_AMOUNT // 1000),
)
def test_any_amount_comes_back_or_is_refused(
    gateway: GatewayUnits, currency: str, amount: int
) -> None:
    money = Money(amount, currency)
    if gateway.can_write(money):
        assert gateway.read(gateway.write(money), currency) == money
        assert gateway.read_text(gateway.write_text(money), currency) == money


@pytest.mark.parametrize(
    ("gateway", "money", "written"),
    [
        # Where one table for all would be wrong a hundred times over:
        (STRIPE, Money(100, "ISK"), "100.00"),
        (units.RAZORPAY, Money(100, "ISK"), "100"),
        (STRIPE, Money(5, "UGX"), "5.00"),
        (units.RAZORPAY, Money(5, "UGX"), "5"),
        (units.PAYPAL, Money(50_000, "HUF"), "500"),
        (STRIPE, Money(50_000, "HUF"), "500.00"),
        (units.PAYPAL, Money(4200, "JPY"), "4200"),
        (units.RAZORPAY, Money(99_990, "KWD"), "99.990"),
        (units.CRYPTOMUS, Money(2490, "EUR"), "24.90"),
        (units.CRYPTOMUS, Money(1, "BTC"), "0.00000001"),
    ],
)
def test_each_gateway_has_a_table_of_its_own(
    gateway: GatewayUnits, money: Money, written: str
) -> None:
    assert gateway.write_text(money) == written


@pytest.mark.parametrize(
    ("gateway", "money"),
    [
        (units.RAZORPAY, Money(99_991, "KWD")),  # the last of three decimals must be 0
        (units.RAZORPAY, Money(1_001, "IQD")),
        (units.PAYPAL, Money(50_050, "HUF")),  # there are no fillér at PayPal
        (units.PAYPAL, Money(150, "TWD")),
        (units.PAYPAL, Money(100, "INR")),
        (units.PAYPAL, Money(1000, "KWD")),
        (units.RAZORPAY, Money(1, "BTC")),
        (units.CRYPTOMUS, Money(1, "ETH")),
        (units.CRYPTOMUS, Money(100, "JPY")),
    ],
)
def test_what_cannot_be_written_is_refused_and_not_rounded(
    gateway: GatewayUnits, money: Money
) -> None:
    with pytest.raises(MoneyError):
        gateway.write(money)


@pytest.mark.parametrize(
    "text", ["24.901", "1e3", "-1.00", "+1", " 1", "1,00", "", ".5", "1.", "\u0661", 1, 1.5, None,
             "1" * 17, "0." + "0" * 19, "1" * 12 + "." + "0" * 17]
)  # fmt: skip
def test_a_text_that_is_no_exact_amount_is_refused(text: object) -> None:
    with pytest.raises(MoneyError):
        units.PAYPAL.read_text(text, "EUR")


def test_tables_name_currencies_that_exist() -> None:
    for gateway in GATEWAYS:
        assert gateway.places.keys() <= {**EXPONENTS, **OTHERS}.keys(), gateway.name
        assert gateway.steps.keys() <= gateway.places.keys(), gateway.name
