"""The Valkey client: sessions, limits. Nothing in it is needed to know who owes what to whom."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from payments.ops.logs import get_logger
from payments.settings import CacheSettings

log = get_logger(__name__)

TIMEOUT_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 50
"""More commands at once wait for a connection; the library's default is to fail them."""


def connect(settings: CacheSettings) -> Redis:
    """Return a client; it connects on first use.

    The server's name is checked against its certificate, and that against `settings.ca`.
    """
    url = settings.url.get_secret_value()
    tls: dict[str, Any] = {}
    if url.startswith("rediss://"):
        tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if settings.ca:
            tls["ssl_ca_data"] = settings.ca
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=TIMEOUT_SECONDS,
        decode_responses=False,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        max_connections=MAX_CONNECTIONS,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=2),
        **tls,
    )
    return Redis.from_pool(pool)


GENERATION_SECONDS: Final = 3600
"""How long a change is remembered: longer than any copy is kept."""


async def announce(store: Redis, topics: Collection[str]) -> None:
    """Make every copy of these topics worthless. Never raises: copies end by themselves too."""
    try:
        async with store.pipeline(transaction=False) as pipeline:
            for topic in topics:
                pipeline.incr(f"generation:{topic}")
                pipeline.expire(f"generation:{topic}", GENERATION_SECONDS)
            await pipeline.execute()
    except RedisError as error:
        log.warning("cache.announce_failed", topics=len(topics), error=type(error).__name__)


async def copied(
    store: Redis, topic: str, load: Callable[[], Awaitable[Any]], *, seconds: int
) -> Any:
    """Return a copy of what `load` returns (JSON), `seconds` old at most, unless that has changed.

    The generation is read before loading and kept with the copy, so that a slow reader cannot put
    back what was true before a change. Without the cache `load` is asked every time.
    """
    try:
        generation, kept = await store.mget(f"generation:{topic}", f"copy:{topic}")
    except RedisError:
        return await load()
    now = str(generation or b"0", "ascii") if not isinstance(generation, str) else generation
    if kept is not None:
        found = json.loads(kept)
        if found["generation"] == now:
            return found["value"]
    value = await load()
    try:
        text = json.dumps({"generation": now, "value": value})
        await store.set(f"copy:{topic}", text, ex=seconds)
    except RedisError as error:
        log.warning("cache.copy_failed", error=type(error).__name__)
    return value
