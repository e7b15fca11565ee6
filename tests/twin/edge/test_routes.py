"""Where hosts lead, as the deployed records and rules say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin.edge.harness import SITE, TUNNEL_ID, ZONE, account, deploy
from twin.edge.direct import Address
from twin.edge.routes import RECORD, Answer, Routes, ToService, Unroutable
from twin.edge.tunnel import TUNNEL
from twin.store import Store


@pytest.fixture
def store() -> Store:
    return Store(":memory:")


@pytest.fixture
def routes(store: Store) -> Routes:
    return Routes(store, account())


def record(store: Store, name: str, **more: Any) -> None:
    outputs = {"zoneId": ZONE["id"], "name": name, "type": "CNAME", "proxied": True}
    store.put(RECORD, name, {}, {**outputs, "content": f"{TUNNEL_ID}.cfargotunnel.com", **more})


def service(routes: Routes, host: str, path: str = "/") -> str:
    target = routes.target(host, path)
    assert isinstance(target, ToService), target
    return f"{target.service.host}:{target.service.port}"


def test_the_first_rule_that_matches_wins(store: Store, routes: Routes) -> None:
    deploy(
        store,
        [
            {"hostname": SITE, "path": r"^/live/\d+$", "service": "http://live"},
            {"hostname": "*.payments.localhost", "path": "static", "service": "http://static:81"},
            {"hostname": SITE, "service": "https://gateway"},
            {"service": "http_status:404"},
        ],
    )
    assert service(routes, SITE, "/live/7") == "live:80"
    assert service(routes, SITE, "/live/x") == "gateway:443"
    assert service(routes, SITE, "/a/static/b") == "static:81"
    record(store, "other.payments.localhost")
    assert service(routes, "other.payments.localhost", "/static") == "static:81"
    assert routes.target("other.payments.localhost", "/") == Answer(status=404)


@pytest.mark.parametrize("name", [SITE, "pay", "PAY.Payments.Localhost."])
def test_record_names_may_be_relative_or_whole(store: Store, routes: Routes, name: str) -> None:
    deploy(store, [{"hostname": "*", "service": "http://gateway:8080"}])
    store.remove(RECORD, "r1")
    record(store, name)
    assert service(routes, SITE) == "gateway:8080"


def test_the_apex_and_wildcards_have_records_too(store: Store, routes: Routes) -> None:
    deploy(store, [{"service": "http://gateway:8080"}])
    record(store, "@")
    record(store, "*.shops")
    assert service(routes, "payments.localhost") == "gateway:8080"
    assert service(routes, "a.b.shops.payments.localhost") == "gateway:8080"
    assert isinstance(routes.target("shops.payments.localhost", "/"), Unroutable)


def test_only_proxied_records_of_existing_tunnels_lead_anywhere(
    store: Store, routes: Routes
) -> None:
    deploy(store, [{"service": "http://gateway:8080"}])
    record(store, "grey", proxied=False)
    record(store, "mail", type="TXT", content="v=spf1 -all")
    record(store, "direct", type="A", content="203.0.113.9")
    record(store, "lost", content="99999999-0000-4000-8000-000000000000.cfargotunnel.com")
    codes = {
        name: target.code
        for name in ("grey", "mail", "lost", "none")
        if isinstance(target := routes.target(f"{name}.payments.localhost", "/"), Unroutable)
    }
    assert codes == {"grey": 1016, "mail": 1016, "lost": 1033, "none": 1016}
    assert routes.target("direct.payments.localhost", "/") == Address(
        zone="a" * 32, host="direct.payments.localhost", address="203.0.113.9"
    )
    assert routes.hosts() == sorted([SITE, "direct.payments.localhost", "lost.payments.localhost"])


def test_a_tunnel_that_is_configured_elsewhere_has_no_rules_here(
    store: Store, routes: Routes
) -> None:
    deploy(store, [{"service": "http://gateway:8080"}])
    store.put(TUNNEL, TUNNEL_ID, {}, {"accountId": "b" * 32, "configSrc": "local"})
    assert routes.target(SITE, "/") == Answer(status=503)


def test_origin_options_come_from_the_rule_before_the_configuration(
    store: Store, routes: Routes
) -> None:
    rule = {"service": "https://gateway", "originRequest": {"noTlsVerify": True}}
    deploy(store, [rule])
    target = routes.target(SITE, "/")
    assert isinstance(target, ToService)
    assert target.service.tls
    assert not target.service.verify
    assert target.service.connect_timeout == 30
    deploy(store, [{**rule, "originRequest": {"httpHostHeader": "inner", "connectTimeout": 2}}])
    target = routes.target(SITE, "/")
    assert isinstance(target, ToService)
    assert (target.host_header, target.service.connect_timeout) == ("inner", 2)
    assert target.service.verify


def test_hosts_belong_to_the_zone_they_lie_in(routes: Routes) -> None:
    for host in ("payments.localhost", SITE, "a.b.payments.localhost"):
        zone = routes.zone(host)
        assert zone is not None, host
        assert zone.name == "payments.localhost"
    for host in ("xpayments.localhost", "localhost", "payments.localhost.evil", ""):
        assert routes.zone(host) is None, host
