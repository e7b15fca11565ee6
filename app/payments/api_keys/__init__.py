"""Keys with which programs call the API: scoped, expiring, replaceable without a gap."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the endpoints, and let keys in beside sessions. After `payments.people`."""
    from payments.api_keys.authenticate import KeyAuthenticator
    from payments.api_keys.routes import router

    app.state.authenticator = KeyAuthenticator(app.state.resources, app.state.authenticator)
    app.include_router(router)
