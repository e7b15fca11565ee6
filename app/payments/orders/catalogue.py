"""What is sold, and for how much. Prices come from here and never from a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from payments.errors import UnprocessableError
from payments.money import Money, share

MAX_QUANTITY: Final = 10


class UnknownProductError(UnprocessableError):
    """Not in the catalogue."""

    code, title = "unknown_product", "There is no such product."


class UnknownPriceError(UnprocessableError):
    """The product has no price in that currency."""

    code, title = "unknown_price", "The product is not sold in this currency."


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something to buy. `prices` are minor units by currency.

    A `purchase` goes to its merchant, less our fee (`fee_basis_points`, 1/100 %); a `top_up` goes
    into the customer's wallet whole.
    """

    sku: str
    name: str
    description: str
    kind: Literal["purchase", "top_up"]
    prices: Mapping[str, int]
    merchant: str | None = None
    fee_basis_points: int = 0

    def price(self, currency: str, quantity: int) -> Money:
        """Return what `quantity` of it cost; raises `UnknownPriceError`."""
        if currency not in self.prices:
            offered = ", ".join(sorted(self.prices))
            raise UnknownPriceError(f"{self.sku} is sold in {offered}.")
        return Money(self.prices[currency] * quantity, currency)

    def fee(self, amount: Money) -> int:
        """Return our part of `amount`, in minor units, rounded down."""
        return share(amount.amount, self.fee_basis_points)


def _prices(**prices: int) -> Mapping[str, int]:
    return MappingProxyType(prices)


PRODUCTS: Final[Mapping[str, Product]] = MappingProxyType(
    {
        product.sku: product
        for product in (
            Product(
                sku="coffee",
                name="Coffee beans, 1 kg",
                description="Washed Ethiopian, roasted this week.",
                kind="purchase",
                prices=_prices(EUR=2490, USD=2690, INR=229900, JPY=4200),
                merchant="roastery",
                fee_basis_points=290,
            ),
            Product(
                sku="course",
                name="Espresso course",
                description="An afternoon at the machine, with a certificate.",
                kind="purchase",
                prices=_prices(EUR=12900, USD=13900, INR=1199000, KWD=42500),
                merchant="roastery",
                fee_basis_points=290,
            ),
            Product(
                sku="credit-50",
                name="Wallet credit, 50",
                description="Stays in your wallet until you spend it.",
                kind="top_up",
                prices=_prices(EUR=5000, USD=5000),
            ),
        )
    }
)


def find(sku: str) -> Product:
    """Return a product; raises `UnknownProductError`."""
    product = PRODUCTS.get(sku)
    if product is None:
        raise UnknownProductError(f"There is no product {sku!r}.")
    return product
