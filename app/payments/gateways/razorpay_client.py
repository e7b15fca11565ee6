"""Razorpay's official client, in threads, with our authority, our time limits and our errors.

The client (2.0.1) is synchronous and on requests. Left alone it throws the status of an answer
away (a conflict looks like a refusal), verifies against a bundle of its own, knows no time limit,
and prints to standard output when a connection fails. All four are put right from outside, in the
session that it is given: a session may raise, and what is none of requests' errors passes through.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import razorpay  # type: ignore[import-untyped]
import requests
from requests.adapters import HTTPAdapter

from payments.gateways.http import refused
from payments.gateways.protocol import GatewayBusyError, GatewayUnknownError
from payments.trust import context_with_extra

CONNECT_TIMEOUT_SECONDS: Final = 3.0
CALL_TIMEOUT_SECONDS: Final = 12.0
THREADS: Final = 8
"""Calls at once per process; more wait, and their waiting counts."""

Json = dict[str, Any]
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,60}")


class RazorpayClient:
    """The account's calls: each returns the parsed answer, or raises the protocol's errors."""

    def __init__(self, key_id: str, key_secret: str, *, base: str, outgoing_ca: str | None) -> None:
        self._session = _Session(context_with_extra(outgoing_ca))
        # No retries: a repetition is ours to decide. The client's are off unless turned on.
        self._client = razorpay.Client(
            session=self._session, auth=(key_id, key_secret), base_url=base
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="razorpay")

    async def create_order(self, data: Json) -> Json:
        """POST /v1/orders."""
        return await self._run(self._client.order.create, data=data)

    async def order(self, ref: str) -> Json:
        """GET /v1/orders/{ref}."""
        return await self._run(self._client.order.fetch, ref)

    async def orders(self, **query: object) -> list[Json]:
        """GET /v1/orders."""
        return _items(await self._run(self._client.order.all, query))

    async def order_payments(self, ref: str) -> list[Json]:
        """GET /v1/orders/{ref}/payments."""
        return _items(await self._run(self._client.order.payments, ref))

    async def payments(self, **query: object) -> list[Json]:
        """GET /v1/payments."""
        return _items(await self._run(self._client.payment.all, query))

    async def payment(self, ref: str) -> Json:
        """GET /v1/payments/{ref}."""
        return await self._run(self._client.payment.fetch, ref)

    async def capture(self, ref: str, amount: int, currency: str) -> Json:
        """POST /v1/payments/{ref}/capture."""
        return await self._run(self._client.payment.capture, ref, amount, {"currency": currency})

    async def refund(self, ref: str, data: Json, key: str) -> Json:
        """POST /v1/payments/{ref}/refund, under a key."""
        headers = {"X-Refund-Idempotency": key}
        return await self._run(self._client.payment.refund, ref, data, headers=headers)

    async def refunds(self, ref: str) -> list[Json]:
        """GET /v1/payments/{ref}/refunds."""
        found = await self._run(self._client.payment.fetch_multiple_refund, ref, {"count": 100})
        return _items(found)

    async def all_refunds(self, **query: object) -> list[Json]:
        """GET /v1/refunds."""
        return _items(await self._run(self._client.refund.all, query))

    async def disputes(self, **query: object) -> list[Json]:
        """GET /v1/disputes."""
        return _items(await self._run(self._client.dispute.all, query))

    async def dispute(self, ref: str) -> Json:
        """GET /v1/disputes/{ref}."""
        return await self._run(self._client.dispute.fetch, ref)

    async def close(self) -> None:
        """Close the connections; a call that still runs ends by its own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _run(self, call: Callable[..., Any], *args: object, **options: object) -> Json:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                answer = await loop.run_in_executor(self._threads, lambda: call(*args, **options))
        except TimeoutError as error:
            # The thread may still be at it: whether it has its effect, nobody knows.
            raise GatewayUnknownError("no answer in time") from error
        if not isinstance(answer, dict):
            raise GatewayUnknownError("an answer that is no object")
        return answer


class _Session(requests.Session):
    """Verifies against our authorities, limits the time, and tells the outcomes apart."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False  # no .netrc, no proxy that we were not told of
        self.mount("https://", _Adapter(context))

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        options["verify"] = True
        options["timeout"] = (CONNECT_TIMEOUT_SECONDS, CALL_TIMEOUT_SECONDS)
        options["allow_redirects"] = False
        try:
            response = super().request(method, url, *args, **options)
            status, body = response.status_code, response.json()
        except requests.JSONDecodeError as error:
            raise GatewayUnknownError(f"status {status_of(error)}") from None
        except requests.RequestException as error:
            raise GatewayUnknownError(f"no answer ({type(error).__name__})") from None
        _judge(status, body)
        return response


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=THREADS)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)


def status_of(error: requests.RequestException) -> object:
    """Return the status of the answer an error is about, for a log."""
    return getattr(error.response, "status_code", "unreadable")


def _judge(status: int, body: object) -> None:
    """Raise for an answer that is none of 2xx.

    razorpay.com/docs/api/errors; 409 is another request under the same key, still running.
    """
    if 200 <= status < 300:
        return
    if status in (409, 425, 429):
        raise GatewayBusyError(f"status {status}")
    if status >= 500 or status == 408 or status < 400:
        raise GatewayUnknownError(f"status {status}")
    raise refused(status, _code(body))


def _code(body: object) -> str:
    """Return the error's reason or code; never its description, which may quote what was sent."""
    error = body.get("error") if isinstance(body, Mapping) else None
    for name in ("reason", "code"):
        found = error.get(name) if isinstance(error, Mapping) else None
        if isinstance(found, str) and _CODE.fullmatch(found) and found != "NA":
            return found
    return "refused"


def _items(answer: Json) -> list[Json]:
    items = answer.get("items")
    if not isinstance(items, list):
        raise GatewayUnknownError("a list without items")
    return items
