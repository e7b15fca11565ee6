"""Engines by provider configuration: the droplet's over SSH, or the outer one."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import docker
import requests.exceptions
from docker.errors import APIError, DockerException

from twin.clouds.docker.names import Reference, mirror_reference
from twin.clouds.docker.ssh import Dialler, HostError, SshHost, connect
from twin.places import own_image
from twin.protocol.resource import ApiError, Context

_log = logging.getLogger(__name__)
_RATE_LIMITED: Final = (
    "kex_exchange_identification",
    "Connection reset by",
    "Connection closed by",
    "Session open refused",
)
"""What `ssh` says when sshd drops connections because too many log in at once (MaxStartups)."""
_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.5  # seconds, doubled each time
_UNREACHABLE: Final = 502
LABEL: Final = "payments.twin"
REGISTRY: Final = "registry.twin.test:5000"
"""The twin's registry as droplets name it."""


class EngineError(ApiError):
    """What an engine refuses, in the provider's words: those have no status."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Engine:
    """One Docker engine as the doubles use it; `outer`: it is the one the twin itself runs on."""

    api: docker.APIClient
    outer: bool
    described: str

    def labels(self, ctx: Context) -> dict[str, str]:
        """What objects made here must carry: on the outer engine the instance's label."""
        return {LABEL: ctx.world.instance} if self.outer else {}

    def local_name(self, ctx: Context, reference: str) -> str:
        """An image name as this engine reaches it.

        The outer one has a registry door of its own, and images that were built for one instance.
        """
        if not self.outer:
            return reference
        parsed = Reference.parse(reference)
        if parsed.registry == REGISTRY:
            return str(parsed.on(ctx.world.registry_push_address()))
        own = own_image(ctx.world.instance, reference)
        return own if local_image(self, own) else reference


class Engines:
    """Clients by host and options; those that stopped answering are dialled anew. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[SshHost | str, docker.APIClient] = {}

    def of(self, ctx: Context) -> Engine:
        """The engine of a provider instance; ApiError when it does not answer."""
        host = str(ctx.config.get("host") or os.environ.get("DOCKER_HOST") or "")
        if not host.startswith("ssh://"):
            return self.outer(host)
        try:
            ssh = SshHost.parse(host, ctx.config.get("sshOpts") or ())
        except HostError as error:
            raise EngineError(400, str(error)) from None
        api = self._client(ssh, lambda: _dial(ssh, ctx))
        return Engine(api, outer=not ctx.world.nested_engines, described=str(ssh))

    def outer(self, host: str = "") -> Engine:
        """The engine that the twin itself runs on."""
        api = self._client(host or "outer", lambda: _open(host))
        return Engine(api, outer=True, described=host or "the local Docker engine")

    def close(self) -> None:
        """Hang up everywhere."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, key: SshHost | str, make: Callable[[], docker.APIClient]) -> docker.APIClient:
        with self._lock:
            known = self._clients.get(key)
        if known is not None:
            try:
                known.ping()
            except (DockerException, requests.exceptions.RequestException):
                _log.info("%s stopped answering; dialling anew", key)
            else:
                return known
        made = make()
        with self._lock:
            self._clients[key] = made
        return made


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Turn what the SDK raises into the sentence that the user reads."""
    try:
        yield
    except APIError as error:
        status = error.response.status_code if error.response is not None else 500
        raise EngineError(status, f"Unable to {doing}: {_reason(error)}") from error
    except requests.exceptions.RequestException as error:
        raise EngineError(_UNREACHABLE, f"Unable to {doing}: {error}") from error
    except DockerException as error:
        raise EngineError(500, f"Unable to {doing}: {error}") from error


def ensure_mirrored(engines: Engines, ctx: Context, reference: str) -> None:
    """Put a docker.io image that the outer engine has where droplets look first.

    When it has none, or the registry does not take it, the droplet's engine asks upstream.
    """
    parsed = mirror_reference(reference)
    if parsed is None:
        return
    outer = engines.outer()
    target = parsed.on(ctx.world.registry_push_address())
    try:
        outer.api.tag(outer.local_name(ctx, reference), target.repository, target.tag)
        push(outer.api, target)
        outer.api.remove_image(str(target), noprune=True)
    except (DockerException, requests.exceptions.RequestException, ApiError) as error:
        _log.info("%s is not in the mirror: %s", reference, error)


def push(api: docker.APIClient, target: Reference, auth: dict[str, str] | None = None) -> str:
    """Push a tag and return its manifest's digest; ApiError with the registry's reason."""
    digest = ""
    for line in api.push(
        target.repository, tag=target.tag, stream=True, decode=True, auth_config=auth
    ):
        if "error" in line:
            raise EngineError(_UNREACHABLE, f"Unable to push {target}: {line['error']}")
        digest = line.get("aux", {}).get("Digest", digest)
    return digest


def pull(engine: Engine, reference: str, auth: dict[str, str] | None = None) -> None:
    """Pull an image by tag or digest."""
    parsed = Reference.parse(reference)
    with refusals(f"pull image {reference}"):
        for line in engine.api.pull(
            parsed.repository,
            tag=parsed.digest or parsed.tag,
            stream=True,
            decode=True,
            auth_config=auth,
        ):
            if "error" in line:
                raise EngineError(404, f"Unable to pull image {reference}: {line['error']}")


def find_image(engines: Engines, engine: Engine, ctx: Context, reference: str) -> dict[str, Any]:
    """The image's inspection, pulled when the engine does not have it."""
    name = engine.local_name(ctx, reference)
    found = local_image(engine, name)
    if found is not None:
        return found
    if not engine.outer:
        ensure_mirrored(engines, ctx, reference)
    pull(engine, name, registry_auth(ctx, reference))
    found = local_image(engine, name)
    if found is None:
        raise EngineError(404, f"Unable to find or pull image {reference}")
    return found


