"""Events on their way to the merchant: signed, delivered, tried again, and all of it on record.

A delivery is one event for one endpoint. It is kept with its attempts, so that a restart of the
twin goes on where it was. How an event is written and signed, and how long it is tried again, is
the gateway's dialect.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from twin.edge.logs import note
from twin.gateways.common.faults import FaultBox
from twin.gateways.common.tables import Book, Object, new_id

REORDER_WINDOW = 1.0
OVERLAP = 24 * 3600
"""Seconds that a rolled secret keeps signing at most."""
KEPT = 2000
"""Finished deliveries on record."""
_AT_ONCE = 32


class Dialect:
    """How one gateway tells events. `retries` are the seconds after each failed attempt."""

    retries: Sequence[float] = ()
    timeout: float = 20.0
    """Seconds that the merchant has to answer."""
    keeps_secrets = False
    """A retry is signed with the secrets of its event's day, not with today's."""
    disables = False
    """An endpoint that failed a delivery for good gets nothing more until it is enabled again."""

    def write(
        self, event: Object, delivery: Object, secrets: Sequence[str], at: float
    ) -> tuple[str, dict[str, str]]:
        """Return the body and the headers of an attempt that the gateway's clock dates `at`."""
        raise NotImplementedError

    def fresh_secret(self) -> str:
        """Return a new secret for an endpoint."""
        raise NotImplementedError


