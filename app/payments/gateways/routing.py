"""Which gateway is asked first for what: ordered rules, the first that fits decides.

    [{"currencies": ["INR"], "gateways": ["razorpay", "stripe"]},
     {"currencies": ["EUR"], "least": 100000, "kinds": ["purchase"], "gateways": ["stripe"]},
     {"gateways": ["stripe", "paypal"]}]

Amounts are minor units, so a rule with one names exactly one currency. A gateway that the deciding
rule does not name is not used. Without a rule that fits, all are, in the order they are built in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from payments.money import EXPONENTS, MAX_AMOUNT, Money

GatewayName = Literal["stripe", "razorpay", "paypal", "cryptomus"]
Kind = Literal["purchase", "top_up"]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT, strict=True)]


class Rule(BaseModel):
    """One row: what it covers (None: all), and who takes it, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currencies: tuple[str, ...] | None = None
    kinds: tuple[Kind, ...] | None = None
    least: Amount | None = None
    most: Amount | None = None
    gateways: tuple[GatewayName, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _make_sense(self) -> Rule:
        unknown = [code for code in self.currencies or () if code not in EXPONENTS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such currency in ISO 4217")
        if (self.least is not None or self.most is not None) and len(self.currencies or ()) != 1:
            raise ValueError("least and most are minor units of one currency: name exactly one")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least={self.least} is above most={self.most}")
        return self

    def covers(self, money: Money, kind: str | None) -> bool:
        """Say whether this row decides for a payment."""
        return (
            (self.currencies is None or money.currency in self.currencies)
            and (self.kinds is None or kind in self.kinds)
            and (self.least is None or money.amount >= self.least)
            and (self.most is None or money.amount <= self.most)
        )


def deciding(rules: Sequence[Rule], money: Money, kind: str | None) -> Rule | None:
    """Return the first rule that covers a payment."""
    return next((rule for rule in rules if rule.covers(money, kind)), None)


def parse(text: str) -> tuple[Rule, ...]:
    """Read the rules from JSON; raises ValueError that names the row."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ValueError("must be a JSON list of rules") from error
    if not isinstance(rows, list):
        raise ValueError("must be a JSON list of rules")
    return tuple(_rule(number, row) for number, row in enumerate(rows, 1))


def _rule(number: int, row: object) -> Rule:
    try:
        return Rule.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"row {number}: {field + ': ' if field else ''}{reason}") from error
