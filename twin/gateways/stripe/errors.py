"""Errors as the API words them (docs.stripe.com/api/errors, docs.stripe.com/error-codes)."""

from __future__ import annotations

from typing import Any

_DOCS = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """An error answer. `kept` says whether it is remembered under an idempotency key.

    Requests that fail validation, or clash with one that runs, are not remembered; whatever
    happened once the endpoint began to work is (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        kept: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        self.error: dict[str, Any] = {}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = _DOCS + code.replace("_", "-")
        self.error["message"] = message
        if param is not None:
            self.error["param"] = param
        self.error.update(more)
        self.error["type"] = type


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """Return a 400 for a bad parameter."""
    return StripeError(400, message, param=param, code=code)


def missing(kind: str, id: str, param: str) -> StripeError:
    """Return the answer for an object that does not exist: 404 by path, as for any id."""
    message = f"No such {kind}: '{id}'"
    return StripeError(404, message, code="resource_missing", param=param)
