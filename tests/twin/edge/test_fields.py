"""Requests and replies as rules see them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tests.twin.edge.harness import run
from twin.clock import Clock
from twin.edge.body import INSPECTED, look
from twin.edge.exchange import Exchange, Reply
from twin.edge.fields import LIST, Fields, FieldSource
from twin.edge.routes import Zone
from twin.rules import FIELDS, parse
from twin.store import Store

BODY = "http.request.body"


@pytest.fixture
def source() -> FieldSource:
    return FieldSource(Store(":memory:"), Clock())


def exchange(path: str = "/", method: str = "GET", body: bytes = b"", **more: Any) -> Exchange:
    headers = CIMultiDict({"Host": "pay.example.com"})
    headers.extend(more.pop("headers", {}))
    request = make_mocked_request(method, path, headers)

    async def pieces() -> Any:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    return Exchange(
        request=request,
        zone=Zone(id="0" * 32, name="example.com", plan="enterprise"),
        host="pay.example.com",
        visitor=more.pop("visitor", "203.0.113.7"),
        scheme="https",
        ray="0123456789abcdef-TWN",
        body=pieces() if body else None,
        **more,
    )


def test_every_field_of_the_language_has_a_value_of_its_type(source: FieldSource) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "String": str,
        "Integer": int,
        "Boolean": bool,
        "Array": list,
        "Map": dict,
        "IP address": type(ip_address("192.0.2.1")),
    }
    seen = source.of(exchange("/a?b=c")).answered(Reply(status=200, headers=CIMultiDict()))
    for name, field in FIELDS.items():
        assert isinstance(seen[name], kinds[field.type.kind]), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http.host", "pay.example.com"),
        ("http.request.method", "POST"),
        ("http.request.uri", "/A/b.TAR.gz?x=1&y=%20&x=2&z"),
        ("http.request.full_uri", "https://pay.example.com/A/b.TAR.gz?x=1&y=%20&x=2&z"),
        ("http.request.uri.path", "/A/b.TAR.gz"),
        ("http.request.uri.path.extension", "gz"),
        ("http.request.uri.query", "x=1&y=%20&x=2&z"),
        ("http.request.uri.args", {"x": ["1", "2"], "y": ["%20"], "z": [""]}),
        ("http.request.uri.args.names", ["x", "y", "z"]),
        ("http.request.uri.args.values", ["1", "2", "%20", ""]),
        ("http.cookie", "a=1; b=2; a=3"),
        ("http.request.cookies", {"a": ["1", "3"], "b": ["2"]}),
        ("http.request.headers.names", ["host", "user-agent", "x-two", "x-two", "cookie"]),
        ("http.user_agent", "curl/8"),
        ("http.referer", ""),
        ("http.request.version", "HTTP/1.1"),
        ("ip.src", ip_address("203.0.113.7")),
        ("ip.src.country", "IN"),
        ("ip.geoip.country", "IN"),
        ("ip.src.asnum", 64498),
        ("ip.src.continent", "AS"),
        ("ip.src.is_in_european_union", False),
        ("cf.client.bot", False),
        ("cf.threat_score", 0),
        ("cf.bot_management.score", 1),
        ("cf.ray_id", "0123456789abcdef"),
        ("ssl", True),
    ],
)
def test_a_requests_fields(source: FieldSource, name: str, value: object) -> None:
    sent = CIMultiDict([("User-Agent", "curl/8"), ("X-Two", "1"), ("X-Two", "2")])
    sent["Cookie"] = "a=1; b=2; a=3"
    target = "/A/b.TAR.gz?x=1&y=%20&x=2&z"
    assert source.of(exchange(target, "POST", headers=sent))[name] == value


def test_paths_are_normalised_and_the_raw_ones_stay(source: FieldSource) -> None:
    seen = source.of(exchange("//api/%61dmin", normalised_path="/api/admin"))
    assert seen["http.request.uri.path"] == "/api/admin"
    assert seen["raw.http.request.uri.path"] == "//api/%61dmin"


def test_a_replys_fields(source: FieldSource) -> None:
    headers = CIMultiDict([("Content-Type", "Text/HTML; charset=x"), ("Set-Cookie", "a")])
    headers.add("Set-Cookie", "b")
    seen = source.of(exchange()).answered(Reply(status=418, headers=headers))
    assert seen["http.response.code"] == 418
    assert seen["http.response.content_type.media_type"] == "text/html"
    assert seen["http.response.headers"] == {
        "content-type": ["Text/HTML; charset=x"],
        "set-cookie": ["a", "b"],
    }
    assert parse('any(http.response.headers["set-cookie"][*] eq "b")').compile()(seen)


def test_lists_are_read_from_what_was_deployed(source: FieldSource) -> None:
    store = source._store
    matches = parse("ip.src in $office").compile()
    assert not matches(source.of(exchange())), "a list that is not there has nobody in it"
    items = [{"ip": "203.0.113.0/29"}, {"ip": "2001:db8::/64"}]
    store.put(LIST, "1", {}, {"name": "office", "kind": "ip", "items": items})
    assert matches(source.of(exchange()))
    assert not matches(source.of(exchange(visitor="203.0.113.8")))
    assert matches(source.of(exchange(visitor="2001:db8::5")))
    store.put(LIST, "2", {}, {"name": "nets", "kind": "asn", "items": [{"asn": 64498}]})
    assert parse("ip.src.asnum in $nets").compile()(source.of(exchange()))
    hosts = [{"hostname": {"urlHostname": "*.example.com"}}]
    store.put(LIST, "3", {}, {"name": "hosts", "kind": "hostname", "items": hosts})
    assert parse("http.host in $hosts").compile()(source.of(exchange()))


def test_a_form_is_seen_and_still_there(source: FieldSource) -> None:
    async def scenario() -> tuple[Fields, bytes]:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        sent = exchange("/", "POST", b"a=1&b=%20x&a=2", headers=headers)
        await look(sent)
        await look(sent)
        assert sent.body is not None
        return source.of(sent), b"".join([piece async for piece in sent.body])

    seen, arrived = run(scenario())
    assert arrived == b"a=1&b=%20x&a=2"
    assert seen[f"{BODY}.raw"] == "a=1&b=%20x&a=2"
    assert (seen[f"{BODY}.size"], seen[f"{BODY}.truncated"]) == (14, False)
    assert seen[f"{BODY}.mime"] == "application/x-www-form-urlencoded"
    assert seen[f"{BODY}.form"] == {"a": ["1", "2"], "b": [" x"]}
    assert seen[f"{BODY}.form.values"] == ["1", "2", " x"]


def test_a_long_body_is_cut_for_rules_and_whole_for_the_origin(source: FieldSource) -> None:
    sent = exchange("/", "POST", bytes(range(250)) * 1000)

    async def scenario() -> bytes:
        assert len(await look(sent)) == INSPECTED
        assert sent.body is not None
        return b"".join([piece async for piece in sent.body])

    assert run(scenario()) == bytes(range(250)) * 1000
    assert source.of(sent)[f"{BODY}.truncated"] is True


def test_fields_are_worked_out_when_asked_and_kept(source: FieldSource) -> None:
    one = exchange("/x?a=1")
    assert source.of(one) is source.of(one)
    assert len(source.of(one)) == 0
    assert source.of(one)["http.request.uri"] == "/x?a=1"
    assert "ip.src" not in source.of(one)
