"""What a message tells of each thing; the API's description shows the same."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

_ORDER: Final = "7c4f1f2e-5f0a-4f6e-8b7d-2b1c0d9e8f70"


def _shown(**example: JsonValue) -> ConfigDict:
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": [example]})


class OrderTold(BaseModel):
    """An order and its new status."""

    model_config = _shown(
        id=_ORDER, sku="coffee", quantity=1, amount=2490, currency="EUR", status="paid"
    )

    id: UUID
    sku: str
    quantity: int
    amount: int
    currency: str
    status: str


class SubscriptionTold(BaseModel):
    """A subscription and its new status."""

    model_config = _shown(
        id="2f1c5a3e-0d4b-4c6f-9a7e-8b1d2c3e4f50",
        plan="club-month",
        amount=900,
        currency="EUR",
        status="active",
        period_end="2026-12-21T10:15:00+00:00",
    )

    id: UUID
    plan: str
    amount: int
    currency: str
    status: str
    period_end: datetime | None


class RefundTold(BaseModel):
    """One refund, with the amount that is given back by it alone, and its new status."""

    model_config = _shown(
        id="a1b2c3d4-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
        order=_ORDER,
        amount=1000,
        currency="EUR",
        status="succeeded",
    )

    id: UUID
    order: UUID
    amount: int
    currency: str
    status: str


class DisputeTold(BaseModel):
    """A dispute of an order's payment, what it is about, and its new status."""

    model_config = _shown(
        id="d9c8b7a6-5f4e-4d3c-8b2a-1f0e9d8c7b6a",
        order=_ORDER,
        amount=2490,
        currency="EUR",
        status="open",
    )

    id: UUID
    order: UUID
    amount: int
    currency: str
    status: str


PAYLOADS: Final[dict[str, type[BaseModel]]] = {
    "order": OrderTold,
    "subscription": SubscriptionTold,
    "refund": RefundTold,
    "dispute": DisputeTold,
}
"""By the first word of a message's type."""
