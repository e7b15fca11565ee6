"""Every ingress by the real engine: up, nothing to do, and from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.stacks.rehearsal import Paper, Rehearsal
from tests.stacks.stackfiles import StackConfig
from tests.twin.conftest import engine_path
from twin import authorities

RECORD = "payments-staging-ingress-record"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    if engine_path() is None:
        pytest.skip("no Pulumi engine: neither PULUMI_BIN_DIR nor PATH nor the cache has one")
    twin = Paper(tmp_path_factory.mktemp("paper") / "home")
    yield twin
    twin.stop()


@pytest.fixture(scope="module")
def staging(paper: Paper, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    binaries = engine_path()
    assert binaries is not None
    return Rehearsal(tmp_path_factory.mktemp("stacks") / "staging", "staging", binaries, paper)


@pytest.fixture(scope="module")
def prod(paper: Paper, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    binaries = engine_path()
    assert binaries is not None
    return Rehearsal(tmp_path_factory.mktemp("stacks") / "prod", "prod", binaries, paper)


def _behind(config: StackConfig, ingress: str) -> StackConfig:
    return config.changed("payments:ingress", ingress)


def _tunnels(stack: Rehearsal) -> set[str]:
    return {
        resource["urn"].rpartition("::")[2]
        for resource in stack.resources()
        if resource["type"].endswith(":ZeroTrustTunnelCloudflared")
    }


def _settled(stack: Rehearsal) -> None:
    again = stack.up("--refresh", "--expect-no-changes")
    assert again.code == 0, again.output
    assert again.steps == []


# One story, told in order.
def test_a_stack_comes_up_behind_a_tunnel(staging: Rehearsal) -> None:
    done = staging.up()
    assert done.code == 0, done.output


def test_the_name_moves_from_the_tunnel_to_the_droplet(staging: Rehearsal) -> None:
    staging.configure(_behind(staging.settings, "direct"))
    done = staging.up()
    assert done.code == 0, done.output
    about = [operation for operation, name in done.steps if name == RECORD]
    assert about.index("delete-replaced") < about.index("create-replacement"), (
        "Cloudflare refuses an A record beside a CNAME of the same name"
    )
    assert _tunnels(staging) == {"payments-staging-ssh-0-tunnel"}, "SSH alone is dialled out for"
    _settled(staging)


def test_from_the_droplet_to_a_load_balancer_only_the_records_content_changes(
    staging: Rehearsal,
) -> None:
    staging.configure(_behind(staging.settings, "load-balancer"))
    done = staging.up()
    assert done.code == 0, done.output
    assert [operation for operation, name in done.steps if name == RECORD] == ["update"]
    kept = {name for operation, name in done.steps if "-origin-" in name}
    assert not kept, "edge and origin know each other already"


def test_a_rotation_makes_the_new_ones_first_and_deletes_the_old_ones_last(
    staging: Rehearsal,
) -> None:
    rotated = _behind(staging.settings, "load-balancer")
    staging.configure(rotated.changed("payments:origin-rotations", 1))
    done = staging.up()
    assert done.code == 0, done.output

    made, deleted = done.named("create"), done.named("delete")
    assert len(made) == len(deleted) == 7, "keys, requests and certificates of a generation"
    order = [name for operation, name in done.steps if operation in {"create", "delete"}]
    assert set(order[:7]) == made
    (new,) = (name for name in made if "-pulls-g" in name)
    uploaded = datetime.fromisoformat(staging.outputs_of(new)["uploadedOn"]).timestamp()
    gateway = done.when("create-replacement", "-gateway")
    assert gateway >= int(uploaded + authorities.DEPLOYING_SECONDS), (
        "who asks for a certificate that the edge does not present yet shuts everybody out"
    )
    assert min(done.when("delete", name) for name in deleted) >= gateway
    (old,) = (name for name in deleted if "-certificate-g" in name)
    assert done.steps.index(("delete", old)) > done.steps.index(
        ("delete-replaced", next(name for _, name in done.steps if name.endswith("-gateway")))
    ), "it is revoked when nobody presents it any more"
    _settled(staging)


def test_and_back(staging: Rehearsal) -> None:
    staging.configure(_behind(staging.settings, "tunnel"))
    done = staging.up()
    assert done.code == 0, done.output
    kinds = {resource["type"] for resource in staging.resources()}
    assert not any("LoadBalancer" in kind or "OriginCa" in kind for kind in kinds)
    assert _tunnels(staging) == {"payments-staging-tunnel-tunnel"}, "which leads to SSH again"


def test_no_private_key_lies_readable_in_the_state(prod: Rehearsal) -> None:
    prod.configure(_behind(prod.settings, "load-balancer"))
    done = prod.up()
    assert done.code == 0, done.output
    assert "PRIVATE KEY" not in str(prod.resources())
    assert _tunnels(prod) == {f"payments-prod-ssh-{number}-tunnel" for number in (0, 1)}
    _settled(prod)


def test_two_droplets_cannot_be_reached_directly(prod: Rehearsal) -> None:
    prod.configure(_behind(prod.settings, "direct"))
    done = prod.preview()
    assert done.code != 0
    assert "payments:ingress" in done.output
    assert "set ingress: load-balancer (or tunnel), or host.count: 1" in done.output
