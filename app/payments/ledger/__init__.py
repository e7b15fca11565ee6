"""Double entry: accounts, transfers, holds, reversals. What money is where, and why."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the ledger's endpoints."""
    from payments.ledger import routes, transactions

    app.include_router(routes.router)
    app.include_router(transactions.router)
