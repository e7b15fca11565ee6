"""Examples of answers, put together from those that stand at the parts of their schemas."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_PLAIN: Final[Json] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
_FORMATS: Final[Json] = {
    "uuid": "0b8ff4a2-6a55-4d0e-9a2c-1f6f1f4f7c11",
    "date-time": "2026-11-21T10:15:00Z",
    "date": "2026-11-21",
}


def example_of(schema: Json, schemas: Json) -> Any:
    """Return an example of a schema: its own, else one made of its parts'."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema or "default" in schema or schema.get("enum"):
        return schema.get("const", schema.get("default", next(iter(schema.get("enum", ())), None)))
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        # The last of `X | None` is null: nothing is shown there.
        return example_of(choices[-1], schemas)
    kind = schema.get("type", "object")
    if kind == "array":
        return [example_of(schema.get("items", {}), schemas)]
    if kind == "object":
        return {name: example_of(part, schemas) for name, part in _parts(schema).items()}
    return _FORMATS.get(schema.get("format", ""), _PLAIN[kind])


def restore_nulls(schema: Json) -> None:
    """Put the nulls back into a schema's examples: FastAPI leaves them out of the document."""
    for example in schema.get("examples", ()):
        if isinstance(example, dict):
            for name in schema.get("required", ()):
                example.setdefault(name, None)


def _parts(schema: Json) -> Json:
    properties: Json = schema.get("properties", {})
    return properties
