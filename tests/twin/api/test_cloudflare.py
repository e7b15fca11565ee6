"""The Cloudflare view answers in the API's envelope what was deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.twin.clouds.accounts import (
    ACCOUNT,
    ACCOUNT_ID,
    CF_CONFIG,
    CF_TOKEN,
    ZONE_ID,
    known,
)
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_cloudflare_rules import ADDRESS, CATCH_ALL, HOST_RULE, SITE, TUNNEL
from twin.api import cloudflare as api
from twin.clouds import cloudflare
from twin.protocol.resource import Context

Get = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))


def _run(handlers: Handlers, test: Callable[[Get], Awaitable[None]]) -> None:
    async def run() -> None:
        app = api.application(handlers.ctx.store, ACCOUNT)
        async with TestClient(TestServer(app)) as client:

            async def get(path: str, token: str = CF_TOKEN) -> tuple[int, dict[str, Any]]:
                headers = {"Authorization": f"Bearer {token}"}
                async with client.get(f"/client/v4{path}", headers=headers) as answer:
                    return answer.status, await answer.json()

            await test(get)

    asyncio.run(run())


def test_records_and_tunnels_are_listed_as_deployed(handlers: Handlers) -> None:
    tunnel = handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    handlers.create(
        "ZeroTrustTunnelCloudflaredConfig",
        {
            "accountId": ACCOUNT_ID,
            "tunnelId": tunnel.id,
            "config": {"ingresses": [HOST_RULE, CATCH_ALL]},
        },
    )
    target = f"{tunnel.id}.cfargotunnel.com"
    site = handlers.create("DnsRecord", {**SITE, "content": target})
    handlers.create("DnsRecord", ADDRESS)

    async def test(get: Get) -> None:
        status, body = await get(f"/zones/{ZONE_ID}/dns_records?type=CNAME")
        assert status == 200
        assert (body["success"], body["errors"]) == (True, [])
        assert body["result_info"]["total_count"] == 1
        [record] = body["result"]
        assert record["id"] == site.id
        assert (record["name"], record["content"], record["ttl"], record["proxied"]) == (
            "pay.payments.localhost",
            target,
            1,
            True,
        )
        _, body = await get(f"/zones/{ZONE_ID}/dns_records?per_page=1&page=2")
        assert (len(body["result"]), body["result_info"]["total_pages"]) == (1, 2)
        below = f"/accounts/{ACCOUNT_ID}/cfd_tunnel"
        _, body = await get(below)
        assert [entry["name"] for entry in body["result"]] == ["site"]
        _, body = await get(f"{below}/{tunnel.id}")
        assert body["result"]["config_src"] == "cloudflare"
        _, body = await get(f"{below}/{tunnel.id}/configurations")
        assert body["result"]["version"] == 1
        assert body["result"]["config"]["ingress"] == [HOST_RULE, CATCH_ALL]

    _run(handlers, test)


def test_strangers_and_strange_paths_get_the_apis_errors(handlers: Handlers) -> None:
    async def test(get: Get) -> None:
        for path, token, status, code in (
            (f"/zones/{ZONE_ID}/dns_records", "wrong", 401, 10000),
            (f"/zones/{'f' * 32}/dns_records", CF_TOKEN, 404, 7003),
            (f"/accounts/{'f' * 32}/cfd_tunnel", CF_TOKEN, 404, 7003),
            (f"/accounts/{ACCOUNT_ID}/cfd_tunnel/none", CF_TOKEN, 404, 7003),
            ("/user/tokens/verify/x", CF_TOKEN, 404, 7003),
        ):
            found, body = await get(path, token)
            assert (found, body["success"], body["errors"][0]["code"]) == (status, False, code)

    _run(handlers, test)
