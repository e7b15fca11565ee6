"""The Valkey client: sessions, limits. Nothing in it is needed to know who owes what to whom."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from payments.settings import CacheSettings

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
