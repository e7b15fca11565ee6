"""The page of an account: its entries, in pages and as a file."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from payments.ledger import service as ledger
from payments.ledger import statement
from payments.ledger.routes import as_csv
from payments.pages import books
from payments.pages.account import CurrentSession
from payments.pages.render import Renderer
from payments.resources import Resources

Purpose = Annotated[str, Path(pattern=r"^[a-z_]{1,40}$")]
Currency = Annotated[str, Path(pattern=r"^[A-Z0-9]{3,12}$")]
Cursor = Annotated[str | None, Query(max_length=64)]

SIZE = 50
MOST = 500


class StatementPages:
    """The page, and the file of the latest entries."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self.routes = APIRouter(include_in_schema=False)
        add = self.routes.add_api_route
        add("/accounts/{purpose}/{currency}", self.account, methods=["GET"])
        add("/accounts/{purpose}/{currency}/csv", self.csv, methods=["GET"])

    async def account(
        self,
        request: Request,
        session: CurrentSession,
        purpose: Purpose,
        currency: Currency,
        cursor: Cursor = None,
    ) -> Response:
        """Show an account's entries, newest first."""
        found = await self._read(session, purpose, currency, cursor=cursor, limit=SIZE)
        return await self._renderer.page(
            request,
            "statement.html",
            label=books.account_label(purpose),
            path=f"/accounts/{purpose}/{currency}",
            balance=found.closing,
            currency=currency,
            lines=[(books.transfer_label(line.kind), line) for line in found.lines],
            next_cursor=found.next_cursor,
            first=cursor is None,
        )

    async def csv(self, session: CurrentSession, purpose: Purpose, currency: Currency) -> Response:
        """Send the latest entries as a file."""
        found = await self._read(session, purpose, currency, limit=MOST)
        name = f"statement-{purpose}-{currency}.csv"
        return Response(
            as_csv(found.lines, currency),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    async def _read(
        self, session: CurrentSession, purpose: str, currency: str, **options: Any
    ) -> statement.Statement:
        async with self._resources.database.transaction() as transaction:
            return await statement.statement(
                transaction,
                owner=ledger.customer(session.user_id),
                purpose=purpose,
                currency=currency,
                **options,
            )
