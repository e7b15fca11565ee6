"""`twin.localhost`: what the twin holds, and the knobs of its gateways.

Nothing here needs a login: the front answers on the loopback only. So that no other website can
turn a knob through a visitor's browser, every change must come from this page itself, or from a
client that is no browser.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import jinja2
from aiohttp import web
from pydantic import ValidationError

from twin.edge.site import Site
from twin.edge.tunnel import TUNNEL, Tunnels
from twin.gateways.common.faults import Faults
from twin.gateways.stripe import Stripe
from twin.gateways.stripe.cards import TEST_CARDS
from twin.pages.common import HEADERS, body_of, own, time_of_day
from twin.pages.edge import EdgeFront, EdgePage
from twin.store import Record, Store

DROPLET = "digitalocean:index/droplet:Droplet"
DATABASE = "digitalocean:index/databaseCluster:DatabaseCluster"
_SHOWN_DELIVERIES = 50
_HERE = Path(__file__).parent


class Front(EdgeFront, Protocol):
    """What the page asks of the edge it is served by."""

    port: int
    tunnels: Tunnels
    stripe: Stripe


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
        self.site.route("GET", "/api/status", self._status)
        self.site.route("GET", "/api/stripe/faults", self._faults)
        self.site.route("PUT", "/api/stripe/faults", own(self._put_faults))
        self.site.route("GET", "/api/stripe/deliveries", self._deliveries)
        self.site.route("POST", "/api/stripe/deliveries/{id}/resend", own(self._resend))
        self.site.route("POST", "/api/stripe/endpoints/{id}/roll", own(self._roll))
        self.site.route("POST", "/stripe/faults", own(self._form_faults))
        self.site.route("POST", "/stripe/deliveries/{id}/resend", own(self._form_resend))
        self.site.route("POST", "/stripe/endpoints/{id}/roll", own(self._form_roll))

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
        stripe = self._front.stripe
        text = self._templates.get_template("home.html").render(
            status=self.status(),
            deliveries=stripe.webhooks.deliveries(_SHOWN_DELIVERIES),
            endpoints=stripe.webhooks.endpoints(),
            knobs=_knobs(stripe.faults.now),
            cards=[
                (" ".join(re.findall("....", number)), what)
                for number, (what, _) in TEST_CARDS.items()
            ],
        )
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def _style(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            text=(_HERE / "static" / "twin.css").read_text(), content_type="text/css"
        )

    async def _status(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(self.status())

    # --- the gateway ----------------------------------------------------------------------------
    async def _faults(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(self._front.stripe.faults.now.model_dump())

    async def _put_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            faults = Faults.model_validate_json(await body_of(request), strict=True)
        except ValidationError as error:
            return web.json_response(
                {"errors": json.loads(error.json(include_url=False))}, status=422
            )
        self._front.stripe.faults.set(faults)
        return web.json_response(faults.model_dump())

    async def _form_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        typed = dict(parse_qsl((await body_of(request)).decode(errors="replace")))
        try:
            self._front.stripe.faults.set(Faults.model_validate(typed))
        except ValidationError as error:
            wrong = "\n".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
            return web.Response(status=422, text=f"These faults make no sense.\n{wrong}\n")
        return _back()

    async def _deliveries(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(self._front.stripe.webhooks.deliveries())

    async def _resend(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        try:
            self._front.stripe.webhooks.resend(id)
        except KeyError:
            return web.json_response({"errors": [f"no delivery {id}"]}, status=404)
        return web.json_response({"id": id}, status=202)

    async def _form_resend(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        answer = await self._resend(request, id)
        return _back("webhooks") if answer.status == 202 else answer

    async def _roll(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        overlap = request.query.get("overlap", "86400")
        if not overlap.isdigit() or int(overlap) > 86_400:
            return web.json_response({"errors": ["overlap: 0 to 86400 seconds"]}, status=422)
        try:
            secret = self._front.stripe.webhooks.roll_secret(id, int(overlap))
        except KeyError:
            return web.json_response({"errors": [f"no endpoint {id}"]}, status=404)
        return web.json_response({"id": id, "secret": secret})

    async def _form_roll(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        answer = await self._roll(request, id)
        return _back("faults") if answer.status == 200 else answer


def _back(anchor: str = "faults") -> web.StreamResponse:
    return web.Response(status=303, headers={"Location": f"/#{anchor}"})


def _name(record: Record) -> str:
    for key in ("name", "hostname", "bucketName"):
        value = record.outputs.get(key)
        if isinstance(value, str) and value:
            return value
    return record.id


def _knobs(faults: Faults) -> list[Mapping[str, Any]]:
    """Describe each knob for the form: name, what it does, kind and value."""
    return [
        {
            "name": name,
            "label": name.replace("_", " "),
            "text": field.description,
            "value": getattr(faults, name),
            "check": field.annotation is bool,
            "step": "0.1" if field.annotation is float else "1",
            "changed": getattr(faults, name) != field.default,
        }
        for name, field in Faults.model_fields.items()
    ]
