"""The document's section on webhooks: what we tell, and how whoever takes it must answer."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from payments.openapi.examples import example_of, restore_nulls
from payments.webhooks_out.messages import TYPES
from payments.webhooks_out.payloads import PAYLOADS

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_HEADERS: Final = {
    "webhook-id": ("names the message; the same at every attempt", "msg_0b8ff4a26a554d0e9a2c1f6f"),
    "webhook-timestamp": ("when this attempt was signed, in seconds", "1795255200"),
    "webhook-signature": (
        "HMAC-SHA256 of `id.timestamp.body` by each of the endpoint's secrets"
        " (standardwebhooks.com); verify it before you read the body",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}
_ABOUT: Final = (
    "Sent as it happens to endpoints that ask for it. The same message may come more than once,"
    " and messages may come in another order than they happened."
)
_ANSWERS: Final = {
    "2XX": {"description": "Taken. Anything else is tried again over two and a half days."},
    "410": {"description": "There is nobody any more: the endpoint is disabled."},
}


def add_to(document: Json) -> None:
    """Add the messages, and the schemas of what they tell."""
    models = sorted(set(PAYLOADS.values()), key=lambda model: model.__name__)
    _, told = models_json_schema(
        [(model, "serialization") for model in models], ref_template=_SCHEMAS + "{model}"
    )
    schemas: Json = document["components"]["schemas"]
    for name, schema in told["$defs"].items():
        restore_nulls(schema)
        schemas[name] = schema
    document["webhooks"] = {type: {"post": _operation(type, schemas)} for type in TYPES}


def _operation(type: str, schemas: Json) -> Json:
    model = PAYLOADS[type.partition(".")[0]].__name__
    schema: Json = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": type},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": _SCHEMAS + model},
        },
    }
    return {
        "tags": ["webhooks"],
        "operationId": f"told_{type.replace('.', '_')}",
        "summary": type,
        "description": f"{schemas[model]['description']} {_ABOUT}",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": about,
                "schema": {"type": "string"},
                "example": example,
            }
            for name, (about, example) in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema, "example": example_of(schema, schemas)}
            },
        },
        "responses": _ANSWERS,
    }
