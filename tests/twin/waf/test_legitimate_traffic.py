"""What customers and gateways send passes, with names, texts and signatures as they really are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.twin.edge import harness
from tests.twin.waf.site import (
    Guarded,
    Sample,
    engine_program,
    gateway_samples,
    guarded,
    service_samples,
    wanted,
)


async def _refused(site: Guarded, samples: list[Sample]) -> dict[str, str]:
    """Send all; returns those that were refused, and why."""
    found = {}
    for sample in samples:
        before = len(site.decisions())
        status = await site.send(sample)
        if status != 200 or len(site.decisions()) > before:
            why = [decision.detail for decision in site.decisions()[before:]]
            found[sample.name] = f"{status} {why}"
    return found


@pytest.mark.parametrize("exceptions", [True, False], ids=["as deployed", "without exceptions"])
def test_no_webhook_of_any_gateway_is_refused(tmp_path: Path, exceptions: bool) -> None:
    program = engine_program()
    rules = [rule for rule in wanted() if exceptions or rule["action"] != "skip"]

    async def scenario() -> None:
        samples = gateway_samples()
        async with guarded(tmp_path / "h", rules, program) as site:
            refused = await _refused(site, samples)
            assert not refused, f"a payment would stay unbooked: {refused}"
            assert [body for _, body in site.came] == [sample.body for sample in samples], (
                "a signature is made over the very bytes"
            )

    harness.run(scenario())


@pytest.mark.parametrize("exceptions", [True, False], ids=["as deployed", "without exceptions"])
def test_no_page_form_or_call_of_the_service_is_refused(tmp_path: Path, exceptions: bool) -> None:
    program = engine_program()
    rules = [rule for rule in wanted() if exceptions or rule["action"] != "skip"]

    async def scenario() -> None:
        async with guarded(tmp_path / "h", rules, program) as site:
            refused = await _refused(site, service_samples())
            assert not refused, f"a customer would be turned away: {refused}"

    harness.run(scenario())


def test_the_samples_hold_what_firewalls_are_known_to_stumble_over() -> None:
    text = b"\n".join(sample.body or b"" for sample in gateway_samples() + service_samples())
    for trap in (b"O'", b"select", b"drop", b"union", b"<", b"--", b"https://api.paypal.com/"):
        assert trap in text, f"the samples would pass for the wrong reason: no {trap!r} in them"
