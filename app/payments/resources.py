"""What a running process holds: its settings and its connections, made once, closed at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from payments import cache
from payments.db import Database
from payments.gateways import registry
from payments.gateways.registry import Gateways
from payments.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Handed to every feature as `request.app.state.resources`."""

    settings: ServiceSettings
    database: Database
    cache: Redis
    gateways: Gateways

    async def close(self) -> None:
        """Close every connection."""
        await self.gateways.close()
        await self.cache.aclose()
        await self.database.close()


def build(settings: ServiceSettings, *, name: str, pool_size: int = 10) -> Resources:
    """Make the resources of one process; nothing connects before it is used."""
    store = cache.connect(settings.cache)
    return Resources(
        settings=settings,
        database=Database(
            settings.database,
            name=name,
            pool_size=pool_size,
            announce=partial(cache.announce, store),
        ),
        cache=store,
        gateways=registry.build(settings),
    )
