"""The document says what is true: examples, errors, who must log in, what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from jsonschema_rs import Draft202012Validator

from payments.errors import PROBLEM_JSON, ProblemError, endpoints
from payments.openapi.catalogue import catalogue
from payments.webhooks_out.messages import TYPES
from tests.app.fixtures import USER_HEADER

Json = dict[str, Any]


@pytest.fixture
def document(app: FastAPI) -> Json:
    return app.openapi()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def valid(value: object, schema: Json, document: Json) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_every_endpoint_is_described_and_its_aliases_are_left_out(
    app: FastAPI, document: Json
) -> None:
    for method, path, operation in operations(document):
        assert path.startswith("/api/v1/"), path
        assert operation["summary"], path
        assert operation["description"], f"{method} {path}"
        assert len(operation["tags"]) == 1, f"{path}: the scope of a key is its one tag"
    documented = {(method, path) for method, path, _ in operations(document)}
    tags = {tag["name"] for tag in document["tags"]}
    assert {o["tags"][0] for _, _, o in operations(document)} == tags
    for route in endpoints(app):
        if route.path.startswith("/api/v1/"):
            assert {(m, route.path) for m in route.methods or ()} <= documented, route.path


def test_every_body_and_answer_has_an_example_that_fits_it(document: Json) -> None:
    shown = 0
    for method, path, operation in operations(document):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media:
            name = media["schema"]["$ref"].rpartition("/")[2]
            examples = document["components"]["schemas"][name]["examples"]
            assert examples, f"{method} {path}"
            for example in examples:
                valid(example, media["schema"], document)
        for status, answer in operation["responses"].items():
            if int(status) < 400 and "application/json" in answer.get("content", {}):
                told = answer["content"]["application/json"]
                valid(told["example"], told["schema"], document)
                assert "text" not in str(told["example"]).split("'"), f"{method} {path}: {told}"
                shown += 1
    assert shown > 20


def test_every_refusal_is_a_problem_and_every_answer_tells_of_the_limits(document: Json) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert {"X-Request-Id", "RateLimit", "RateLimit-Policy"} <= answer["headers"].keys()
            if int(status) >= 400:
                assert list(answer["content"]) == [PROBLEM_JSON], f"{method} {path} {status}"
        assert {"429", "503"} <= operation["responses"].keys()
    valid(
        document["components"]["schemas"]["Problem"]["examples"][0],
        document["components"]["schemas"]["Problem"],
        document,
    )


def test_every_message_that_is_told_is_described_with_an_example_that_fits_it(
    document: Json,
) -> None:
    assert list(document["webhooks"]) == list(TYPES)
    for type, item in document["webhooks"].items():
        media = item["post"]["requestBody"]["content"]["application/json"]
        valid(media["example"], media["schema"], document)
        assert media["example"]["type"] == type


async def test_what_is_documented_as_closed_is_closed_and_what_is_open_is_open(
    document: Json, client: httpx.AsyncClient
) -> None:
    for method, path, operation in operations(document):
        url = re.sub(r"{[a-z_]+}", str(uuid4()), path)
        answer = await client.request(method, url, headers={USER_HEADER: ""}, json={})
        closed = "security" in operation
        assert (answer.status_code == 401) == closed, (method, path, answer.text)
        if closed:
            assert answer.headers["www-authenticate"] == "Bearer"


def test_whoever_sends_money_is_told_that_no_address_was_checked(document: Json) -> None:
    told = document["paths"]["/api/v1/transactions"]["post"]["description"]
    assert "we have not checked that the address is theirs" in " ".join(told.split())


def test_the_catalogue_has_every_error_once(document: Json) -> None:
    entries = catalogue()
    codes = [entry.code for entry in entries]
    assert len(codes) == len(set(codes))
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == codes
    for entry in entries:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", entry.code)
        assert 400 <= entry.status < 600
        assert entry.title.endswith(".")
        assert entry.meaning, f"{entry.code} has no docstring"
        assert f"| `{entry.code}` | {entry.status} |" in document["info"]["description"]


def test_one_code_with_two_statuses_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twin(ProblemError):
        """Says not_found, and means something else."""

        status, code, title = 410, "not_found", "Gone."

    monkeypatch.setattr(Twin, "__module__", "payments.somewhere")
    with pytest.raises(ValueError, match="not_found is 4"):
        catalogue()
    monkeypatch.setattr(Twin, "__module__", "tests")


async def test_a_problems_type_leads_to_its_explanation(client: httpx.AsyncClient) -> None:
    refused = await client.get(f"/api/v1/orders/{uuid4()}")
    page = await client.get(refused.json()["type"], headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "not_found" in page.text
    listed = (await client.get("/api/v1/errors")).json()["data"]
    assert [row["code"] for row in listed] == [entry.code for entry in catalogue()]
    every = await client.get("/problems", headers={"Accept": "text/html"})
    assert all(row["code"] in every.text for row in listed)
    assert (await client.get("/problems/nonsense")).status_code == 404


async def test_a_method_that_is_not_offered_is_refused_with_those_that_are(
    document: Json, client: httpx.AsyncClient
) -> None:
    for path, methods in document["paths"].items():
        url = re.sub(r"{[a-z_]+}", str(uuid4()), path)
        answer = await client.request("PATCH", url)
        assert answer.status_code == 405, path
        assert answer.json()["code"] == "method_not_allowed"
        told = {method.strip() for method in answer.headers["allow"].split(",")}
        assert {method.upper() for method in methods} <= told, path


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"sku": "coffee", "sku": "course", "currency": "EUR"}', "twice"),
        (b'{"sku": "coffee", "currency": "EUR", "quantity": NaN}', "NaN"),
        (b'{"sku": "coffee", "currency": "EUR", "quantity": 1' + b"0" * 5000 + b"}", "digits"),
        (b'{"sku": "\xff", "currency": "EUR"}', "UTF-8"),
        (b'{"sku": "\\ud800", "currency": "EUR"}', "surrogate"),
        (b'{"\\udfff": 1, "sku": "coffee", "currency": "EUR"}', "surrogate"),
        (b'{"sku": ' + b"[" * 100 + b"]" * 100 + b"}", "deeply"),
        (b'{"sku": ' + b"[" * 100_000, "deeply"),
        (b'{"sku": "coffee"', "not JSON"),
    ],
)
async def test_json_that_can_be_read_in_two_ways_or_none_is_refused(
    client: httpx.AsyncClient, body: bytes, why: str
) -> None:
    for kind in ("application/json", "application/json; charset=utf-8", "application/vnd.x+json"):
        answer = await client.post(
            "/api/v1/orders", content=body, headers={"Idempotency-Key": "k", "Content-Type": kind}
        )
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "ambiguous_body"), problem
        assert why in problem["detail"]


async def test_a_body_that_says_nothing_of_its_size_is_bounded_too(
    client: httpx.AsyncClient,
) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 8192

    answer = await client.post(
        "/api/v1/orders", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def _strings(schema: Json, document: Json) -> Iterator[str]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    for name, part in document["components"]["schemas"][reference]["properties"].items():
        if part.get("type") == "string" and part.get("format") != "password":
            yield name  # a password is hashed, and whatever it holds is its own


async def test_no_text_with_a_nul_reaches_the_database(
    document: Json, client: httpx.AsyncClient
) -> None:
    """Postgres holds no NUL in a text: whatever takes one would end with 500."""
    tried = 0
    for method, path, operation in operations(document):
        headers = {"Idempotency-Key": uuid4().hex}
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        url = re.sub(r"{[a-z_]+}", str(uuid4()), path)
        if media:
            name = media["schema"]["$ref"].rpartition("/")[2]
            example = document["components"]["schemas"][name]["examples"][0]
            for field in _strings(media["schema"], document):
                body = example | {field: f"a\0{example.get(field) or 'b@example.com'}"}
                answer = await client.request(method, url, json=body, headers=headers)
                assert 400 <= answer.status_code < 500, (path, field, answer.text)
                tried += 1
        for parameter in operation.get("parameters", ()):
            where, name = parameter["in"], parameter["name"]
            if where == "path":
                spoiled = re.sub(r"{[a-z_]+}", "%00a", path)
                answer = await client.request(method, spoiled, headers=headers)
            elif where == "query":
                answer = await client.request(method, url, params={name: "\0a"}, headers=headers)
            else:
                continue
            assert 400 <= answer.status_code < 500, (path, name, answer.text)
            tried += 1
    assert tried > 25


@pytest.mark.parametrize("url", ["HTTPS://shop.example/x", "https://[", "https://a:b/", "//x"])
async def test_an_address_that_no_url_parser_takes_is_refused(
    client: httpx.AsyncClient, url: str
) -> None:
    answer = await client.post("/api/v1/webhook-endpoints", json={"url": url, "events": []})
    assert answer.status_code == 422, answer.text
