"""A customer who exchanges what is in their wallets, there and back, while everything is killed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.app.stress.asking import Caller, again_and_again
from tests.app.stress.service import Service

RATES = {("EUR", "USD"): "1.0835", ("USD", "EUR"): "0.9201"}
MOST = 9_000
"""Minor units of one exchange: more than one top-up brings, so that some find too little."""


def set_rates(made: Service) -> list[int]:
    """Say what money is worth; returns the rates' ids."""
    found = []
    for (base, quote), rate in RATES.items():
        inserted = made.scalar(
            "INSERT INTO payments.exchange_rates (base, quote, rate, source, valid_until)"  # noqa: S608
            f" VALUES ('{base}', '{quote}', {rate}, 'tests', now() + interval '1 day')"
            " RETURNING id"
        )
        assert isinstance(inserted, int)
        found.append(inserted)
    return found


@dataclass
class Exchangers:
    """Exchanges by the customer with `key`, and what came of them."""

    key: str
    rates: list[int]
    chance: random.Random
    lanes: int = 2
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    async def run(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        """Exchange until told to stop; ends when every exchange has an answer."""
        caller = Caller(client, self.key)
        await asyncio.gather(
            *(
                again_and_again(lambda: self._exchange(caller), stop, self.chance)
                for _ in range(self.lanes)
            )
        )

    async def _exchange(self, caller: Caller) -> None:
        key = f"exchange-{next(self._numbers)}"
        body = {"rate": self.chance.choice(self.rates), "amount": self.chance.randint(100, MOST)}
        again = self.chance.random() < 0.2
        answer = await caller.ask("/api/v1/exchanges", body, key)
        told = answer.json()
        if answer.status_code == 409 and told["code"] == "insufficient_funds":
            self.refused += 1
            return
        assert answer.status_code == 201, answer.text
        assert told["sold"]["amount"] == body["amount"]
        self.made[key] = told
        if again:
            assert (await caller.ask("/api/v1/exchanges", body, key)).json() == told


def compare(service: Service, exchangers: Exchangers) -> dict[str, int]:
    """Hold the answers to exchanges against the ledger; returns what is counted."""
    made = exchangers.made
    answered = {told["id"] for told in made.values()}
    assert len(answered) == len(made), "two keys have one exchange"
    booked = service.rows("SELECT id::text FROM payments.ledger_transfers WHERE kind = 'exchange'")
    assert {row[0] for row in booked} == answered, "an exchange was lost, or made for no answer"
    house: Counter[str] = Counter()
    for told in made.values():
        house[told["sold"]["currency"]] += told["sold"]["amount"]
        house[told["bought"]["currency"]] -= told["bought"]["amount"]
    position = service.rows(
        "SELECT currency, sum(balance)::bigint FROM payments.ledger_accounts"
        " WHERE owner = 'house' AND purpose = 'exchange' GROUP BY currency"
    )
    assert dict(position) == dict(house), "the house holds something else than it exchanged"
    return {"exchanges": len(made), "exchanges_refused": exchangers.refused}
