"""The docker double on the engine of this machine, dialled through `ssh` as a droplet's is.

`ssh` itself is a stand-in on PATH that dials the local engine: what it is asked, and that every
byte goes through it, is what counts here. Droplets are the e2e run's matter.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker as sdk
import pytest
from docker.errors import DockerException

from tests.twin.conftest import Engine, StartEngine
from twin.clouds import docker
from twin.clouds.docker.container import CREATING
from twin.clouds.docker.engines import Engines, refusals
from twin.paper import PaperWorld
from twin.protocol.resource import ApiError, Context

pytestmark = pytest.mark.docker
IMAGES = ("debian:trixie-slim", "python:3.13-slim", "nginx:1.28", "postgres:17")
INSTANCE = "pp-test-docker"


class _Machines(PaperWorld):
    """Only what the docker double asks of a world, with real engines."""

    paper = False  # type: ignore[assignment,misc]
    instance = INSTANCE  # type: ignore[assignment,misc]


@pytest.fixture
def client() -> Iterator[Any]:
    try:
        found = sdk.from_env()
        found.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    yield found
    for container in found.containers.list(all=True, filters={"name": INSTANCE}):
        container.remove(force=True, v=True)
    for network in found.networks.list(names=[INSTANCE]):
        network.remove()
    found.close()


@pytest.fixture
def image(client: Any) -> str:
    for name in IMAGES:
        with contextlib.suppress(DockerException):
            client.images.get(name)
            return name
    pytest.skip(f"none of the images {', '.join(IMAGES)} is there; `make up` builds them")


@pytest.fixture
def ssh_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in of `ssh` was asked; it answers as a droplet of this machine's engine."""
    folder, log = tmp_path / "bin", tmp_path / "ssh.log"
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"if 'busy' in sys.argv and not os.path.exists({str(tmp_path / 'tried')!r}):\n"
        f"    open({str(tmp_path / 'tried')!r}, 'w').close()\n"
        "    sys.exit('kex_exchange_identification: Connection closed by remote host')\n"
        "if '203.0.113.9' in sys.argv:\n"
        "    sys.exit('ssh: connect to host 203.0.113.9 port 22: Connection refused')\n"
        "os.execvp('docker', ['docker', 'system', 'dial-stdio'])\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


@pytest.fixture
def machines(paper_context: Context) -> Context:
    return dataclasses.replace(paper_context, world=_Machines(paper_context.store))


def program(image: str, **changes: str) -> str:
    parts = {
        "command": "trap exit TERM; while :; do sleep 0.2; done",
        "check": "true",
        "restart": "unless-stopped",
        "extra": "",
        **changes,
    }
    return f"""
import pulumi, pulumi_docker as docker
host = docker.Provider("host", host="ssh://deploy@203.0.113.5", ssh_opts=["-F", "some config"])
here = pulumi.ResourceOptions(provider=host, delete_before_replace=False)
network = docker.Network("{INSTANCE}-net", opts=here)
container = docker.Container("{INSTANCE}-app", image="{image}",
    entrypoints=["/bin/sh", "-c"], command=["{parts["command"]}"],
    envs=["PLAIN=1", pulumi.Output.secret("PASSWORD=hunter22")],
    networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name, aliases=["api"])],
    healthcheck=docker.ContainerHealthcheckArgs(
        tests=["CMD", "/bin/sh", "-c", "{parts["check"]}"], interval="1s", retries=2),
    wait=True, wait_timeout=5, memory=64, read_only=True, tmpfs={{"/tmp": "size=8m"}},
    capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
    security_opts=["no-new-privileges"], restart="{parts["restart"]}", init=True,
    log_driver="json-file", log_opts={{"max-size": "1m"}}, destroy_grace_seconds=2,
    {parts["extra"]} opts=here)
"""


def running(client: Any) -> list[str]:
    return [c.name for c in client.containers.list(filters={"name": f"{INSTANCE}-app"})]


