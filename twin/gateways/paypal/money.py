"""Currencies and amounts as PayPal takes them (developer.paypal.com, currency codes).

An amount is a decimal string. Inside, it is an integer in the last decimal that PayPal has for the
currency: for HUF and TWD that is none, whatever ISO 4217 says.
"""

from __future__ import annotations

from decimal import Decimal

from twin.gateways.common.tables import Object
from twin.gateways.paypal.errors import unprocessable

_SUPPORTED = """
    AUD BRL CAD CNY CZK DKK EUR HKD HUF ILS JPY MYR MXN TWD NZD NOK PHP PLN GBP SGD SEK CHF THB USD
"""
CURRENCIES = frozenset(_SUPPORTED.split())
ZERO_DECIMAL = frozenset({"HUF", "JPY", "TWD"})
LARGEST = 10**9
"""Whole units: PayPal takes up to ten digits, account limits aside."""
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def decimals(currency: str) -> int:
    """Return how many decimals PayPal has for a currency."""
    return 0 if currency in ZERO_DECIMAL else 2


def read(amount: Object, field: str, *, zero: bool = False) -> int:
    """Return an amount in its last decimal; refuses what PayPal does not take."""
    currency, value = str(amount["currency_code"]), str(amount["value"])
    if currency not in CURRENCIES:
        told = "Currency code is not currently supported. Please refer to "
        told += "https://developer.paypal.com/docs/api/reference/currency-codes/."
        raise unprocessable("CURRENCY_NOT_SUPPORTED", told, f"{field}/currency_code", currency)
    number = Decimal(value)
    places = len(value.partition(".")[2])
    if currency in ZERO_DECIMAL and places:
        told = "Currency does not support decimals. Please refer to "
        told += "https://developer.paypal.com/docs/api/reference/currency-codes/ for more "
        told += "information."
        raise unprocessable("DECIMALS_NOT_SUPPORTED", told, f"{field}/value", value)
    if places > 2:
        told = "If the currency supports decimals, only two decimal place precision is supported."
        raise unprocessable("DECIMAL_PRECISION", told, f"{field}/value", value)
    if number < 0 or (not number and not zero):
        told = "Must be greater than zero. If the currency supports decimals, only two decimal "
        told += "place precision is supported."
        raise unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE", told, f"{field}/value", value)
    if number > LARGEST:
        told = "Must be less than or equal to 999999999.99."
        raise unprocessable("MAX_VALUE_EXCEEDED", told, f"{field}/value", value)
    return int(number * 10 ** decimals(currency))


def write(amount: int, currency: str) -> Object:
    """Return an amount as PayPal writes it."""
    places = decimals(currency)
    whole, rest = divmod(abs(amount), 10**places)
    text = f"{whole}.{rest:0{places}d}" if places else str(whole)
    return {"currency_code": currency, "value": f"-{text}" if amount < 0 else text}


def display(amount: int, currency: str) -> str:
    """Write an amount for people."""
    return f"{_SIGNS.get(currency, '')}{write(amount, currency)['value']} {currency}"


def fee_of(amount: int, currency: str) -> int:
    """Return what PayPal keeps of a captured amount: its list price, 3.49 % and 0.49."""
    return min(amount, amount * 349 // 10_000 + (49 if decimals(currency) else 50))
