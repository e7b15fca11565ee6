"""Containers: hardened, replaced without a gap, never taken for good when they are not."""

from __future__ import annotations

import dataclasses
import shlex

import pulumi
import pytest

from components import containers
from components.containers import Containers, ContainersArgs, Exposure
from components.runtime import Runtime, RuntimeArgs
from components.ssh import Ssh
from tests.components.fakes import IMAGE_ID, built, machine
from tests.recorder import Recorded, Recorder

NAMES = ("c-api-0", "c-api-1", "c-worker", "c-gateway", "c-connector")


def _record() -> Recorder:
    def program() -> Containers:
        secret = pulumi.Output.secret("sk_test_hush")
        args = ContainersArgs(
            machine=machine(),
            network="net-1",
            service_image=IMAGE_ID,
            gateway_image=IMAGE_ID,
            connector_image=IMAGE_ID,
            replicas=2,
            memory=256,
            worker_memory=200,
            hostname="pay.example.com",
            api={"PAYMENTS_STRIPE_SECRET_KEY": secret, "PAYMENTS_ENVIRONMENT": "staging"},
            worker={"PAYMENTS_STRIPE_SECRET_KEY": secret},
            tunnel_token=pulumi.Output.secret("tunnel-hush"),
            after=[],
        )
        return Containers("c", args)

    return built(program)[0]


@pytest.fixture(scope="module")
def record() -> Recorder:
    return _record()


@pytest.fixture(params=NAMES)
def container(record: Recorder, request: pytest.FixtureRequest) -> Recorded:
    return record.named(request.param)


def test_there_are_exactly_these(record: Recorder) -> None:
    assert sorted(c.name for c in record.of_type(":Container")) == sorted(NAMES)


def test_no_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="replicas=0"):
        ContainersArgs(
            machine=None,  # type: ignore[arg-type]
            network="",
            service_image="",
            gateway_image="",
            connector_image="",
            replicas=0,
            memory=1,
            worker_memory=1,
            hostname="",
            api={},
            worker={},
            tunnel_token="",
            after=[],
        )


def test_a_container_can_do_little_when_it_is_taken_over(container: Recorded) -> None:
    inputs = container.inputs
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    user = inputs["user"].partition(":")[0]
    assert int(user) >= 10000, "root, or a user of the host"
    assert not inputs.get("privileged")
    assert not inputs.get("mounts")
    assert not inputs.get("volumes"), "the engine's socket in a container is the host"


def test_a_container_cannot_eat_the_host(container: Recorded) -> None:
    inputs = container.inputs
    assert inputs["memory"] > 0
    assert inputs["memorySwap"] == inputs["memory"]
    assert inputs["logOpts"]["max-size"], "json-file logs grow without bound by default"


def test_a_container_can_start_beside_the_one_it_replaces(container: Recorded) -> None:
    assert "name" not in container.inputs, "two cannot have one name"
    assert "ports" not in container.inputs, "two cannot have one port, and 443 is the tunnel's"
    assert container.options.delete_before_replace is False, (
        "unset, the provider decides: delete first"
    )


def test_a_container_is_healthy_before_anything_relies_on_it(container: Recorded) -> None:
    inputs = container.inputs
    assert inputs["wait"] is True
    assert inputs["healthcheck"]["tests"][0] == "CMD", "no shell in between"
    assert inputs["waitTimeout"] >= 30
    assert inputs["mustRun"] is True


def test_one_that_never_became_healthy_is_replaced_and_not_blessed(container: Recorded) -> None:
    assert container.options.replace_on_changes == ("#initerror",), (
        "the next update would clear the error and delete the container that works"
    )


def test_a_stopped_container_finishes_first(container: Recorded) -> None:
    assert container.inputs["destroyGraceSeconds"] > containers.DRAIN_SECONDS
    assert container.inputs["stopTimeout"] == container.inputs["destroyGraceSeconds"]
    assert container.inputs["restart"] == "unless-stopped"


def test_a_container_lives_and_dies_with_its_droplet(container: Recorded) -> None:
    assert container.options.deleted_with.endswith("host-0-droplet")
    assert [urn.rpartition("::")[2] for urn in container.options.replace_with] == ["host-0-droplet"]


def test_a_container_runs_an_image_that_cannot_move(container: Recorded) -> None:
    assert container.inputs["image"].startswith("sha256:"), "a tag can be moved, and drifts"


def test_secrets_in_the_environment_are_secret(record: Recorder) -> None:
    for name in ("c-api-0", "c-worker", "c-connector"):
        found = record.named(name)
        assert found.is_secret("envs"), name
        assert found.inputs["envs"] == sorted(found.inputs["envs"]), "the order must not vary"
    assert not record.named("c-gateway").is_secret("envs"), "its changes should be seen"


def test_replicas_share_a_name_that_only_they_have(record: Recorder) -> None:
    aliases = {
        found.name: found.inputs["networksAdvanced"][0].get("aliases", [])
        for found in record.of_type(":Container")
    }
    assert aliases["c-api-0"] == aliases["c-api-1"] == ["api"]
    assert aliases["c-gateway"] == ["gateway"]
    assert not aliases["c-worker"]
    assert not aliases["c-connector"]


def test_the_gateway_stops_politely_and_starts_past_the_images_script(record: Recorder) -> None:
    inputs = record.named("c-gateway").inputs
    assert inputs["stopSignal"] == "SIGQUIT", "nginx drops requests on SIGTERM"
    assert inputs["entrypoints"] == ["/bin/sh", "-c"]
    assert "exec nginx" in inputs["command"][0], "signals must reach nginx"


