"""The OpenAPI document: what FastAPI reads from the endpoints, completed by what holds for all.

Every refusal is a problem (RFC 9457) from one catalogue, so each operation names those it can
answer with; who must log in is read from the endpoint's dependencies and not written down twice.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from payments.errors import PROBLEM_JSON, endpoints
from payments.idempotency.http import REPLAYED_HEADER, idempotency_key
from payments.openapi import told, words
from payments.openapi.catalogue import Entry, catalogue
from payments.openapi.examples import example_of, restore_nulls
from payments.security import current_principal

Json = dict[str, Any]

_HEADERS: Final = "#/components/headers/"
_SECURED: Final[list[Json]] = [{"session": []}, {"token": []}, {"key": []}]


class Document:
    """Makes the document on first use. What `app.openapi` is replaced with."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: Json | None = None

    def __call__(self) -> Json:
        """Return the document."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Json:
        entries = catalogue()
        made = get_openapi(
            title=self._app.title,
            version=self._app.version,
            description=f"{words.DESCRIPTION}\n{_table(entries)}",
            routes=self._app.routes,
            tags=words.TAGS,
        )
        schemas: Json = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for schema in schemas.values():
            restore_nulls(schema)
        schemas["Problem"] = _problem(entries)
        made["components"]["headers"] = copy.deepcopy(words.HEADERS)
        made["components"]["securitySchemes"] = copy.deepcopy(words.SECURITY)
        for route in endpoints(self._app):
            if route.include_in_schema:
                for method in (route.methods or set()) - {"HEAD"}:
                    operation = made["paths"][route.path_format][method.lower()]
                    _complete(operation, route, method, schemas)
        told.add_to(made)
        return made


def _complete(operation: Json, route: APIRoute, method: str, schemas: Json) -> None:
    """Add to an operation what follows from how it is built."""
    needs = _dependencies(route.dependant)
    answers: Json = operation["responses"]
    secured, keyed = current_principal in needs, idempotency_key in needs
    takes_input = bool(operation.get("parameters")) or "requestBody" in operation
    expected: dict[str, str] = dict(words.ALWAYS)
    if secured:
        expected |= words.SECURED
        operation["security"] = copy.deepcopy(_SECURED)
    if takes_input:
        expected |= words.INPUT
    if "requestBody" in operation:
        expected |= words.BODY
    if keyed:
        expected |= words.KEYED
        _require_key(operation)
    answers.get("422", {}).pop("content", None)
    if not takes_input and "422" in answers:
        del answers["422"]
    for status, meaning in expected.items():
        answer = answers.setdefault(status, {"description": meaning})
        if answer["description"] in ("Validation Error", ""):
            answer["description"] = meaning
    for status, answer in answers.items():
        answer["headers"] = _headers(status, keyed=keyed, method=method) | answer.get("headers", {})
        if int(status) >= 400:
            answer["content"] = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        else:
            _show(answer, schemas)
    operation["responses"] = dict(sorted(answers.items()))


def _dependencies(dependant: Dependant) -> set[Any]:
    found = {dependant.call}
    for below in dependant.dependencies:
        found |= _dependencies(below)
    return found


def _require_key(operation: Json) -> None:
    """Say that the header must be there: it is optional in code for an error of its own."""
    for parameter in operation["parameters"]:
        if parameter["name"] == "Idempotency-Key":
            parameter["required"] = True
            parameter["schema"] = {"type": "string", "pattern": words.KEY_PATTERN}


def _headers(status: str, *, keyed: bool, method: str) -> Json:
    names = ["X-Request-Id", "RateLimit", "RateLimit-Policy"]
    if status in ("429", "503"):
        names.append("Retry-After")
    if status == "401":
        names.append("WWW-Authenticate")
    if keyed and int(status) < 400:
        names.append(REPLAYED_HEADER)
    return {name: {"$ref": _HEADERS + name} for name in names}


def _show(answer: Json, schemas: Json) -> None:
    """Give an answer the example that its schema implies."""
    for kind, media in answer.get("content", {}).items():
        if kind == "application/json" and "example" not in media and "examples" not in media:
            media["example"] = example_of(media.get("schema", {}), schemas)


def _problem(entries: list[Entry]) -> Json:
    made = copy.deepcopy(words.PROBLEM)
    made["properties"]["code"]["enum"] = [entry.code for entry in entries]
    return made


def _table(entries: list[Entry]) -> str:
    lines = ["## Errors", "", "| Code | Status | Meaning |", "| --- | --- | --- |"]
    lines += [f"| `{e.code}` | {e.status} | {e.meaning} |" for e in entries]
    return "\n".join(lines)
