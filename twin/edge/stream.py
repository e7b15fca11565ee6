"""TCP through the edge: a websocket to the visitor, a stream through the tunnel to the service.

What a client of `cloudflared access ssh` sends are binary messages, and their bounds mean nothing
(cloudflare/cloudflared, carrier and stream packages). The real connector ends the websocket itself;
here the edge does, which nobody on either side can tell.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from twin.edge.exchange import Exchange
from twin.edge.tunnel import Service, Tunnels

_PIECE = 64 * 1024


async def carry(
    tunnels: Tunnels, tunnel: str, service: Service, exchange: Exchange
) -> web.WebSocketResponse:
    """Join a visitor to a service until either leaves.

    Raises what `Tunnels.open` raises, before the visitor's websocket stands.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = await tunnels.open(tunnel, service, protocol)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    visitor = web.WebSocketResponse(compress=False, max_msg_size=0)
    try:
        await visitor.prepare(exchange.request)
        tasks = [
            asyncio.create_task(_to_service(visitor, writer)),
            asyncio.create_task(_to_visitor(reader, visitor)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        writer.close()
        await visitor.close()
    return visitor


async def _to_service(visitor: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in visitor:
        if message.type is WSMsgType.BINARY:
            writer.write(message.data)
            await writer.drain()


async def _to_visitor(reader: asyncio.StreamReader, visitor: web.WebSocketResponse) -> None:
    while piece := await reader.read(_PIECE):
        await visitor.send_bytes(piece)