def test_what_docker_has_is_made_anew_on_a_new_droplet() -> None:
    def program() -> Runtime:
        args = RuntimeArgs(
            machine=machine(), service="r/p@sha256:1", gateway="nginx:1.28", connector="c:1"
        )
        return Runtime("runtime", args)

    record, _ = built(program)
    for found in [*record.of_type(":RemoteImage"), record.one(":Network")]:
        assert found.options.replace_with, "Docker would look for it on the new machine in vain"
        assert found.options.deleted_with
        assert "host-0-ready" in {before.name for before in record.before(found)}
    assert {image.inputs["keepLocally"] for image in record.of_type(":RemoteImage")} == {True}
    assert "name" not in record.one(":Network").inputs


def test_ssh_never_asks_and_never_hangs() -> None:
    words = shlex.split(Ssh().command("203.0.113.7", "echo 'a b'"))
    assert "BatchMode=yes" in words
    assert any(word.startswith("ConnectTimeout=") for word in words)
    assert words[-2:] == ["deploy@203.0.113.7", "echo 'a b'"]


def test_a_config_file_may_lie_in_a_folder_with_spaces() -> None:
    ssh = Ssh(config_file="/a folder/ssh config")
    assert ssh.arguments() == ["-F", "/a folder/ssh config"]
    words = shlex.split(ssh.command("203.0.113.7"))
    assert words == ["ssh", "-F", "/a folder/ssh config", "deploy@203.0.113.7"]
    assert dataclasses.replace(ssh, user="ops").command("h").endswith("ops@h")


# --- reached from outside -------------------------------------------------------------------------
EDGE = ["198.41.128.0/17", "2606:4700::/32"]


def _exposed(*, behind: bool, ssh: bool = False) -> Recorder:
    def program() -> Containers:
        exposure = Exposure(
            certificate="the certificate",
            private_key=pulumi.Output.secret("the key"),
            client_authority="the authority",
            presented="zone",
            edge=EDGE,
            behind_load_balancer=behind,
        )
        args = ContainersArgs(
            machine=machine(),
            network="net-1",
            service_image=IMAGE_ID,
            gateway_image=IMAGE_ID,
            replicas=1,
            memory=256,
            worker_memory=200,
            hostname="pay.example.com",
            api={},
            worker={},
            exposure=exposure,
            connector_image=IMAGE_ID if ssh else None,
            ssh_token=pulumi.Output.secret("ssh-hush") if ssh else None,
            after=[],
        )
        return Containers("c", args)

    return built(program)[0]


@pytest.mark.parametrize(
    ("behind", "published"), [(False, {443: 8443}), (True, {443: 8443, 8081: 8081})]
)
def test_only_the_entrance_has_ports_of_the_droplet(
    behind: bool, published: dict[int, int]
) -> None:
    record = _exposed(behind=behind)
    ports = {c.name: c.inputs.get("ports") for c in record.of_type(":Container")}
    assert {name for name, given in ports.items() if given} == {"c-entrance"}
    assert {p["external"]: p["internal"] for p in ports["c-entrance"]} == published
    assert "c-connector" not in ports
    entrance = record.named("c-entrance")
    assert entrance.options.delete_before_replace is True, "one port, one holder"
    assert record.named("c-gateway").urn in entrance.options.depends_on
    assert record.named("c-gateway").options.delete_before_replace is False


def test_the_origins_key_reaches_the_gateway_alone_and_as_a_secret() -> None:
    record = _exposed(behind=False)
    gateway = record.named("c-gateway")
    assert gateway.is_secret("envs")
    assert "GATEWAY_TLS_KEY=the key" in gateway.inputs["envs"]
    assert gateway.inputs["command"][0].startswith("umask 077"), "files of nobody else's"
    for other in record.of_type(":Container"):
        if other.name != "c-gateway":
            assert not any("the key" in text for text in other.inputs["envs"] or ())
    (config,) = [e for e in gateway.inputs["envs"] if e.startswith("GATEWAY_CONFIG=")]
    assert all(f"{cidr} 1;" in config for cidr in EDGE)
    assert "ssl_verify_client on;" in config


@pytest.mark.parametrize("behind", [False, True])
def test_ssh_behind_access_has_a_connector_of_its_own_that_waits_for_no_release(
    behind: bool,
) -> None:
    record = _exposed(behind=behind, ssh=True)
    connector = record.named("c-ssh-connector")
    assert connector.is_secret("envs")
    assert connector.inputs["envs"] == ["TUNNEL_TOKEN=ssh-hush"]
    assert connector.inputs["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]
    assert not connector.inputs.get("ports"), "it dials out"
    others = {found.name for found in record.of_type(":Container")} - {connector.name}
    assert not others & {found.name for found in record.before(connector)}
    assert not record.named("c-gateway").inputs.get("hosts"), "nobody else sees the droplet"


def test_visitors_come_in_one_way() -> None:
    base = {
        "machine": None,
        "network": "",
        "service_image": "",
        "gateway_image": "",
        "replicas": 1,
        "memory": 1,
        "worker_memory": 1,
        "hostname": "",
        "api": {},
        "worker": {},
        "after": [],
    }
    with pytest.raises(ValueError, match="visitors come in one way"):
        ContainersArgs(**base)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="connector_image=None"):
        ContainersArgs(**base, tunnel_token="t")  # type: ignore[arg-type]
