"""Where deliveries are taken: the edge judges them by their paths, so it must know every one."""

from __future__ import annotations

import httpx
import pytest
from fastapi.routing import APIRoute

from components.edge.paths import WEBHOOKS, Webhook
from payments.inbox.routes import router
from payments.ops.metrics import WEBHOOKS_RECEIVED
from payments.resources import Resources


def _judged() -> dict[str, float]:
    """How many deliveries each gateway's checks have seen."""
    counts: dict[str, float] = {}
    for family in WEBHOOKS_RECEIVED.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                gateway = sample.labels["gateway"]
                counts[gateway] = counts.get(gateway, 0) + sample.value
    return counts


async def _judges(client: httpx.AsyncClient, path: str) -> set[str]:
    """The gateways that take what comes to a path for theirs."""
    before = _judged()
    await client.post(path, content=b"{}")
    return {gateway for gateway, count in _judged().items() if count > before.get(gateway, 0)}


def test_the_edge_knows_every_path_and_no_other() -> None:
    served = {
        route.path.format(gateway_name=hook.gateway)
        for route in router.routes
        for hook in WEBHOOKS
        if isinstance(route, APIRoute)
    }
    assert served == {path for hook in WEBHOOKS for path in hook.paths}


async def test_the_edge_knows_every_gateway(resources: Resources) -> None:
    assert {it.name for it in resources.gateways} == {hook.gateway for hook in WEBHOOKS}


@pytest.mark.parametrize("hook", WEBHOOKS, ids=lambda hook: hook.gateway)
async def test_a_gateway_takes_deliveries_where_the_edge_looks_for_them_and_nowhere_else(
    client: httpx.AsyncClient, hook: Webhook
) -> None:
    for path in hook.paths:
        assert await _judges(client, path) == {hook.gateway}
    for prefix in ("/webhooks/", "/api/payments/webhook/"):
        for path in (f"{prefix}{hook.gateway}", f"{prefix}{hook.gateway}/"):
            assert path in hook.paths or not await _judges(client, path), path
    for other in WEBHOOKS:
        for path in other.paths:
            told = f"{path}?gateway_name={hook.gateway}"
            assert await _judges(client, told) == {other.gateway}, "the path alone decides"
