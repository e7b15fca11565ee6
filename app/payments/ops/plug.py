"""Plugs health and the last catch of errors into the application."""

from __future__ import annotations

from fastapi import FastAPI

from payments.ops import health, metrics
from payments.ops.boundary import ErrorBoundary
from payments.ops.health import Health
from payments.ops.schema_state import SchemaState
from payments.resources import Resources


def plug(app: FastAPI) -> None:
    """Add the health endpoints and the error boundary."""
    resources: Resources = app.state.resources
    schema = SchemaState()

    async def database() -> None:
        async with resources.database.transaction() as session:
            await schema.check(session)

    async def cache() -> None:
        await resources.cache.ping()

    app.state.health = Health(
        {"database": database, "cache": cache},
        release=resources.settings.release,
        draining=lambda: app.state.drain.draining,
    )
    for gateway in resources.gateways:
        app.state.health.watch_gateway(gateway.name, gateway.ping)
    metrics.BUILD.labels(resources.settings.release).set(1)
    app.include_router(health.router(app.state.health))
    app.add_middleware(ErrorBoundary)
