"""Drift is asked of the real engine with the caller's own credentials, and only asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import drift, engine
from tools.console import Ui
from tools.engine.installed import Engine
from tools.engine.versions import ENGINE
from tools.errors import ToolError


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for the engine writes what it was asked; it ends as ENGINE_SAYS says."""
    said = tmp_path / "asked"
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f'#!/bin/sh\necho "$@" "$PULUMI_BACKEND_URL" > {said}\nexit "$ENGINE_SAYS"\n')
    pulumi.chmod(0o700)
    found = Engine(folders=(tmp_path,), version=ENGINE, origin="a stand-in")
    monkeypatch.setattr(engine, "ensure", lambda note: found)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://state")
    return said


@pytest.mark.parametrize(("engine_says", "code"), [(0, 0), (1, 1), (255, 1)])
def test_a_change_makes_it_fail(
    asked: Path, monkeypatch: pytest.MonkeyPatch, engine_says: int, code: int
) -> None:
    monkeypatch.setenv("ENGINE_SAYS", str(engine_says))
    assert drift.drift(Ui(), "prod") == code
    words = asked.read_text().split()
    assert words[0] == "preview", "nothing else changes nothing"
    assert {"--refresh", "--expect-no-changes"} <= set(words)
    assert words[-1] == "s3://state"


def test_a_stack_that_does_not_exist_is_named_before_any_work() -> None:
    with pytest.raises(ToolError, match="nosuch"):
        drift.drift(Ui(), "nosuch")
