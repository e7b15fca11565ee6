"""The docker double without an engine: strictness, digests of sources, results on paper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.twin.conftest import StartEngine
from twin.clouds import docker
from twin.clouds.docker import container_config
from twin.clouds.docker.engines import Engines
from twin.clouds.docker.image import Image, context_digest
from twin.protocol import check, schema
from twin.protocol.resource import UNKNOWN, Context

TABLE = schema.load("docker")
CONTAINER = TABLE.resources["docker:index/container:Container"]


def filled(**inputs: Any) -> dict[str, Any]:
    return check.fill({"name": "app-1", "image": "app:1", **inputs}, CONTAINER.inputs, TABLE.types)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "tests").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM debian:trixie-slim\nCOPY main.py /\n")
    (folder / "main.py").write_text("print('one')\n")
    (folder / "tests" / "test_main.py").write_text("")
    (folder / ".dockerignore").write_text("# what a build does not need\ntests\n**/*.pyc\n")
    return folder


def test_the_digest_follows_what_a_build_sees_and_nothing_else(sources: Path) -> None:
    def digest() -> str:
        return context_digest(sources, sources / "Dockerfile")

    first = digest()
    (sources / "tests" / "test_main.py").write_text("assert True\n")
    (sources / "main.pyc").write_text("x")
    os.utime(sources / "main.py", (1, 1))
    assert digest() == first, "ignored files and times are not sources"
    (sources / "main.py").chmod(0o755)
    executable = digest()
    assert executable != first
    (sources / "main.py").write_text("print('two')\n")
    written = digest()
    assert written != executable
    (sources / "link").symlink_to("main.py")
    assert digest() != written
    (sources / "link").unlink()
    (sources / "Dockerfile").write_text("FROM scratch\n")
    assert digest() != written


def test_an_image_of_nothing_is_refused_before_anything_is_built(
    paper_context: Context, tmp_path: Path, sources: Path
) -> None:
    def reasons(name: str, **build: str) -> list[str]:
        found = Image(Engines()).validate(paper_context, {"imageName": name, "build": build})
        return [f"{f.property} {f.reason}" for f in found]

    assert reasons("app:1", context=str(sources)) == []
    assert "is no folder" in reasons("app:1", context=str(tmp_path / "none"))[0]
    missing = reasons("app:1", context=str(sources), dockerfile=str(sources / "Other"))
    assert "does not exist" in missing[0]
    assert "no image name" in reasons("App:1", context=str(sources))[0]
    assert "not an id or a digest" in reasons(f"app@sha256:{'a' * 64}", context=str(sources))[0]


@pytest.mark.parametrize(
    ("inputs", "property"),
    [
        ({"memory": -1}, "memory"),
        ({"memorySwap": -2}, "memorySwap"),
        ({"cpuSet": "all"}, "cpuSet"),
        ({"healthcheck": {"interval": "1s"}}, "healthcheck.tests"),
        ({"healthcheck": {"tests": ["CMD", "true"], "interval": "10"}}, "healthcheck.interval"),
        ({"envs": ["NAME"]}, "envs[0]"),
        ({"uploads": [{"file": "/x"}]}, "uploads[0]"),
        ({"uploads": [{"file": "/x", "content": "a", "source": "b"}]}, "uploads[0]"),
    ],
)
def test_what_the_real_validators_refuse_is_refused(inputs: dict[str, Any], property: str) -> None:
    assert [f.property for f in container_config.problems(filled(**inputs))] == [property]


def test_unknown_values_of_a_preview_pass_the_validators() -> None:
    unknown = filled(memory=UNKNOWN, envs=UNKNOWN, healthcheck=UNKNOWN, uploads=[UNKNOWN])
    assert list(container_config.problems(unknown)) == []


def test_a_container_is_asked_for_in_its_own_network_from_the_start() -> None:
    inputs = filled(
        networksAdvanced=[{"name": "pay", "aliases": ["api"]}, {"name": "other"}],
        ports=[{"internal": 80, "external": 8080}],
        memory=128,
        capabilities={"drops": ["ALL"]},
        healthcheck={"tests": ["CMD", "true"], "interval": "1m30s"},
        readOnly=True,
        tmpfs={"/run": ""},
        init=True,
    )
    body = container_config.container_config(inputs, "app:1", {"payments.twin": "pp-1"})
    host = body["HostConfig"]
    assert host["NetworkMode"] == "pay", "never on the default bridge, not even for a moment"
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"pay": {"Aliases": ["api"]}}}
    assert container_config.later_networks(inputs) == [{"name": "other"}]
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}  # noqa: S104
    assert host["Memory"] == 128 * 1024 * 1024
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["Init"] is True
    assert body["Healthcheck"]["Interval"] == 90 * 10**9
    assert body["Labels"] == {"payments.twin": "pp-1"}


def test_a_program_on_paper_changes_only_with_its_sources(
    start_engine: StartEngine, sources: Path
) -> None:
    engine = start_engine(docker.package())
    engine.program(f"""
        import pulumi, pulumi_docker as docker
        host = docker.Provider("host", host="ssh://deploy@203.0.113.5", ssh_opts=["-F", "x"])
        here = pulumi.ResourceOptions(provider=host)
        app = docker.Image("app", image_name="registry.twin.test:5000/pay/app:dev",
            build=docker.DockerBuildArgs(context="{sources}", args={{"A": "1"}}),
            registry=docker.RegistryArgs(server="registry.twin.test:5000"))
        nginx = docker.RemoteImage("nginx", name="nginx:1.28", keep_locally=True, opts=here)
        network = docker.Network("payments", opts=here)
        docker.Container("api", image=app.repo_digest, envs=["A=1", "B=2"],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(
                name=network.name, aliases=["api"])], opts=here)
    """)
    first = engine.up()
    assert first.code == 0, first.output
    made = engine.resources()
    assert made["app"]["outputs"]["repoDigest"].startswith(
        "registry.twin.test:5000/pay/app@sha256:"
    )
    assert made["nginx"]["outputs"]["repoDigest"].startswith("nginx@sha256:")
    again = engine.up("--refresh")
    assert again.steps == {}, again.output
    (sources / "main.py").write_text("print('two')\n")
    changed = engine.up()
    assert changed.steps["app"] == "update", "changed sources plan a build"
    assert changed.steps["api"] == "create-replacement", "a container is replaced, deleted first"
    assert engine.destroy().code == 0


def test_a_context_beside_a_host_is_refused(start_engine: StartEngine) -> None:
    engine = start_engine(docker.package())
    engine.program("""
        import pulumi_docker as docker
        docker.Provider("host", host="ssh://deploy@203.0.113.5", context="prod")
    """)
    assert "silently wins over `host`" in engine.preview().output
