"""JSON over HTTPS to gateways that have no client we can use (docs/decisions/0008).

Sorts what can happen into the protocol's three outcomes. Nothing of a body reaches an error or a
log: an answer may hold a person's name and address.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import httpx

from payments.gateways.protocol import (
    GatewayBusyError,
    GatewayForbiddenError,
    GatewayRefusedError,
    GatewayUnknownError,
)
from payments.trust import context_with_extra

CONNECT_TIMEOUT_SECONDS: Final = 3.0
CALL_TIMEOUT_SECONDS: Final = 12.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class JsonApi:
    """One gateway's API."""

    def __init__(self, base: str, *, outgoing_ca: str | None) -> None:
        self._http = httpx.AsyncClient(
            base_url=base,
            verify=context_with_extra(outgoing_ca),
            timeout=httpx.Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Make one call; returns the status (2xx or 4xx) and the parsed answer (None without one).

        Raises `GatewayBusyError` and `GatewayUnknownError`.
        """
        status, body = await self.fetch(
            method, path, headers=headers, content=content, params=params
        )
        if status in (409, 425, 429):
            raise GatewayBusyError(f"status {status}")
        if not (200 <= status < 300 or 400 <= status < 500) or status == 408:
            raise GatewayUnknownError(f"status {status}")
        if not body:
            return status, None
        try:
            return status, json.loads(body)
        except ValueError as error:
            raise GatewayUnknownError(f"status {status}, and no JSON") from error

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        most: int = MAX_ANSWER_BYTES,
    ) -> tuple[int, bytes]:
        """Make one call; returns the status and the bytes. Raises `GatewayUnknownError`."""
        try:
            async with (
                asyncio.timeout(CALL_TIMEOUT_SECONDS),
                self._http.stream(
                    method, url, headers=headers, content=content, params=params
                ) as response,
            ):
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > most:
                        raise GatewayUnknownError("an answer that is too large")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # Raised from none: the address of a call may be in it.
            raise GatewayUnknownError(f"no answer ({type(error).__name__})") from None
        return response.status_code, body

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def refused(status: int, code: str) -> GatewayRefusedError:
    """Return the error that a 4xx is: whoever is not let in learns nothing of earlier calls."""
    return (GatewayForbiddenError if status in (401, 403) else GatewayRefusedError)(code)


def code(value: object, default: str = "refused") -> str:
    """Return an error's code if it looks like one; never a text that may quote what was sent."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else default
