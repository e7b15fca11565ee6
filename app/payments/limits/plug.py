"""Plugs the limits into the application."""

from __future__ import annotations

from fastapi import FastAPI

from payments.limits.counters import Counters
from payments.limits.middleware import RateLimits
from payments.resources import Resources


def plug(app: FastAPI) -> None:
    """Add the middleware; the clock is `app.state.clock`, looked up at each request."""
    resources: Resources = app.state.resources
    settings = resources.settings

    def clock() -> float:
        now: float = app.state.clock()
        return now

    app.add_middleware(
        RateLimits,
        limits=settings.rate_limits,
        counters=Counters(resources.cache, clock, settings.session_key_bytes),
        clock=clock,
    )
