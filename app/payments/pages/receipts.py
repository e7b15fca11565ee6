"""The receipt of an order, to be printed."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from payments.pages.account import CurrentSession
from payments.pages.render import Renderer
from payments.receipts import service
from payments.resources import Resources


class ReceiptPages:
    """The page."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/orders/{order_id}/receipt", self.receipt, methods=["GET"])

    async def receipt(self, request: Request, session: CurrentSession, order_id: UUID) -> Response:
        """Show the receipt; it gets its number when it is first asked for."""
        found = await service.receipt(
            self._resources.database, customer_id=session.user_id, order_id=order_id
        )
        return await self._renderer.page(request, "receipt.html", receipt=found, order=found.order)
