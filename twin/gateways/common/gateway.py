"""What the front and the twin's page ask of a gateway, whatever it speaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from twin.edge.logs import note
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.tables import Object
from twin.gateways.common.webhooks import Webhooks

SWEEP = 1.0
"""Seconds between looks for what is due: sessions to expire, refunds to settle."""


class Site(Protocol):
    """What answers for a host."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A value that a person gives to an action; one of `choices` where there are any."""

    name: str
    label: str
    choices: tuple[str, ...] = ()
    needed: bool = True


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that happens at the gateway without the merchant: a dispute, a payout.

    `run` takes the fields' values and returns what came of it; it raises ValueError, with words
    for people, for values that make no sense.
    """

    name: str
    label: str
    text: str
    fields: tuple[Field, ...]
    run: Callable[[Mapping[str, str]], Object]


class Gateway:
    """A simulated gateway of one account."""

    name: str
    title: str
    faults: FaultBox
    webhooks: Webhooks
    actions: Sequence[Action] = ()
    tries: Sequence[tuple[str, str]] = ()
    """What to type on its pages, and what that does."""
    hint = ""

    def __init__(self) -> None:
        self.port = 443
        self._sweeper: asyncio.Task[None] | None = None

    def hosts(self) -> Mapping[str, Site]:
        """Return what answers at each of its host names."""
        raise NotImplementedError

    def address(self, host: str) -> str:
        """Return the address of one of its hosts, as browsers reach it."""
        port = "" if self.port == 443 else f":{self.port}"
        return f"https://{host}{port}"

    async def start(self, port: int) -> None:
        """Begin to deliver events and to do what is due; `port` is where browsers reach us."""
        self.port = port
        await self.webhooks.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop; one that was never started has nothing to stop."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.webhooks.stop()

    def sweep(self) -> None:
        """Do what is due."""

    async def _sweep(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception as error:  # one bad object must not end all sweeping
                note(logging.ERROR, "gateway sweep failed", gateway=self.name, reason=repr(error))
            await asyncio.sleep(SWEEP)

    def act(self, name: str, values: Mapping[str, str]) -> Object:
        """Run an action. Raises KeyError for an unknown one, ValueError for bad values."""
        action = next((each for each in self.actions if each.name == name), None)
        if action is None:
            raise KeyError(name)
        known = {field.name: field for field in action.fields}
        for given in values:
            if given not in known:
                raise ValueError(f"{given}: {name} has no such field; it has {', '.join(known)}")
        cleaned = {key: value.strip() for key, value in values.items() if value.strip()}
        for field in action.fields:
            value = cleaned.get(field.name)
            if value is None and field.needed:
                raise ValueError(f"{field.name}: missing; give {field.label.lower()}")
            if value is not None and field.choices and value not in field.choices:
                choices = ", ".join(field.choices)
                raise ValueError(f"{field.name}: {value!r} is none of {choices}")
        return action.run(cleaned)
