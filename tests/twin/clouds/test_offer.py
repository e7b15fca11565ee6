"""What the settings allow the clouds offer, and the tables know every input of the SDKs."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from keyword import iskeyword
from pathlib import Path

import pytest

from stacks import limits
from twin.clouds import cloudflare
from twin.clouds.digitalocean.catalog import catalog
from twin.clouds.digitalocean.cluster import MAX_NODES
from twin.protocol import schema


def test_every_size_region_and_version_that_the_settings_allow_is_offered() -> None:
    offer = catalog()
    for slug, size in limits.DROPLET_SIZES.items():
        offered = offer.sizes[slug]
        assert (offered.vcpus, offered.memory_mib) == (size.vcpus, size.memory_mib), slug
    assert set(offer.regions) >= limits.DROPLET_REGIONS
    assert set(offer.spaces_regions) >= limits.SPACES_REGIONS
    for engine, regions, sizes, versions in (
        ("pg", limits.DROPLET_REGIONS, limits.POSTGRES_SIZES, limits.POSTGRES_VERSIONS),
        ("valkey", limits.VALKEY_REGIONS, limits.VALKEY_SIZES, limits.VALKEY_VERSIONS),
    ):
        offered = offer.engines[engine]
        assert set(offered.regions) >= regions
        assert set(offered.layouts[1]) >= set(sizes)
        assert set(offered.offered(offer.as_of)) >= set(versions)
    assert limits.MAX_DATABASE_NODES == MAX_NODES


def _sdk_inputs(package: str, resource: str) -> set[str]:
    """The arguments of a resource's Args class, read without importing half a million lines."""
    spec = importlib.util.find_spec(f"pulumi_{package}")
    assert spec is not None
    assert spec.origin is not None
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", resource).lower()
    tree = ast.parse((Path(spec.origin).parent / f"{module}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == f"{resource}Args":
            [made] = [
                f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"
            ]
            return {arg.arg for arg in made.args.kwonlyargs}
    raise AssertionError(f"{resource} has no Args class")


def _sdk_fields(package: str) -> dict[str, set[str]]:
    """The fields of every nested Args class, by the class's name."""
    spec = importlib.util.find_spec(f"pulumi_{package}")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "_inputs.py").read_text()
    classes = re.finditer(
        r"^class (\w+)Args:\n    def __init__\(__self__(.*?)\):\n", text, re.S | re.M
    )
    return {found[1]: set(re.findall(r"(\w+): ", found[2])) for found in classes}


def _snake(names: Iterable[str]) -> set[str]:
    made = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in names}
    return {f"{name}_" if iskeyword(name) else name for name in made}


@pytest.mark.parametrize("package", ["digitalocean", "cloudflare", "tls"])
def test_the_tables_know_exactly_the_inputs_of_the_installed_sdk(package: str) -> None:
    table = schema.load(package)
    waiting = []
    for token, entry in table.resources.items():
        resource = token.rsplit(":", 1)[-1]
        properties = entry.inputs.properties
        assert _snake(properties) == _sdk_inputs(package, resource), f"{token}: renew its table"
        waiting += [prop.type for prop in properties.values()]
    fields, seen = _sdk_fields(package), set()
    while waiting:
        kind = waiting.pop()
        if kind.of is not None:
            waiting.append(kind.of)
        elif kind.kind == "object" and kind.name not in seen:
            seen.add(kind.name)
            properties = table.types[kind.name].properties
            assert _snake(properties) == fields[kind.name], f"{kind.name}: renew the table"
            waiting += [prop.type for prop in properties.values()]
    assert seen, "nested types must have been compared"


def test_every_type_in_cloudflares_table_has_its_double() -> None:
    package = cloudflare.package()
    table = schema.load("cloudflare")
    assert {resource.token for resource in package.resources} == set(table.resources)
    assert {function.token for function in package.functions} == set(table.functions)
