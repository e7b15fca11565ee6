"""Errors as PayPal words them (developer.paypal.com/api/rest/responses, and its references)."""

from __future__ import annotations

from typing import Any

from twin.gateways.common.jsonapi import Refusal
from twin.gateways.common.tables import new_id

_INFORMATION = "https://developer.paypal.com/api/rest/reference/orders/v2/errors/#"
_MESSAGES = {
    "INVALID_REQUEST": "Request is not well-formed, syntactically incorrect, or violates schema.",
    "UNPROCESSABLE_ENTITY": "The requested action could not be performed, semantically "
    "incorrect, or failed business validation.",
    "RESOURCE_NOT_FOUND": "The specified resource does not exist.",
    "RESOURCE_CONFLICT": "The server has detected a conflict while processing this request.",
    "UNSUPPORTED_MEDIA_TYPE": "The server does not support the request payload's media type.",
    "INTERNAL_SERVER_ERROR": "An internal server error has occurred.",
    "NOT_AUTHORIZED": "Authorization failed due to insufficient permissions.",
}
_STATUS = {
    "INVALID_REQUEST": 400,
    "UNPROCESSABLE_ENTITY": 422,
    "RESOURCE_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "INTERNAL_SERVER_ERROR": 500,
    "NOT_AUTHORIZED": 403,
}


def error(name: str, *details: dict[str, Any], links: tuple[dict[str, str], ...] = ()) -> Any:
    """Return an error's body."""
    body: dict[str, Any] = {
        "name": name,
        "message": _MESSAGES[name],
        "debug_id": new_id("", 13, "0123456789abcdef"),
    }
    if details:
        body["details"] = list(details)
        issue = details[0]["issue"]
        information = {"href": f"{_INFORMATION}{issue}", "rel": "information_link"}
        body["links"] = [{**information, "method": "GET"}, *links]
    return body


def refusal(
    name: str, *details: dict[str, Any], links: tuple[dict[str, str], ...] = (), kept: bool = False
) -> Refusal:
    """Return a refusal."""
    return Refusal(_STATUS[name], error(name, *details, links=links), kept=kept)


def issue(issue: str, description: str, field: str | None = None, value: Any = None) -> Any:
    """Return one detail of an error."""
    found: dict[str, Any] = {}
    if field is not None:
        found["field"] = field
        if value is not None:
            found["value"] = str(value)
        found["location"] = "body"
    return {**found, "issue": issue, "description": description}


def unprocessable(
    name: str, description: str, field: str | None = None, value: Any = None
) -> Refusal:
    """Return a 422 with one issue."""
    return refusal("UNPROCESSABLE_ENTITY", issue(name, description, field, value))


def missing() -> Refusal:
    """Refuse an id that nobody has."""
    told = "Specified resource ID does not exist. Please check the resource ID and try again."
    return refusal("RESOURCE_NOT_FOUND", issue("INVALID_RESOURCE_ID", told))