class Webhooks:
    """The endpoints of the account, and what was and is to be delivered to them."""

    def __init__(
        self,
        book: Book,
        faults: FaultBox,
        dialect: Dialect,
        endpoints: Sequence[Mapping[str, Any]],
        authority: Path,
    ) -> None:
        self._book = book
        self._faults = faults
        self._dialect = dialect
        self._authority = authority
        self._retries = dialect.retries
        self._deliveries = book.add("delivery")
        self._endpoints = book.add("endpoint")
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._agenda: list[tuple[float, str]] = []
        """When each pending delivery is due: a heap."""
        self._scheduler: asyncio.Task[None] | None = None
        self._reversed_until = 0.0
        self._reversed = 0
        self._adopt(endpoints)
        book.on_event = self._on_event

    # --- endpoints ------------------------------------------------------------------------------
    def _adopt(self, endpoints: Sequence[Mapping[str, Any]]) -> None:
        """Take the account's endpoints; one whose secret was rolled here keeps the new one."""
        urls = {str(endpoint["url"]) for endpoint in endpoints}
        for kept in list(self._endpoints.newest_first()):
            if kept["url"] not in urls:
                self._endpoints.drop(kept["url"])
        for endpoint in endpoints:
            url, secret = str(endpoint["url"]), str(endpoint["secret"])
            known = self._endpoints.get(url)
            if known is None or known["initial"] != secret:
                fresh: Object = {"id": new_id("we_1"), "url": url, "initial": secret}
                fresh["secrets"] = [{"secret": secret, "expires_at": None}]
                fresh["enabled_events"] = list(endpoint.get("enabled_events", ["*"]))
                fresh["disabled"] = False
                self._endpoints.put(url, fresh)

    def endpoints(self) -> list[Object]:
        """Return the endpoints: id, url, secrets and the events they want."""
        return sorted(self._endpoints.newest_first(), key=lambda each: str(each["url"]))

    def roll_secret(self, endpoint_id: str, overlap: int = OVERLAP) -> str:
        """Give an endpoint a new secret; the old ones sign as well for `overlap` seconds."""
        for endpoint in self.endpoints():
            if endpoint["id"] == endpoint_id:
                changed = self._endpoints.get(endpoint["url"]) or endpoint
                ends = time.time() + overlap
                for entry in changed["secrets"]:
                    entry["expires_at"] = min(entry["expires_at"] or ends, ends)
                fresh = self._dialect.fresh_secret()
                changed["secrets"].append({"secret": fresh, "expires_at": None})
                self._endpoints.put(changed["url"], changed)
                return fresh
        raise KeyError(endpoint_id)

    def enable(self, endpoint_id: str) -> None:
        """Send to a disabled endpoint again; raises KeyError for an unknown one."""
        for endpoint in self.endpoints():
            if endpoint["id"] == endpoint_id:
                self._endpoints.put(endpoint["url"], {**endpoint, "disabled": False})
                return
        raise KeyError(endpoint_id)

    def active_secrets(self, url: str) -> list[str]:
        """Return the secrets that sign for an endpoint now, the newest first."""
        now = time.time()
        entries = (self._endpoints.get(url) or {"secrets": []})["secrets"]
        alive = [e for e in entries if e["expires_at"] is None or e["expires_at"] > now]
        return [str(entry["secret"]) for entry in reversed(alive)]

    # --- deliveries -----------------------------------------------------------------------------
    def deliveries(self, limit: int = 100) -> list[Object]:
        """Return the newest deliveries with their attempts, without what signed them."""
        newest = itertools.islice(self._deliveries.newest_first(), limit)
        return [{name: each[name] for name in each if name != "secrets"} for each in newest]

    def sent(self, delivery_id: str) -> Object | None:
        """Return a delivery."""
        return self._deliveries.get(delivery_id)

    def resend(self, delivery_id: str) -> None:
        """Deliver again, now, whatever became of it; raises KeyError for an unknown one."""
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            raise KeyError(delivery_id)
        now = time.time()
        self._deliveries.put(delivery_id, {**delivery, "status": "pending", "tries": 0, "due": now})
        self._plan(delivery_id, now)

    def _on_event(self, event: Object) -> None:
        faults = self._faults.now
        dropped = self._faults.take("drop_next")
        due = self._due()
        waiting = 0
        for endpoint in self._endpoints.newest_first():
            wanted = endpoint["enabled_events"]
            if "*" not in wanted and event["type"] not in wanted:
                continue
            if endpoint.get("disabled"):
                continue
            waiting += 1
            for _ in range(1 if dropped else 1 + faults.duplicate):
                self._add(event, endpoint["url"], due, dropped)
        self._book.tables["event"].put(event["id"], {**event, "pending_webhooks": waiting})

    def _add(self, event: Object, endpoint: str, due: float, dropped: bool) -> None:
        """Plan a delivery; an event may name the address that it goes to."""
        delivery: Object = {
            "id": new_id("whd_"),
            "event": event["id"],
            "type": event["type"],
            "endpoint": endpoint,
            "url": event.get("url", endpoint),
            "status": "dropped" if dropped else "pending",
            "created": time.time(),
            "due": due,
            "tries": 0,
            "attempts": [],
        }
        if self._dialect.keeps_secrets:
            delivery["secrets"] = self.active_secrets(endpoint)
        self._deliveries.put(delivery["id"], delivery)
        if not dropped:
            self._plan(delivery["id"], due)

    def _plan(self, id: str, due: float) -> None:
        heapq.heappush(self._agenda, (due, id))
        self._wake.set()

    def _due(self) -> float:
        now = time.time() + self._faults.now.delay_seconds
        if not self._faults.now.reorder:
            return now
        # What comes within a window leaves at its end, the last first.
        if now > self._reversed_until:
            self._reversed_until = now + REORDER_WINDOW
            self._reversed = 0
        self._reversed += 1
        return self._reversed_until + 1.0 - min(self._reversed, 20) * 0.05

    async def settled(self, event_ids: Sequence[str], timeout: float) -> bool:
        """Wait until each of these events was tried at each endpoint; False when time is up."""
        wanted = set(event_ids)
        try:
            async with asyncio.timeout(timeout):
                while any(
                    delivery["event"] in wanted
                    and delivery["status"] == "pending"
                    and not delivery["attempts"]
                    for delivery in self._deliveries.newest_first()
                ):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    # --- the work -------------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin to deliver, what was left from the last run included."""
        for delivery in list(self._deliveries.newest_first()):
            if delivery["status"] != "pending":
                continue
            if self._endpoints.get(_endpoint(delivery)) is None:
                # The account has it no more; its secret is gone too.
                self._deliveries.put(delivery["id"], {**delivery, "status": "failed"})
            else:
                self._plan(delivery["id"], delivery["due"])
        tls = ssl.create_default_context()
        tls.load_verify_locations(self._authority)
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, resolver=_Loopback(), limit=_AT_ONCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._dialect.timeout),
        )
        self._scheduler = asyncio.create_task(self._schedule())

    async def stop(self) -> None:
        """Stop; an attempt that is cut off counts for nothing and is made again."""
        tasks = [task for task in (self._scheduler, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._scheduler is not None:
            await self._client.close()

    async def _schedule(self) -> None:
        while True:
            self._wake.clear()
            now = time.time()
            while self._agenda and self._agenda[0][0] <= now and len(self._running) < _AT_ONCE:
                _, id = heapq.heappop(self._agenda)
                if id not in self._running:
                    self._running[id] = asyncio.create_task(self._attempt(id))
            pause = None
            if self._agenda and len(self._running) < _AT_ONCE:
                pause = max(0.001, self._agenda[0][0] - now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _attempt(self, id: str) -> None:
        try:
            delivery = self._deliveries.get(id)
            # A change that was rolled back, or a resend meanwhile, leaves an entry behind.
            if delivery is not None and delivery["status"] == "pending":
                self._record(id, await self._post(delivery))
        finally:
            self._running.pop(id, None)
            self._wake.set()
            self._progress.set()

    async def _post(self, delivery: Object) -> Object:
        event = self._book.tables["event"].get(delivery["event"]) or {}
        at = time.time()
        signing = delivery.get("secrets") or self.active_secrets(_endpoint(delivery))
        stamp = at + self._faults.now.clock_skew_seconds
        payload, headers = self._dialect.write(event, delivery, signing, stamp)
        started = time.perf_counter()
        attempt: Object = {"at": at, "status": None, "error": None}
        try:
            async with self._client.post(
                delivery["url"],
                data=payload.encode(),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                attempt["status"] = answer.status
                body = await answer.content.read(2000)
                attempt["answer"] = body.decode(errors="replace")
        except TimeoutError:
            attempt["error"] = f"no answer within {self._dialect.timeout:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            attempt["error"] = str(error) or type(error).__name__
        attempt["ms"] = round((time.perf_counter() - started) * 1000)
        return attempt

    def _record(self, id: str, attempt: Object) -> None:
        delivery = self._deliveries.get(id)
        if delivery is None:
            return
        delivery["attempts"] = [*delivery["attempts"][-49:], attempt]
        taken = attempt["status"] is not None and 200 <= attempt["status"] < 300
        if taken:
            delivery["status"] = "delivered"
            self._taken(delivery["event"])
        elif delivery["tries"] < len(self._retries):
            delivery["due"] = time.time() + self._retries[delivery["tries"]]
            delivery["tries"] += 1
            self._plan(id, delivery["due"])
        else:
            delivery["status"] = "failed"
            self._failed(_endpoint(delivery))
        self._deliveries.put(id, delivery)
        note(
            logging.INFO if taken else logging.WARNING,
            "webhook delivered" if taken else "webhook not taken",
            event_id=delivery["event"],
            type=delivery["type"],
            url=delivery["url"],
            status=attempt["status"],
            error=attempt["error"],
            ms=attempt["ms"],
        )
        self._prune()

    def _failed(self, url: str) -> None:
        endpoint = self._endpoints.get(url)
        if endpoint is not None and self._dialect.disables:
            self._endpoints.put(url, {**endpoint, "disabled": True})
            note(logging.WARNING, "webhook disabled", url=url, gateway=self._book.gateway)

    def _taken(self, event_id: str) -> None:
        event = self._book.tables["event"].get(event_id)
        if event is not None and event["pending_webhooks"]:
            left = event["pending_webhooks"] - 1
            self._book.tables["event"].put(event_id, {**event, "pending_webhooks": left})

    def _prune(self) -> None:
        if len(self._deliveries) > KEPT + 100:
            for old in list(self._deliveries.newest_first())[KEPT:]:
                if old["status"] != "pending":
                    self._deliveries.drop(old["id"])


def _endpoint(delivery: Object) -> str:
    """Return the endpoint of a delivery; older ones have its address only."""
    return str(delivery.get("endpoint", delivery["url"]))


class _Loopback(AbstractResolver):
    """Names under `.localhost` are this machine (RFC 6761), whatever its name server says."""

    def __init__(self) -> None:
        self._others = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Resolve a name."""
        if host == "localhost" or host.endswith(".localhost"):
            return await self._others.resolve("127.0.0.1", port)
        return await self._others.resolve(host, port)

    async def close(self) -> None:
        """Nothing to close."""
