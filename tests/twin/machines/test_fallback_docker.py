"""Where no engine may run inside a droplet: the outer one answers, and everything else holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.machines.conftest import LABEL, Login, Stage, spec
from twin.world import DatabaseSpec, TrustedSource

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True, scope="module")
def _no_nested_engine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_NESTED_ENGINE", "off")
        yield


def test_containers_on_the_outer_engine_reach_what_the_droplet_reaches(
    twin: Stage, ssh_key: Path
) -> None:
    world = twin.world
    world.create_vpc("v1", "main", "10.203.0.0/20")
    endpoint = world.create_database(
        DatabaseSpec(
            id="db",
            name="pay-db",
            engine="pg",
            version="17",
            nodes=1,
            memory_mib=1024,
            vpc_id="v1",
        )
    )
    world.set_trusted_sources("db", [TrustedSource(kind="tag", value="web")])
    addresses = world.create_droplet(spec(1, ssh_key))
    login = Login(ssh_key, addresses.public_ipv4)
    login.wait()

    assert not world.nested_engines
    facts = world.engine_for_droplet("1")
    assert facts.labels[LABEL] == twin.instance
    assert login.out("docker info --format '{{.ID}}'") == twin.engine.info()["ID"]

    network = f"{facts.name_prefix}payments"
    label = f"--label {LABEL}={twin.instance}"
    login.out(f"docker network create {label} {network}")
    run = f"docker run --rm {label} --network {network} debian:trixie-slim"
    reach = f"timeout 3 bash -c '</dev/tcp/{endpoint.private_host}/25060'"
    assert login.run(f"{run} {reach.replace(chr(39), chr(34))}")[0] != 0
    world.adopt_network(network)
    world.adopt_network(network)
    assert login.run(f"{run} {reach.replace(chr(39), chr(34))}")[0] == 0
    login.out(f"{run} getent hosts api.stripe.test")
    world.leave_network(network)
    login.out(f"docker network rm {network}")

    notes = " ".join(world.status()["notes"])
    assert "TWIN_NESTED_ENGINE=off" in notes
    assert world.status()["droplet_engine"]["engine"] == "outer"
