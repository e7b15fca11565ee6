"""What customers do with what is in their wallets: send it to somebody, exchange it."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the endpoints, on one group commit for the whole process (`app.state.batcher`)."""
    from payments.ledger.batch import Batcher
    from payments.transfers import exchanges, routes

    app.state.batcher = Batcher(app.state.resources.database)
    app.include_router(routes.router)
    app.include_router(exchanges.router)
