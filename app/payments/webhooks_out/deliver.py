"""Delivering: one attempt, its outcome, and when the next one is.

2xx is delivered; everything else, and silence, is tried again over three days. 410 says that nobody
is there any more and disables the endpoint at once; an endpoint that has taken nothing for five
days is disabled too, and its owner sees why.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import httpx
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from payments import jobs
from payments.ops import metrics
from payments.ops.logs import get_logger
from payments.resources import Resources
from payments.trust import context_with_extra
from payments.webhooks_out import signing
from payments.webhooks_out.addresses import BadAddressError, look_up
from payments.webhooks_out.models import Delivery, Endpoint, Message
from payments.webhooks_out.places import Places

log = get_logger(__name__)

TIMEOUT_SECONDS: Final = 10.0
"""For all of an attempt. A limit per read is none: a header line every few seconds keeps it."""
PAUSES: Final = tuple(
    timedelta(seconds=s) for s in (5, 60, 300, 1800, 7200, 18000, 36000, 36000, 50400, 50400)
)
"""About two and a half days in all, as the Standard Webhooks guide recommends."""
GIVE_UP_AFTER: Final = timedelta(days=5)
CLAIM: Final = timedelta(seconds=60)
"""How long an attempt is one worker's: longer than it can take."""
GONE: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is sent where."""

    message_id: str
    url: str
    body: bytes
    secrets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery that is this worker's to attempt: what is told, and whom."""

    delivery_id: int
    message: Message
    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: a status, or why there is none."""

    status: int | None
    error: str | None

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


UNSIGNED: Final = Answer(status=None, error="the endpoint's secret cannot be read here")


@asynccontextmanager
async def next_due(resources: Resources, places: Places) -> AsyncIterator[Due | None]:
    """Claim what has been due the longest of those whose customers may take a place.

    The place is kept for the time of the block. None when there is nothing that may be taken.
    """
    async with AsyncExitStack() as place:
        due = None
        while due is None:  # in a transaction each: a disabled endpoint may have thousands
            async with places.choosing:
                async with resources.database.transaction() as session:
                    delivery = await _next(session, places, lock=True)
                    if delivery is None:
                        break
                    due = await _claim(session, delivery)
                if due is not None:
                    place.enter_context(places.taken(due.endpoint.customer_id))
        yield due


async def hand_on(resources: Resources, places: Places) -> None:
    """Leave what may be taken now to one more job."""
    async with resources.database.transaction() as session:
        delivery = await _next(session, places, lock=False)
        if delivery is not None:
            await jobs.enqueue(session, jobs.DELIVER_WEBHOOK, {"delivery_id": delivery.id})


async def make(resources: Resources, due: Due) -> str:
    """Make one attempt; returns the delivery's state afterwards."""
    answer = UNSIGNED
    attempt = _attempt(due, signing.Seal(*resources.settings.seal_keys))
    if attempt.secrets:
        answer = await send(
            attempt,
            outgoing_ca=resources.settings.outgoing_ca,
            allow_private=resources.settings.webhooks_to_private_addresses,
        )
    async with resources.database.transaction() as session:
        return await _record(session, due.delivery_id, answer)


async def send(attempt: Attempt, *, outgoing_ca: str | None, allow_private: bool) -> Answer:
    """Send it once. Never raises: what went wrong is the answer."""
    stamp = int(datetime.now(UTC).timestamp())
    signed = signing.headers(attempt.message_id, stamp, attempt.body, attempt.secrets)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _post(attempt, signed, outgoing_ca, allow_private=allow_private)
    except BadAddressError as error:
        return Answer(status=None, error=str(error))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Answer(status=None, error=type(error).__name__)


@lru_cache(maxsize=2)
def _trust(outgoing_ca: str | None) -> ssl.SSLContext:
    """Return what verifies receivers; to read every authority takes longer than many an answer."""
    return context_with_extra(outgoing_ca)


async def _post(
    attempt: Attempt, signed: Mapping[str, str], outgoing_ca: str | None, *, allow_private: bool
) -> Answer:
    target = await look_up(attempt.url, allow_private=allow_private)
    async with (
        httpx.AsyncClient(
            verify=_trust(outgoing_ca), timeout=TIMEOUT_SECONDS, trust_env=False
        ) as client,
        client.stream(
            "POST",
            target.url,
            content=attempt.body,
            headers={
                **signed,
                "host": target.authority,
                "content-type": "application/json",
                "user-agent": "payments-webhooks/1",
            },
            # The certificate must be the name's, whatever number it led to.
            extensions={"sni_hostname": target.host},
        ) as response,
    ):
        return Answer(status=response.status_code, error=None)  # the body is not even read


