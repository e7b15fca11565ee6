"""The compact schema tables of the provider doubles, and what they say about one property.

A table is `twin/clouds/schemas/<package>.json`. `python -m twin.clouds.schemas` makes it from the
provider's public Pulumi schema, keeping only the types that the project uses:

    {"config": {"host": "string"},
     "resources": {"docker:index/network:Network": {
         "inputs": {"name": "string replace computed", "ipamConfigs": "[NetworkIpamConfig]"},
         "outputs": {"scope": "string"},
         "autoname": "name"}},
     "functions": {"digitalocean:index/getDatabaseCa:getDatabaseCa": {
         "args": {"clusterId": "string required"}, "result": {"certificate": "string"}}},
     "types": {"NetworkIpamConfig": {"inputs": {"subnet": "string replace"}}}}

A property is its type and flags in one string. Types: `string`, `integer`, `number`, `boolean`,
`any`, `[T]` (list), `{T}` (map of strings to T), or the name of an entry of `types`. Flags:

- `required`: an input that must be given
- `computed`: an input that the cloud chooses when it is not given (unknown in a preview)
- `replace`: changing it makes a new resource
- `secret`: the output is a secret
- `inputonly`: not among the outputs
- `deprecated`

`outputs` holds only what is not an input already. The rest of an entry is written by hand, from the
provider's documentation, and kept when the table is made anew:

- `autoname`: the input that gets `<resource name>-<7 hex digits>` when it is not given
- `deleteBeforeReplace`: true where the provider asks for it on every replacement
- `defaults`: values that the provider fills in, by input
- `replace`: inputs with the `replace` flag beyond the schema's; `["*"]` for all
- `sets`: list inputs whose order means nothing
- `values`: value lists, by input; `null` in a list stands for the empty string
- `conflicts`, `exactlyOne`, `atLeastOne`: groups of inputs
- `formats`: patterns (Python `re`, whole match), by input

Entries of `types` take `inputs` and the same rules, `autoname` and `deleteBeforeReplace` excepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

_FLAGS = frozenset({"required", "computed", "replace", "secret", "inputonly", "deprecated"})
_SCALARS = frozenset({"string", "integer", "number", "boolean", "any"})
_HAND_KEYS = frozenset(
    {
        "autoname",
        "deleteBeforeReplace",
        "defaults",
        "replace",
        "sets",
        "values",
        "conflicts",
        "exactlyOne",
        "atLeastOne",
        "formats",
    }
)


class SchemaError(ValueError):
    """A table is not written as this module's docstring says."""


