"""The keys that the Access team signs with: fetched, kept, renewed when an unknown one is named.

Access replaces its keys every few weeks and publishes the next one together with the last: a key
is chosen by its id, and an id we do not know is a reason to fetch, but at most once in
`FLOOR_SECONDS`, because anybody can invent ids. While the team's site does not answer, keys that
were fetched are good for another day; then nobody is let in: a key that was withdrawn must not
live on for ever here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import jwt

from payments.ops.logs import get_logger
from payments.trust import context_with_extra

log = get_logger(__name__)

FRESH_SECONDS: Final = 3600.0
STALE_SECONDS: Final = 24 * 3600.0
FLOOR_SECONDS: Final = 10.0
TIMEOUT_SECONDS: Final = 3.0
MOST_BYTES: Final = 64 * 1024
"""A team publishes two keys and their certificates: some 6 kB."""

ALGORITHM: Final = "RS256"
"""What Access signs with. Never what the assertion says of itself."""


class KeysUnavailableError(Exception):
    """There are no keys, or they are too old: nothing can be verified."""


class Keys:
    """The team's keys by id. One instance serves a replica; ages are in the service's clock."""

    def __init__(self, url: str, *, outgoing_ca: str | None, clock: Callable[[], float]) -> None:
        self._url = url
        self._tls = context_with_extra(outgoing_ca)
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of that id, None when the team has no such key.

        Raises `KeysUnavailableError`.
        """
        if key_id not in self._keys or self._age() > FRESH_SECONDS:
            await self._renew(key_id)
        if self._age() > STALE_SECONDS:
            raise KeysUnavailableError
        return self._keys.get(key_id)

    def _age(self) -> float:
        return self._clock() - self._fetched

    async def _renew(self, key_id: str) -> None:
        async with self._lock:
            if key_id in self._keys and self._age() <= FRESH_SECONDS:
                return  # somebody fetched it while we waited
            if self._clock() - self._tried < FLOOR_SECONDS:
                return
            self._tried = self._clock()
            try:
                self._keys = _parse(await self._fetch())
            except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
                log.warning("access.keys_unavailable", error=type(error).__name__)
                return
            self._fetched = self._clock()
            log.info("access.keys_fetched", keys=len(self._keys))

    async def _fetch(self) -> Any:
        # A client of its own: this happens once an hour.
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT_SECONDS) as client,
            client.stream("GET", self._url, headers={"accept": "application/json"}) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"the team's site says {answer.status_code}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError("the team's site says too much")
        return httpx.Response(200, content=body).json()


def _parse(document: Any) -> dict[str, jwt.PyJWK]:
    """Return the RSA signing keys of a JWK set (RFC 7517).

    The certificates beside them are not read: they would be a second answer to the same question.
    """
    found: dict[str, jwt.PyJWK] = {}
    for entry in document["keys"]:
        if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or not entry.get("kid"):
            continue
        try:
            found[str(entry["kid"])] = jwt.PyJWK.from_dict(entry, algorithm=ALGORITHM)
        except jwt.PyJWTError as error:
            raise ValueError("a key cannot be read") from error
    if not found:
        raise ValueError("the team's site names no key")
    return found
