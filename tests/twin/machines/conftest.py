"""A world of containers per test module: unique home and instance, nothing left afterwards."""

from __future__ import annotations

import hashlib
import ipaddress
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import DockerException, ImageNotFound

from twin.machines import DockerWorld, image_sources
from twin.store import Store
from twin.world import DropletAddresses, DropletSpec

LABEL = "payments.twin"
_NO_CONNECTION = 255


@dataclass
class Stage:
    """A world, the engine it runs on, and the means to look at it from outside."""

    home: Path
    instance: str
    run_dir: Path
    engine: Any
    world: DockerWorld
    store: Store

    def again(self) -> DockerWorld:
        """A new process's view of what stands: the old one is gone without a word."""
        self.world.stop()
        self.store.close()
        self.store = Store(self.home / "twin.db")
        self.world = DockerWorld(self.home, self.instance, self.store, self.run_dir, 8443)
        self.world.start()
        return self.world

    def left(self) -> list[str]:
        """Names of every object with the instance's label."""
        label = {"label": f"{LABEL}={self.instance}"}
        found = [c.name for c in self.engine.containers.list(all=True, filters=label)]
        found += [n.name for n in self.engine.networks.list(filters=label)]
        return found + [v.name for v in self.engine.volumes.list(filters=label)]

    def client(self, script: str, *, vpc: str = "", **options: Any) -> tuple[int, str]:
        """Run a shell script in a container on the internet (and a VPC) with the twin's names."""
        container = self.engine.containers.create(
            image_sources()["postgres"].name,
            ["-c", script],
            entrypoint="bash",
            network=f"{self.instance}-internet",
            dns=[str(self.dns)],
            labels={LABEL: self.instance},
            volumes={str(self.home / "ca.pem"): {"bind": "/ca.pem", "mode": "ro"}},
            **options,
        )
        try:
            if vpc:
                self.engine.networks.get(f"{self.instance}-vpc-{vpc}").connect(container)
            container.start()
            code = container.wait(timeout=60)["StatusCode"]
            return code, container.logs().decode()
        finally:
            container.remove(force=True, v=True)

    @property
    def dns(self) -> ipaddress.IPv4Address:
        network = self.engine.networks.get(f"{self.instance}-internet")
        return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])[2]

    @property
    def internet(self) -> str:
        network = self.engine.networks.get(f"{self.instance}-internet")
        return str(network.attrs["IPAM"]["Config"][0]["Subnet"])


def stage(folder: Path) -> Iterator[Stage]:
    """Set a world up, hand it over, and take everything down."""
    try:
        engine = docker.from_env()
        engine.ping()
    except (DockerException, requests.RequestException) as error:
        pytest.skip(f"no Docker engine answers: {error}")
    for source in image_sources().values():
        try:
            engine.images.get(source.base)
        except ImageNotFound:
            pytest.skip(f"the base image {source.base} is missing: `make up` provides it")
    instance = "pp-" + hashlib.sha256(str(folder).encode()).hexdigest()[:6]
    run_dir = Path(tempfile.mkdtemp(prefix="pp-t-"))
    store = Store(folder / "twin.db")
    made = Stage(
        home=folder,
        instance=instance,
        run_dir=run_dir,
        engine=engine,
        world=DockerWorld(folder, instance, store, run_dir, 8443),
        store=store,
    )
    try:
        made.world.start()
        yield made
        made.world.destroy_all()
        assert made.left() == [], "the instance must leave nothing behind"
    finally:
        made.world.destroy_all()
        made.store.close()
        shutil.rmtree(run_dir)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from stage(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = tmp_path_factory.mktemp("ssh") / "id"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    return key


@dataclass
class Login:
    """SSH to a droplet as `deploy`."""

    key: Path
    address: str

    def run(self, command: str) -> tuple[int, str]:
        done = subprocess.run(self._command(command), capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def out(self, command: str) -> str:
        code, output = self.run(command)
        assert code == 0, f"{command}: {output}"
        return output.strip()

    def wait(self, seconds: float = 60, *, only_reachable: bool = False) -> float:
        """Until cloud-init is done, well unless told otherwise; returns how long that took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            code, output = self.run("cloud-init status --wait")
            if code == 0 or (only_reachable and code != _NO_CONNECTION):
                return time.monotonic() - begun
            time.sleep(0.3)
        raise AssertionError(f"the droplet did not boot: {output}")

    def _command(self, command: str) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options += ["ConnectTimeout=5", "BatchMode=yes", "IdentitiesOnly=yes"]
        flags = [word for option in options for word in ("-o", option)]
        return ["ssh", "-i", str(self.key), *flags, f"deploy@{self.address}", command]


def user_data(key: Path, *more: str) -> str:
    """A small cloud-config in the program's manner."""
    public = key.with_suffix(".pub").read_text().strip()
    lines = [
        "#cloud-config",
        "disable_root: true",
        "ssh_pwauth: false",
        "users:",
        "  - name: deploy",
        "    groups: [docker]",
        "    shell: /bin/bash",
        f"    ssh_authorized_keys: ['{public}']",
        "packages: [docker.io, docker-cli]",
        "runcmd:",
        "  - [systemctl, enable, --now, docker]",
        *more,
    ]
    return "\n".join(lines) + "\n"


def spec(number: int, key: Path, *more: str, **changes: Any) -> DropletSpec:
    """A droplet of the VPC `v1`."""
    values: dict[str, Any] = {
        "id": str(number),
        "name": f"web-{number}",
        "image": "debian-13-x64",
        "vcpus": 1,
        "memory_mib": 1024,
        "vpc_id": "v1",
        "user_data": user_data(key, *more),
        "ssh_public_keys": [key.with_suffix(".pub").read_text().strip()],
        "tags": ["web"],
    }
    return DropletSpec(**(values | changes))


def connects(address: str, port: int, seconds: float = 1.5) -> str:
    """`open`, `refused` (answered with a reset) or `silent` (dropped)."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"


Boot = Callable[..., tuple[DropletAddresses, Login]]