@dataclass(frozen=True, kw_only=True)
class Type:
    """`kind` is a scalar's name, `list`, `set`, `map` or `object`; `of` the elements' type."""

    kind: str
    of: Type | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Property:
    """One property of a resource, a nested object or a function."""

    type: Type
    required: bool = False
    computed: bool = False
    replace: bool = False
    secret: bool = False
    inputonly: bool = False
    deprecated: bool = False
    values: tuple[Any, ...] = ()
    format: re.Pattern[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A set of properties with the rules between them: a resource's inputs, a nested object."""

    properties: Mapping[str, Property]
    conflicts: tuple[tuple[str, ...], ...] = ()
    exactly_one: tuple[tuple[str, ...], ...] = ()
    at_least_one: tuple[tuple[str, ...], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ResourceSchema:
    """What a table says of a resource type."""

    token: str
    inputs: Shape
    outputs: Mapping[str, Property]
    autoname: str | None = None
    delete_before_replace: bool = False

    @property
    def secret_outputs(self) -> frozenset[str]:
        """Outputs that are secrets by the schema."""
        return frozenset(name for name, prop in self.outputs.items() if prop.secret)

    @property
    def computed(self) -> frozenset[str]:
        """Outputs that only the cloud knows unless an input says them."""
        return frozenset(
            name
            for name, prop in self.outputs.items()
            if name not in self.inputs.properties or prop.computed
        )


@dataclass(frozen=True, kw_only=True)
class FunctionSchema:
    """What a table says of an invoke."""

    token: str
    args: Shape
    result: Mapping[str, Property]


@dataclass(frozen=True, kw_only=True)
class PackageSchema:
    """A whole table."""

    name: str
    config: Mapping[str, Property]
    resources: Mapping[str, ResourceSchema]
    functions: Mapping[str, FunctionSchema]
    types: Mapping[str, Shape]


@cache
def load(package: str) -> PackageSchema:
    """The table of a package from `twin/clouds/schemas`."""
    source = resources.files("twin.clouds.schemas") / f"{package}.json"
    return parse(package, json.loads(source.read_text()))


def parse(package: str, table: Mapping[str, Any]) -> PackageSchema:
    """Read a table; SchemaError names the entry that is wrong."""
    types = {name: _shape(name, entry, "inputs") for name, entry in table.get("types", {}).items()}
    schema = PackageSchema(
        name=package,
        config=_properties("config", table.get("config", {}), {}),
        resources={t: _resource(t, entry) for t, entry in table.get("resources", {}).items()},
        functions={t: _function(t, entry) for t, entry in table.get("functions", {}).items()},
        types=types,
    )
    _check_references(schema)
    return schema


def _resource(token: str, entry: Mapping[str, Any]) -> ResourceSchema:
    if unknown := set(entry) - _HAND_KEYS - {"inputs", "outputs"}:
        raise SchemaError(f"{token}: unknown keys {sorted(unknown)}")
    inputs = _shape(token, entry, "inputs")
    outputs = {name: prop for name, prop in inputs.properties.items() if not prop.inputonly}
    outputs |= _properties(token, entry.get("outputs", {}), {})
    if (name := entry.get("autoname")) and name not in inputs.properties:
        raise SchemaError(f"{token}: autoname names {name}, which is no input")
    return ResourceSchema(
        token=token,
        inputs=inputs,
        outputs=outputs,
        autoname=entry.get("autoname"),
        delete_before_replace=entry.get("deleteBeforeReplace", False),
    )


def _function(token: str, entry: Mapping[str, Any]) -> FunctionSchema:
    if unknown := set(entry) - _HAND_KEYS - {"args", "result"}:
        raise SchemaError(f"{token}: unknown keys {sorted(unknown)}")
    return FunctionSchema(
        token=token,
        args=_shape(token, entry, "args"),
        result=_properties(token, entry.get("result", {}), {}),
    )


def _shape(owner: str, entry: Mapping[str, Any], key: str) -> Shape:
    properties = _properties(owner, entry.get(key, {}), entry)
    groups = {}
    for rule in ("conflicts", "exactlyOne", "atLeastOne"):
        groups[rule] = tuple(tuple(group) for group in entry.get(rule, ()))
        for name in (name for group in groups[rule] for name in group):
            if name not in properties:
                raise SchemaError(f"{owner}: {rule} names {name}, which is no input")
    return Shape(
        properties=properties,
        conflicts=groups["conflicts"],
        exactly_one=groups["exactlyOne"],
        at_least_one=groups["atLeastOne"],
        defaults=entry.get("defaults", {}),
    )


def _properties(
    owner: str, written: Mapping[str, str], rules: Mapping[str, Any]
) -> dict[str, Property]:
    sets: Iterable[str] = rules.get("sets", ())
    values: Mapping[str, list[Any]] = rules.get("values", {})
    formats: Mapping[str, str] = rules.get("formats", {})
    replace: Iterable[str] = rules.get("replace", ())
    if "*" in replace:
        replace = written.keys()
    for name in (*sets, *values, *formats, *replace, *rules.get("defaults", ())):
        if name not in written:
            raise SchemaError(f"{owner}: a rule names {name}, which is no input")
    found = {}
    for name, text in written.items():
        kind, *flags = text.split()
        if unknown := set(flags) - _FLAGS:
            raise SchemaError(f"{owner}.{name}: unknown flags {sorted(unknown)}")
        parsed = parse_type(kind)
        if name in sets:
            if parsed.kind != "list":
                raise SchemaError(f"{owner}.{name}: a set must be written as a list")
            parsed = Type(kind="set", of=parsed.of)
        found[name] = Property(
            type=parsed,
            values=tuple("" if v is None else v for v in values.get(name, ())),
            format=re.compile(formats[name]) if name in formats else None,
            **dict.fromkeys([*flags, *(["replace"] if name in replace else [])], True),
        )
    return found


def parse_type(text: str) -> Type:
    """`[T]`, `{T}`, a scalar, or the name of a nested object type."""
    if text in _SCALARS:
        return Type(kind=text)
    if text.startswith("[") and text.endswith("]"):
        return Type(kind="list", of=parse_type(text[1:-1]))
    if text.startswith("{") and text.endswith("}"):
        return Type(kind="map", of=parse_type(text[1:-1]))
    if not text.isidentifier():
        raise SchemaError(f"{text!r} is no type")
    return Type(kind="object", name=text)


def _check_references(schema: PackageSchema) -> None:
    groups: list[tuple[str, Mapping[str, Property]]] = [("config", schema.config)]
    groups += [(name, shape.properties) for name, shape in schema.types.items()]
    for token, entry in schema.resources.items():
        groups += [(token, entry.inputs.properties), (token, entry.outputs)]
    for token, function in schema.functions.items():
        groups += [(token, function.args.properties), (token, function.result)]
    for owner, properties in groups:
        for name, prop in properties.items():
            inner = prop.type
            while inner.of:
                inner = inner.of
            if inner.kind == "object" and inner.name not in schema.types:
                raise SchemaError(f"{owner}.{name}: no type {inner.name}")
