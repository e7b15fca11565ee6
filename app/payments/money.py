"""Money: an integer of minor units and a currency code. Never a float, never a bare number.

How many minor units make a major one is a fact of the currency (ISO 4217: none for JPY, three for
KWD). How an amount is written in a gateway's API is a fact of the gateway, and differs: Stripe
wants ISK and UGX in hundredths that do not exist, MGA without the ones that do, and three-decimal
amounts in multiples of ten. So each gateway has a table of its own, and an amount that it cannot
write exactly is refused rather than rounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from iso4217 import Currency

MAX_AMOUNT: Final = 2**53 - 1
"""Minor units: the largest integer that a JSON number carries exactly everywhere."""

EXPONENTS: Final[dict[str, int]] = {
    currency.code.upper(): currency.exponent
    for currency in Currency
    if currency.exponent is not None  # metals, units of account and test codes have no minor unit
}


TOKENS: Final[dict[str, int]] = {"PTS": 0, "TOK": 2}
"""Ours: points are whole, tokens have two places."""
CRYPTO: Final[dict[str, int]] = {"BTC": 8, "ETH": 9, "LTC": 8, "TRX": 6, "USDC": 6, "USDT": 6}
"""ETH counts in gwei: with its 18 places MAX_AMOUNT would be nine thousandths of one."""
OTHERS: Final[dict[str, int]] = {**TOKENS, **CRYPTO}
"""What the ledger counts beside the currencies of states: tokens and crypto money."""

_PLACES: Final = {**EXPONENTS, **OTHERS}


_DECIMAL: Final = re.compile(r"(?=.{1,29}$)[0-9]{1,16}(\.[0-9]{1,18})?")
"""At most 28 digits: as many as Python's decimal context keeps exactly."""


class MoneyError(ValueError):
    """An amount that does not exist in its currency, or that a gateway cannot write."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units of a currency: `Money(1999, "EUR")` is 19.99 €."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse what is not an amount of money; `True` and `1.0` are not integers here."""
        if type(self.amount) is not int:
            raise MoneyError(f"an amount is an integer of minor units, not {self.amount!r}")
        if abs(self.amount) > MAX_AMOUNT:
            raise MoneyError(f"{self.amount} is beyond {MAX_AMOUNT} minor units")
        if self.currency not in _PLACES:
            raise MoneyError(
                f"{self.currency!r} is no currency with a minor unit in ISO 4217, nor one of ours"
            )

    @property
    def exponent(self) -> int:
        """How many decimal places the currency has."""
        return _PLACES[self.currency]

    @property
    def major(self) -> Decimal:
        """The amount in major units, exactly, with all its decimal places."""
        return Decimal(self.amount).scaleb(-self.exponent)

    def __add__(self, other: Money) -> Money:
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.major:f} {self.currency}"

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise MoneyError(f"{self.currency} and {other.currency} cannot be added")
        return other.amount


def share(amount: int, basis_points: int) -> int:
    """Return `basis_points` (1/100 %) of `amount`, rounded down: a fee never exceeds its rate."""
    return amount * basis_points // 10_000


@dataclass(frozen=True, kw_only=True)
class GatewayUnits:
    """How one gateway writes amounts: decimal places, and the step an amount must keep to."""

    name: str
    places: dict[str, int]
    steps: dict[str, int]

    def write(self, money: Money) -> int:
        """Return the integer that the gateway wants for `money`.

        Raises `MoneyError` when it does not take the currency or cannot write the amount.
        """
        places = self._places(money.currency)
        written = Decimal(money.amount).scaleb(places - money.exponent)
        if written != written.to_integral_value():
            raise MoneyError(f"{self.name} cannot write {money}: it wants {places} decimal places")
        amount = int(written)
        step = self.steps.get(money.currency, 1)
        if amount % step:
            raise MoneyError(f"{self.name} cannot write {money}: it wants multiples of {step}")
        return amount

    def read(self, amount: int, currency: str) -> Money:
        """Return the money that the gateway's integer means (its codes may be lower case).

        Raises `MoneyError` when it means a part of a minor unit.
        """
        code = currency.upper()
        places = self._places(code)
        ours = Decimal(amount).scaleb(_PLACES[code] - places)
        if ours != ours.to_integral_value():
            raise MoneyError(f"{self.name} says {amount} {code}, which is no whole minor unit")
        return Money(int(ours), code)

    def write_text(self, money: Money) -> str:
        """Return the decimal text that the gateway wants, `24.90`; raises as `write`."""
        return f"{Decimal(self.write(money)).scaleb(-self._places(money.currency)):f}"

    def read_text(self, text: object, currency: str) -> Money:
        """Return the money that the gateway's decimal text means, exactly.

        Raises `MoneyError` when it is no such text, or means a part of a minor unit.
        """
        code = currency.upper()
        self._places(code)
        if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
            raise MoneyError(f"{self.name} says {str(text)[:40]!r}, which is no decimal amount")
        ours = Decimal(text).scaleb(_PLACES[code])
        if ours != ours.to_integral_value():
            raise MoneyError(f"{self.name} says {text} {code}, which is no whole minor unit")
        return Money(int(ours), code)

    def can_write(self, money: Money) -> bool:
        """Whether the gateway takes the currency and can write the amount exactly."""
        try:
            self.write(money)
        except MoneyError:
            return False
        return True

    def _places(self, currency: str) -> int:
        if currency not in _PLACES or currency not in self.places:
            raise MoneyError(f"{self.name} does not take {currency}")
        return self.places[currency]


# docs.stripe.com/currencies: zero-decimal, three-decimal and special-case currencies. What has
# neither two places nor a line here is not taken.
_STRIPE_ZERO = (
    *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
    *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
)
_STRIPE_THREE = ("BHD", "JOD", "KWD", "OMR", "TND")
_STRIPE_TWO_WITHOUT_HUNDREDTHS = ("ISK", "UGX")

STRIPE: Final = GatewayUnits(
    name="Stripe",
    places={
        **{code: 2 for code, exponent in EXPONENTS.items() if exponent == 2},
        **dict.fromkeys(_STRIPE_ZERO, 0),
        **dict.fromkeys(_STRIPE_THREE, 3),
        **dict.fromkeys(_STRIPE_TWO_WITHOUT_HUNDREDTHS, 2),
    },
    steps={
        **dict.fromkeys(_STRIPE_THREE, 10),
        **dict.fromkeys(_STRIPE_TWO_WITHOUT_HUNDREDTHS, 100),
    },
)