async def again(session: AsyncSession, delivery: Delivery) -> None:
    """Have a delivery that has ended made once more, at once."""
    delivery.state, delivery.next_attempt_at = "waiting", datetime.now(UTC)
    delivery.attempts = 0
    await session.flush()
    await jobs.enqueue(session, jobs.DELIVER_WEBHOOK, {"delivery_id": delivery.id})


async def _next(session: AsyncSession, places: Places, *, lock: bool) -> Delivery | None:
    """Return what has been due the longest of those whose customers are not full."""
    if not places.free:
        return None
    theirs = select(Endpoint.id).where(Endpoint.customer_id.in_(places.full()))
    query = (
        select(Delivery)
        .where(Delivery.next_attempt_at <= func.now(), Delivery.endpoint_id.not_in(theirs))
        .order_by(Delivery.next_attempt_at)
        .limit(1)
    )
    if lock:
        query = query.with_for_update(of=Delivery, skip_locked=True)
    found: Delivery | None = await session.scalar(query)
    return found


async def _claim(session: AsyncSession, delivery: Delivery) -> Due | None:
    """Make a delivery this worker's for a while; None when its endpoint is disabled.

    What could fail for one delivery is done later: it would be the next one again for everybody.
    """
    message = await session.get_one(Message, delivery.message_id)
    endpoint = await session.get_one(Endpoint, delivery.endpoint_id)
    if not endpoint.enabled:
        delivery.state, delivery.next_attempt_at = "failed", None
        delivery.error = "the endpoint is disabled"
        return None
    delivery.attempts += 1
    delivery.next_attempt_at = datetime.now(UTC) + CLAIM
    return Due(delivery_id=delivery.id, message=message, endpoint=endpoint)


def _attempt(due: Due, seal: signing.Seal) -> Attempt:
    return Attempt(
        message_id=f"msg_{due.message.id.hex}",
        url=due.endpoint.url,
        body=_body(due.message),
        secrets=_secrets(due.endpoint, seal),
    )


def _secrets(endpoint: Endpoint, seal: signing.Seal) -> tuple[bytes, ...]:
    """Return what signs for an endpoint; nothing where a key of ours is missing."""
    until = endpoint.old_secret_until
    both = endpoint.old_secret is not None and until is not None and until > datetime.now(UTC)
    try:
        secrets = [seal.open(endpoint.secret)]
        if both and endpoint.old_secret is not None:
            secrets.append(seal.open(endpoint.old_secret))
    except signing.UnreadableError:
        log.error("webhooks_out.secret_unreadable", endpoint_id=str(endpoint.id))
        return ()
    return tuple(secrets)


def _body(message: Message) -> bytes:
    """Return the bytes of a message: the same at every attempt."""
    told: dict[str, Any] = {
        "type": message.type,
        "timestamp": message.created_at.astimezone(UTC).isoformat(),
        "data": message.data,
    }
    return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()


async def _record(session: AsyncSession, delivery_id: int, answer: Answer) -> str:
    delivery = await session.get_one(Delivery, delivery_id, with_for_update=True)
    endpoint = await session.get_one(Endpoint, delivery.endpoint_id, with_for_update=True)
    now = datetime.now(UTC)
    delivery.answer, delivery.error = answer.status, answer.error
    metrics.WEBHOOKS_OUT.labels("taken" if answer.taken else "refused").inc()
    if answer.taken:
        delivery.state, delivery.next_attempt_at, delivery.delivered_at = "delivered", None, now
        endpoint.failing_since = None
        return delivery.state
    endpoint.failing_since = endpoint.failing_since or now
    if answer.status == GONE:
        _disable(endpoint, "it answered 410 Gone")
    elif now - endpoint.failing_since > GIVE_UP_AFTER:
        _disable(endpoint, "it has taken nothing for five days")
    if not endpoint.enabled or delivery.attempts > len(PAUSES):
        delivery.state, delivery.next_attempt_at = "failed", None
        return delivery.state
    # Not all at the same moment after an outage.
    pause = PAUSES[delivery.attempts - 1] * random.uniform(1.0, 1.2)  # noqa: S311
    delivery.next_attempt_at = now + pause
    await session.flush()
    await jobs.enqueue(
        session,
        jobs.DELIVER_WEBHOOK,
        {"delivery_id": delivery_id},
        at=delivery.next_attempt_at,
    )
    return delivery.state


def _disable(endpoint: Endpoint, reason: str) -> None:
    endpoint.enabled, endpoint.disabled_reason = False, reason
    log.warning("webhooks_out.disabled", endpoint_id=str(endpoint.id), reason=reason)
