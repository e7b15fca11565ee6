"""Plugs Access into the application."""

from __future__ import annotations

from fastapi import FastAPI

from payments.access.assertion import Verifier
from payments.access.config import AccessSettings
from payments.access.guard import AdminGuard, Door
from payments.access.keys import Keys
from payments.access.people import Admins
from payments.access.revocations import Revocations
from payments.resources import Resources


def plug(app: FastAPI) -> None:
    """Set `app.state.access` (None: there is no admin) and put the guard before the router.

    Clock and people are looked up at each request: they are plugged in later.
    """
    resources: Resources = app.state.resources
    settings = resources.settings.access
    app.state.access = None if settings is None else _door(app, resources, settings)
    app.add_middleware(AdminGuard, door=app.state.access)


def _door(app: FastAPI, resources: Resources, settings: AccessSettings) -> Door:
    def clock() -> float:
        now: float = app.state.clock()
        return now

    keys = Keys(settings.certificates_url, outgoing_ca=resources.settings.outgoing_ca, clock=clock)
    return Door(
        settings=settings,
        verifier=Verifier(settings, keys, clock),
        revocations=Revocations(resources.cache, clock),
        admins=Admins(resources.database, lambda: app.state.people),
    )
