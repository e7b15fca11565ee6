"""Orders and the payments made for them."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the order endpoints."""
    from payments.orders.routes import router

    app.include_router(router)
