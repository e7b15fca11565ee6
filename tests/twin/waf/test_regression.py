"""The core ruleset's own tests, through the edge: a minute and a half, not in the default run."""

from __future__ import annotations

import asyncio

import pytest

from bench import firewall as bench
from tools import firewall

FEW = 45
"""Tests that may expect something else here than the core ruleset's authors do."""


@pytest.mark.e2e
def test_the_core_rulesets_own_tests_pass_at_level_one() -> None:
    program = firewall.ensure(lambda text: None).program
    tester = bench.build_tests(lambda text: None)
    found = asyncio.run(bench.through_the_edge(program, tester, 1))
    run = bench.Run(level=1, found=found)
    assert found["run"] > 2500, "most tests were not run"
    assert run.rate >= bench.PROMISED, found["failed"]
    assert len(found["overridden"]) <= FEW, found["overridden"]
