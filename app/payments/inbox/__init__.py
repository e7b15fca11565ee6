"""What gateways tell us: verified, kept once, and applied in the same transaction."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the webhook endpoints."""
    from payments.inbox.routes import router

    app.include_router(router)
