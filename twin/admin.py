"""The twin's own door: status, removal of orphans, removal of everything. Loopback and a token."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, Protocol

from aiohttp import web

from twin.collect import Collected, in_order, remove_all, went_with_droplet
from twin.protocol.resource import Props
from twin.store import Record, Store

_log = logging.getLogger(__name__)
_DROPLET: Final = "digitalocean:index/droplet:Droplet"
_DATABASES: Final = "digitalocean:index/database"


class Providers(Protocol):
    """What the door asks of the provider servers."""

    def remove(self, record: Record, config: Props | None = None) -> None:
        """Remove one resource."""

    def forget(self, record: Record) -> None:
        """Forget one that has gone with what held it."""

    def collect(self) -> list[str]:
        """Remove what has no record."""


class Machines(Protocol):
    """What the door asks of a world."""

    @property
    def nested_engines(self) -> bool:
        """Whether what droplets run goes with them."""

    def collect(self, *, droplets: Collection[str], databases: Collection[str]) -> list[str]:
        """Remove machines that are not named."""

    def status(self) -> dict[str, Any]:
        """What runs, for people."""

    def destroy_all(self) -> None:
        """Remove whatever of the instance is left: containers, networks, volumes."""


class Admin:
    """An HTTP server on a loopback port; `url` and `token` once it has started."""

    def __init__(
        self, store: Store, machines: Machines, providers: Providers, about: dict[str, Any]
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self._store, self._machines, self._providers = store, machines, providers
        self._about = about
        self._busy = asyncio.Lock()
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/status", self._status)
        app.router.add_post("/collect", self._collect)
        app.router.add_post("/destroy-all", self._destroy_all)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            return web.json_response({"error": "the token of twin.json is needed"}, status=401)
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:
            _log.exception("%s failed", request.path)
            return web.json_response({"error": str(error)}, status=500)

    async def _status(self, request: web.Request) -> web.Response:
        machines = await asyncio.to_thread(self._machines.status)
        records = self._store.all()
        gone = {(r.token, r.id) for r in went_with_droplet(self._store, records)}
        counts = Counter(r.token for r in records if (r.token, r.id) not in gone)
        return web.json_response(
            {**self._about, "resources": counts, "machines": machines, "health": "ok"}
        )

    async def _collect(self, request: web.Request) -> web.Response:
        try:
            keep = {(str(token), str(id)) for token, id in (await request.json())["keep"]}
        except (ValueError, KeyError, TypeError):
            reason = 'the body must be {"keep": [["token", "id"], …]}'
            return web.json_response({"error": reason}, status=400)
        async with self._busy:
            kept = [r for r in self._store.all() if (r.token, r.id) in keep]
            done = await asyncio.to_thread(self._remove_all_but, kept)
            unrecorded = await asyncio.to_thread(self._collect_unrecorded)
        answer = {**_report(done), "unrecorded": unrecorded}
        return web.json_response(answer, status=200 if not done.failed else 500)

    def _remove_all_but(self, kept: list[Record]) -> Collected:
        """Remove every other record; what stands on a droplet that goes is only forgotten."""
        named = {(record.token, record.id) for record in kept}
        orphans = [r for r in self._store.all() if (r.token, r.id) not in named]
        docker = [r for r in orphans if r.token.startswith("docker:")]
        gone = {(r.token, r.id) for r in went_with_droplet(self._store, [*kept, *docker])}
        gone -= named
        rest = [r for r in orphans if (r.token, r.id) not in gone]
        done = remove_all(rest, self._providers.remove)
        for record in in_order([r for r in docker if (r.token, r.id) in gone]):
            if self._machines.nested_engines:
                self._providers.forget(record)
            else:  # it stands on the outer engine, which has outlived the droplet
                self._providers.remove(record, {})
        done.removed += gone
        return done

    def _collect_unrecorded(self) -> list[str]:
        """What a crash of the twin left: containers first, then machines."""
        removed = self._providers.collect()
        records = self._store.all()
        return removed + self._machines.collect(
            droplets={r.id for r in records if r.token == _DROPLET},
            databases={
                name
                for r in records
                if r.token.startswith(_DATABASES)
                for name in (r.id, r.outputs.get("uuid", ""))
            },
        )

    async def _destroy_all(self, request: web.Request) -> web.Response:
        async with self._busy:
            done = await asyncio.to_thread(self._remove_all_but, [])
            await asyncio.to_thread(self._machines.destroy_all)
            # What could not be removed one by one went with its machine.
            for token, id in done.failed:
                self._store.remove(token, id)
        return web.json_response(_report(done))


def _report(done: Collected) -> dict[str, Any]:
    failed = [{"token": t, "id": i, "error": error} for (t, i), error in done.failed.items()]
    return {"removed": [list(it) for it in done.removed], "failed": failed}
