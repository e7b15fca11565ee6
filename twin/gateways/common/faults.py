"""Knobs that make a gateway misbehave, as gateways in the field do: the same for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from twin.store import Store

T = TypeVar("T")
HANG = 120.0
"""Seconds before a call that "times out" is hung up on: more than the official clients wait."""


class Faults(BaseModel):
    """What goes wrong. Those called `…_next` count down with each use; the others stay.

    All amounts are in the smallest unit of the payment's currency, all times in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    duplicate: int = Field(default=0, ge=0, le=100)
    """How many more times each event is delivered."""
    delay_seconds: float = Field(default=0, ge=0, le=86_400)
    """How late events are delivered."""
    reorder: bool = False
    """The events of one payment arrive in reverse order."""
    drop_next: int = Field(default=0, ge=0, le=10_000)
    """How many of the next events are never delivered, nor retried."""
    amount_delta: int = Field(default=0, ge=-99_999_999, le=99_999_999)
    """The gateway takes, and reports, so much more or less than was asked for."""
    timeout_after_commit_next: int = Field(default=0, ge=0, le=10_000)
    """How many of the next API calls do their work and then never answer."""
    error_after_commit_next: int = Field(default=0, ge=0, le=10_000)
    """How many of the next API calls do their work and then answer 500."""
    api_delay_seconds: float = Field(default=0, ge=0, le=120)
    """How long each API call takes; its idempotency key is in use meanwhile."""
    clock_skew_seconds: int = Field(default=0, ge=-31_536_000, le=31_536_000)
    """How far the gateway's clock is ahead (or behind) when it signs."""
    refund_fails_next: int = Field(default=0, ge=0, le=10_000)
    """How many of the next refunds are pending at first and then fail."""


class FaultBox:
    """The faults of one gateway that are in force, on disk. `take` uses one of a countdown up."""

    def __init__(self, store: Store, gateway: str) -> None:
        self._store = store
        self._place = (gateway, "faults")
        self.now = Faults.model_validate(store.load(*self._place) or {})

    def set(self, faults: Faults) -> None:
        """Put other faults in force."""
        self.now = faults
        self._store.save(*self._place, faults.model_dump())

    def take(self, name: str) -> bool:
        """Return whether a countdown is running, and count it down."""
        left = int(getattr(self.now, name))
        if left:
            changed: dict[str, Any] = {name: left - 1}
            self.set(self.now.model_copy(update=changed))
        return left > 0


async def misbehave(
    request: web.BaseRequest,
    faults: FaultBox,
    work: Callable[[bool], T],
    *,
    writes: bool,
    give_up: Callable[[], None] = lambda: None,
) -> T:
    """Do a call's work under the faults in force.

    `work` is told whether it must answer 500 for what it did; it raises to refuse, and then nothing
    happened that could be lost. `give_up` is called before a call that did its work never answers.
    """
    if faults.now.api_delay_seconds:
        await asyncio.sleep(faults.now.api_delay_seconds)
    broken = writes and faults.now.error_after_commit_next > 0
    answer = work(broken)
    if not writes:
        return answer
    if broken:
        faults.take("error_after_commit_next")
    if faults.take("timeout_after_commit_next"):
        give_up()
        await asyncio.sleep(HANG)
        if request.transport is not None:
            request.transport.abort()
    return answer
