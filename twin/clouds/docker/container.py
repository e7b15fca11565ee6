"""docker.Container: created, health-gated, read and stopped on the provider's engine.

Facts kept from the real provider (kreuzwerker/terraform-provider-docker): nearly everything
replaces, delete before create unless the program says otherwise; `wait` that fails leaves the
container recorded with an init error, and the empty update that follows does not look at health
again; without `destroyGraceSeconds` a replaced container is killed at once; a container found
stopped shows as `mustRun` false, and the next update starts it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final

import docker
from docker.errors import NotFound

from twin.clouds.docker import container_config as config
from twin.clouds.docker import container_state as state
from twin.clouds.docker.engines import Engine, EngineError, Engines, find_image, refusals
from twin.clouds.docker.names import problem
from twin.protocol.resource import UNKNOWN, Context, Created, Failure, Props, Resource

_LIVE: Final = ("restart", "maxRetryCount", "cpuShares", "memory", "cpuSet", "memorySwap")
"""What the engine changes in a living container, as the provider asks it to."""
_MODE, _EXECUTABLE_MODE = 0o644, 0o744
_CONFLICT: Final = 409
_REMOVE_SECONDS: Final = 60
CREATING: Final = "docker.creating"
"""Documents: the provider configuration by the name of a container that was asked for."""


class Container(Resource):
    """One container."""

    token: ClassVar[str] = "docker:index/container:Container"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """The provider's own validators."""
        yield from config.problems(inputs)
        image = inputs["image"]
        if image is not UNKNOWN and (reason := problem(image)):
            yield Failure("image", reason)

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Create, join networks, upload, start, wait."""
        if ctx.world.paper:
            id = hashlib.sha256(f"container:{inputs['name']}".encode()).hexdigest()
            return Created(id=id, outputs={**inputs, **_on_paper(id, inputs)})
        if inputs["wait"] and "healthcheck" not in inputs:
            ctx.say("waits for the image's own health check")
        engine = self._engines.of(ctx)
        # On disk before the engine is asked: a twin that is killed now finds it when it collects.
        ctx.store.save(CREATING, inputs["name"], dict(ctx.config))
        with refusals(f"create container {inputs['name']}"):
            id = self._create(ctx, engine, inputs)
            trouble = self._start(ctx, engine.api, id, inputs)
            found = engine.api.inspect_container(id)
        outputs = state.outputs_of(found, inputs)
        error = f"container {inputs['name']} {trouble}" if trouble else None
        return Created(id=id, outputs=outputs, init_error=error)

    def collect(self, ctx: Context) -> list[str]:
        """Remove containers that were being made when the twin was killed."""
        recorded = {record.outputs["name"] for record in ctx.store.all(self.token)}
        removed = []
        for name, made_with in ctx.store.items(CREATING).items():
            if name not in recorded:
                engine = self._engines.of(dataclasses.replace(ctx, config=made_with))
                with refusals(f"remove container {name}"), contextlib.suppress(NotFound):
                    engine.api.remove_container(name, v=True, force=True)
                    removed.append(f"container {name}")
            ctx.store.drop(CREATING, name)
        return removed

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        """Gone when the engine does not have it; stopped shows as `mustRun` false."""
        if ctx.world.paper:
            return outputs
        engine = self._engines.of(ctx)
        with refusals(f"inspect container {outputs['name']}"):
            try:
                found = engine.api.inspect_container(id)
            except NotFound:
                return None
        fresh = state.outputs_of(found, outputs)
        stopped = not found["State"]["Running"] and outputs.get("start", True)
        if stopped and outputs.get("mustRun", True):
            fresh["mustRun"] = False
        if not stopped:
            fresh.pop("exitCode", None)
        return fresh

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Limits and restart policy; a stopped container that must run is started."""
        merged = {**outputs, **news}
        if ctx.world.paper:
            return merged
        engine = self._engines.of(ctx)
        with refusals(f"update container {outputs['name']}"):
            if any(outputs.get(name) != news.get(name) for name in _LIVE):
                engine.api.update_container(
                    id,
                    cpu_shares=news.get("cpuShares"),
                    cpuset_cpus=news.get("cpuSet"),
                    mem_limit=config.in_mib(news.get("memory")),
                    memswap_limit=config.in_mib(news.get("memorySwap")),
                    restart_policy={
                        "Name": news["restart"],
                        "MaximumRetryCount": news.get("maxRetryCount", 0),
                    },
                )
            found = engine.api.inspect_container(id)
            if news["mustRun"] and news["start"] and not found["State"]["Running"]:
                engine.api.start(id)
                found = engine.api.inspect_container(id)
        fresh = state.outputs_of(found, merged)
        fresh.pop("exitCode", None)
        return fresh

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Stop with its grace, or kill; then remove and wait until it is gone."""
        if ctx.world.paper:
            return
        engine = self._engines.of(ctx)
        name, grace = outputs["name"], outputs.get("destroyGraceSeconds", 0)
        with refusals(f"remove container {name}"), contextlib.suppress(NotFound):
            if grace > 0 and not outputs.get("attach"):
                engine.api.stop(id, timeout=grace)
            try:
                engine.api.remove_container(id, v=outputs.get("removeVolumes", True), force=True)
            except docker.errors.APIError as error:
                if error.response is None or error.response.status_code != _CONFLICT:
                    raise
            # "removal already in progress" is fine, but its name and networks must be free.
            engine.api.wait(id, condition="removed", timeout=_REMOVE_SECONDS)

    def _create(self, ctx: Context, engine: Engine, inputs: Props) -> str:
        image = find_image(self._engines, engine, ctx, inputs["image"])
        name = engine.local_name(ctx, inputs["image"])
        body = config.container_config(inputs, name, engine.labels(ctx))
        with contextlib.suppress(NotFound):
            standing = engine.api.inspect_container(inputs["name"])
            raise EngineError(
                _CONFLICT,
                f"Unable to create container {inputs['name']}: the name is in use by container "
                f"{standing['Id'][:12]}",
            )
        if inputs["wait"] and not _has_check(inputs, image):
            raise EngineError(
                400, f"container {inputs['name']} cannot be waited for: it has no health check"
            )
        id = str(
            engine.api.create_container_from_config(body, inputs["name"], inputs.get("platform"))[
                "Id"
            ]
        )
        try:
            for network in config.later_networks(inputs):
                settings = config.endpoint(network)
                ipam = settings.get("IPAMConfig", {})
                engine.api.connect_container_to_network(
                    id,
                    network["name"],
                    aliases=settings.get("Aliases"),
                    ipv4_address=ipam.get("IPv4Address"),
                    ipv6_address=ipam.get("IPv6Address"),
                    link_local_ips=ipam.get("LinkLocalIPs"),
                )
            for upload in inputs.get("uploads", ()):
                engine.api.put_archive(id, "/", _archive(upload))
        except BaseException:
            with contextlib.suppress(docker.errors.APIError):
                engine.api.remove_container(id, v=True, force=True)
            raise
        return id

    def _start(self, ctx: Context, api: docker.APIClient, id: str, inputs: Props) -> str | None:
        """Start it as the program wants; what is wrong with it, or None."""
        if not inputs["start"]:
            return None
        try:
            api.start(id)
        except BaseException:
            # Nothing is recorded when the engine refuses: leave nothing behind.
            with contextlib.suppress(docker.errors.APIError):
                api.remove_container(id, v=True, force=True)
            raise
        if inputs.get("attach"):
            api.wait(id)
            return None
        if inputs["wait"]:
            return state.wait_healthy(ctx, api, id, inputs["waitTimeout"])
        if inputs["mustRun"]:
            milliseconds = inputs["containerReadRefreshTimeoutMilliseconds"]
            return state.wait_running(ctx, api, id, milliseconds)
        return None


def _has_check(inputs: Props, image: dict[str, Any]) -> bool:
    tests = inputs.get("healthcheck", {}).get("tests")
    if tests is None:
        tests = ((image.get("Config") or {}).get("Healthcheck") or {}).get("Test")
    return bool(tests) and tests != ["NONE"]


def _archive(upload: Props) -> bytes:
    if upload.get("source") is not None:
        content = Path(upload["source"]).read_bytes()
    elif upload.get("contentBase64") is not None:
        content = base64.b64decode(upload["contentBase64"])
    else:
        content = upload["content"].encode()
    mode = _EXECUTABLE_MODE if upload.get("executable") else _MODE
    if upload.get("permissions"):
        mode = int(upload["permissions"], 8)
    entry = tarfile.TarInfo(upload["file"].lstrip("/"))
    entry.size, entry.mode = len(content), mode
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _on_paper(id: str, inputs: Props) -> Props:
    """What an engine would have chosen, made up from the id."""
    number = int(id[:2], 16)
    names = [network["name"] for network in inputs.get("networksAdvanced", ())] or ["bridge"]
    return {
        "hostname": inputs.get("hostname", id[:12]),
        "bridge": "",
        "networkDatas": [
            {
                "networkName": name,
                "ipAddress": f"172.{18 + i}.0.{2 + number % 250}",
                "ipPrefixLength": 16,
                "gateway": f"172.{18 + i}.0.1",
            }
            for i, name in enumerate(sorted(names))
        ],
    }
