"""The parameters of Cryptomus' calls, as far as they are simulated; anything else is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from twin.gateways.common.jsonapi import Body, Query


def _web(value: str) -> str:
    if not value.startswith(("https://", "http://")) or " " in value:
        raise ValueError("not a URL")
    return value


Amount = Annotated[str, StringConstraints(pattern=r"^\d{1,18}(\.\d{1,8})?$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,20}$")]
Network = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{2,20}$")]
OrderId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
"""`alpha_dash`, at most 128 characters."""
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
Web = Annotated[str, StringConstraints(min_length=6, max_length=255), AfterValidator(_web)]
Status = Literal[
    "process", "check", "paid", "paid_over", "fail", "wrong_amount", "cancel", "system_fail",
    "refund_process", "refund_fail", "refund_paid", "confirm_check",
]  # fmt: skip


class Coin(Body):
    """A coin that an invoice may be paid in."""

    currency: Currency
    network: Network | None = None


class NewInvoice(Body):
    """POST /v1/payment."""

    amount: Amount
    currency: Currency
    order_id: OrderId
    url_return: Web | None = None
    url_success: Web | None = None
    url_callback: Web | None = None
    is_payment_multiple: bool = True
    lifetime: Annotated[int, Field(ge=300, le=43_200)] = 3600
    accuracy_payment_percent: Annotated[float, Field(ge=0, le=5)] = 0
    additional_data: Annotated[str, StringConstraints(max_length=255)] | None = None
    currencies: list[Coin] | None = None
    is_refresh: bool = False


class Named(Body):
    """An invoice by either of its names."""

    uuid: Uuid | None = None
    order_id: OrderId | None = None


class NewRefund(Named):
    """POST /v1/payment/refund."""

    address: Annotated[str, StringConstraints(min_length=10, max_length=128)]
    is_subtract: bool


class TestWebhook(Named):
    """POST /v1/test-webhook/payment."""

    url_callback: Web
    currency: Currency
    network: Network
    status: Status = "paid"


class Period(Body):
    """POST /v1/payment/list."""

    date_from: (
        Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")] | None
    ) = None
    date_to: (
        Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")] | None
    ) = None


class Cursor(Query):
    """A page of a list."""

    cursor: str | None = None


class Empty(Body):
    """No parameters."""
