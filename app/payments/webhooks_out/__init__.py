"""Webhooks to the API's clients: Standard Webhooks, kept with what they tell, retried for days."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the endpoints, and tell of what happens from now on."""
    from payments.webhooks_out import messages
    from payments.webhooks_out.routes import router

    messages.start()
    app.include_router(router)
