"""An edge with the engine and the rulesets that the program deploys; its origin keeps score."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from components.edge import managed
from tests.twin.edge import harness
from tools import firewall
from twin.waf.rulesets import PHASE, RULESET

SAMPLES = Path(__file__).parent / "samples"
ZONE = harness.ZONE["id"]


def engine_program() -> Path:
    """The engine, built where this machine has Go; otherwise the test is skipped, saying so."""
    found = firewall.find()
    if found is not None:
        return found
    if shutil.which("go") is None:
        pytest.skip("the managed rules' engine is not built and there is no Go: make up builds it")
    return firewall.ensure(lambda text: None).program


def camel(value: Any) -> Any:
    """Parameters in the provider's names, as a deployment records them."""
    if isinstance(value, dict):
        return {_camel(key): camel(each) for key, each in value.items()}
    return [camel(each) for each in value] if isinstance(value, list | tuple) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def wanted(owasp: managed.Owasp | None = None) -> list[dict[str, Any]]:
    """The phase's rules as the program deploys them."""
    return [
        {
            "ref": rule.ref,
            "description": rule.description,
            "expression": rule.expression,
            "action": rule.action,
            "actionParameters": camel(dict(rule.parameters)),
        }
        for rule in managed.rules(owasp)
    ]


def ruleset(rules: Sequence[dict[str, Any]], zone: str = ZONE) -> dict[str, Any]:
    return {"zoneId": zone, "kind": "zone", "name": "m", "phase": PHASE, "rules": list(rules)}


@dataclass(kw_only=True)
class Sample:
    """One request as a visitor or a gateway sends it."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass
class Guarded:
    """The site, and what came through to its origin."""

    site: harness.Site
    came: list[tuple[str, bytes]] = field(default_factory=list)

    async def send(self, sample: Sample) -> int:
        url = self.site.url(sample.path)
        from yarl import URL

        async with self.site.client.request(
            sample.method,
            URL(url, encoded=True),
            headers=sample.headers,
            data=sample.body,
            allow_redirects=False,
        ) as answer:
            await answer.read()
            return answer.status

    async def get(self, path: str, **headers: str) -> int:
        return await self.send(
            Sample(name=path, method="GET", path=path, headers={"User-Agent": "t", **headers})
        )

    def deploy(self, rules: Sequence[dict[str, Any]]) -> None:
        self.site.store.put(RULESET, "managed", {}, ruleset(rules))

    def decisions(self, action: str = "block") -> list[Any]:
        return [it for it in self.site.edge.journal.decisions if it.action == action]


@contextlib.asynccontextmanager
async def guarded(
    home: Path, rules: Sequence[dict[str, Any]], program: Path | None
) -> AsyncIterator[Guarded]:
    """Serve a site behind the rules; without a program the edge has no engine."""
    async with harness.running(home, firewall=program) as site:
        found = Guarded(site)

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            found.came.append((request.raw_path, await request.read()))
            return web.Response(text="fine")

        await site.origin(origin)
        found.deploy(rules)
        await site.connector()
        yield found


def gateway_samples() -> list[Sample]:
    """The recorded webhooks of every gateway, in the vendors' own way of writing JSON."""
    found = []
    for name in ("stripe", "razorpay", "paypal", "cryptomus"):
        recorded = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
        for kind, body in recorded["bodies"].items():
            separators = (",", ":") if recorded["indent"] is None else None
            text = json.dumps(body, indent=recorded["indent"], separators=separators)
            if recorded.get("escape_slashes"):
                text = text.replace("/", "\\/")
            found.append(
                Sample(
                    name=f"{name} {kind}",
                    method="POST",
                    path=recorded["path"],
                    headers=recorded["headers"],
                    body=text.encode(),
                )
            )
    return found


def service_samples() -> list[Sample]:
    """What the service's own visitors and clients send."""
    recorded = json.loads((SAMPLES / "service.json").read_text(encoding="utf-8"))
    found = []
    for request in recorded["requests"]:
        headers, body = dict(recorded["headers"][request["as"]]), None
        if "form" in request:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(request["form"]).encode()
        elif "json" in request:
            headers["Content-Type"] = "application/json"
            body = json.dumps(request["json"], ensure_ascii=False).encode()
        found.append(
            Sample(
                name=f"{request['method']} {request['path']}",
                method=request["method"],
                path=request["path"],
                headers=headers,
                body=body,
            )
        )
    return found
