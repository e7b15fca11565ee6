"""Errors as Cryptomus words them: `state` 1, and a message or the fields that are wrong."""

from __future__ import annotations

from typing import Any

from twin.gateways.common.jsonapi import Refusal


def bad(message: str, field: str | None = None, status: int = 422) -> Refusal:
    """Return a refusal of a value."""
    body: dict[str, Any] = {"state": 1, "message": message}
    if field is not None:
        body["errors"] = {field: [message]}
    return Refusal(status, body)


def missing() -> Refusal:
    """Refuse an invoice that nobody has."""
    return Refusal(404, {"state": 1, "message": "Payment was not found"})
