"""The stage with an engine that fails, or is not there: nothing passes uninspected unnoticed."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from components.edge import managed
from tests.twin.edge import harness
from tests.twin.waf.site import engine_program, guarded, wanted
from twin.waf import engine as module
from twin.waf.rulesets import PHASE


def test_what_cannot_be_inspected_is_refused_and_the_journal_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.5)
    broken = tmp_path / "engine"
    broken.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)

    async def scenario() -> None:
        async with guarded(tmp_path / "h", wanted(), broken) as site:
            assert await site.get("/payments") == 500
            assert site.came == []
            (decision,) = site.decisions()
            assert decision.phase == PHASE
            assert decision.description == "the request could not be inspected"
            assert await site.get("/livez") == 200, "what no ruleset is executed for needs none"

    harness.run(scenario())


def test_without_an_engine_managed_rulesets_are_not_enforced_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path / "h", wanted(), None) as site:
            assert await site.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E") == 200
            assert await site.get("/") == 200

    harness.run(scenario())
    told = [it.message for it in caplog.records if "not enforced" in it.message]
    assert len(told) == 1, told


@pytest.mark.parametrize("paranoia", [1, 2])
def test_the_engine_evaluates_the_deployed_level_and_no_higher_one(
    tmp_path: Path, paranoia: int
) -> None:
    async def scenario() -> None:
        rules = wanted(managed.Owasp(paranoia=paranoia))
        async with guarded(tmp_path / "h", rules, engine_program()) as site:
            asked: list[str] = []
            assert site.site.edge.waf is not None
            site.site.edge.waf.observers.append(
                lambda request, _: asked.append(request.variables["blocking_paranoia_level"])
            )
            assert await site.get("/") == 200
            assert asked == [str(paranoia)], "every request pays for a level that nobody deployed"

    harness.run(scenario())


def test_a_zone_without_a_managed_ruleset_never_asks_the_engine(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path / "h", [], tmp_path / "no-such-engine") as site:
            assert await site.get("/?q=%3Cscript%3E") == 200

    harness.run(scenario())
