"""`twin.localhost`: what the twin holds.

Nothing here needs a login: the front answers on the loopback only. So that no other website can
turn a knob through a visitor's browser, every change must come from this page itself, or from a
client that is no browser.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

import jinja2
from aiohttp import web

from twin.edge.site import Site
from twin.edge.tunnel import TUNNEL, Tunnels
from twin.gateways import Gateways
from twin.pages.common import HEADERS, time_of_day
from twin.pages.edge import EdgeFront, EdgePage
from twin.pages.gateways import GatewaysPage
from twin.store import Record, Store

DROPLET = "digitalocean:index/droplet:Droplet"
DATABASE = "digitalocean:index/databaseCluster:DatabaseCluster"
_HERE = Path(__file__).parent


class Front(EdgeFront, Protocol):
    """What the page asks of the edge it is served by."""

    port: int
    tunnels: Tunnels
    gateways: Gateways


class Home:
    """The page, and the same as JSON under `/api/`."""

    def __init__(self, store: Store, front: Front) -> None:
        self._store = store
        self._front = front
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(loader=loader, autoescape=True)
        self._templates.filters["clock"] = time_of_day
        self.site = Site()
        self.site.route("GET", "/", self._page)
        self.site.route("GET", "/twin.css", self._style)
        EdgePage(self.site, self._templates, front)
        self._gateways = GatewaysPage(self.site, self._templates, front.gateways.all)
        self.site.route("GET", "/api/status", self._status)

    # --- what is shown --------------------------------------------------------------------------
    def status(self) -> dict[str, Any]:
        """Return what is deployed and connected; nothing in it is secret."""
        clouds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for record in self._store.all():
            cloud, _, kind = record.token.partition(":")
            clouds[cloud][kind.rpartition(":")[2]].append(_name(record))
        return {
            "clouds": {cloud: dict(kinds) for cloud, kinds in sorted(clouds.items())},
            "sites": [self._address(host) for host in self._front.routes.hosts()],
            "droplets": [
                {
                    "name": _name(record),
                    "status": record.outputs.get("status"),
                    "public": record.outputs.get("ipv4Address"),
                    "private": record.outputs.get("ipv4AddressPrivate"),
                    "size": record.outputs.get("size"),
                    "image": record.outputs.get("image"),
                }
                for record in self._store.all(DROPLET)
            ],
            "databases": [
                {
                    "name": _name(record),
                    "engine": record.outputs.get("engine"),
                    "version": record.outputs.get("version"),
                    "host": record.outputs.get("privateHost"),
                    "port": record.outputs.get("port"),
                    "nodes": record.outputs.get("nodeCount"),
                }
                for record in self._store.all(DATABASE)
            ],
            "tunnels": [
                {
                    "id": record.id,
                    "name": _name(record),
                    "connectors": self._front.tunnels.connectors(record.id),
                }
                for record in self._store.all(TUNNEL)
            ],
        }

    def _address(self, host: str) -> str:
        port = "" if self._front.port == 443 else f":{self._front.port}"
        return f"https://{host}{port}/"

    async def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        text = self._templates.get_template("home.html").render(
            status=self.status(), gateways=self._gateways.summary()
        )
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def _style(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            text=(_HERE / "static" / "twin.css").read_text(), content_type="text/css"
        )

    async def _status(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(self.status())


def _name(record: Record) -> str:
    for key in ("name", "hostname", "bucketName"):
        value = record.outputs.get(key)
        if isinstance(value, str) and value:
            return value
    return record.id
