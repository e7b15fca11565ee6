"""Keys of programs: what they may do, and for how long."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from payments.api_keys.service import MOST, SCOPES
from payments.errors import endpoints
from payments.people import repository
from payments.resources import Resources
from tests.app.fixtures import BOB, USER_HEADER
from tests.app.orders.helpers import scalar


@pytest.fixture
def keys(app: FastAPI) -> FastAPI:
    """The application with keys beside the tests' own way to log in."""
    from payments.api_keys.authenticate import KeyAuthenticator

    app.state.authenticator = KeyAuthenticator(app.state.resources, app.state.authenticator)
    return app


async def make(client: httpx.AsyncClient, *scopes: str) -> dict[str, Any]:
    answer = await client.post("/api/v1/api-keys", json={"name": "shop", "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", USER_HEADER: ""}


async def test_a_key_does_what_its_scopes_say_for_its_owner_and_nothing_else(
    keys: FastAPI, client: httpx.AsyncClient
) -> None:
    secret = (await make(client, "orders:read"))["secret"]
    assert secret.startswith("pk_test_")
    assert (await client.get("/api/v1/orders", headers=bearer(secret))).status_code == 200
    body = {"sku": "coffee", "currency": "EUR", "quantity": 1}
    headers = bearer(secret) | {"Idempotency-Key": "k"}
    refused = await client.post("/api/v1/orders", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert "orders:write" in refused.json()["detail"]
    for path in ("/api/v1/ledger/accounts", "/api/v1/subscriptions", "/api/v1/api-keys"):
        assert (await client.get(path, headers=bearer(secret))).status_code == 403, path


async def test_no_scope_opens_a_route_that_names_none(
    keys: FastAPI, client: httpx.AsyncClient
) -> None:
    secret = (await make(client, *SCOPES))["secret"]
    tried = 0
    for route in endpoints(keys):
        path = route.path
        if not path.startswith("/api/v1/") or "{" in path or "GET" not in (route.methods or ()):
            continue
        tried += 1
        status = (await client.get(path, headers=bearer(secret))).status_code
        tag = (getattr(route, "tags", None) or ["untagged"])[0]
        allowed = f"{tag}:read" in SCOPES
        assert (status != 403) if allowed else (status in (401, 403, 200)), (path, status)
        if not allowed and status == 200:
            anonymous = await client.get(path, headers={USER_HEADER: ""})
            assert anonymous.status_code == 200, f"{path} opens to a key and not to the public"
    assert tried > 8


async def test_the_secret_is_kept_nowhere(
    keys: FastAPI, client: httpx.AsyncClient, resources: Resources
) -> None:
    secret = (await make(client, "orders:read"))["secret"]
    listed = (await client.get("/api/v1/api-keys")).text
    assert secret not in listed
    row = await scalar(resources, "SELECT row_to_json(k)::text FROM payments.api_keys k")
    assert secret[12:] not in row


async def test_a_replaced_key_lives_on_for_a_while_and_a_revoked_one_does_not(
    keys: FastAPI, client: httpx.AsyncClient, resources: Resources
) -> None:
    old = await make(client, "orders:read")
    new = (await client.post(f"/api/v1/api-keys/{old['id']}/rotate")).json()
    for key in (old, new):
        answer = await client.get("/api/v1/orders", headers=bearer(key["secret"]))
        assert answer.status_code == 200
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.api_keys SET expires_at = now() WHERE id = :id"),
            {"id": old["id"]},
        )
    answer = await client.get("/api/v1/orders", headers=bearer(old["secret"]))
    assert (answer.status_code, "invalid_token" in answer.headers["www-authenticate"]) == (
        401,
        True,
    )
    assert (await client.delete(f"/api/v1/api-keys/{new['id']}")).status_code == 204
    assert (await client.delete(f"/api/v1/api-keys/{new['id']}")).status_code == 204
    answer = await client.get("/api/v1/orders", headers=bearer(new["secret"]))
    assert answer.status_code == 401


async def test_a_key_ends_with_its_owners_lock_and_comes_back_with_them(
    keys: FastAPI, client: httpx.AsyncClient, resources: Resources
) -> None:
    async with resources.database.transaction() as session:
        owner = await repository.add(session, email="a@shop.example", password_hash="$argon2id$x")
        bystander = await repository.add(
            session, email="b@shop.example", password_hash="$argon2id$x"
        )
    assert owner is not None
    secrets = []
    for person in (owner, bystander):
        client.headers[USER_HEADER] = str(person)
        secrets.append((await make(client, "orders:read", "orders:write"))["secret"])

    async def statuses() -> list[int]:
        body = {"sku": "coffee", "currency": "EUR", "quantity": 1}
        headers = {"Idempotency-Key": "k"}
        return [
            (
                await client.post("/api/v1/orders", json=body, headers=bearer(s) | headers)
            ).status_code
            for s in secrets
        ]

    assert await statuses() == [201, 201]
    await keys.state.people.set_locked(owner, locked=True, by="ada")
    assert await statuses() == [401, 201], "somebody who is locked out orders nothing by a program"
    await keys.state.people.set_locked(owner, locked=False, by="ada")
    assert await statuses() == [201, 201]


@pytest.mark.parametrize(
    "secret", ["pk_test_", "pk_test_" + "A" * 43, "pk_live_" + "A" * 43, "pk_", "pk_test_\x7f"]
)
async def test_what_is_no_key_of_this_installation_is_refused(
    keys: FastAPI, client: httpx.AsyncClient, secret: str
) -> None:
    answer = await client.get("/api/v1/orders", headers=bearer(secret))
    assert answer.status_code == 401
    if secret.startswith("pk_live_"):
        assert "sandbox" in answer.json()["detail"]


async def test_a_key_makes_no_keys_and_nobody_touches_another_ones(
    keys: FastAPI, client: httpx.AsyncClient
) -> None:
    made = await make(client, *SCOPES)
    wanted = {"name": "more", "scopes": ["orders:read"]}
    headers = bearer(made["secret"])
    assert (await client.post("/api/v1/api-keys", json=wanted, headers=headers)).status_code == 403
    bob = {USER_HEADER: str(BOB)}
    path = f"/api/v1/api-keys/{made['id']}"
    assert (await client.delete(path, headers=bob)).status_code == 404
    assert (await client.post(f"{path}/rotate", headers=bob)).status_code == 404


async def test_scopes_and_numbers_are_bounded(keys: FastAPI, client: httpx.AsyncClient) -> None:
    wrong = {"name": "x", "scopes": ["orders:read", "admin:write"]}
    refused = await client.post("/api/v1/api-keys", json=wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_scope")
    for _ in range(MOST):
        await make(client, "orders:read")
    last = await client.post("/api/v1/api-keys", json={"name": "x", "scopes": ["orders:read"]})
    assert (last.status_code, last.json()["code"]) == (409, "too_many_keys")
