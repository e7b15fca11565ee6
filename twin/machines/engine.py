"""The outer Docker engine: objects of one instance, by name and label, and errors in words.

Every object is found by its name again (`<instance>-…`), never by an id kept elsewhere, so that a
process that died between making and recording leaves nothing that cannot be found.
"""

from __future__ import annotations

import io
import socket
import struct
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from twin.world import WorldError

LABEL = "payments.twin"
"""Label on every object of the outer engine; its value is the instance."""

_KIND_LABEL = "payments.twin.kind"
_SHAPE_LABEL = "payments.twin.shape"
_CALL_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to put into a container."""

    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A container to make: its image, its place in the networks, and what it holds before boot.

    `networks` maps a network's name to the address there; the first is the one of the default
    route. `options` go to the SDK's `containers.create`.
    """

    name: str
    kind: str
    image: str
    networks: Mapping[str, str]
    files: Sequence[File] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    shape: str = ""
    """When it differs from the standing container's, that one is made anew."""


class Engine:
    """The engine that the environment names (DOCKER_HOST, else the local socket)."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        try:
            self.client = docker.from_env(timeout=_CALL_SECONDS, max_pool_size=32)
            self.client.ping()
        except (DockerException, requests.RequestException, OSError) as error:
            raise WorldError(_unreachable(str(error))) from error

    def name(self, *parts: str) -> str:
        """Join the instance and the parts: `<instance>-<part>`."""
        return "-".join((self.instance, *parts))

    def labels(self, kind: str) -> dict[str, str]:
        """Labels of an object of this instance."""
        return {LABEL: self.instance, _KIND_LABEL: kind}

    # --- containers -----------------------------------------------------------------------------
    def find(self, name: str) -> Any | None:
        """The container of that name, or None."""
        try:
            return self.client.containers.get(name)
        except NotFound:
            return None

    def ensure(self, machine: Machine) -> Any:
        """Make it and start it, or find it; one that never started or has another shape goes first.

        Files are put in before every first start, and again into one that stands.
        """
        with translated(f"start {machine.name}"):
            container = self.find(machine.name)
            if container is not None and not _usable(container, machine):
                container.remove(force=True, v=False)
                container = None
            if container is None:
                return self._make(machine)
            self.put(container, machine.files)
            if container.status != "running":
                container.start()
            return container

    def _make(self, machine: Machine) -> Any:
        (first, address), *others = machine.networks.items()
        api = self.client.api
        try:
            container = self.client.containers.create(
                machine.image,
                name=machine.name,
                labels={**self.labels(machine.kind), _SHAPE_LABEL: machine.shape},
                network=first,
                networking_config={first: api.create_endpoint_config(ipv4_address=address)},
                restart_policy={"Name": "unless-stopped"},
                detach=True,
                **machine.options,
            )
        except ImageNotFound as error:
            raise WorldError(
                f"The image {machine.image} is missing on the Docker engine; the twin builds it at "
                "its start: start the twin again."
            ) from error
        try:
            for name, address in others:
                self.client.networks.get(name).connect(container, ipv4_address=address)
            self.put(container, machine.files)
            container.start()
        except BaseException:
            container.remove(force=True, v=True)
            raise
        return container

    def put(self, container: Any, files: Sequence[File]) -> None:
        """Put files into a container, running or not; parents are made, owner is root."""
        if files:
            container.put_archive("/", archive(files))

    def run(
        self,
        container: Any,
        command: Sequence[str],
        *,
        stdin: str = "",
        user: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command inside and return what it printed; WorldError with that when it fails."""
        api = self.client.api
        with translated(f"run {command[0]} in {container.name}"):
            made = api.exec_create(
                container.id,
                list(command),
                stdin=True,
                user=user,
                environment=dict(environment or {}),
            )
            stream = api.exec_start(made["Id"], socket=True)
            output = _talk(stream, stdin.encode())
            code = api.exec_inspect(made["Id"])["ExitCode"]
        if code != 0:
            raise WorldError(f"{command[0]} in {container.name} failed ({code}): {output.strip()}")
        return output

    def remove(self, name: str) -> None:
        """Remove a container; unknown is fine."""
        container = self.find(name)
        if container is not None:
            with translated(f"remove {name}"):
                _ignoring_gone(lambda: container.remove(force=True, v=True))

    def remove_volume(self, name: str) -> None:
        """Remove a volume; unknown is fine."""
        with translated(f"remove the volume {name}"):
            _ignoring_gone(lambda: self.client.volumes.get(name).remove(force=True))

    def containers(self, kind: str | None = None) -> list[Any]:
        """Every container of the instance, stopped ones as well."""
        label = f"{_KIND_LABEL}={kind}" if kind else f"{LABEL}={self.instance}"
        filters = {"label": [f"{LABEL}={self.instance}", label]}
        return list(self.client.containers.list(all=True, filters=filters, ignore_removed=True))

    def destroy_all(self) -> None:
        """Remove every container, network and volume with the instance's label."""
        label = {"label": f"{LABEL}={self.instance}"}
        with translated("remove the instance's objects"):
            for container in self.containers():
                _ignoring_gone(lambda c=container: c.remove(force=True, v=True))
            for network in self.client.networks.list(filters=label):
                self.drop_network(network.name)
            for volume in self.client.volumes.list(filters=label):
                _ignoring_gone(lambda v=volume: v.remove(force=True))

    def drop_network(self, name: str) -> None:
        """Remove a network and whatever still hangs on it; unknown is fine."""
        try:
            network = self.client.networks.get(name)
        except NotFound:
            return
        for container_id in network.attrs.get("Containers") or {}:
            _ignoring_gone(lambda c=container_id: network.disconnect(c, force=True))
        _ignoring_gone(network.remove)


