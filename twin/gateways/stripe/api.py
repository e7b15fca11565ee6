"""The API over HTTP: authentication, idempotency, versions, errors and lists as the real one's.

Sources: docs.stripe.com/api (authentication, errors, idempotent_requests, pagination, expanding
objects, versioning). The official client is the contract: `tests/twin/gateways` drives it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from twin.gateways.common.faults import FaultBox, misbehave
from twin.gateways.stripe import forms
from twin.gateways.stripe.calls import Call, Operation
from twin.gateways.stripe.errors import StripeError, invalid
from twin.gateways.stripe.operations import OPERATIONS
from twin.gateways.stripe.state import API_VERSION, Object, State, new_id

KEY_LIFE = 24 * 3600
LONGEST_KEY = 255
"""Seconds that an idempotency key is remembered, and its longest length."""
_LARGEST_BODY = 1024 * 1024


@dataclass(frozen=True)
class _Answer:
    status: int
    body: str


class Api:
    """Answers `/v1/…`. `checkout` gives the address of the hosted pages."""

    def __init__(
        self, state: State, faults: FaultBox, secret_key: str, checkout: Callable[[], str]
    ) -> None:
        self._state = state
        self._faults = faults
        self._key = secret_key
        self._checkout = checkout
        self._in_use: set[str] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        request_id = new_id("req_", 14)
        headers = {"Request-Id": request_id, "Access-Control-Allow-Credentials": "true"}
        try:
            self._authenticate(request)
            version = _version(request)
            headers["Stripe-Version"] = version
            operation, ids = _find(request)
            text = await _parameters(request)
            answer = await self._run(request, operation, ids, text, request_id, headers)
        except StripeError as error:
            answer = _error(error, request_id)
            if error.status == 401:
                headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
        return web.Response(
            status=answer.status,
            text=answer.body,
            content_type="application/json",
            headers=headers,
        )

    async def _run(
        self,
        request: web.BaseRequest,
        operation: Operation,
        ids: dict[str, str],
        text: str,
        request_id: str,
        headers: dict[str, str],
    ) -> _Answer:
        key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        if not key:
            return await self._execute(operation, ids, text, request_id, None, request)
        if len(key) > LONGEST_KEY:
            raise invalid(f"Idempotency keys can be at most {LONGEST_KEY} characters long.")
        headers["Idempotency-Key"] = key
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        kept = self._replay(key, request.path, fingerprint)
        if kept is not None:
            headers["Idempotent-Replayed"] = "true"
            headers["Original-Request"] = kept["request"]
            return _Answer(kept["status"], kept["body"])
        headers["Original-Request"] = request_id
        self._in_use.add(key)
        try:
            place = (key, request.path, fingerprint)
            return await self._execute(operation, ids, text, request_id, place, request)
        finally:
            self._in_use.discard(key)

    def _replay(self, key: str, path: str, fingerprint: str) -> Object | None:
        """Return what is kept under a key; raises for one that is in use or was used otherwise."""
        if key in self._in_use:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that "
                "probably means you submitted twice, and the other request is still going "
                f"through): {key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        kept = self._state.idempotency.get(key)
        if kept is None or kept["at"] < time.time() - KEY_LIFE:
            return None
        hint = f"Try using a key other than '{key}' if you meant to execute a different request."
        if kept["path"] != path:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were "
                f"first used for ('{path}' vs '{kept['path']}'). {hint}",
                type="idempotency_error",
            )
        if kept["fingerprint"] != fingerprint:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. {hint}",
                type="idempotency_error",
            )
        return kept

    async def _execute(
        self,
        operation: Operation,
        ids: dict[str, str],
        text: str,
        request_id: str,
        place: tuple[str, str, str] | None,
        request: web.BaseRequest,
    ) -> _Answer:
        def give_up() -> None:
            if place is not None:
                self._in_use.discard(place[0])

        return await misbehave(
            request,
            self._faults,
            lambda broken: self._perform(operation, ids, text, request_id, place, broken),
            writes=request.method != "GET",
            give_up=give_up,
        )

    def _perform(
        self,
        operation: Operation,
        ids: dict[str, str],
        text: str,
        request_id: str,
        place: tuple[str, str, str] | None,
        broken: bool,
    ) -> _Answer:
        """Do the work in one transaction, and remember the answer under its key with it."""
        raw = forms.decode(text)
        expand = forms.array(forms.string())(raw.pop("expand", ""), "expand")
        params = operation.shape.parse(raw)
        call = Call(
            self._state,
            params,
            ids,
            self._checkout(),
            request_id,
            lambda: self._faults.take("refund_fails_next"),
        )
        key = place[0] if place else None
        self._state.request = {"id": request_id, "idempotency_key": key}
        try:
            with self._state.transaction():
                try:
                    value = _expanded(self._state, operation.run(call), expand)
                    answer = _Answer(200, json.dumps(value, indent=2))
                except StripeError as error:
                    if not error.kept:
                        raise
                    answer = _error(error, request_id)
                if broken:
                    # As documented, a key remembers a 500 like any other answer.
                    message = "An unknown error occurred"
                    answer = _error(StripeError(500, message, type="api_error"), request_id)
                if place is not None:
                    self._remember(place, answer, request_id)
        finally:
            self._state.request = {"id": None, "idempotency_key": None}
        return answer

    def _remember(self, place: tuple[str, str, str], answer: _Answer, request_id: str) -> None:
        key, path, fingerprint = place
        self._state.idempotency.put(
            key,
            {
                "path": path,
                "fingerprint": fingerprint,
                "status": answer.status,
                "body": answer.body,
                "request": request_id,
                "at": time.time(),
            },
        )

    def _authenticate(self, request: web.BaseRequest) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        elif scheme.lower() != "bearer":
            given = ""
        if not given:
            raise StripeError(
                401,
                "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or "
                "we can help at https://support.stripe.com/.",
            )
        if not hmac.compare_digest(given.strip().encode(), self._key.encode()):
            raise StripeError(401, f"Invalid API Key provided: {_masked(given.strip())}")


def prune(state: State) -> None:
    """Forget idempotency keys whose time is over."""
    oldest = time.time() - KEY_LIFE
    for id, kept in state.idempotency.items():
        if kept["at"] < oldest:
            state.idempotency.drop(id)


def _masked(key: str) -> str:
    prefix = re.match(r"(sk|rk|pk)_(test|live)_", key)
    shown = prefix[0] if prefix else key[:2]
    return shown + "*" * max(0, len(key) - len(shown) - 4) + key[-4:]


def _version(request: web.BaseRequest) -> str:
    version = request.headers.get("Stripe-Version", API_VERSION)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.\w+)?", version):
        raise invalid(f"Invalid Stripe API version: {version}")
    return version


def _find(request: web.BaseRequest) -> tuple[Operation, dict[str, str]]:
    for operation in OPERATIONS:
        match = operation.pattern.fullmatch(request.path)
        if match is not None and operation.method == request.method:
            return operation, match.groupdict()
    raise StripeError(
        404,
        f"Unrecognized request URL ({request.method}: {request.path}). Please see "
        "https://stripe.com/docs or we can help at https://support.stripe.com/.",
    )


async def _parameters(request: web.BaseRequest) -> str:
    if request.method != "POST":
        return request.query_string
    if request.query_string:
        raise invalid("Invalid request: parameters of a POST belong into its body.")
    body = await request.content.read(_LARGEST_BODY + 1)
    while body and not request.content.at_eof() and len(body) <= _LARGEST_BODY:
        body += await request.content.read(_LARGEST_BODY + 1)
    if len(body) > _LARGEST_BODY:
        raise StripeError(413, "Request body is too large.")
    if body and request.content_type != "application/x-www-form-urlencoded":
        raise invalid(
            "Invalid request (check that your POST content type is "
            "application/x-www-form-urlencoded). If you have any questions, we can help at "
            "https://support.stripe.com/."
        )
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise invalid("Invalid request: the body is not UTF-8.") from None


def _error(error: StripeError, request_id: str) -> _Answer:
    told = dict(error.error)
    if error.status in (400, 402, 404, 409):
        address = f"https://dashboard.stripe.com/test/logs/{request_id}"
        told.setdefault("request_log_url", address)
    return _Answer(error.status, json.dumps({"error": told}, indent=2))


def _expanded(state: State, value: Object, paths: list[str]) -> Object:
    """Replace ids by their objects along each path (`payment_intent.latest_charge`, `data.x`)."""
    for path in paths:
        first, _, rest = path.partition(".")
        targets = [value]
        names = [first, *rest.split(".")] if rest else [first]
        if value.get("object") == "list":
            if names[0] != "data" or len(names) < 2:
                raise invalid(f"This property cannot be expanded ({path}).", "expand")
            targets, names = list(value["data"]), names[1:]
        for target in targets:
            _expand(state, target, names, path)
    return value


def _expand(state: State, target: Object, names: list[str], path: str) -> None:
    name, *rest = names
    if name == "line_items" and target.get("object") == "checkout.session":
        kept = state.line_items.get(target["id"]) or {"data": []}
        url = f"/v1/checkout/sessions/{target['id']}/line_items"
        target[name] = {"object": "list", "data": kept["data"], "has_more": False, "url": url}
        return
    inner = target.get(name)
    if inner is None and name in target:
        return
    if isinstance(inner, str):
        inner = state.by_id(inner)
        if inner is not None:
            target[name] = inner
    if not isinstance(inner, dict):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    if rest:
        _expand(state, inner, rest, path)
