"""Header transforms, of requests and replies, as deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.edge import headers as program
from tests.twin.edge.delivery.origin import headers_of, served
from tests.twin.edge.firewall.zone import put, rule
from tests.twin.edge.harness import ZONE, Site, run
from twin.edge.delivery.deployed import MANAGED_TRANSFORMS, REPLY_HEADERS, REQUEST_HEADERS
from twin.edge.delivery.headers import SECURITY_HEADERS, may_change


def rewrite(expression: str, **headers: dict[str, str]) -> dict[str, Any]:
    named = {name.replace("_", "-"): change for name, change in headers.items()}
    return rule(expression, "rewrite", parameters={"headers": named})


def fixed(value: str, operation: str = "set") -> dict[str, str]:
    return {"operation": operation, "value": value}


def worked_out(expression: str, operation: str = "set") -> dict[str, str]:
    return {"operation": operation, "expression": expression}


GONE = {"operation": "remove"}


def managed(site: Site, *ids: str) -> None:
    requests = [{"id": id, "enabled": True} for id in ids if not id.endswith("_security_headers")]
    replies = [{"id": id, "enabled": True} for id in ids if id.endswith("_security_headers")]
    outputs = {"managedRequestHeaders": requests, "managedResponseHeaders": replies}
    site.store.put(MANAGED_TRANSFORMS, "m", {}, {"zoneId": ZONE["id"], **outputs})


def test_requests_reach_the_origin_transformed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, _):
            put(
                site,
                REQUEST_HEADERS,
                rewrite(
                    'http.request.uri.path eq "/a"',
                    X_Fixed=fixed("1"),
                    X_Path=worked_out('concat("at ", http.request.uri.path)'),
                    X_Sent=worked_out('http.request.headers["x-none"][0]'),
                    X_Gone=GONE,
                    Cookie=GONE,
                ),
                # Looks at what came, not at what the rule before made of it.
                rewrite('any(http.request.headers["x-gone"][*] eq "yes")', X_Saw=fixed("it")),
            )
            sent = {"X-Gone": "yes", "X-Sent": "1", "X-Fixed": "0", "Cookie": "a=1"}
            async with site.client.get(site.url("/a"), headers=sent) as answer:
                found = headers_of(await answer.read())
            assert found["x-fixed"] == "1"
            assert found["x-path"] == "at /a"
            assert found["x-saw"] == "it"
            assert not {"x-gone", "x-sent", "cookie"} & found.keys()
            async with site.client.get(site.url("/b"), headers=sent) as answer:
                found = headers_of(await answer.read())
            assert found["x-fixed"] == "0"
            assert found["x-gone"] == "yes"

    run(scenario())


@pytest.mark.parametrize(
    ("name", "operation", "request_", "reply"),
    [
        ("X-Mine", "set", True, True),
        ("CF-Connecting-IP", "set", False, False),
        ("cf-connecting-ip", "remove", True, False),
        ("CF-Ray", "remove", False, False),
        ("X-CF-Thing", "set", False, False),
        ("X-Forwarded-For", "set", False, True),
        ("X-Real-IP", "set", False, True),
        ("Cookie", "set", False, True),
        ("Cookie", "remove", True, True),
        ("Host", "set", False, False),
        ("Server", "remove", True, False),
        ("Content-Length", "set", False, False),
    ],
)
def test_headers_that_speak_for_the_edge_are_out_of_reach(
    name: str, operation: str, request_: bool, reply: bool
) -> None:
    assert may_change(name, operation, reply=False) is request_
    assert may_change(name, operation, reply=True) is reply


def test_replies_reach_the_visitor_transformed_edge_pages_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {"X-Powered-By": "magic", "X-A": "origin", "Content-Type": "x/y"}
            put(
                site,
                REPLY_HEADERS,
                rewrite(
                    "true",
                    X_A=fixed("edge"),
                    X_Powered_By=GONE,
                    Set_Cookie=fixed("a=1", "add"),
                    CF_Ray=fixed("forged"),
                ),
                rewrite("http.response.code eq 200", X_B=worked_out("http.request.method")),
                rewrite('any(http.response.headers["x-a"][*] eq "origin")', X_Saw=fixed("it")),
                rewrite('not any(http.response.headers.names[*] eq "x-a")', X_A=fixed("none")),
            )
            async with site.client.get(site.url()) as answer:
                headers = answer.headers
                assert headers["X-A"] == "edge"
                assert headers["X-B"] == "GET"
                assert headers["X-Saw"] == "it", "rules see the values from before the phase"
                assert "X-Powered-By" not in headers
                assert headers["CF-RAY"] != "forged"
                assert headers.getall("Set-Cookie") == ["a=1"]
            async with site.client.get(site.url(host="no.payments.localhost")) as answer:
                assert answer.status == 530
                assert answer.headers["X-A"] == "none"
                assert "X-B" not in answer.headers

    run(scenario())


def test_managed_transforms_do_what_they_are_called(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, origin):
            origin.headers = {"X-Powered-By": "magic", "X-Frame-Options": "DENY"}
            sent = {"X-Forwarded-For": "198.51.100.1, 198.51.100.2", "True-Client-IP": "6.6.6.6"}
            managed(site, "remove_visitor_ip_headers", "add_visitor_location_headers")
            async with site.client.get(site.url(), headers=sent) as answer:
                found = headers_of(await answer.read())
                assert answer.headers["X-Powered-By"] == "magic"
            assert found["x-forwarded-for"] == "198.51.100.2"
            assert not {"cf-connecting-ip", "true-client-ip"} & found.keys()
            assert found["cf-ipcontinent"] == ""
            managed(
                site,
                "add_true_client_ip_headers",
                "remove_x-powered-by_header",
                "add_security_headers",
            )
            async with site.client.get(site.url(), headers=sent) as answer:
                assert headers_of(await answer.read())["true-client-ip"] == "127.0.0.1"
                assert "X-Powered-By" not in answer.headers
                for name, value in SECURITY_HEADERS.items():
                    assert answer.headers.getall(name) == [value]

    run(scenario())


def test_our_programs_rules_guard_the_pages_that_the_edge_makes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (site, origin):
            origin.headers = {"Content-Security-Policy": "default-src 'self'"}
            made = [
                rule(each.expression, each.action, ref=each.ref, parameters=each.parameters)
                for each in program.response_rules()
            ]
            put(site, REPLY_HEADERS, *made)
            async with site.client.get(site.url()) as answer:
                csp = answer.headers.getall("Content-Security-Policy")
                assert csp == ["default-src 'self'"], "the service knows its pages better"
            async with site.client.get(site.url(host="no.payments.localhost")) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                for name, value in program.ALWAYS.items():
                    assert answer.headers[name] == value

    run(scenario())
