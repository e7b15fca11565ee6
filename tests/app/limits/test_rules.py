"""The table: what it covers, and which rows it refuses."""

from __future__ import annotations

import json

import pytest
from fastapi.routing import APIRoute

from components.edge.paths import HEALTH, MACHINES
from payments.limits.rules import EXEMPT_PATHS, Limit, covering, parse
from payments.ops.health import Health, router

LOGIN = Limit(
    name="login", methods=("POST",), paths=("/login", "/api/v1/auth/login"),
    requests=10, period=60, block=900,
)  # fmt: skip
API = Limit(name="api", prefixes=("/api/",), requests=1000, period=3600)


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("POST", "/login", ["login"]),
        ("GET", "/login", []),
        ("POST", "/api/v1/auth/login", ["login", "api"]),
        ("GET", "/api/v1/products", ["api"]),
        ("POST", "/loginx", []),
        ("POST", "/login/", []),
        ("GET", "/apix", []),
        ("POST", "/webhooks/stripe", []),
        ("POST", "/api/payments/webhook/razorpay/", []),
        ("POST", "/api/payments/webhook/stripe", ["api"]),
        ("GET", "/api/health", []),
    ],
)
def test_a_request_is_counted_by_every_row_that_covers_it(
    method: str, path: str, names: list[str]
) -> None:
    assert [limit.name for limit in covering((LOGIN, API), method, path)] == names


def test_neither_providers_nor_probes_are_ever_counted() -> None:
    everything = Limit(name="all", prefixes=("/",), requests=1, period=1)
    for path in (*EXEMPT_PATHS, *MACHINES):
        assert covering((everything,), "POST", path) == ()


def test_the_edge_spares_what_the_service_spares_and_every_health_check() -> None:
    assert set(MACHINES) >= EXEMPT_PATHS
    health = Health({}, release="tests", draining=lambda: False)
    served = [route.path for route in router(health).routes if isinstance(route, APIRoute)]
    assert sorted(served) == sorted(HEALTH)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"requests": 0}, "requests"),
        ({"period": 0}, "period"),
        ({"block": 30}, "block=30 ends while its period=60"),
        ({"paths": []}, "covers nothing"),
        ({"limit": 3}, "limit"),
        ({"name": 'a";q=1'}, "name"),
    ],
)
def test_a_row_that_would_not_do_what_it_says_is_refused(
    row: dict[str, object], reason: str
) -> None:
    good = {"name": "x", "methods": None, "paths": ["/x"], "requests": 1, "period": 60, "block": 60}
    assert parse(json.dumps([good]))[0].block == 60
    with pytest.raises(ValueError, match=reason):
        parse(json.dumps([good | row]))


@pytest.mark.parametrize("text", ["", "{}", "[", "null"])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON list"):
        parse(text)


def test_two_rows_of_one_name_would_share_their_counters() -> None:
    row = API.model_dump(mode="json")
    with pytest.raises(ValueError, match="twice"):
        parse(json.dumps([row, row]))
