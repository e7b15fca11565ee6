"""What can be subscribed to. Prices come from here and never from a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from payments.errors import UnprocessableError
from payments.money import Money, share

Interval = Literal["month", "year"]


class UnknownPlanError(UnprocessableError):
    """Not one of the plans."""

    code, title = "unknown_plan", "There is no such plan."


class PlanPriceError(UnprocessableError):
    """The plan has no price in that currency."""

    code, title = "unknown_price", "The plan is not sold in this currency."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan. `prices` are minor units by currency, per interval; `features` open the paywall."""

    key: str
    name: str
    interval: Interval
    prices: Mapping[str, int]
    features: frozenset[str]
    merchant: str
    fee_basis_points: int = 0
    trial_days: int = 0

    def price(self, currency: str) -> Money:
        """Return what one interval costs; raises `PlanPriceError`."""
        if currency not in self.prices:
            raise PlanPriceError(f"{self.key} is sold in {', '.join(sorted(self.prices))}.")
        return Money(self.prices[currency], currency)

    def fee(self, money: Money) -> int:
        """Return our part of `money`, in minor units, rounded down."""
        return share(money.amount, self.fee_basis_points)


def _prices(**prices: int) -> Mapping[str, int]:
    return MappingProxyType(prices)


PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        plan.key: plan
        for plan in (
            Plan(
                key="club-month",
                name="Coffee club, monthly",
                interval="month",
                prices=_prices(EUR=900, USD=990, INR=79900, JPY=1500),
                features=frozenset({"club"}),
                merchant="roastery",
                fee_basis_points=290,
            ),
            Plan(
                key="club-year",
                name="Coffee club, yearly",
                interval="year",
                prices=_prices(EUR=9000, USD=9900, INR=799000, JPY=15000),
                features=frozenset({"club"}),
                merchant="roastery",
                fee_basis_points=290,
            ),
            Plan(
                key="club-plus-month",
                name="Coffee club with tastings, monthly",
                interval="month",
                prices=_prices(EUR=1900, USD=1990, INR=169900, JPY=3000),
                features=frozenset({"club", "tastings"}),
                merchant="roastery",
                fee_basis_points=290,
                trial_days=14,
            ),
        )
    }
)


def find(key: str) -> Plan:
    """Return a plan; raises `UnknownPlanError`."""
    plan = PLANS.get(key)
    if plan is None:
        raise UnknownPlanError(f"There is no plan {key!r}.")
    return plan
