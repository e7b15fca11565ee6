"""Plugs the limits into the application."""

from __future__ import annotations

from fastapi import FastAPI

from payments.limits.callers import Callers, KnownKeys
from payments.limits.counters import Counters
from payments.limits.middleware import RateLimits
from payments.people.tokens import Tokens
from payments.resources import Resources


def plug(app: FastAPI) -> None:
    """Add the middleware; the clock is `app.state.clock`, looked up at each request."""
    resources: Resources = app.state.resources
    settings = resources.settings

    def clock() -> float:
        now: float = app.state.clock()
        return now

    key = settings.session_key_bytes
    counters = Counters(resources.cache, clock, key)
    app.add_middleware(
        RateLimits,
        limits=settings.rate_limits,
        counters=counters,
        callers=Callers(
            resources.cache,
            counters,
            KnownKeys(resources.cache, key),
            Tokens(key, settings.public_url, clock),
        ),
        clock=clock,
    )
