"""Receipts of what was paid, and what was refunded of it."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the endpoints."""
    from payments.receipts.routes import router

    app.include_router(router)
