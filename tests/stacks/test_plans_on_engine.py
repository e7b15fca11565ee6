"""Staging on the plans that no stack's file names, by the real engine: nothing is refused.

The stacks' own files hold the others, Pro and Business.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stacks.rehearsal import Paper, Rehearsal
from tests.twin.conftest import engine_path

LOGS = {
    "payments:log-export-destination": "s3://logs/edge?region=eu&secret-access-key=very-secret",
    "payments:log-export-ownership-challenge": "00000000000000000000",
}


@pytest.fixture(params=["free", "enterprise"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Rehearsal]]:
    binaries = engine_path()
    if binaries is None:
        pytest.skip("no Pulumi engine: neither PULUMI_BIN_DIR nor PATH nor the cache has one")
    plan = str(request.param)
    paper = Paper(tmp_path / "home", plan)
    try:
        rehearsal = Rehearsal(tmp_path / "staging", "staging", binaries, paper)
        rehearsal.configure(
            rehearsal.settings.changed("payments:zone.plan", plan)
            .changed("payments:edge.redirect-from", ["example.net", "www.example.net"])
            .changed("payments:edge.log-export", plan == "enterprise")
            .with_secrets(LOGS if plan == "enterprise" else {})
        )
        yield plan, rehearsal
    finally:
        paper.stop()


def test_a_stack_comes_up_on_its_plan_and_stays_as_it_is(stack: tuple[str, Rehearsal]) -> None:
    plan, rehearsal = stack
    done = rehearsal.up()
    assert done.code == 0, done.output
    assert rehearsal.outputs()["edge"]["plan"] == plan
    again = rehearsal.up("--refresh", "--expect-no-changes")
    assert again.code == 0, again.output
