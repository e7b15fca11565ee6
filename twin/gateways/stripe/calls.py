"""What the endpoints have in common: calls, lists, pages, reading one object."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twin.gateways.stripe.errors import invalid, missing
from twin.gateways.stripe.forms import Shape, integer, shape, string
from twin.gateways.stripe.state import Object, State


@dataclass(frozen=True)
class Call:
    """One call of an operation: its parameters and the ids in its path."""

    state: State
    params: dict[str, Any]
    ids: dict[str, str]
    checkout: str
    request_id: str
    refund_fails: Callable[[], bool] = lambda: False
    """Uses up a fault."""


@dataclass(frozen=True)
class Operation:
    """An endpoint."""

    method: str
    pattern: re.Pattern[str]
    shape: Shape
    run: Callable[[Call], Object]


NOTHING = shape()
_BETWEEN = shape(gt=integer(), gte=integer(), lt=integer(), lte=integer())


def _created(value: Any, param: str) -> dict[str, int]:
    """A moment, or bounds."""
    if isinstance(value, str):
        return {"gte": integer()(value, param), "lte": integer()(value, param)}
    return _BETWEEN(value, param)


def list_shape(**filters: Any) -> Shape:
    """Return the parameters of a list."""
    return shape(
        limit=integer(1, 100),
        starting_after=string(),
        ending_before=string(),
        created=_created,
        **filters,
    )


def listed(call: Call, kind: str, path: str, fields: tuple[str, ...] = ()) -> Object:
    """Return a page of objects, the newest first."""
    params = call.params
    bounds = params.get("created", {})

    def wanted(value: Object) -> bool:
        made = value["created"]
        return (
            all(value.get(name) == params[name] for name in fields if name in params)
            and made > bounds.get("gt", -1)
            and made >= bounds.get("gte", 0)
            and made < bounds.get("lt", made + 1)
            and made <= bounds.get("lte", made)
        )

    found = [value for value in call.state.tables[kind].newest_first() if wanted(value)]
    return page(call, kind, found, path)


def page(call: Call, kind: str, found: list[Object], path: str) -> Object:
    """Return the page of a list that a call asks for."""
    params, limit = call.params, call.params.get("limit", 10)
    if "starting_after" in params and "ending_before" in params:
        raise invalid(
            "You may only specify one of these parameters: starting_after, ending_before."
        )
    ids = [value["id"] for value in found]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise missing(kind, params[name], name)
    if "ending_before" in params:
        before = found[: ids.index(params["ending_before"])]
        data, more = before[-limit:], len(before) > limit
    else:
        start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        data, more = found[start : start + limit], len(found) > start + limit
    # Copies: what is expanded in a page must not end up in the tables.
    return {"object": "list", "data": [dict(v) for v in data], "has_more": more, "url": path}


def retrieve(kind: str, param: str) -> Callable[[Call], Object]:
    """Return what answers with one object."""
    return lambda call: call.state.get(kind, call.ids["id"], param)


def _listing(kind: str, path: str, *fields: str) -> Callable[[Call], Object]:
    return lambda call: listed(call, kind, path, fields)


def endpoint(method: str, path: str, parameters: Shape, run: Callable[[Call], Object]) -> Operation:
    """Return an endpoint; `{id}` in its path is an id."""
    pattern = re.compile(re.escape(path).replace(r"\{id\}", r"(?P<id>[^/]+)"))
    return Operation(method, pattern, parameters, run)


def reading(path: str, kind: str, param: str, filters: dict[str, Any]) -> list[Operation]:
    """Return the two reading endpoints that every kind has."""
    return [
        endpoint("GET", path, list_shape(**filters), _listing(kind, path, *filters)),
        endpoint("GET", path + "/{id}", NOTHING, retrieve(kind, param)),
    ]
