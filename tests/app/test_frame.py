"""The application's frame: errors in one shape, the drain, the size of bodies."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI


async def test_an_unknown_path_answers_a_problem_with_the_request_s_id(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/nowhere", headers={"x-request-id": "gateway-0001"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"
    assert response.json()["request_id"] == "gateway-0001" == response.headers["x-request-id"]


async def test_a_draining_replica_refuses_at_once_and_closes_the_connection(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    app.state.drain.begin()
    response = await client.get("/api/openapi.json")
    assert response.status_code == 503
    assert response.headers["connection"] == "close", "or the gateway would reuse the connection"
    assert response.json()["code"] == "draining"


async def test_a_database_that_gives_no_connection_in_time_is_no_unexpected_error(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(app.state.resources.database, "transaction", never)
    response = await client.get("/api/v1/orders")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_body_over_the_limit_is_refused_declared_or_not(client: httpx.AsyncClient) -> None:
    big = b"x" * (256 * 1024 + 1)
    declared = await client.post("/nowhere", content=big)
    assert declared.status_code == 413
