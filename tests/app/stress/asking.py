"""Asking for money's moves as a program does that never gives up: one key, until an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

MOST_AT_ONCE = 10
"""Requests of one customer that have no answer yet."""

RUNNING = frozenset({"idempotency_key_in_use", "idempotency_lease_lost"})
"""Codes that say: ask again."""


@dataclass
class Caller:
    """Somebody with an API key, and how often they had to ask."""

    client: httpx.AsyncClient
    key: str
    attempts: int = 0

    async def ask(self, path: str, body: dict[str, Any], key: str) -> httpx.Response:
        """Send the same request under the same key until there is an answer."""
        headers = {"Idempotency-Key": key}
        while True:
            self.attempts += 1
            answer = await self._send("POST", path, json=body, headers=headers)
            if answer is not None and answer.json().get("code") not in RUNNING:
                return answer
            await asyncio.sleep(0.2 if answer is None else 0.5)

    async def look(self, path: str) -> Any:
        """Get something, however often that takes."""
        while True:
            answer = await self._send("GET", path)
            if answer is not None:
                assert answer.status_code == 200, answer.text
                return answer.json()
            await asyncio.sleep(0.2)

    async def _send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response | None:
        """Send a request; None where nobody answered, or only that something is broken."""
        bearer = {"authorization": f"Bearer {self.key}"}
        try:
            answer = await self.client.request(
                method, path, headers=bearer | (headers or {}), **more
            )
        except httpx.HTTPError:
            return None
        return None if answer.status_code >= 500 else answer


async def again_and_again(
    act: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event, chance: random.Random
) -> None:
    """Act until told to stop; what has no end yet goes on, beside what is begun after it."""
    acting: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        acting.add(task := asyncio.create_task(act()))
        await asyncio.wait({task}, timeout=1.0)
        acting = _unfinished(acting)
        while len(acting) >= MOST_AT_ONCE:
            await asyncio.wait(acting, return_when=asyncio.FIRST_COMPLETED)
            acting = _unfinished(acting)
        await asyncio.sleep(chance.uniform(0.0, 0.1))
    await asyncio.gather(*acting)


def _unfinished(acting: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Return those that go on; raises what ended one of the others."""
    for task in acting:
        if task.done():
            task.result()
    return {task for task in acting if not task.done()}
