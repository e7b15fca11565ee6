"""Double entry: accounts, transfers, holds, reversals. What money is where, and why."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the ledger's endpoints."""
    from payments.ledger.routes import router

    app.include_router(router)
