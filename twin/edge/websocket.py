"""Websockets through the edge: one to the visitor, one to the origin, messages passed both ways."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from twin.edge.exchange import Exchange, Reply
from twin.edge.headers import drop_hop_by_hop

_HANDSHAKE = (
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
)
"""Made anew for each side; compression is not carried across."""

_Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


async def bridge(
    session: aiohttp.ClientSession, url: URL, headers: CIMultiDict[str], exchange: Exchange
) -> web.WebSocketResponse | Reply:
    """Join visitor and origin until either leaves; a Reply when the origin does not upgrade."""
    offered = exchange.request.headers.get("Sec-WebSocket-Protocol", "")
    protocols = [name.strip() for name in offered.split(",") if name.strip()]
    for name in _HANDSHAKE:
        headers.popall(name, None)
    try:
        origin = await session.ws_connect(
            url,
            headers=headers,
            protocols=protocols,
            autoping=False,
            autoclose=False,
            max_msg_size=0,
        )
    except aiohttp.WSServerHandshakeError as refusal:
        answered = CIMultiDict(refusal.headers or {})
        drop_hop_by_hop(answered)
        # The client library has dropped the body by now.
        for name in ("Content-Length", "Content-Encoding"):
            answered.popall(name, None)
        return Reply(status=refusal.status if refusal.status != 101 else 502, headers=answered)
    visitor = web.WebSocketResponse(
        protocols=[origin.protocol] if origin.protocol else (),
        autoping=False,
        autoclose=False,
        compress=False,
        max_msg_size=0,
    )
    try:
        await visitor.prepare(exchange.request)
        tasks = [
            asyncio.create_task(_pass_on(visitor, origin)),
            asyncio.create_task(_pass_on(origin, visitor)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await origin.close()
        await visitor.close()
    return visitor


async def _pass_on(source: _Socket, sink: _Socket) -> None:
    """Pass messages on, the closing one with its code; returns when `source` is done."""
    while True:
        message = await source.receive()
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is WSMsgType.PING:
            await sink.ping(message.data)
        elif message.type is WSMsgType.PONG:
            await sink.pong(message.data)
        elif message.type is WSMsgType.CLOSE:
            await sink.close(code=message.data or 1000, message=(message.extra or "").encode())
            return
        else:
            return
