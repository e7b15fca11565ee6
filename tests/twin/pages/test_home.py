"""The twin's own page: what it shows, what it hides, who may turn its knobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.twin.edge.harness import (
    SECRET,
    SITE,
    STRIPE_KEY,
    TUNNEL_ID,
    Site,
    deploy,
    eventually,
    free_port,
    run,
    running,
)
from twin.pages.home import DATABASE, DROPLET

HOST = "twin.localhost"


async def page(site: Site, path: str = "/") -> str:
    async with site.client.get(site.url(path, HOST)) as answer:
        assert answer.status == 200
        return await answer.text()


async def change(site: Site, method: str, path: str, **more: Any) -> int:
    async with site.client.request(
        method, site.url(path, HOST), allow_redirects=False, **more
    ) as answer:
        return answer.status


def test_it_shows_what_is_deployed_and_connected_and_no_secret(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            assert "Nothing is deployed" in await page(site)
            deploy(site.store, [{"service": "http://127.0.0.1:1"}])
            droplet = {"name": "web-1", "ipv4Address": "203.0.113.7", "userData": "hidden-data"}
            site.store.put(DROPLET, "1", {}, droplet)
            database = {"name": "pg", "engine": "pg", "password": "hidden-word", "port": 25060}
            site.store.put(DATABASE, "2", {}, database)
            text = await page(site)
            for shown in ("web-1", "203.0.113.7", "pg", f"https://{SITE}:{site.edge.port}/"):
                assert shown in text
            assert "no connector" in text
            connector = await site.connector()
            assert "connected" in await page(site)
            async with site.client.get(site.url("/api/status", HOST)) as answer:
                status = await answer.json()
                raw = await answer.text()
            assert status["tunnels"][0]["connectors"][0]["version"] == "2026.10.0"
            assert status["clouds"]["digitalocean"] == {
                "Droplet": ["web-1"],
                "DatabaseCluster": ["pg"],
            }
            for secret in (SECRET, STRIPE_KEY, "hidden-data", "hidden-word"):
                assert secret not in text
                assert secret not in raw
            connector.process.kill()

            async def gone() -> bool:
                return not site.edge.tunnels.connectors(TUNNEL_ID)

            await eventually(gone, "a killed connector must vanish from the page")
            assert "no connector" in await page(site)

    run(scenario())


def test_faults_can_be_set_by_clients_and_by_the_form(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            faults = site.edge.stripe.faults
            assert await change(site, "PUT", "/api/stripe/faults", json={"duplicate": 2}) == 200
            assert faults.now.duplicate == 2
            form = {"delay_seconds": "1.5", "reorder": "true"}
            assert await change(site, "POST", "/stripe/faults", data=form) == 303
            assert (faults.now.delay_seconds, faults.now.reorder) == (1.5, True)
            assert faults.now.duplicate == 0, "the form sets all of them"
            for wrong in ({"duplicate": -1}, {"nonsense": 1}, {"duplicate": "2"}):
                assert await change(site, "PUT", "/api/stripe/faults", json=wrong) == 422
            assert faults.now.reorder
            assert 'value="1.5"' in await page(site, "/gateways")
            assert "delay seconds, reorder" in await page(site)

    run(scenario())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{SITE}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_websites_cannot_turn_a_knob(tmp_path: Path, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            for method, path in (
                ("PUT", "/api/stripe/faults"),
                ("POST", "/stripe/faults"),
                ("POST", "/api/stripe/endpoints/we_1/roll"),
                ("POST", "/stripe/deliveries/whd_1/resend"),
            ):
                sent = {"data": "duplicate=9", "headers": headers}
                assert await change(site, method, path, **sent) == 403
            assert site.edge.stripe.faults.now.duplicate == 0

    run(scenario())


def test_a_webhook_goes_through_the_edge_and_can_be_resent_from_the_page(tmp_path: Path) -> None:
    from aiohttp import web

    async def scenario() -> None:
        port = free_port()
        taken: list[str] = []

        async def origin(request: web.BaseRequest) -> web.StreamResponse:
            taken.append(request.headers["CF-Ray"])
            return web.Response()

        url = f"https://{SITE}:{port}/webhooks/stripe"
        async with running(tmp_path, webhook_url=url, port=port) as site:
            await site.origin(origin)
            await site.connector()
            headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
            api = site.url("/v1/customers", "api.stripe.test")
            async with site.client.post(api, data={"email": "a@b.co"}, headers=headers) as answer:
                assert answer.status == 200

            async def came() -> bool:
                return len(taken) == 1

            await eventually(came, "the event must come through the edge like the internet's")
            delivery = site.edge.stripe.webhooks.deliveries()[0]
            assert delivery["id"] in await page(site, "/gateways")
            own = {"Origin": f"https://{HOST}:{port}", "Sec-Fetch-Site": "same-origin"}
            path = f"/stripe/deliveries/{delivery['id']}/resend"
            assert await change(site, "POST", path, headers=own) == 303

            async def again() -> bool:
                return len(taken) == 2

            await eventually(again, "resend must deliver again")
            endpoint = site.edge.stripe.webhooks.endpoints()[0]
            rolled = f"/api/stripe/endpoints/{endpoint['id']}/roll"
            assert await change(site, "POST", rolled + "?overlap=0") == 200
            assert await change(site, "POST", rolled + "?overlap=x") == 422
            assert len(site.edge.stripe.webhooks.active_secrets(url)) == 1
            missing = "/api/stripe/deliveries/whd_none/resend"
            assert await change(site, "POST", missing) == 404

    run(scenario())


def test_things_befall_a_gateway_from_the_page_and_by_clients(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            async with site.client.get(site.url("/api/razorpay/actions", HOST)) as answer:
                names = {each["name"] for each in await answer.json()}
            assert {"open-dispute", "close-dispute"} <= names
            path = "/api/razorpay/actions/open-dispute"
            for wrong in ({"payment": "pay_none"}, {"payment": 1}, [], {"colour": "red"}):
                assert await change(site, "POST", path, json=wrong) == 422
            assert await change(site, "POST", "/api/razorpay/actions/none", json={}) == 404
            assert await change(site, "POST", "/razorpay/actions/open-dispute", data={}) == 422
            foreign = {"Origin": "https://evil.example"}
            assert await change(site, "POST", path, json={}, headers=foreign) == 403
            text = await page(site, "/gateways?at=razorpay&done=%3Cb%3E")
            assert "&lt;b&gt;" in text
            assert "success@razorpay" in text
            async with site.client.get(site.url("/api/stripe/endpoints", HOST)) as answer:
                assert "secret" not in await answer.text()

    run(scenario())
