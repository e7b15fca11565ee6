"""From a stack's settings to what it wants of its edge; and what a preview shows of it."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from stacks import edge, settings
from stacks.payment_gateways import payment_gateways
from stacks.settings_problems import SettingsError
from tests.recorder import Recorder, value_of
from tests.stacks import stackfiles
from tests.stacks.stackfiles import StackConfig
from tests.stacks.test_plans_on_doubles import ACCOUNT, handlers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stackfiles.project(tmp_path)


def _loaded(folder: Path, name: str, config: StackConfig | None = None) -> settings.Stack:
    recorder = Recorder(stack=name)
    config = config or stackfiles.read(name)
    recorder.configure(config.values, config.secrets)
    return recorder.build(lambda: settings.load(folder))


def _sources(stack: settings.Stack) -> dict[str, tuple[str, ...]]:
    return {hook.gateway: hook.sources for hook in edge.wishes(stack).webhooks}


def _with_razorpay(sources: list[str]) -> StackConfig:
    section = {"key-id": "rzp_live_1", "webhook-sources": sources}
    config = stackfiles.read("prod").changed("payments:gateways", {"razorpay": section})
    return config.with_secrets({"payments:razorpay-key-secret": "s3cret"})


def test_stripe_delivers_from_its_own_addresses_and_a_stand_in_from_anywhere(
    folder: Path,
) -> None:
    assert len(_sources(_loaded(folder, "prod"))["stripe"]) == 15
    assert _sources(_loaded(folder, "local"))["stripe"] == (), "the twin is not at Stripe's"


@pytest.mark.parametrize("name", stackfiles.STACKS)
def test_the_service_refuses_what_the_edge_refuses(folder: Path, name: str) -> None:
    stack = _loaded(folder, name)
    told = payment_gateways(stack).variables()
    for gateway, sources in _sources(stack).items():
        given = told.get(f"PAYMENTS_{gateway.upper()}_WEBHOOK_SOURCES")
        assert given == (",".join(sources) or None), gateway


def test_a_gateways_addresses_can_be_named(folder: Path) -> None:
    stack = _loaded(folder, "prod", _with_razorpay(["203.0.113.0/24"]))
    found = _sources(stack)
    assert found["razorpay"] == ("203.0.113.0/24",)
    assert len(found["stripe"]) == 15
    told = payment_gateways(stack).variables()
    assert told["PAYMENTS_RAZORPAY_WEBHOOK_SOURCES"] == "203.0.113.0/24", "the service, too"


def test_a_gateway_that_the_stack_does_not_have_delivers_nothing(folder: Path) -> None:
    assert set(_sources(_loaded(folder, "prod"))) == {"stripe"}


def test_more_addresses_than_a_rule_can_name_are_refused_before_anything_is_changed(
    folder: Path,
) -> None:
    many = [f"198.51.{n // 250}.{n % 250}/32" for n in range(300)]
    with pytest.raises(SettingsError) as caught:
        _loaded(folder, "prod", _with_razorpay(many))
    (problem,) = caught.value.problems
    assert problem.field == "payments:gateways.razorpay.webhook-sources"
    assert "of 4096" in problem.reason
    assert "networks" in problem.remedy
    assert _loaded(folder, "prod", _with_razorpay(many[:200]))


def test_the_admins_list_is_the_stacks_own(folder: Path) -> None:
    config = stackfiles.read("prod").changed("payments:access.admin-cidrs", ["198.51.100.7/32"])
    wanted = edge.wishes(_loaded(folder, "prod", config))
    assert wanted.admin_list == "payments_prod_admins", "an account may hold several stacks"
    assert wanted.admin_cidrs == ("198.51.100.7/32",)
    assert "access" in wanted.has
    bare = stackfiles.read("local").changed("payments:access", None)
    without = edge.wishes(_loaded(folder, "local", bare))
    assert not without.admin_cidrs
    assert set(without.has) == {"tunnel"}


CIDRS = ["198.51.100.7/32", "203.0.113.0/24", "2001:db8::/64", "2001:db8::/48"]


def test_what_the_settings_take_of_admins_addresses_the_edges_list_takes(folder: Path) -> None:
    config = stackfiles.read("prod").changed("payments:access.admin-cidrs", CIDRS)
    recorder = Recorder(stack="prod")
    recorder.configure(config.values, config.secrets)
    recorder.build(lambda: edge.build(settings.load(folder), pulumi.ResourceOptions()))
    made = recorder.one("cloudflare:index/list:List").inputs
    assert {it["ip"] for it in made["items"]} == {"198.51.100.7", *CIDRS[1:]}
    assert handlers("pro").failures("List", {**made, "accountId": ACCOUNT}) == []


@pytest.mark.parametrize("plan", ["free", "pro", "business"])
def test_a_preview_shows_what_the_plan_made_of_it_and_an_update_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    config = stackfiles.read("prod").changed("payments:zone.plan", plan)
    for preview in (True, False):
        said.clear()
        recorder = Recorder(stack="prod")
        recorder.configure(config.values, config.secrets)
        front = recorder.build(
            lambda: edge.build(settings.load(folder), pulumi.ResourceOptions()), preview=preview
        )
        assert len(said) == preview
        if preview:
            assert said[0].startswith(f"The edge on Cloudflare's plan {plan.capitalize()}")
    summary = value_of(pulumi.Output.from_input(front.exports()["edge"]))
    assert isinstance(summary, dict)
    assert summary["plan"] == plan


def test_logs_go_where_the_secret_says_and_only_on_a_plan_that_exports(folder: Path) -> None:
    config = stackfiles.read("prod").changed("payments:zone.plan", "enterprise")
    config = config.changed("payments:edge.log-export", True)
    config = config.with_secrets(
        {
            "payments:log-export-destination": "a-secret-destination",
            "payments:log-export-ownership-challenge": "a-secret-challenge",
        }
    )
    recorder = Recorder(stack="prod")
    recorder.configure(config.values, config.secrets)

    def program() -> None:
        stack = settings.load(folder)
        clouds = pulumi.ResourceOptions()
        edge.watch(stack, edge.build(stack, clouds), clouds, tunnel_id="tunnel-1")

    recorder.build(program)
    jobs = recorder.of_type(":LogpushJob")
    assert {job.inputs["destinationConf"] for job in jobs} == {"a-secret-destination"}
    assert all(job.is_secret("destinationConf") for job in jobs)
