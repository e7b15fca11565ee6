"""The request limits, one table for the edge and for the service.

The edge enforces what its plan can say (`fitting`); the service enforces every row exactly, with
counters that all replicas share. Both count per visitor address; a row `per` caller is counted by
the service for whoever a key or a session belongs to, which only the service can tell. Webhooks and
health checks are never counted (`paths.MACHINES`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from components.edge import paths

Action = Literal["block", "managed_challenge", "js_challenge"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """So many `requests` in `period` seconds; what comes on top meets `action`.

    `paths` match exactly, `prefixes` everything below them; `methods` None: any. `block` is how
    many seconds a visitor is refused afterwards, 0 for a challenge. `form` says that people first
    fetch a page of the same address and then post it, which counts twice where methods cannot be
    told apart. `rank` orders the limits for plans that have room for some of them only.
    """

    name: str
    requests: int
    period: int
    action: Action
    block: int = 0
    methods: tuple[str, ...] | None = None
    paths: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    form: bool = False
    per: Literal["address", "caller"] = "address"
    rank: int = 0

    def __post_init__(self) -> None:
        if self.requests < 1 or self.period < 1:
            raise ValueError(
                f"limit {self.name}: {self.requests} requests in {self.period} s limits nothing "
                "or everything; give at least 1 of each"
            )
        if (self.action == "block") != (self.block > 0):
            raise ValueError(
                f"limit {self.name}: action={self.action} with block={self.block} s; a block lasts "
                "some seconds and a challenge none"
            )
        if 0 < self.block < self.period:
            raise ValueError(
                f"limit {self.name}: block={self.block} s ends while its period of {self.period} s "
                "is still full; make it at least the period"
            )
        if not self.paths and not self.prefixes:
            raise ValueError(f"limit {self.name}: it covers nothing; name paths or prefixes")


LIMITS: Final = (
    Limit(
        name="login",
        methods=("POST",),
        paths=paths.LOGIN,
        requests=10,
        period=60,
        action="block",
        block=900,
        form=True,
        rank=1,  # guessed passwords cost most, and the edge alone can make guessing cheap to refuse
    ),
    Limit(
        name="register",
        methods=("POST",),
        paths=paths.REGISTER,
        requests=5,
        period=3600,
        action="block",
        block=3600,
        form=True,
        rank=4,
    ),
    Limit(
        name="create-subscription",
        methods=("POST",),
        paths=paths.CREATE_SUBSCRIPTION,
        requests=10,
        period=60,
        action="block",
        block=60,
        rank=3,
    ),
    Limit(
        name="transactions",
        paths=paths.TRANSACTIONS,
        prefixes=tuple(f"{path}/" for path in paths.TRANSACTIONS),
        requests=100,
        period=60,
        action="managed_challenge",
        per="caller",
        rank=2,  # any method, a minute, no form: small plans say it undiminished
    ),
    Limit(
        name="api",
        prefixes=(paths.API,),
        requests=1000,
        period=3600,
        action="js_challenge",
        per="caller",
        rank=5,  # an hour shrinks to a minute or less: what is left of it helps least
    ),
)
"""The seeds' five limits, in the order in which the edge tries them.

Login 10 a minute, then 15 minutes blocked; registration 5 an hour, then an hour blocked; creating a
subscription 10 a minute; transactions 100 a minute, then a challenge; the whole API 1,000 an hour,
then a JavaScript challenge. The order by `rank` is that of what a small plan can still enforce
nearly as it is meant.
"""


def for_service(limits: Sequence[Limit] = LIMITS) -> str:
    """The table as the service reads it from `PAYMENTS_RATE_LIMITS`: a JSON list."""
    rows = [
        {
            "name": limit.name,
            "methods": list(limit.methods) if limit.methods is not None else None,
            "paths": list(limit.paths),
            "prefixes": list(limit.prefixes),
            "requests": limit.requests,
            "period": limit.period,
            "block": limit.block,
            "per": limit.per,
        }
        for limit in limits
    ]
    return json.dumps(rows, separators=(",", ":"))
