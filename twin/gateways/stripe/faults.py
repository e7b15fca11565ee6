"""Knobs that make the gateway misbehave, as gateways in the field do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from twin.store import Store

_PLACE = ("stripe", "faults")


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


class FaultBox:
    """The faults in force, on disk. `take` uses one of a countdown up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.now = Faults.model_validate(store.load(*_PLACE) or {})

    def set(self, faults: Faults) -> None:
        """Put other faults in force."""
        self.now = faults
        self._store.save(*_PLACE, faults.model_dump())

    def take(self, name: str) -> bool:
        """Return whether a countdown is running, and count it down."""
        left = int(getattr(self.now, name))
        if left:
            changed: dict[str, Any] = {name: left - 1}
            self.set(self.now.model_copy(update=changed))
        return left > 0
