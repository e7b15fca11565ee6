"""Zone settings that change what visitors get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.twin.edge.delivery.origin import served
from tests.twin.edge.firewall.zone import setting
from tests.twin.edge.harness import SITE, Site, run
from twin.edge.delivery.deployed import ZONE_SETTING
from twin.kept import keep

HSTS = "Strict-Transport-Security"


def plain(site: Site, path: str) -> URL:
    return URL(f"http://{SITE}:{site.edge.port}{path}", encoded=True)


def hsts(**values: Any) -> dict[str, Any]:
    return {"strict_transport_security": {"enabled": True, "max_age": 31536000, **values}}


def test_a_setting_that_is_no_longer_deployed_stays_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, _):
            setting(site, "always_use_https", "on")
            record = site.store.get(ZONE_SETTING, "always_use_https")
            assert record is not None
            keep(site.store, ZONE_SETTING, record.id, record.outputs)
            site.store.remove(ZONE_SETTING, record.id)
            async with site.client.get(plain(site, "/"), allow_redirects=False) as answer:
                assert answer.status == 301
            setting(site, "always_use_https", "off")
            async with site.client.get(plain(site, "/"), allow_redirects=False) as answer:
                assert answer.status == 200

    run(scenario())


def test_plain_http_is_served_until_always_use_https_redirects_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, origin):
            async with site.client.get(plain(site, "/pay")) as answer:
                assert answer.status == 200
            setting(site, "always_use_https", "on")
            origin.seen.clear()
            url = plain(site, "//a/../pay?x=%2F")
            async with site.client.post(url, data=b"1", allow_redirects=False) as answer:
                assert answer.status == 301
                assert answer.headers["Location"] == str(url).replace("http:", "https:")
                assert HSTS not in answer.headers
            assert not origin.seen, "what was sent in the clear must not be acted upon"
            decision = site.edge.journal.decisions[-1]
            assert (decision.phase, decision.rule) == ("settings", "always_use_https")

    run(scenario())


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (None, "max-age=5"),  # the origin's own passes
        ({"strict_transport_security": {"enabled": False, "max_age": 1}}, "max-age=5"),
        (hsts(), "max-age=31536000"),
        (hsts(include_subdomains=True), "max-age=31536000; includeSubDomains"),
        (
            hsts(include_subdomains=True, preload=True),
            "max-age=31536000; includeSubDomains; preload",
        ),
        (hsts(max_age=0), "max-age=0"),
    ],
)
def test_hsts_is_exactly_what_the_setting_says(
    tmp_path: Path, value: dict[str, Any] | None, header: str
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {HSTS: "max-age=5"}
            if value is not None:
                setting(site, "security_header", value)
            async with site.client.get(site.url()) as answer:
                assert answer.headers.getall(HSTS) == [header]
            enabled = value and value["strict_transport_security"]["enabled"]
            async with site.client.get(plain(site, "/")) as answer:
                assert (HSTS in answer.headers) is not bool(enabled)

    run(scenario())


def test_hsts_and_nosniff_are_on_the_edges_own_pages_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):
            setting(site, "security_header", hsts(nosniff=True))
            async with site.client.get(site.url(host="no.payments.localhost")) as answer:
                assert answer.status == 530
                assert answer.headers[HSTS] == "max-age=31536000"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"

    run(scenario())


def test_websockets_that_are_off_do_not_connect(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            setting(site, "websockets", "off")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await site.client.ws_connect(site.url("/live"))
            assert refusal.value.status == 400
            assert not origin.seen

    run(scenario())


def test_max_upload_lowers_the_plans_limit_and_cannot_lift_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):
            body = b"x" * (2 * 1024 * 1024)
            async with site.client.post(site.url(), data=body) as answer:
                assert answer.status == 200
            setting(site, "max_upload", 1)
            async with site.client.post(site.url(), data=body) as answer:
                assert answer.status == 413
            setting(site, "max_upload", 5000)
            announced = {"Content-Length": str(200 * 1024 * 1024)}
            request = f"POST / HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n"
            request += "".join(f"{name}: {value}\r\n" for name, value in announced.items())
            answer_line = await site.raw(request.encode() + b"\r\n", whole=False)
            assert b" 413 " in answer_line

    run(scenario())