def local_image(engine: Engine, name: str) -> dict[str, Any] | None:
    """The image's inspection if the engine has it."""
    try:
        found: dict[str, Any] = engine.api.inspect_image(name)
    except docker.errors.ImageNotFound:
        return None
    return found


def registry_auth(ctx: Context, reference: str) -> dict[str, str] | None:
    """The provider's credentials for an image's registry."""
    registry = Reference.parse(reference).registry
    for entry in ctx.config.get("registryAuth") or ():
        address = str(entry["address"]).removeprefix("https://").removeprefix("http://")
        if address.rstrip("/") == registry and not entry.get("authDisabled"):
            return {
                "username": entry.get("username", ""),
                "password": entry.get("password", ""),
            }
    return None


def _open(host: str) -> docker.APIClient:
    try:
        client = (
            docker.DockerClient(base_url=host, version="auto") if host else docker.from_env()
        ).api
        client.ping()
    except (DockerException, requests.exceptions.RequestException) as error:
        where = host or "the local Docker engine"
        raise EngineError(_UNREACHABLE, f"{where} does not answer: {error}") from error
    return client


def _dial(host: SshHost, ctx: Context) -> docker.APIClient:
    """Connect, waiting while sshd turns logins away because too many come at once."""
    pause = _FIRST_PAUSE
    for turn in range(1, _TRIES + 1):
        dialler = Dialler(host)
        try:
            return connect(dialler)
        except (DockerException, requests.exceptions.RequestException) as error:
            said = dialler.complaint()
            busy = any(hint in said for hint in _RATE_LIMITED)
            if not busy or turn == _TRIES or ctx.stop.wait(pause):
                raise EngineError(
                    _UNREACHABLE, f"Docker on {host} does not answer: {said or error}"
                ) from error
        pause *= 2
    raise AssertionError("the last turn raises")


def _reason(error: APIError) -> str:
    said = error.explanation
    return (
        said.decode(errors="replace") if isinstance(said, bytes) else str(said or error)
    ).strip()
