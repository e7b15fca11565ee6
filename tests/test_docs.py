"""The written tables name tests that exist: a renamed test must not leave a promise behind."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = sorted(
    {
        (page.name, name)
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"`(tests/[^`]+::[^`]+)`", page.read_text(encoding="utf-8"))
    }
)


@cache
def functions_of(file: str) -> frozenset[str]:
    """The names of the functions in a file; none where there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize(("page", "name"), NAMED, ids=lambda value: str(value))
def test_a_test_that_a_page_names_exists(page: str, name: str) -> None:
    file, _, test = name.partition("::")
    assert test in functions_of(file), f"docs/{page} names {name}"
