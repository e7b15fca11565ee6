"""The edge before scanners that others made, with what our program deploys. They are installed
when first needed, which takes a package index: hence not among the default tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from components.edge import headers as program
from components.edge.settings import Hsts, settings
from tests.twin.edge.delivery.origin import served
from tests.twin.edge.firewall.zone import put, rule, setting
from tests.twin.edge.harness import SITE, Site
from tools.scan import headers, tls
from twin.edge.delivery.deployed import REPLY_HEADERS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def deploy(site: Site, *, modern_ciphers: bool) -> None:
    for name, value in settings(Hsts(), modern_ciphers=modern_ciphers).items():
        setting(site, name, value)
    made = [
        rule(each.expression, each.action, ref=each.ref, parameters=each.parameters)
        for each in program.response_rules()
    ]
    put(site, REPLY_HEADERS, *made)


@pytest.mark.parametrize("modern_ciphers", [True, False])
def test_tls_is_what_mozillas_intermediate_profile_asks_for(
    tmp_path: Path, modern_ciphers: bool
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):
            deploy(site, modern_ciphers=modern_ciphers)
            found = await asyncio.to_thread(
                tls.shortcomings, "127.0.0.1", site.edge.port, SITE, tmp_path / "ca.pem"
            )
            if modern_ciphers:
                assert found == ""
            else:
                assert "CBC" in found, "without Advanced Certificate Manager no zone is compliant"
                assert "tls_versions" not in found

    asyncio.run(scenario())


def test_headers_get_the_top_grade(tmp_path: Path) -> None:
    lacking = headers.missing()
    if lacking:
        pytest.skip(lacking)

    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            deploy(site, modern_ciphers=True)
            origin.headers = {"Content-Type": "text/html"}
            found = await asyncio.to_thread(
                headers.scan, f"{SITE}:{site.edge.port}", tmp_path / "ca.pem"
            )
            assert (found.grade, found.failed) == ("A+", {}), "even for a bare page"

    asyncio.run(scenario())
