"""A preview on another plan changes the plan and nothing else."""

from __future__ import annotations

import pytest

from tools.errors import ToolError
from tools.preview import _on_plan
from tools.stackfile import StackFile

ZONE = {"name": "example.com", "id": "0" * 32, "account-id": "1" * 32, "plan": "business"}


def test_the_zones_plan_is_exchanged_in_a_copy() -> None:
    file = StackFile(config={"payments:zone": ZONE, "payments:region": "fra1"}, salt="v1:x")
    other = _on_plan(file, "free")
    assert other.config["payments:zone"] == {**ZONE, "plan": "free"}
    assert other.config["payments:region"] == "fra1"
    assert other.salt == file.salt
    assert file.config["payments:zone"]["plan"] == "business", "the project's file stays as it is"


def test_a_file_without_a_zone_is_told_what_it_lacks() -> None:
    with pytest.raises(ToolError, match="no zone"):
        _on_plan(StackFile(config={}, salt=""), "free")