def archive(files: Sequence[File]) -> bytes:
    """A tar of files and their folders, rooted at `/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            data = file.content.encode()
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode, info.mtime = len(data), file.mode, int(time.time())
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into sentences for the user."""
    try:
        yield
    except WorldError:
        raise
    except APIError as error:
        raise WorldError(_explain(doing, str(error.explanation or error))) from error
    except (requests.RequestException, DockerException, OSError) as error:
        raise WorldError(_explain(doing, str(error))) from error


def _explain(doing: str, text: str) -> str:
    if "no space left" in text.lower():
        return (
            f"Could not {doing}: the disk of the Docker engine is full. "
            "Free some space (`docker system df` shows what takes it), then try again."
        )
    if "connection aborted" in text.lower() or "connection refused" in text.lower():
        return f"Could not {doing}: the Docker engine went away ({text})."
    return f"Could not {doing}: {text}"


def _unreachable(text: str) -> str:
    if "permission denied" in text.lower():
        return (
            "No permission to use the Docker engine: add yourself to its group with "
            "`sudo usermod -aG docker $USER`, log in again, then try again."
        )
    return (
        f"No Docker engine answers ({text}): start it with `sudo systemctl start docker`, "
        "or name another with DOCKER_HOST."
    )


def _usable(container: Any, machine: Machine) -> bool:
    """A container that was made but not started may lack a network or its files."""
    return bool(
        container.status not in ("created", "dead", "removing")
        and container.labels.get(_SHAPE_LABEL) == machine.shape
    )


def _ignoring_gone(call: Any) -> None:
    try:
        call()
    except NotFound:
        return
    except APIError as error:
        if "already in progress" not in str(error.explanation):
            raise


def _talk(stream: Any, data: bytes) -> str:
    """Send stdin, end it, and read both outputs of an exec to their end."""
    raw = getattr(stream, "_sock", stream)
    raw.settimeout(_CALL_SECONDS)
    try:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        return b"".join(_frames(raw)).decode(errors="replace")
    finally:
        stream.close()


def _frames(raw: socket.socket) -> Iterator[bytes]:
    """The engine's multiplexed stream: 8 bytes of header (stream, length), then the data."""
    while header := _exactly(raw, 8):
        (length,) = struct.unpack(">4xI", header)
        yield _exactly(raw, length)


def _exactly(raw: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = raw.recv(length)
        if not part:
            return b""
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
