"""Errors as Razorpay words them (razorpay.com/docs/errors, read 2026-11)."""

from __future__ import annotations

from typing import Any

from twin.gateways.common.jsonapi import Refusal

BAD = "BAD_REQUEST_ERROR"


def bad(
    description: str,
    field: str | None = None,
    *,
    status: int = 400,
    step: str = "payment_initiation",
    reason: str = "input_validation_failed",
) -> Refusal:
    """Return a refusal. An unknown id is a 400 here as well, never a 404."""
    error: dict[str, Any] = {
        "code": BAD,
        "description": description,
        "source": "business",
        "step": step,
        "reason": reason,
        "metadata": {},
    }
    if field is not None:
        error["field"] = field
    return Refusal(status, {"error": error})


def missing() -> Refusal:
    """Refuse an id that nobody has."""
    return bad("The id provided does not exist")
