"""The table of limits: which requests a row covers, and what it allows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

EXEMPT_PREFIXES: Final = ("/webhooks/", "/static/")
"""Never counted, whatever the table says: a payment provider that is refused delivers late or
not at all, and a page asks for all its files at once."""

EXEMPT_PATHS: Final = frozenset(
    {
        *("/livez", "/readyz", "/health", "/api/health"),
        *("/api/payments/webhook/razorpay", "/api/payments/webhook/razorpay/"),
    }
)
"""Nor these. Who watches the service must not find it ill because others use it; and Razorpay
delivers to a second place."""


class Limit(BaseModel):
    """So many `requests` of one visitor in any `period` seconds; times in whole seconds.

    `paths` match exactly and `prefixes` what begins with them, both as the router sees the path;
    `methods` None: any. With `block` the first request too many is refused and everything after
    it for that long; without, a request is refused until the period has room. A visitor is an
    address, or with `per` the caller: whoever a key or a session belongs to, from wherever they
    come; while nobody is known to call, the address.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    methods: tuple[str, ...] | None = None
    paths: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    requests: int = Field(ge=1, le=100_000)
    period: int = Field(ge=1, le=86_400)
    block: int = Field(default=0, ge=0, le=86_400)
    per: Literal["address", "caller"] = "address"

    @model_validator(mode="after")
    def _make_sense(self) -> Limit:
        if not self.paths and not self.prefixes:
            raise ValueError(f"limit {self.name}: covers nothing; name paths or prefixes")
        if 0 < self.block < self.period:
            raise ValueError(
                f"limit {self.name}: block={self.block} ends while its period={self.period} is"
                " still full; make it 0 or at least the period"
            )
        return self

    def counted(self, address: str, caller: str | None) -> str:
        """Return whom a request is counted for."""
        return caller if caller is not None and self.per == "caller" else address

    def covers(self, method: str, path: str) -> bool:
        """Say whether this row counts such a request."""
        if self.methods is not None and method not in self.methods:
            return False
        return path in self.paths or path.startswith(self.prefixes or ("\0",))


def covering(limits: Sequence[Limit], method: str, path: str) -> tuple[Limit, ...]:
    """Return the rows that count a request, in the table's order."""
    if path in EXEMPT_PATHS or path.startswith(EXEMPT_PREFIXES):
        return ()
    return tuple(limit for limit in limits if limit.covers(method, path))


def parse(text: str) -> tuple[Limit, ...]:
    """Read the table from JSON; raises ValueError that names the row."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ValueError("must be a JSON list of limits") from error
    if not isinstance(rows, list):
        raise ValueError("must be a JSON list of limits")
    limits = tuple(_limit(number, row) for number, row in enumerate(rows, 1))
    names = [limit.name for limit in limits]
    if len(set(names)) != len(names):
        raise ValueError("names a limit twice: each needs counters of its own")
    return limits


def _limit(number: int, row: object) -> Limit:
    try:
        return Limit.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"row {number}: {field + ': ' if field else ''}{reason}") from error
