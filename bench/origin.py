"""`python -m bench.origin`: an origin that answers at once, in a process of its own.

As the platform's gateway, it keeps no connection for a next request. Writes its port to standard
output, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from aiohttp import web

PAGE: Final = b"<!doctype html>" + b"x" * 4000
FILE: Final = "/static/site.0123456789abcdef.css"


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Answer a page that must not be kept, or a file that may."""
    if request.path == FILE:
        headers = {"Cache-Control": "public, max-age=31536000", "Content-Type": "text/css"}
    else:
        headers = {"Cache-Control": "no-store", "Content-Type": "text/html"}
    response = web.Response(body=PAGE, headers=headers)
    response.force_close()
    return response


async def main() -> None:
    """Serve until nobody holds the other end of standard input."""
    server = web.ServerRunner(web.Server(answer, access_log=None))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    sys.stdout.write(f"{server.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
