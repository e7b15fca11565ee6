"""Receipts and refunds of an order, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from payments.db import RequestSession
from payments.orders import service as orders
from payments.receipts import service
from payments.refunds import service as refunds
from payments.resources import Resources
from payments.security import CurrentPrincipal

router = APIRouter(prefix="/api/v1/orders/{order_id}", tags=["orders"])

_NONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "There is none, or it is somebody else's."}
}


class RefundOut(BaseModel):
    """A refund: minor units of the order's currency. Only `succeeded` ones gave money back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "7b0a6c1e-2d3f-4a5b-8c6d-9e0f1a2b3c4d",
                    "amount": 830,
                    "currency": "EUR",
                    "status": "succeeded",
                    "created_at": "2026-11-22T09:00:00Z",
                }
            ]
        }
    )

    id: UUID
    amount: int
    currency: str
    status: str
    created_at: datetime

    @classmethod
    def of(cls, view: refunds.RefundView) -> RefundOut:
        """Return what its customer is told of a refund; the reason is ours."""
        return cls(
            id=view.id,
            amount=view.money.amount,
            currency=view.money.currency,
            status=view.status,
            created_at=view.created_at,
        )


class RefundList(BaseModel):
    """All refunds of an order, oldest first."""

    data: list[RefundOut]


class ReceiptOut(BaseModel):
    """A receipt. Its number never changes; what is refunded later is added."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "number": "2026-000017",
                    "issued_at": "2026-11-21T10:20:00Z",
                    "order": "0b8ff4a2-6a55-4d0e-9a2c-1f6f1f4f7c11",
                    "description": "Coffee beans, 1 kg",
                    "quantity": 1,
                    "amount": 2490,
                    "currency": "EUR",
                    "paid_at": "2026-11-21T10:15:00Z",
                    "refunded": 0,
                    "refunds": [],
                }
            ]
        }
    )

    number: Annotated[str, Field(description="per year, without gaps")]
    issued_at: datetime
    order: UUID
    description: str
    quantity: int
    amount: int
    currency: str
    paid_at: datetime | None
    refunded: int
    refunds: list[RefundOut]


@router.get("/refunds", summary="List an order's refunds", responses={**_NONE})
async def list_refunds(
    order_id: UUID, principal: CurrentPrincipal, session: RequestSession
) -> RefundList:
    """List what was, or is being, given back of one of the caller's orders."""
    await orders.get(session, customer_id=principal.id, order_id=order_id)
    found = await refunds.list_for_order(session, order_id)
    return RefundList(data=[RefundOut.of(view) for view in found])


@router.get(
    "/receipt",
    summary="Get an order's receipt",
    responses={**_NONE, 409: {"description": "The order is not paid."}},
)
async def get_receipt(request: Request, order_id: UUID, principal: CurrentPrincipal) -> ReceiptOut:
    """Return the receipt of one of the caller's orders; it gets its number when first asked for."""
    resources: Resources = request.app.state.resources
    found = await service.receipt(resources.database, customer_id=principal.id, order_id=order_id)
    return ReceiptOut(
        number=found.number,
        issued_at=found.issued_at,
        order=found.order.id,
        description=found.order.description,
        quantity=found.order.quantity,
        amount=found.order.money.amount,
        currency=found.order.money.currency,
        paid_at=found.order.paid_at,
        refunded=found.order.refunded.amount,
        refunds=[RefundOut.of(view) for view in found.refunds],
    )
