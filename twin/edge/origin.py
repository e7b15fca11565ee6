"""The last step of the pipeline: the request goes to its origin, the reply streams back.

Through the tunnel that the host's record names, or to the address that it holds.

Every request gets a stream, and so a connection to the origin, of its own. A kept one could be
closed by the origin at the very moment a POST is sent on it, and nobody could tell whether the POST
was acted upon; a connection inside the droplet's own network costs a tenth of a millisecond.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from twin.edge import pages
from twin.edge.direct import Address, Direct, OriginUnreachable
from twin.edge.exchange import Exchange, Reply, Result, Upgraded
from twin.edge.headers import drop_hop_by_hop, is_websocket
from twin.edge.logs import note
from twin.edge.routes import Answer, Routes, ToService, Unroutable
from twin.edge.stream import carry
from twin.edge.transport import OriginRefused
from twin.edge.tunnel import NoConnector, Service, Tunnels
from twin.edge.websocket import bridge

ORIGIN_TIMEOUT = 100.0
"""Seconds an origin has to begin its answer, and between two pieces of it (error 524)."""

SAFE = ("GET", "HEAD")
"""Methods of requests that may be sent twice."""


class _Failed(aiohttp.ClientError):
    """Opening the stream failed; `error` is why, unwrapped by the HTTP client."""

    def __init__(self, error: NoConnector | OriginRefused | OriginUnreachable) -> None:
        super().__init__(str(error))
        self.error = error


class _Handler(ResponseHandler):
    """The HTTP client's end of a stream that may begin before the origin was reached."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the client; only where the tunnel itself broke shall it try once more."""
        if isinstance(exc, OriginRefused) and exc.code != errno.ECONNRESET:
            exc = _Failed(exc)
        super().connection_lost(exc)


class _TunnelConnector(aiohttp.BaseConnector):
    """Makes the HTTP client's connections: one stream each, to one service, never kept.

    A request that may be sent twice goes off with its stream, and waits at the connector.
    """

    def __init__(self, tunnels: Tunnels, tunnel: str, service: Service) -> None:
        super().__init__(force_close=True, limit=0)
        self._tunnels = tunnels
        self._tunnel = tunnel
        self._service = service

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        protocol = _Handler(self._loop)
        try:
            if req.method in SAFE:
                self._tunnels.open_early(self._tunnel, self._service, protocol)
            else:
                await self._tunnels.open(self._tunnel, self._service, protocol)
        except (NoConnector, OriginRefused) as error:
            raise _Failed(error) from error
        return protocol


class _DirectConnector(aiohttp.BaseConnector):
    """Makes the HTTP client's connections to one address, never kept."""

    def __init__(self, direct: Direct, target: Address) -> None:
        super().__init__(force_close=True, limit=0)
        self._direct = direct
        self._target = target

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        protocol: ResponseHandler = self._factory()
        try:
            await self._direct.open(self._target, protocol)
        except OriginUnreachable as error:
            raise _Failed(error) from error
        return protocol


class Origin:
    """Sends exchanges to their origins. Close it when done."""

    def __init__(
        self, routes: Routes, tunnels: Tunnels, direct: Direct, timeout: float = ORIGIN_TIMEOUT
    ) -> None:
        self._routes = routes
        self._tunnels = tunnels
        self._direct = direct
        self._timeout = aiohttp.ClientTimeout(total=None, sock_read=timeout)
        self._sessions: dict[Address | tuple[str, Service], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close the clients."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __call__(self, exchange: Exchange) -> Result:
        """Answer an exchange: by its origin, or by the edge's page when that fails."""
        target = self._routes.target(exchange.host, exchange.to_origin.partition("?")[0])
        if isinstance(target, Answer):
            return Reply(status=target.status, headers=CIMultiDict())
        if isinstance(target, Unroutable):
            return self._page(exchange, target.code, target.reason)
        try:
            return await self._send(exchange, target)
        except _Failed as failed:
            return self._failed(exchange, failed.error)
        except TimeoutError:
            return self._page(exchange, 524, "the origin did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            code = 520 if isinstance(target, Address) else 502
            return self._page(exchange, code, f"the origin hung up: {error}")

    async def _send(self, exchange: Exchange, target: ToService | Address) -> Result:
        headers = exchange.headers.copy()
        headers["Host"] = exchange.request.headers["Host"]
        if isinstance(target, ToService) and target.stream:
            return await self._stream(exchange, target)
        # Not `https`: the connectors do TLS, where the service speaks it.
        if isinstance(target, Address):
            authority = target.host
        else:
            headers["Host"] = target.host_header or headers["Host"]
            authority = f"{target.service.host}:{target.service.port}"
        url = URL(f"http://{authority}{exchange.to_origin}", encoded=True)
        session = self._session(target)
        if is_websocket(exchange.request):
            response = await bridge(session, url, headers, exchange)
            return response if isinstance(response, Reply) else Upgraded(response=response)
        method = exchange.asks_with or exchange.request.method
        answer = await session.request(
            method, url, headers=headers, data=exchange.body, allow_redirects=False
        )
        answered = CIMultiDict(answer.headers)
        drop_hop_by_hop(answered)
        return Reply(
            status=answer.status,
            reason=answer.reason,
            headers=answered,
            body=_body(answer),
            finish=answer.close,
        )

    async def _stream(self, exchange: Exchange, target: ToService) -> Result:
        """Carry what is not HTTP over a websocket; anything else cannot reach it."""
        if not is_websocket(exchange.request):
            return self._page(exchange, 502, "the service behind the tunnel does not speak HTTP")
        try:
            response = await carry(self._tunnels, target.tunnel, target.service, exchange)
        except (NoConnector, OriginRefused) as error:
            raise _Failed(error) from error
        return Upgraded(response=response)

    def _session(self, target: ToService | Address) -> aiohttp.ClientSession:
        key = target if isinstance(target, Address) else (target.tunnel, target.service)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = aiohttp.ClientSession(
                connector=_DirectConnector(self._direct, key)
                if isinstance(key, Address)
                else _TunnelConnector(self._tunnels, *key),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=self._timeout,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
            )
        return session

    def _failed(
        self, exchange: Exchange, error: NoConnector | OriginRefused | OriginUnreachable
    ) -> Reply:
        if isinstance(error, OriginUnreachable):
            return self._page(exchange, error.code, f"the origin: {error.reason}")
        if isinstance(error, NoConnector):
            return self._page(exchange, 1033, "no connector is connected")
        code = 504 if error.code == errno.ETIMEDOUT else 502
        return self._page(exchange, code, f"the connector says: {error.reason}")

    def _page(self, exchange: Exchange, code: int, reason: str) -> Reply:
        note(
            logging.WARNING,
            "request not served",
            code=code,
            reason=reason,
            host=exchange.host,
            ray=exchange.ray,
        )
        return pages.error(code, host=exchange.host, ray=exchange.ray)


async def _body(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for piece in answer.content.iter_any():
        yield piece
