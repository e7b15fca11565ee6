"""`python -m twin.access.ssh HOME HOST`: what `cloudflared access ssh --hostname` is, for the twin.

Made for ssh's ProxyCommand: standard input and output are the connection. A program shows its
service token from the environment, as the original does. People, whom the original sends to a
browser, are not played: they use the address of the droplet.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import WSMsgType

from twin.access.service import CLIENT_ID, CLIENT_SECRET

TOKEN_ID: Final = "TUNNEL_SERVICE_TOKEN_ID"  # noqa: S105  (a variable's name)
TOKEN_SECRET: Final = "TUNNEL_SERVICE_TOKEN_SECRET"  # noqa: S105
_PIECE: Final = 64 * 1024


class _ToLogin(Exception):
    """Access leads to its login page."""


async def connect(home: Path, host: str) -> int:
    """Carry one connection; returns the exit code."""
    about = json.loads((home / "twin.json").read_text())
    headers = {
        name: value
        for name, variable in ((CLIENT_ID, TOKEN_ID), (CLIENT_SECRET, TOKEN_SECRET))
        if (value := os.environ.get(variable))
    }
    tls = ssl.create_default_context(cafile=about["ca_file"])
    url = f"https://127.0.0.1:{about['https_port']}/"
    headers["Host"] = f"{host}:{about['https_port']}"
    watch = aiohttp.TraceConfig()
    watch.on_request_redirect.append(_refuse_login)
    async with aiohttp.ClientSession(trace_configs=[watch]) as client:
        try:
            joined = await client.ws_connect(
                url, headers=headers, ssl=tls, server_hostname=host, max_msg_size=0
            )
        except _ToLogin:
            sys.stderr.write(
                f"{host}: Access asks for a login. Set {TOKEN_ID} and {TOKEN_SECRET} "
                "(the stack's output service_tokens).\n"
            )
            return 1
        except aiohttp.WSServerHandshakeError as refusal:
            sys.stderr.write(f"{_why(refusal.status, host)}\n")
            return 1
        reader = await _standard_input()
        tasks = [
            asyncio.create_task(_send(reader, joined)),
            asyncio.create_task(_receive(joined)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await joined.close()
    return 0


async def _refuse_login(*_: object) -> None:
    raise _ToLogin


def _why(status: int, host: str) -> str:
    return {
        401: f"{host}: Access does not know this service token, or it is over (401).",
        403: f"{host}: no policy lets this service token in (403).",
    }.get(status, f"{host}: the edge answered {status}.")


async def _standard_input() -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _send(reader: asyncio.StreamReader, joined: aiohttp.ClientWebSocketResponse) -> None:
    while piece := await reader.read(_PIECE):
        await joined.send_bytes(piece)


async def _receive(joined: aiohttp.ClientWebSocketResponse) -> None:
    async for message in joined:
        if message.type is WSMsgType.BINARY:
            sys.stdout.buffer.write(message.data)
            sys.stdout.buffer.flush()


def main(argv: list[str]) -> int:
    """Run; 2 on wrong usage."""
    if len(argv) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        return asyncio.run(connect(Path(argv[0]), argv[1]))
    except (OSError, ValueError, aiohttp.ClientError) as error:
        sys.stderr.write(f"{argv[1]}: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
