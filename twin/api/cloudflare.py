"""GET routes of Cloudflare's API v4 over the twin's records: DNS records and tunnels.

The envelope and the error codes are those of developers.cloudflare.com/api. Serve it under a
host name of its own (`add_domain`): its paths begin with `/client/v4`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from twin.api.limits import RollingLimit
from twin.clouds.cloudflare.account import RECORD, TUNNEL, TUNNEL_CONFIG
from twin.store import Record, Store

REQUEST_LIMIT: Final = 1200  # in five minutes, for a user
_PER_PAGE, _MOST_PER_PAGE = 100, 5000
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Json = dict[str, Any]


def application(store: Store, account: Mapping[str, Any]) -> web.Application:
    """The API as a sub-application; `account` is the twin's account file."""
    known = account.get("cloudflare", {})
    token = known.get("api_token", "")
    zones = {zone["id"]: zone for zone in known.get("zones", ())}
    accounts = {entry["id"] for entry in known.get("accounts", ())}
    limit = RollingLimit(REQUEST_LIMIT, 300)

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not token or request.headers.get("Authorization") != f"Bearer {token}":
            return _error(401, 10000, "Authentication error")
        if not limit.take():
            return _error(429, 10429, "More than 1200 requests per 300 seconds reached")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _error(404, 7003, f"Could not route to {request.path}")
        except web.HTTPMethodNotAllowed:
            return _error(405, 7001, "The twin's view of the account is read-only")

    async def records(request: web.Request) -> web.StreamResponse:
        zone = zones.get(request.match_info["zone"])
        if zone is None:
            raise web.HTTPNotFound
        found = [_record(r, zone) for r in store.find(RECORD, zoneId=zone["id"])]
        for name in ("name", "type", "content"):
            if wanted := request.query.get(name):
                found = [entry for entry in found if entry[name] == wanted]
        return _page(request, found)

    async def tunnels(request: web.Request) -> web.StreamResponse:
        found = [_tunnel(r) for r in store.find(TUNNEL, accountId=_account(request, accounts))]
        if name := request.query.get("name"):
            found = [entry for entry in found if entry["name"] == name]
        return _page(request, found)

    async def tunnel(request: web.Request) -> web.StreamResponse:
        return _answer(_tunnel(_one(store, request, accounts)))

    async def configuration(request: web.Request) -> web.StreamResponse:
        owner = _one(store, request, accounts)
        config = store.get(TUNNEL_CONFIG, owner.id)
        return _answer(_configuration(owner, config))

    app = web.Application(middlewares=[guard])
    below = "/client/v4/accounts/{account}/cfd_tunnel"
    app.router.add_get("/client/v4/zones/{zone}/dns_records", records)
    app.router.add_get(below, tunnels)
    app.router.add_get(below + "/{tunnel}", tunnel)
    app.router.add_get(below + "/{tunnel}/configurations", configuration)
    return app


def _account(request: web.Request, accounts: set[str]) -> str:
    wanted = request.match_info["account"]
    if wanted not in accounts:
        raise web.HTTPNotFound
    return wanted


def _one(store: Store, request: web.Request, accounts: set[str]) -> Record:
    owner = _account(request, accounts)
    found = store.get(TUNNEL, request.match_info["tunnel"])
    if found is None or found.outputs["accountId"] != owner:
        raise web.HTTPNotFound
    return found


def _record(record: Record, zone: Mapping[str, Any]) -> Json:
    has = record.outputs
    shown = {
        "id": record.id,
        "zone_id": zone["id"],
        "zone_name": zone["name"],
        "name": has["name"],
        "type": has["type"],
        "content": has.get("content", ""),
        "proxiable": has["proxiable"],
        "proxied": has["proxied"],
        "ttl": int(has["ttl"]),
        "settings": {},
        "meta": {},
        "comment": has.get("comment"),
        "tags": has["tags"],
        "created_on": has["createdOn"],
        "modified_on": has["modifiedOn"],
    }
    if has.get("priority") is not None:
        shown["priority"] = int(has["priority"])
    return shown


def _tunnel(record: Record) -> Json:
    has = record.outputs
    return {
        "id": record.id,
        "account_tag": has["accountTag"],
        "name": has["name"],
        "status": has["status"],
        "created_at": has["createdAt"],
        "deleted_at": None,
        "connections": [],
        "tun_type": has["tunType"],
        "remote_config": has["remoteConfig"],
        "config_src": has["configSrc"],
        "metadata": {},
    }


def _configuration(tunnel: Record, config: Record | None) -> Json:
    has = config.outputs if config else {}
    rules = (has.get("config") or {}).get("ingresses") or []
    return {
        "account_id": tunnel.outputs["accountId"],
        "tunnel_id": tunnel.id,
        "version": int(has.get("version", 0)),
        "config": {"ingress": rules} if config else None,
        "source": has.get("source", tunnel.outputs["configSrc"]),
        "created_at": has.get("createdAt", tunnel.outputs["createdAt"]),
    }


def _page(request: web.Request, found: list[Json]) -> web.Response:
    numbers = [request.query.get(name, "") for name in ("page", "per_page")]
    page = int(numbers[0]) if numbers[0].isdigit() else 1
    size = min(int(numbers[1]) if numbers[1].isdigit() else _PER_PAGE, _MOST_PER_PAGE)
    page, size = max(page, 1), max(size, 1)
    shown = found[(page - 1) * size : page * size]
    info = {
        "page": page,
        "per_page": size,
        "count": len(shown),
        "total_count": len(found),
        "total_pages": -(-len(found) // size),
    }
    return _answer(shown, result_info=info)


def _answer(result: Any, **more: Any) -> web.Response:
    body = {"success": True, "errors": [], "messages": [], "result": result, **more}
    return web.json_response(body)


def _error(status: int, code: int, message: str) -> web.Response:
    errors = [{"code": code, "message": message}]
    body = {"success": False, "errors": errors, "messages": [], "result": None}
    return web.json_response(body, status=status)
