"""The HTTP application: middleware, error handlers, and the features plugged into it.

A feature is a package with `install(app)`, called once: it adds its routers and, where others
depend on it, sets a seam on `app.state` (`payments.people` sets `authenticator`). Everything a
request needs hangs on `app.state.resources`; the request's transaction is `db.RequestSession`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module

from fastapi import FastAPI

from payments import errors
from payments.db import UnsafeRoleError
from payments.json_bodies import JsonBodies
from payments.middleware import BodyLimitMiddleware, Drain, DrainMiddleware
from payments.ops.headers import SecurityHeaders
from payments.ops.logs import get_logger
from payments.ops.requests import RequestContext
from payments.resources import Resources

log = get_logger(__name__)

FEATURES: tuple[str, ...] = (
    "payments.access",
    "payments.limits",
    "payments.ops",
    "payments.people",
    "payments.api_keys",
    "payments.ledger",
    "payments.transfers",
    "payments.orders",
    "payments.receipts",
    "payments.subscriptions",
    "payments.webhooks_out",
    "payments.inbox",
    "payments.pages",
    "payments.admin",
    "payments.openapi",
)


def create_app(resources: Resources) -> FastAPI:
    """Build the application on `resources`; they are closed when it shuts down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await app.state.batcher.close()
        await resources.close()

    app = FastAPI(
        title="Payments",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.resources = resources
    app.state.drain = Drain()
    errors.install(app)
    app.add_middleware(JsonBodies)
    app.add_middleware(BodyLimitMiddleware)
    for name in FEATURES:
        install: Callable[[FastAPI], None] = import_module(name).install
        install(app)
    # Added last is outermost: the log line sees the drain's refusals, the drain sees everything.
    app.add_middleware(DrainMiddleware, drain=app.state.drain)
    app.add_middleware(SecurityHeaders, https=resources.settings.public_url.startswith("https://"))
    app.add_middleware(RequestContext)
    return app


async def check_login(resources: Resources) -> None:
    """Refuse to start as an unsafe login.

    A database that is away is no reason to stop: the check then runs before the first transaction,
    and `/readyz` says no until it passes.
    """
    try:
        await resources.database.verify_role()
    except UnsafeRoleError:
        raise
    except Exception as error:
        log.warning("database.unavailable", error=type(error).__name__)
