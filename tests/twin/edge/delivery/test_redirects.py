"""Single redirects, as deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.twin.edge.delivery.origin import served
from tests.twin.edge.firewall.zone import put, rule
from tests.twin.edge.harness import SITE, Site, run
from twin.edge.delivery.deployed import REDIRECTS


def redirect(expression: str, **value: Any) -> dict[str, Any]:
    return rule(expression, "redirect", ref="away", parameters={"fromValue": value})


async def location(site: Site, path: str, host: str = SITE) -> tuple[int, str | None]:
    url = URL(site.url(path, host), encoded=True)
    async with site.client.get(url, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location")


@pytest.mark.parametrize(
    ("value", "status", "target"),
    [
        ({"targetUrl": {"value": "https://example.com/"}}, 301, "https://example.com/"),
        (
            {"targetUrl": {"value": "https://example.com/"}, "statusCode": 307},
            307,
            "https://example.com/",
        ),
        (
            {
                "targetUrl": {"expression": 'concat("https://x.example", http.request.uri.path)'},
                "statusCode": 302,
                "preserveQueryString": True,
            },
            302,
            "https://x.example/old/page?a=1&b=%2F",
        ),
        (
            {
                "targetUrl": {"value": "https://x.example/?from=us"},
                "preserveQueryString": True,
                "statusCode": 308,
            },
            308,
            "https://x.example/?from=us&a=1&b=%2F",
        ),
    ],
)
def test_a_redirect_says_what_was_deployed(
    tmp_path: Path, value: dict[str, Any], status: int, target: str
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            put(site, REDIRECTS, redirect('starts_with(http.request.uri.path, "/old")', **value))
            assert await location(site, "//old/page?a=1&b=%2F") == (status, target)
            assert not origin.seen
            decision = site.edge.journal.decisions[-1]
            assert (decision.phase, decision.action, decision.rule) == (
                REDIRECTS,
                "redirect",
                "away",
            )
            assert (await location(site, "/new"))[0] == 200

    run(scenario())


def test_the_first_rule_that_matches_decides_and_a_disabled_one_does_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):
            first = redirect("true", targetUrl={"value": "https://first.example/"})
            second = redirect("true", targetUrl={"value": "https://second.example/"})
            put(site, REDIRECTS, {**first, "enabled": False}, second, first)
            assert await location(site, "/") == (301, "https://second.example/")

    run(scenario())


def test_a_redirect_within_the_zone_keeps_the_twins_port(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, _):
            target = {"expression": f'concat("https://{SITE}", http.request.uri.path)'}
            expression = 'http.host eq "www.payments.localhost"'
            put(site, REDIRECTS, redirect(expression, targetUrl=target))
            found = await location(site, "/pay", "www.payments.localhost")
            assert found == (301, f"https://{SITE}:{site.edge.port}/pay")

    run(scenario())
