"""The edge's cache at `/api/edge/cache`, and purging it, in the words of Cloudflare's own API."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from twin.edge.delivery.cache import Cache
from twin.edge.site import Site
from twin.pages.common import HEADERS, body_of, own


class Purge(BaseModel):
    """What to purge, one kind at a time: POST /zones/{id}/purge_cache (api.cloudflare.com)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purge_everything: bool = False
    files: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Purge:
        if sum(map(bool, (self.purge_everything, self.files, self.hosts, self.prefixes))) != 1:
            raise ValueError("give one of purge_everything, files, hosts, prefixes")
        return self


class CachePages:
    """What the cache holds, as JSON, and the way to empty it."""

    def __init__(self, site: Site, cache: Cache) -> None:
        self._cache = cache
        site.route("GET", "/api/edge/cache", self._get)
        site.route("POST", "/api/edge/purge", own(self._purge))

    async def _get(self, _: web.BaseRequest) -> web.Response:
        shelf = self._cache.shelf
        told = {"entries": len(shelf), "bytes": shelf.bytes, "requests": dict(self._cache.counts)}
        return _json(told)

    async def _purge(self, request: web.BaseRequest) -> web.Response:
        try:
            wanted = Purge.model_validate_json(await body_of(request))
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}"
                for each in error.errors()
            )
            return web.json_response({"error": told}, status=400, headers=HEADERS)
        gone = self._cache.purge(
            everything=wanted.purge_everything,
            files=wanted.files,
            hosts=wanted.hosts,
            prefixes=wanted.prefixes,
        )
        return _json({"purged": gone})


def _json(told: Any) -> web.Response:
    return web.json_response(told, headers=HEADERS)
