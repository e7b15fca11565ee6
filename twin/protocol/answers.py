"""Pure parts of the provider protocol: names, echoes, secret marks, drift, the diff's verdict."""

from __future__ import annotations

import hashlib
import secrets as random
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from twin.protocol import schema, values
from twin.protocol.diff import Difference, differences
from twin.protocol.resource import Failure, Props
from twin.protocol.values import Secret

_SUFFIX_DIGITS: Final = 7
_Kind = provider_pb2.PropertyDiff.Kind
_KINDS: Final[dict[tuple[str, bool], _Kind.ValueType]] = {
    ("add", False): _Kind.ADD,
    ("add", True): _Kind.ADD_REPLACE,
    ("delete", False): _Kind.DELETE,
    ("delete", True): _Kind.DELETE_REPLACE,
    ("update", False): _Kind.UPDATE,
    ("update", True): _Kind.UPDATE_REPLACE,
}


def suffix(seed: bytes) -> str:
    """Seven hex digits; the engine's seed makes an update name what its preview named."""
    digest = hashlib.sha256(seed).hexdigest() if seed else random.token_hex(4)
    return digest[:_SUFFIX_DIGITS]


def without_marks(inputs: Props) -> Props:
    """The inputs without the bridges' own entries (`__defaults`)."""
    return {name: value for name, value in inputs.items() if not name.startswith("__")}


def echo(inputs: Props, table: schema.ResourceSchema) -> Props:
    """The inputs that are outputs too."""
    return {name: value for name, value in inputs.items() if name in table.outputs}


def checked(outputs: Props, table: schema.ResourceSchema) -> Props:
    """The outputs, none of which the real provider would not have."""
    if strange := set(outputs) - set(table.outputs):
        raise TypeError(f"{table.token} has no outputs {sorted(strange)}")
    return {name: value for name, value in outputs.items() if value is not None}


def mark_secrets(outputs: Props, table: schema.ResourceSchema) -> Props:
    """The outputs with those marked that are secret by the table."""
    secret = table.secret_outputs
    return {n: Secret(v) if n in secret else v for n, v in outputs.items()}


def answer(
    outputs: Props, table: schema.ResourceSchema, like: Mapping[str, Any]
) -> struct_pb2.Struct:
    """Outputs for the wire: secret by the table, and where the inputs were."""
    kept = {name: value for name, value in outputs.items() if name in table.outputs}
    return values.encode(values.mark(mark_secrets(kept, table), dict(like)))


def drifted(
    inputs: Props,
    before: Props,
    now: Props,
    table: schema.ResourceSchema,
    types: Mapping[str, schema.Shape],
) -> Props:
    """The inputs with what changed behind the engine's back, so that the next diff sees it."""
    changed = dict(inputs)
    for name in {it.top for it in differences(before, now, table.inputs, types)}:
        prop = table.inputs.properties[name]
        if not prop.inputonly and (name in inputs or not prop.computed):
            changed[name] = now.get(name)
    return {name: value for name, value in changed.items() if value is not None}


def failures(found: list[Failure]) -> list[provider_pb2.CheckFailure]:
    """Failures for the wire."""
    return [provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in found]


def adjusted(
    found: list[Difference], replace: frozenset[str], update: frozenset[str], ignore: frozenset[str]
) -> list[Difference]:
    """The differences after a type's own verdict; it may name inputs that do not differ."""
    kept = []
    for it in found:
        if it.top not in ignore:
            force = it.top in replace or (it.replace and it.top not in update)
            kept.append(Difference(path=it.path, top=it.top, kind=it.kind, replace=force))
    named = {it.top for it in found}
    for name in (replace | update) - named:
        kept.append(Difference(path=name, top=name, kind="update", replace=name in replace))
    return kept


def verdict(found: list[Difference], *, delete_before: bool) -> provider_pb2.DiffResponse:
    """The answer to Diff: what changes, and what of it replaces."""
    answer = provider_pb2.DiffResponse
    replaces = sorted({it.top for it in found if it.replace})
    return provider_pb2.DiffResponse(
        changes=answer.DIFF_SOME if found else answer.DIFF_NONE,
        diffs=sorted({it.top for it in found}),
        replaces=replaces,
        deleteBeforeReplace=bool(replaces) and delete_before,
        hasDetailedDiff=True,
        detailedDiff={
            it.path: provider_pb2.PropertyDiff(kind=_KINDS[it.kind, it.replace], inputDiff=True)
            for it in found
        },
    )


def masked(text: str, request: Any) -> str:
    """The text without any secret that the request carried."""
    bags = [
        values.decode(value)
        for _, value in request.ListFields()
        if isinstance(value, struct_pb2.Struct)
    ]
    for secret in sorted(values.to_mask(*bags), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text
