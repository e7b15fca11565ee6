"""What the API says of itself: its OpenAPI document, and the catalogue of its errors."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Serve both. After every other feature: the document describes them."""
    from payments.openapi.document import Document
    from payments.openapi.routes import router

    app.include_router(router)
    # What FastAPI's manual does; a type checker sees a method replaced.
    app.openapi = Document(app)  # type: ignore[method-assign]
