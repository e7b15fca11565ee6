from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twin.protocol.toy import TABLE
from twin.protocol import schema, values
from twin.protocol.check import check, fill
from twin.protocol.diff import differences
from twin.protocol.resource import UNKNOWN
from twin.protocol.values import Secret

TOY = schema.parse("toy", TABLE)
THING = TOY.resources["toy:index:Thing"].inputs


@pytest.mark.parametrize(
    ("inputs", "property", "reason"),
    [
        ({"sise": "small"}, "sise", 'is not a property of this type; did you mean "size"?'),
        ({"size": "smal"}, "size", '"smal" is not one of small, large; did you mean "small"?'),
        ({"size": ["small"]}, "size", "must be a string, not list"),
        ({"count": 1.5}, "count", "must be a whole number, not float 1.5"),
        ({"count": True}, "count", "must be a whole number, not bool True"),
        ({"tags": "a"}, "tags", "must be a list, not str 'a'"),
        ({"tags": [{}]}, "tags[0]", "must be a string, not dict"),
        ({"a": "x", "b": "y"}, "b", 'conflicts with "a"; give only one'),
        ({"parts": [{}]}, "parts[0].port", "is required and was not given"),
        ({"parts": [{"port": 1, "kin": "x"}]}, "parts[0].kin", "is not a property of this type"),
    ],
)
def test_bad_inputs_are_refused_by_path_and_reason(
    inputs: dict[str, Any], property: str, reason: str
) -> None:
    [failure] = check(inputs, THING, TOY.types)
    assert failure.property == property
    assert failure.reason.startswith(reason)


def test_what_a_preview_cannot_know_passes_every_rule() -> None:
    inputs = {"size": UNKNOWN, "tags": [UNKNOWN], "parts": [{"port": UNKNOWN}], "count": UNKNOWN}
    assert check(inputs, THING, TOY.types) == []
    assert fill(inputs, THING, TOY.types) == inputs


def test_scalars_are_taken_in_the_type_of_the_schema_as_the_bridges_do() -> None:
    filled = fill({"count": "3", "name": 7, "broken": "true"}, THING, TOY.types)
    assert filled == {"count": 3, "name": "7", "broken": True}


def test_only_what_forces_it_replaces() -> None:
    olds = {"region": "a", "parts": [{"port": 1, "kind": "x"}, {"port": 2}], "tags": ["a", "b"]}
    news = {"region": "a", "parts": [{"port": 9, "kind": "y"}], "tags": ["b", "a"]}
    found = {d.path: (d.kind, d.replace) for d in differences(olds, news, THING, TOY.types)}
    assert found == {
        "parts[0].port": ("update", False),
        "parts[0].kind": ("update", True),
        "parts[1]": ("delete", True),
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"inputs": {"a": "strin"}},
        {"inputs": {"a": "string mandatory"}},
        {"inputs": {"a": "string"}, "sets": ["a"]},
        {"inputs": {"a": "string"}, "values": {"b": ["x"]}},
        {"inputs": {"a": "string"}, "conflicts": [["a", "b"]]},
        {"inputs": {"a": "string"}, "autoname": "name"},
        {"inputs": {"a": "string"}, "default": {"a": "x"}},
    ],
)
def test_a_table_with_a_slip_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(schema.SchemaError):
        schema.parse("toy", {"resources": {"toy:index:X": entry}})


@pytest.mark.parametrize("package", ["docker", "random", "tls", "command"])
def test_the_tables_of_this_project_are_written_as_the_format_says(package: str) -> None:
    assert schema.load(package).resources


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), plain))
def test_values_come_back_from_the_wire_as_they_were(props: dict[str, Any]) -> None:
    def without_nulls(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without_nulls(v) for k, v in value.items() if v is not None}
        return [without_nulls(v) for v in value] if isinstance(value, list) else value

    assert values.decode(values.encode(props)) == without_nulls(props)


def test_secrets_and_unknowns_come_back_exactly() -> None:
    props = {"a": Secret({"b": [1, Secret("x")]}), "c": UNKNOWN, "d": Secret(UNKNOWN)}
    back = values.decode(values.encode(props))
    assert back == props
    assert back["c"] is UNKNOWN


def test_what_a_secret_holds_is_masked_in_every_form_it_takes() -> None:
    envs = Secret(["DATABASE_URL=postgresql://app:hunter22@db:25060/x", "DEBUG=true"])
    masked = values.to_mask({"envs": envs, "key": Secret("-----BEGIN\nMIIE\n-----END")})
    assert {"hunter22", "MIIE", "postgresql://app:hunter22@db:25060/x"} <= masked
    assert "true" not in masked, "a common word in every message would be hidden"
