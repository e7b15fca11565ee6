"""The connector's image on a real engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
from aiohttp import web

from tests.twin.edge.harness import eventually, free_port, run, running, token
from twin.ca import CertificateAuthority
from twin.edge.image import IMAGE, ensure_connector_image
from twin.places import instance_name, own_image

pytestmark = pytest.mark.docker
BASE = "python:3.13-slim"


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=60)
        client.ping()
        client.images.get(BASE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"the engine has no {BASE}")
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    yield client
    client.close()


@pytest.fixture
def homes(tmp_path: Path, engine: docker.DockerClient) -> Iterator[list[Path]]:
    homes = [tmp_path / "one", tmp_path / "two"]
    yield homes
    for home in homes:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.images.remove(own_image(instance_name(home), IMAGE), force=True)


def test_the_image_serves_without_root_and_without_a_writable_disk(
    engine: docker.DockerClient, homes: list[Path]
) -> None:
    async def origin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="through the container")

    async def scenario() -> None:
        async with running(homes[0]) as site:
            await site.origin(origin)
            said: list[str] = []
            name = await asyncio.to_thread(ensure_connector_image, homes[0], engine, said.append)
            assert len(said) == 1
            await asyncio.to_thread(ensure_connector_image, homes[0], engine, said.append)
            assert len(said) == 1, "an image that is right is not built again"
            metrics = free_port()
            command = ["tunnel", "--no-autoupdate", "--metrics", f"127.0.0.1:{metrics}"]
            command += ["--edge", f"127.0.0.1:{site.relay_port}", "run"]
            container = engine.containers.run(
                name,
                command,
                environment={"TUNNEL_TOKEN": token()},
                network_mode="host",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                detach=True,
            )
            try:

                async def ready() -> bool:
                    check = ["cloudflared", "tunnel", "--metrics", f"127.0.0.1:{metrics}", "ready"]
                    return (await asyncio.to_thread(container.exec_run, check)).exit_code == 0

                await eventually(ready, "the container never got ready", 30)
                async with site.client.get(site.url()) as answer:
                    assert await answer.text() == "through the container"
                who = (await asyncio.to_thread(container.exec_run, ["id", "-u"])).output
                assert who.strip() == b"65532"
                await asyncio.to_thread(container.stop, timeout=10)
                container.reload()
                assert container.attrs["State"]["ExitCode"] == 0, "SIGTERM must end it in order"
            finally:
                container.remove(force=True)

    run(scenario())


def test_another_authority_means_another_image(
    engine: docker.DockerClient, homes: list[Path]
) -> None:
    said: list[str] = []
    names = set()
    for home in homes:
        CertificateAuthority(home)
        names.add(ensure_connector_image(home, engine, said.append))
    assert len(said) == len(names) == 2, "two homes on one engine must not take turns with a name"
    told = engine.containers.run(names.pop(), ["--version"], remove=True, read_only=True)
    assert told.startswith(b"cloudflared version 2026.10.0")
