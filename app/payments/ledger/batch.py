"""Group commit: transfers of many requests in one transaction, when many wait.

A transaction costs a flush to disk, however little it does. While one is being committed, whatever
else is to be posted waits here, and goes together in the next; nobody waits for company, so a
single transfer is as fast as without. A transfer that fails (no funds, a key of another transfer)
takes nobody along: the batch is rolled back and its members are posted one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from payments.db import Database
from payments.ledger.service import Posted, Transfer, post

MOST: Final = 64
"""Transfers in one transaction: more would hold hot accounts' locks longer than they save."""


@dataclass(slots=True)
class _Waiting:
    transfers: tuple[Transfer, ...]
    result: asyncio.Future[list[Posted]]


class Batcher:
    """Posts transfers, several callers' in one commit. Close it when done."""

    def __init__(self, database: Database, *, most: int = MOST) -> None:
        self.batches = 0
        """Transactions committed."""
        self._database = database
        self._most = most
        self._queue: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None

    async def post(self, transfers: Sequence[Transfer]) -> list[Posted]:
        """Post transfers, all or none, committed on return. Raises as `payments.ledger.post`."""
        waiting = _Waiting(tuple(transfers), asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        # The posting goes on when its caller is cancelled: it is under a key, and may be asked for.
        return await asyncio.shield(waiting.result)

    async def close(self) -> None:
        """Wait for what is being posted."""
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        while self._queue:
            batch = self._take()
            try:
                await self._commit(batch)
            except Exception as error:
                await self._apart(batch, error)

    def _take(self) -> list[_Waiting]:
        """Take what waits, each key once: the same key twice is a replay of the first."""
        batch: list[_Waiting] = []
        keys: set[str] = set()
        later: list[_Waiting] = []
        size = 0
        while self._queue and size < self._most:
            waiting = self._queue.popleft()
            wanted = {transfer.key for transfer in waiting.transfers}
            if wanted & keys:
                later.append(waiting)
                continue
            batch.append(waiting)
            keys |= wanted
            size += len(waiting.transfers)
        self._queue.extendleft(reversed(later))
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        async with self._database.transaction() as session:
            posted = await post(session, [t for waiting in batch for t in waiting.transfers])
        self.batches += 1
        by_key = {one.key: one for one in posted}
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_result([by_key[t.key] for t in waiting.transfers])

    async def _apart(self, batch: list[_Waiting], error: Exception) -> None:
        """Post each caller's own, after the batch failed; a caller's error is the caller's."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        for waiting in batch:
            try:
                await self._commit([waiting])
            except Exception as own:
                # Unbalanced, or the database is away: neither is anybody else's fault.
                _fail(waiting, own)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.result.done():
        waiting.result.set_exception(error)
