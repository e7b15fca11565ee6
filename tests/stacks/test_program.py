"""The whole program on mocks, for the three stacks, with their real files."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.stack import Stack

from tests.recorder import Recorded, Recorder, is_secret, value_of
from tests.stacks import stackfiles
from tests.stacks.stackfiles import STACKS

EXPORTS = {
    "url",
    "hosts",
    "reserved_addresses",
    "ssh",
    "database_host",
    "database_name",
    "bucket",
    "tunnel_id",
    "image",
    "edge",
    "dnssec_ds",
    "access_team_domain",
    "service_tokens",
}
# A program's credentials have to leave the state once, by the command that `stacks/platform` names.
SECRET_EXPORTS = {"service_tokens"}
# What a program on mocks knows of secrets: the stack's own, and what the clouds invent.
_TUNNEL_TOKEN = "eyJ0dW5uZWwtdG9rZW4i"
_INVENTED = ("password-of-", "spaces-secret", "c2Vzc2lvbi1rZXk=", _TUNNEL_TOKEN)

_RUNS: dict[tuple[str, bool], Recorder] = {}


def _run(stack: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, preview: bool) -> Recorder:
    """One run per stack for all tests of this file: they only read the record."""
    known = _RUNS.get((stack, preview))
    if known:
        return known
    monkeypatch.chdir(stackfiles.project(folder))
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "1")
    recorder = Recorder(stack=stack)
    config = stackfiles.read(stack)
    recorder.configure(config.values, config.secrets)
    recorder.build(
        lambda: runpy.run_path(str(stackfiles.ROOT / "__main__.py"), run_name="__main__"),
        preview=preview,
    )
    return _RUNS.setdefault((stack, preview), recorder)


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def program(stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return _run(stack, tmp_path, monkeypatch, preview=False)


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return _run("prod", tmp_path, monkeypatch, preview=False)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return _run("local", tmp_path, monkeypatch, preview=False)


def test_a_preview_knows_little_and_breaks_on_nothing(
    stack: str, program: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "again").mkdir()
    preview = _run(stack, tmp_path / "again", monkeypatch, preview=True)
    assert sorted(preview.urns()) == sorted(program.urns()), "what exists must not depend on values"


def test_names_are_unique_and_begin_with_the_stacks_own(stack: str, program: Recorder) -> None:
    names = program.names()
    assert len(names) == len(set(names)), "two resources of one name are hard to tell in a preview"
    assert all(name.startswith(f"payments-{stack}-") for name in names)


def test_every_resource_has_its_place_below_a_component(program: Recorder) -> None:
    stray = [
        found.name
        for found in program.resources
        if found.parent.split("::")[2:3] == ["pulumi:pulumi:Stack"]
        and not found.token.startswith(("payments:index:", "pulumi:providers:"))
    ]
    assert not stray, f"these belong into a component: {stray}"


def test_components_register_exactly_what_they_declare(program: Recorder) -> None:
    for component in (r for r in program.resources if r.token.startswith("payments:index:")):
        assert program.outputs_of(component), f"{component.name} never registered its outputs"


def test_every_resource_names_its_provider(program: Recorder) -> None:
    for found in program.resources:
        if found.token.startswith(("payments:", "pulumi:providers:")):
            continue
        package = found.token.partition(":")[0]
        assert f"pulumi:providers:{package}" in found.options.provider, (
            f"{found.name} would use a default provider, and those are disabled"
        )
    for call in program.calls:
        assert call.provider, f"{call.token} would use a default provider"


def test_default_providers_are_disabled_in_every_stacks_file(stack: str) -> None:
    assert stackfiles.read(stack).values["pulumi:disable-default-providers"] == ["*"]


def test_no_secret_stands_in_clear_anywhere(stack: str, program: Recorder) -> None:
    config = stackfiles.read(stack)
    words = [str(config.values[key]) for key in config.secrets] + list(_INVENTED)
    for found in program.resources:
        for key, value in found.inputs.items():
            text = json.dumps(value)
            leaked = [word for word in words if word in text]
            assert not leaked or found.is_secret(key), f"{found.name}.{key} shows {leaked}"


def test_the_exports_are_few_and_hold_no_secret(
    stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _RUNS.pop((stack, False), None)
    recorder = _run(stack, tmp_path, monkeypatch, preview=False)
    root = pulumi.runtime.get_root_resource()
    assert isinstance(root, Stack)
    exports: dict[str, Any] = root.outputs
    assert set(exports) == EXPORTS
    for name, value in exports.items():
        output = pulumi.Output.from_input(value)
        known = value_of(output)
        assert known is not None, f"{name} is exported without a value"
        assert is_secret(output) == (name in SECRET_EXPORTS), (
            f"{name}: a secret is shown as [secret] and is no use as an export, or is shown to all"
        )
    assert recorder.resources


def test_production_and_staging_protect_what_cannot_be_made_again(
    program: Recorder, stack: str
) -> None:
    kinds = (":DatabaseCluster", ":DatabaseDb", ":DatabaseFirewall", ":SpacesBucket")
    for found in (found for kind in kinds for found in program.of_type(kind)):
        assert found.options.protect is (stack != "local"), found.name


def test_nothing_opens_a_database_when_it_leaves_the_program(program: Recorder) -> None:
    for rules in program.of_type(":DatabaseFirewall"):
        assert rules.options.retain_on_delete, "deleting the rules admits the whole internet"
        assert [rule["type"] for rule in rules.inputs["rules"]] == ["tag"]


def test_each_database_trusts_the_droplets_alone(program: Recorder) -> None:
    clusters = {c.name for c in program.of_type(":DatabaseCluster")}
    clusters |= {replica.name for replica in program.of_type(":DatabaseReplica")}
    guarded = {rules.name.removesuffix("-trust") for rules in program.of_type(":DatabaseFirewall")}
    for cluster in clusters:
        assert cluster.removesuffix("-pg").removesuffix("-kv") in guarded, (
            f"{cluster} is open to everyone"
        )


def test_the_only_way_in_from_outside_is_ssh_from_named_addresses(
    program: Recorder, stack: str
) -> None:
    sources = stackfiles.read(stack).values["payments:ssh"]["allow-from"]
    (inbound,) = program.one(":Firewall").inputs["inboundRules"]
    assert (inbound["protocol"], inbound["portRange"]) == ("tcp", "22")
    assert inbound["sourceAddresses"] == sorted(sources)


def _front_door(program: Recorder) -> Recorded:
    """The record that visitors find the service by."""
    (record,) = (it for it in program.of_type(":DnsRecord") if it.inputs["name"].startswith("pay."))
    return record


def test_no_visitor_comes_before_the_rules(program: Recorder) -> None:
    before = {found.name for found in program.before(_front_door(program))}
    guards = [*program.of_type(":Ruleset"), *program.of_type(":ZoneSetting")]
    assert len(guards) > 20
    late = [found.name for found in guards if found.name not in before]
    assert not late, f"the name would lead to a service without {late}"


def test_the_edge_is_what_the_zones_plan_takes(stack: str, program: Recorder) -> None:
    plan = stackfiles.read(stack).values["payments:zone"]["plan"]
    rates = program.named(f"payments-{stack}-edge-rate-limits").inputs["rules"]
    assert len(rates) == {"free": 1, "pro": 2, "business": 5}[plan]
    assert program.named(f"payments-{stack}-edge-managed").inputs["rules"]
    bots = program.one(":BotManagement").inputs
    assert bots["fightMode"] is False
    assert ("sbfmLikelyAutomated" in bots) is (plan == "business")


def test_the_service_gets_the_limits_that_the_edge_enforces(program: Recorder) -> None:
    told = [
        entry.partition("=")[2]
        for container in program.of_type(":Container")
        for entry in container.inputs.get("envs", [])
        if entry.startswith("PAYMENTS_RATE_LIMITS=")
    ]
    assert told, "without it the service would start without limits, or not at all"
    for table in told:
        names = {row["name"] for row in json.loads(table)}
        assert names == {"login", "register", "create-subscription", "transactions", "api"}


def test_the_record_is_proxied(program: Recorder) -> None:
    record = _front_door(program).inputs
    assert record["proxied"] is True, "an unproxied name would go around the edge"
    assert record["ttl"] == 1
    assert record["content"].endswith(".cfargotunnel.com")


def test_the_tunnel_ends_in_a_catch_all(program: Recorder) -> None:
    found = {}
    for config in program.of_type(":ZeroTrustTunnelCloudflaredConfig"):
        routes = config.inputs["config"]["ingresses"]
        assert routes[-1].get("hostname") is None
        assert routes[-1]["service"] == "http_status:404"
        found[routes[0]["hostname"]] = routes[0]["service"]
    visitors = [service for name, service in found.items() if name.startswith("pay.")]
    assert visitors == ["http://gateway:8080"]
    for tunnel in program.of_type(":ZeroTrustTunnelCloudflared"):
        assert tunnel.inputs["configSrc"] == "cloudflare"


def test_each_of_several_droplets_is_reached_by_ssh_under_its_own_name(prod: Recorder) -> None:
    """One tunnel for both would lead a login to either of them."""
    for number in range(2):
        name = f"payments-prod-ssh-{number}"
        (route, _) = prod.named(f"{name}-routes").inputs["config"]["ingresses"]
        assert route == {
            "hostname": f"ssh-{number}.example.com",
            "service": "ssh://host.docker.internal:22",
        }
        record = prod.named(f"payments-prod-access-ssh-{number}-record").inputs
        assert record["content"] == f"{name}-tunnel-id.cfargotunnel.com"
        connector = prod.named(f"payments-prod-host-{number}-containers-ssh-connector")
        assert connector.inputs["envs"] == [f"TUNNEL_TOKEN={_TUNNEL_TOKEN}{name}-tunnel-id"]
        front = prod.named(f"payments-prod-host-{number}-containers-connector")
        assert not front.inputs.get("hosts"), "the visitors' tunnel does not lead to SSH"
        machine = prod.named(f"payments-prod-host-{number}-ready").name
        assert machine in {found.name for found in prod.before(connector)}


def test_a_tunnel_outlives_the_droplets_that_hold_it(program: Recorder) -> None:
    for droplet in program.of_type(":Droplet"):
        before = {found.token for found in program.before(droplet)}
        assert any(token.endswith(":ZeroTrustTunnelCloudflared") for token in before), (
            "with live connectors the tunnel refuses to be deleted"
        )


def _release(program: Recorder, container: Recorded) -> set[str]:
    return {found.name for found in program.before(container)}


def test_a_release_pulls_prepares_migrates_and_only_then_starts(
    program: Recorder, stack: str
) -> None:
    prefix = f"payments-{stack}"
    steps = [f"{prefix}-release-prepare-database", f"{prefix}-release-migrate"]
    prepare, migrate = (program.named(name) for name in steps)
    assert f"{prefix}-host-0-runtime-service" in _release(program, prepare), "pull, then prepare"
    assert prepare.name in _release(program, migrate)
    for container in program.of_type(":Container"):
        if not container.name.endswith("-ssh-connector"):  # nothing of the release is in it
            assert set(steps) <= _release(program, container), f"{container.name} starts too early"


def test_visitors_reach_a_gateway_only_behind_healthy_replicas(
    program: Recorder, stack: str
) -> None:
    for index in range(len(program.of_type(":Droplet"))):
        prefix = f"payments-{stack}-host-{index}-containers"
        gateway = program.named(f"{prefix}-gateway")
        replicas = {name for name in program.names() if name.startswith(f"{prefix}-api-")}
        assert replicas
        assert replicas <= _release(program, gateway)
        assert gateway.name in _release(program, program.named(f"{prefix}-connector"))


def test_hosts_are_released_one_after_the_other(prod: Recorder) -> None:
    first = {name for name in prod.names() if name.startswith("payments-prod-host-0-containers-")}
    second = prod.named("payments-prod-host-1-containers-api-0")
    assert first <= _release(prod, second), "both hosts would be without their old containers"
    assert len(prod.of_type(":Command")) == 2 + 2, "migrations run once, not once per droplet"


def test_docker_is_asked_only_once_the_droplet_is_ready(program: Recorder, stack: str) -> None:
    for engine in (r for r in program.of_type(":docker") if r.name.endswith("-engine")):
        ready = engine.name.removesuffix("-engine") + "-ready"
        assert ready in {found.name for found in program.before(engine)}
        assert engine.inputs["host"].startswith("ssh://deploy@203.0.113.")


def test_a_protected_stack_runs_a_digest_and_builds_nothing(prod: Recorder) -> None:
    assert not prod.of_type("docker:index/image:Image")
    images = [image.inputs["name"] for image in prod.of_type(":RemoteImage")]
    assert any("@sha256:" in image for image in images)


def test_the_local_stack_builds_and_pulls_what_it_built_by_digest(local: Recorder) -> None:
    build = local.one("docker:index/image:Image")
    assert build.inputs["imageName"] == "registry.twin.test:5000/payments:development"
    assert build.inputs["registry"] == {"server": "registry.twin.test:5000"}
    pulled = local.named("payments-local-host-0-runtime-service").inputs["name"]
    assert "@sha256:" in pulled, "a tag would not notice a new build"
    ports = {rule.get("portRange") for rule in local.one(":Firewall").inputs["outboundRules"]}
    assert "5000" in ports, "the droplet could not pull"


def test_the_private_registrys_password_reaches_the_engines_as_a_secret(prod: Recorder) -> None:
    for engine in (r for r in prod.of_type(":docker") if r.name.endswith("-engine")):
        assert engine.is_secret("registryAuth")
        assert "production-pull" in json.dumps(engine.inputs["registryAuth"])
