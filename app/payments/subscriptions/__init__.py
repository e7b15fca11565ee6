"""Subscriptions: plans, trials, renewals, dunning, and the paywall that reads them."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the endpoints."""
    from payments.subscriptions.routes import router

    app.include_router(router)
