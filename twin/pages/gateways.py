"""`twin.localhost/gateways`: what the gateways send, their faults, and what befalls them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode

import jinja2
from aiohttp import web
from pydantic import ValidationError

from twin.edge.site import Site
from twin.gateways.common.faults import Faults
from twin.gateways.common.gateway import Gateway
from twin.pages.common import HEADERS, body_of, own

SHOWN: Final = 25
"""Deliveries that the page shows of each gateway."""
LONGEST_OVERLAP: Final = 86_400
_Answer = Awaitable[web.StreamResponse]


class GatewaysPage:
    """The page, and the same as JSON below `/api/<gateway>/`."""

    def __init__(
        self, site: Site, templates: jinja2.Environment, gateways: Mapping[str, Gateway]
    ) -> None:
        self._gateways = gateways
        self._templates = templates
        site.route("GET", "/gateways", self._page)
        for name, gateway in gateways.items():
            api = f"/api/{name}"

            def route(
                method: str,
                path: str,
                handler: Callable[..., _Answer],
                gateway: Gateway = gateway,
            ) -> None:
                async def bound(request: web.BaseRequest, **parts: str) -> web.StreamResponse:
                    return await handler(gateway, request, **parts)

                site.route(method, path, bound if method == "GET" else own(bound))

            route("GET", f"{api}/faults", self._faults)
            route("PUT", f"{api}/faults", self._put_faults)
            route("GET", f"{api}/deliveries", self._deliveries)
            route("POST", f"{api}/deliveries/{{id}}/resend", self._resend)
            route("GET", f"{api}/endpoints", self._endpoints)
            route("POST", f"{api}/endpoints/{{id}}/roll", self._roll)
            route("POST", f"{api}/endpoints/{{id}}/enable", self._enable)
            route("GET", f"{api}/actions", self._actions)
            route("POST", f"{api}/actions/{{action}}", self._act)
            route("POST", f"/{name}/faults", self._form_faults)
            route("POST", f"/{name}/deliveries/{{id}}/resend", self._form_resend)
            route("POST", f"/{name}/endpoints/{{id}}/roll", self._form_roll)
            route("POST", f"/{name}/endpoints/{{id}}/enable", self._form_enable)
            route("POST", f"/{name}/actions/{{action}}", self._form_act)

    def summary(self) -> list[dict[str, Any]]:
        """Return each gateway in a line: what waits, what failed, which faults are in force."""
        return [
            {
                "name": gateway.name,
                "title": gateway.title,
                "states": _states(gateway.webhooks.deliveries(1000)),
                "faults": [knob["label"] for knob in _knobs(gateway.faults.now) if knob["changed"]],
            }
            for gateway in self._gateways.values()
        ]

    async def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        done = parse_qs(request.query_string)
        text = self._templates.get_template("gateways.html").render(
            gateways=[
                {
                    "name": gateway.name,
                    "title": gateway.title,
                    "hosts": [host for host in gateway.hosts() if not host.endswith(".localhost")],
                    "deliveries": gateway.webhooks.deliveries(SHOWN),
                    "endpoints": gateway.webhooks.endpoints(),
                    "knobs": _knobs(gateway.faults.now),
                    "actions": gateway.actions,
                    "tries": gateway.tries,
                    "hint": gateway.hint,
                    "done": done.get("done", [""])[0] if done.get("at") == [gateway.name] else "",
                }
                for gateway in self._gateways.values()
            ]
        )
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    # --- faults ---------------------------------------------------------------------------------
    async def _faults(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        return _json(gateway.faults.now.model_dump())

    async def _put_faults(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        try:
            faults = Faults.model_validate_json(await body_of(request), strict=True)
        except ValidationError as error:
            return _json({"errors": json.loads(error.json(include_url=False))}, 422)
        gateway.faults.set(faults)
        return _json(faults.model_dump())

    async def _form_faults(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        typed = dict(parse_qsl((await body_of(request)).decode(errors="replace")))
        try:
            gateway.faults.set(Faults.model_validate(typed))
        except ValidationError as error:
            wrong = "\n".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
            return web.Response(status=422, text=f"These faults make no sense.\n{wrong}\n")
        return _back(gateway)

    # --- deliveries -----------------------------------------------------------------------------
    async def _deliveries(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        return _json(gateway.webhooks.deliveries())

    async def _resend(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        try:
            gateway.webhooks.resend(id)
        except KeyError:
            return _json({"errors": [f"no delivery {id}"]}, 404)
        return _json({"id": id}, 202)

    async def _form_resend(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        answer = await self._resend(gateway, request, id)
        return _back(gateway) if answer.status == 202 else answer

    # --- endpoints ------------------------------------------------------------------------------
    async def _endpoints(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        kept = ("id", "url", "enabled_events", "disabled")
        return _json([{k: each.get(k) for k in kept} for each in gateway.webhooks.endpoints()])

    async def _roll(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        overlap = request.query.get("overlap", str(LONGEST_OVERLAP))
        if not overlap.isdecimal() or int(overlap) > LONGEST_OVERLAP:
            return _json({"errors": [f"overlap: 0 to {LONGEST_OVERLAP} seconds"]}, 422)
        try:
            secret = gateway.webhooks.roll_secret(id, int(overlap))
        except KeyError:
            return _json({"errors": [f"no endpoint {id}"]}, 404)
        return _json({"id": id, "secret": secret})

    async def _form_roll(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        answer = await self._roll(gateway, request, id)
        return _back(gateway) if answer.status == 200 else answer

    async def _enable(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        try:
            gateway.webhooks.enable(id)
        except KeyError:
            return _json({"errors": [f"no endpoint {id}"]}, 404)
        return _json({"id": id})

    async def _form_enable(
        self, gateway: Gateway, request: web.BaseRequest, id: str
    ) -> web.StreamResponse:
        answer = await self._enable(gateway, request, id)
        return _back(gateway) if answer.status == 200 else answer

    # --- what befalls ---------------------------------------------------------------------------
    async def _actions(self, gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
        return _json(
            [
                {
                    "name": each.name,
                    "text": each.text,
                    "fields": {
                        field.name: list(field.choices) or field.label for field in each.fields
                    },
                }
                for each in gateway.actions
            ]
        )

    async def _act(
        self, gateway: Gateway, request: web.BaseRequest, action: str
    ) -> web.StreamResponse:
        try:
            values = json.loads(await body_of(request) or b"{}")
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            return _json({"errors": ["a JSON object of strings is needed"]}, 422)
        return self._run(gateway, action, values)

    def _run(self, gateway: Gateway, action: str, values: Mapping[str, str]) -> web.Response:
        try:
            return _json(gateway.act(action, values))
        except KeyError:
            names = ", ".join(each.name for each in gateway.actions)
            return _json({"errors": [f"no action {action}; there are {names}"]}, 404)
        except ValueError as error:
            return _json({"errors": [str(error)]}, 422)

    async def _form_act(
        self, gateway: Gateway, request: web.BaseRequest, action: str
    ) -> web.StreamResponse:
        typed = dict(parse_qsl((await body_of(request)).decode(errors="replace")))
        answer = self._run(gateway, action, typed)
        told = json.loads(answer.text or "{}")
        if answer.status != 200:
            return web.Response(status=answer.status, text="\n".join(told["errors"]) + "\n")
        return _back(gateway, str(told.get("id", action)))


def _back(gateway: Gateway, done: str = "") -> web.StreamResponse:
    query = f"?{urlencode({'at': gateway.name, 'done': done})}" if done else ""
    return web.Response(status=303, headers={"Location": f"/gateways{query}#{gateway.name}"})


def _json(told: Any, status: int = 200) -> web.Response:
    return web.json_response(told, status=status, headers=HEADERS)


def _states(deliveries: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in deliveries:
        counts[each["status"]] = counts.get(each["status"], 0) + 1
    return counts


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