def test_a_container_lives_through_up_refresh_failure_and_replacement(
    start_engine: StartEngine, machines: Context, client: Any, image: str, ssh_log: Path
) -> None:
    engine = start_engine(docker.package(), context=machines)
    engine.program(program(image))
    first = engine.up()
    assert first.code == 0, first.output
    asked = ssh_log.read_text().splitlines()
    assert asked[0].startswith("-F some config -T -l deploy -- 203.0.113.5 docker system dial")
    [name] = running(client)
    found = client.containers.get(name).attrs
    assert list(found["NetworkSettings"]["Networks"]) == [
        engine.resources()[f"{INSTANCE}-net"]["outputs"]["name"]
    ]
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert engine.up("--refresh").steps == {}, "nothing changed, so nothing shows"

    engine.program(program(image, command="echo with hunter22; sleep 60", check="echo no; exit 3"))
    failed = engine.up()
    assert failed.code != 0
    for told in ("was not healthy within 5 s", "(exit code 3): no", "with [secret]"):
        assert told in failed.output, failed.output
    assert name in running(client), "a release that is not healthy leaves the old one running"

    engine.program(program(image, extra="stop_timeout=3,"))
    repaired = engine.up()
    assert repaired.code == 0, repaired.output
    assert len(running(client)) == 1, "both older ones are gone"
    assert engine.destroy().code == 0
    assert running(client) == []
    assert client.networks.list(names=[INSTANCE]) == []


def test_what_dies_or_stops_is_told_and_repaired(
    start_engine: StartEngine, machines: Context, client: Any, image: str, ssh_log: Path
) -> None:
    engine: Engine = start_engine(docker.package(), context=machines)
    engine.program(program(image, command="echo dying; exit 7", restart="no"))
    died = engine.up()
    for told in ("ended before it was healthy", "exit code 7", "dying"):
        assert told in died.output, died.output
    engine.program(program(image))
    assert engine.up().code == 0
    [name] = running(client)
    client.containers.get(name).stop(timeout=1)
    stopped = engine.up("--refresh")
    assert stopped.steps[f"{INSTANCE}-app"] == "update", stopped.output
    assert running(client) == [name], "a container that must run is started again"
    client.containers.get(name).remove(force=True)
    assert engine.up("--refresh").steps[f"{INSTANCE}-app"] == "create"
    upload = 'uploads=[docker.ContainerUploadArgs(file="/etc/x", content="y")],'
    engine.program(program(image, extra=upload))
    refused = engine.up()
    assert "read-only" in refused.output, "the engine refuses uploads into a read-only root"
    assert len(client.containers.list(all=True, filters={"name": f"{INSTANCE}-app"})) == 1
    assert engine.destroy().code == 0


def test_a_busy_sshd_is_tried_again_and_a_dead_host_is_said(
    machines: Context, client: Any, ssh_log: Path
) -> None:
    engines = Engines()
    busy = dataclasses.replace(
        machines, config={"host": "ssh://deploy@203.0.113.5", "sshOpts": ["busy"]}
    )
    engine = engines.of(busy)
    with refusals("list containers"):
        assert engine.api.version()["ApiVersion"]
    assert engines.of(busy).api is engine.api, "one client serves every resource"
    dead = dataclasses.replace(machines, config={"host": "ssh://deploy@203.0.113.9"})
    with pytest.raises(ApiError, match="Connection refused"):
        engines.of(dead)
    engines.close()


def test_a_container_that_was_being_made_when_the_twin_died_is_collected(
    machines: Context, client: Any, image: str
) -> None:
    name = f"{INSTANCE}-app-orphan"
    client.containers.create(image, ["true"], name=name)
    machines.store.save(CREATING, name, {})
    assert docker.package().collect(machines) == [f"container {name}"]
    assert client.containers.list(all=True, filters={"name": name}) == []
    assert machines.store.items(CREATING) == {}
