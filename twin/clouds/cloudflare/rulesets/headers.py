"""Header transforms: which headers a rule may set, add or remove.

Source: cloudflare-docs rules/transform/{request,response}-header-modification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.rulesets.phases import REQUEST_HEADERS
from twin.clouds.rules import listed, unset
from twin.protocol.resource import UNKNOWN, Failure

MAX_HEADERS: Final = 30
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VISITOR: Final = frozenset(
    {"x-forwarded-for", "true-client-ip", "x-real-ip", "x-forwarded-proto", "cf-connecting-ip"}
)
"""What identifies the visitor: it may be removed from a request, not set."""
_KEPT_IN_REQUESTS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "expect", "keep-alive"}
)
_KEPT_IN_REPLIES: Final = frozenset(
    {"server", "eh-cache-tag", "eh-cdn-cache-control", "connection", "content-length"}
    | {"transfer-encoding", "upgrade", "trailer", "keep-alive"}
)


def header_failures(at: str, headers: Mapping[str, Any] | None, place: Place) -> Iterator[Failure]:
    """What the API refuses of a rewrite rule's `headers`."""
    if headers is None:
        return
    if not headers:
        yield Failure(at, "needs at least one header")
    if len(headers) > MAX_HEADERS:
        yield Failure(at, f"has {len(headers)} headers, a rule may modify {MAX_HEADERS}")
    lower = [name.lower() for name in headers]
    for name, change in headers.items():
        path = f'{at}["{name}"]'
        if lower.count(name.lower()) > 1:
            yield Failure(path, "is named twice: upper and lower case are the same name")
        if not _NAME.fullmatch(name):
            yield Failure(path, f'"{name}" is no header name')
        if change is not UNKNOWN:
            yield from _change_failures(path, name.lower(), change, place)


def _change_failures(
    path: str, name: str, change: Mapping[str, Any], place: Place
) -> Iterator[Failure]:
    operation = change.get("operation")
    request = place.phase == REQUEST_HEADERS
    given = [part for part in ("value", "expression") if not unset(change, part)]
    if operation == "remove" and given:
        yield Failure(f"{path}.{given[0]}", 'must be left out for the operation "remove"')
    elif operation in ("set", "add") and not given:
        yield Failure(path, f'needs value or expression for the operation "{operation}"')
    if request and operation == "add":
        yield Failure(f"{path}.operation", '"add" is for replies: a request\'s headers are set')
    yield from _name_failures(path, name, operation, request)
    yield from place.failures(f"{path}.expression", change.get("expression"), value=True)
    value = change.get("value")
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        yield Failure(f"{path}.value", "has a line break")


def _name_failures(path: str, name: str, operation: Any, request: bool) -> Iterator[Failure]:
    changes = operation in ("set", "add")
    if name.startswith(("cf-", "x-cf-")) and not (
        request and name == "cf-connecting-ip" and operation == "remove"
    ):
        yield Failure(path, f'"{name}" cannot be modified: cf- and x-cf- are Cloudflare\'s own')
    elif request and name in _VISITOR and changes:
        yield Failure(path, f'"{name}" cannot be set: it identifies the visitor')
    elif request and name == "cookie" and changes:
        yield Failure(path, '"cookie" can be removed, not set')
    elif name in (_KEPT_IN_REQUESTS if request else _KEPT_IN_REPLIES) and (
        changes or name not in ("server",)
    ):
        what = listed(["requests" if request else "replies"])
        yield Failure(path, f'"{name}" cannot be modified in {what}')
