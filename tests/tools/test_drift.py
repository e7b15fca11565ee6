"""Drift is asked of the real engine with the caller's own credentials, and only asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import drift, engine
from tools.console import Ui
from tools.engine.installed import Engine
from tools.engine.versions import ENGINE
from tools.errors import ToolError

STAND_IN = """#!/bin/sh
echo "$@" "$PULUMI_BACKEND_URL" > {said}
while [ $# -gt 0 ]; do
    if [ "$1" = --event-log ]; then printf '%s' "$EVENTS" > "$2"; fi
    shift
done
exit "$ENGINE_SAYS"
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for the engine writes what it was asked; it ends as ENGINE_SAYS says."""
    said = tmp_path / "asked"
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(STAND_IN.format(said=said))
    pulumi.chmod(0o700)
    found = Engine(folders=(tmp_path,), version=ENGINE, origin="a stand-in")
    monkeypatch.setattr(engine, "ensure", lambda note: found)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://state")
    monkeypatch.setenv("EVENTS", "")
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


def _step(op: str, kind: str = "other", **before: Any) -> str:
    metadata = {"op": op, "type": kind, "old": {"outputs": before}}
    return json.dumps({"resourcePreEvent": {"metadata": metadata}})


PENDING = _step("update", drift.DNSSEC, status="pending")
OFF = _step("update", drift.DNSSEC, status="disabled")
SAME = [json.dumps({"preludeEvent": {}}), _step("same"), _step("refresh"), _step("create")]


@pytest.mark.parametrize(
    ("events", "registrar", "by_hand"),
    [
        ([], False, True),
        ([*SAME[:3], PENDING], True, False),
        ([*SAME, PENDING], True, True),
        ([*SAME[:3], OFF], False, True),
    ],
)
@pytest.mark.usefixtures("asked")
def test_dnssec_that_waits_for_the_registrar_is_nobodys_doing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    events: list[str],
    registrar: bool,
    by_hand: bool,
) -> None:
    monkeypatch.setenv("ENGINE_SAYS", "255")
    monkeypatch.setenv("EVENTS", "\n".join(events))
    assert drift.drift(Ui(), "prod") == 1
    said = " ".join("".join(capsys.readouterr()).split())
    assert ("pulumi stack output dnssec_ds --stack prod" in said) is registrar
    assert ("changed by hand" in said) is by_hand


def test_a_stack_that_does_not_exist_is_named_before_any_work() -> None:
    with pytest.raises(ToolError, match="nosuch"):
        drift.drift(Ui(), "nosuch")
