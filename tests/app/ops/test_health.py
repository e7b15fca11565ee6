"""Health: what is asked, how often, and what happens when something is away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from payments.app import create_app
from payments.ops import health
from payments.ops.health import Health, router
from payments.ops.schema_state import SchemaState
from payments.resources import build
from payments.settings import ServiceSettings
from tests.app.backends import APP, MIGRATOR, Cluster
from tests.app.people.site import Browser

DEAD = "127.0.0.1:1"
"""An address where nobody listens."""


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="https://pay.example.com"
    )


async def _ask(health_of: Health, path: str) -> httpx.Response:
    app = FastAPI()
    app.include_router(router(health_of))
    async with _client(app) as client:
        return await client.get(path)


async def _well() -> None: ...


async def _ill() -> None:
    raise RuntimeError("password=hunter22 at db.internal")


async def _hanging() -> None:
    await asyncio.sleep(60)


def _health(**checks: health.Check) -> Health:
    return Health(checks, release="r1", draining=lambda: False)


async def test_a_replica_with_all_it_needs_is_ready(browser: Browser) -> None:
    answer = (await browser.get("/readyz")).response
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"database": True, "cache": True}}


async def test_health_says_what_the_platform_is_made_of_and_nothing_else(browser: Browser) -> None:
    answer = (await browser.get("/health")).response
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "healthy"
    assert body["checks"] == {"database": True, "cache": True, "stripe": True}
    assert body["version"] == "tests"
    assert body.keys() == {"status", "timestamp", "checks", "version"}


@pytest.mark.parametrize("away", ["database", "cache"])
async def test_a_replica_without_its_database_or_cache_lives_but_is_not_ready(
    settings: ServiceSettings, away: str
) -> None:
    schemes = {"database": f"postgresql://a:hunter22@{DEAD}/x", "cache": f"redis://{DEAD}/0"}
    told = settings.model_dump() | {away: {"url": schemes[away]}}
    resources = build(ServiceSettings.model_validate(told), name="tests")
    app = create_app(resources)
    async with app.router.lifespan_context(app), _client(app) as client:
        started = time.perf_counter()
        ready, whole = await client.get("/readyz"), await client.get("/health")
        assert time.perf_counter() - started < 3, "a probe does not wait for long timeouts"
        assert (await client.get("/livez")).status_code == 200, "restarting it would not help"
        page = await client.get("/login", headers={"accept": "text/html"})
    assert ready.status_code == whole.status_code == 503
    assert ready.json()["checks"][away] is False
    assert whole.json()["status"] == "unhealthy"
    assert "hunter22" not in ready.text + whole.text
    assert DEAD not in ready.text + whole.text
    assert page.status_code == 200, "a page that needs neither is still served"


async def test_a_reason_stays_inside() -> None:
    answer = await _ask(_health(database=_ill, cache=_well), "/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": False, "cache": True}
    assert "hunter22" not in answer.text


async def test_what_hangs_is_not_waited_for() -> None:
    started = time.perf_counter()
    answer = await _ask(_health(database=_hanging, cache=_hanging), "/readyz")
    assert answer.status_code == 503
    assert time.perf_counter() - started < 2 * health.TIMEOUT, "both at once, each with a limit"


async def test_a_leaving_replica_is_not_ready_and_not_unhealthy() -> None:
    leaving = Health({"database": _well}, release="r1", draining=lambda: True)
    answer = await _ask(leaving, "/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")
    assert (await _ask(leaving, "/health")).status_code == 200


async def test_any_number_of_probes_costs_one_look() -> None:
    looks = 0

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.01)

    watched = _health(database=counted)
    await asyncio.gather(*(watched.ready() for _ in range(50)))
    assert looks == 1


async def test_a_sick_gateway_does_not_stop_requests() -> None:
    watched = _health(database=_well)
    watched.watch_gateway("stripe", _ill)
    assert (await _ask(watched, "/readyz")).status_code == 200
    answer = await _ask(watched, "/health")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": True, "stripe": False}


async def _ready_on(settings: ServiceSettings) -> httpx.Response:
    resources = build(settings, name="tests")
    try:
        async with _client(create_app(resources)) as client:
            return await client.get("/readyz")
    finally:
        await resources.close()


async def test_a_database_that_misses_this_release_s_migration_is_not_ready(
    postgres: Cluster, database_name: str, settings: ServiceSettings
) -> None:
    heads = SchemaState().heads
    with postgres.connect(MIGRATOR, database_name, autocommit=True) as connection:
        connection.execute("UPDATE payments.alembic_version SET version_num = '0001_frame'")
    answer = await _ready_on(settings)
    assert heads != {"0001_frame"}
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)


async def test_a_newer_schema_leaves_the_old_release_serving(
    postgres: Cluster, database_name: str, settings: ServiceSettings
) -> None:
    with postgres.connect(MIGRATOR, database_name, autocommit=True) as connection:
        connection.execute("UPDATE payments.alembic_version SET version_num = '9999_next'")
    assert (await _ready_on(settings)).status_code == 200


def test_the_schema_s_heads_are_read_from_the_migrations(tmp_path: Path) -> None:
    for name, down in (("a", "None"), ("b", '"a"'), ("c", '"a"'), ("d", '("b", "c")')):
        (tmp_path / f"{name}.py").write_text(f'revision = "{name}"\ndown_revision = {down}\n')
    state = SchemaState(tmp_path)
    assert state.heads == {"d"}
    assert state.missing({"d"}) == frozenset()
    assert state.missing({"b", "c"}) == {"d"}
    assert state.missing(set()) == {"d"}
    assert state.missing({"e"}) == frozenset(), "unknown here means newer"


async def test_migrations_are_where_the_service_looks_for_them(
    postgres: Cluster, database_name: str
) -> None:
    with postgres.connect(APP, database_name) as connection:
        rows = connection.execute("SELECT version_num FROM payments.alembic_version").fetchall()
    assert SchemaState().missing(row[0] for row in rows) == frozenset()
    assert SchemaState().heads
