"""GET routes of DigitalOcean's API v2 over the twin's records.

What it lists is what was deployed, so the official client can check the twin. Shapes and headers:
digitalocean/openapi. Serve it under a host name of its own (`add_domain`): its
paths begin with `/v2`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from twin.api import digitalocean_shapes as shapes
from twin.api.limits import RollingLimit
from twin.store import Store

HOURLY_LIMIT: Final = 5000
MINUTE_LIMIT: Final = 250
KEYS_LIMIT: Final = 10  # GET /v2/account/keys, in 60 s
_PER_PAGE, _MOST_PER_PAGE = 20, 200
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(store: Store, account: Mapping[str, Any]) -> web.Application:
    """The API as a sub-application; `account` is the twin's account file."""
    token = account.get("digitalocean", {}).get("token", "")
    hour, minute = RollingLimit(HOURLY_LIMIT, 3600), RollingLimit(MINUTE_LIMIT, 60)
    keys = RollingLimit(KEYS_LIMIT, 60)

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not token or request.headers.get("Authorization") != f"Bearer {token}":
            return _error(401, "Unauthorized", "Unable to authenticate you")
        limits = [hour, minute, *([keys] if request.path == "/v2/account/keys" else [])]
        exhausted = next((limit for limit in limits if not limit.take()), None)
        if exhausted is not None:
            answer: web.StreamResponse = _error(
                429, "too_many_requests", "API Rate limit exceeded."
            )
            answer.headers["retry-after"] = str(max(1, int(exhausted.seconds_left)))
        else:
            answer = await _found(request, handler)
        answer.headers["ratelimit-limit"] = str(hour.most)
        answer.headers["ratelimit-remaining"] = str(hour.remaining)
        answer.headers["ratelimit-reset"] = str(int(time.time() + hour.seconds_left))
        return answer

    app = web.Application(middlewares=[guard])
    for path, shape in shapes.SHAPES.items():
        app.router.add_get(f"/v2/{path}", _list(store, shape))
        if shape.one:
            app.router.add_get(f"/v2/{path}/{{id}}", _one(store, shape))
    return app


async def _found(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _error(404, "not_found", "The resource you were accessing could not be found.")
    except web.HTTPMethodNotAllowed:
        return _error(405, "method_not_allowed", "The twin's view of the account is read-only.")


def _list(store: Store, shape: shapes.Shape) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        page, size = _number(request, "page", 1), _number(request, "per_page", _PER_PAGE)
        size = min(size, _MOST_PER_PAGE)
        found = shape.all(store, request.query)
        shown = found[(page - 1) * size : page * size]
        body = {
            shape.plural: shown,
            "links": _links(request, page, size, len(found)),
            "meta": {"total": len(found)},
        }
        return web.json_response(body)

    return handle


def _one(store: Store, shape: shapes.Shape) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]
        for found in shape.all(store, {}):
            if str(found["id"]) == wanted:
                return web.json_response({shape.singular: found})
        raise web.HTTPNotFound

    return handle


def _number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    return max(1, int(text)) if text.isdigit() else otherwise


def _links(request: web.Request, page: int, size: int, total: int) -> dict[str, Any]:
    last = max(1, -(-total // size))

    def url(number: int) -> str:
        return str(request.url.update_query(page=number, per_page=size))

    pages: dict[str, str] = {}
    if page > 1:
        pages |= {"first": url(1), "prev": url(page - 1)}
    if page < last:
        pages |= {"next": url(page + 1), "last": url(last)}
    return {"pages": pages} if pages else {}


def _error(status: int, id: str, message: str) -> web.Response:
    return web.json_response({"id": id, "message": message}, status=status)
