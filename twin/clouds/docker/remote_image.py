"""docker.RemoteImage: an image pulled onto the provider's engine."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from typing import Any, ClassVar

from docker.errors import ImageNotFound

from twin.clouds.docker.engines import Engine, Engines, find_image, local_image, refusals
from twin.clouds.docker.names import Reference, problem
from twin.protocol.resource import UNKNOWN, Context, Created, Failure, Props, Resource


class RemoteImage(Resource):
    """Pulled when it is missing; another `name`, `triggers` or `pullTriggers` replace."""

    token: ClassVar[str] = "docker:index/remoteImage:RemoteImage"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """A name that a registry takes; no building (that is docker.Image)."""
        if "build" in inputs:
            yield Failure("build", "is not doubled by the twin; build with docker.Image")
        if inputs["name"] is not UNKNOWN and (reason := problem(inputs["name"])):
            yield Failure("name", reason)

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Find it on the engine or pull it."""
        name = inputs["name"]
        if ctx.world.paper:
            id = f"sha256:{hashlib.sha256(f'image:{name}'.encode()).hexdigest()}"
            digest = f"{Reference.parse(name).repository}@{Reference.parse(name).digest or id}"
            return Created(id=f"{id}{name}", outputs={"imageId": id, "repoDigest": digest})
        engine = self._engines.of(ctx)
        with refusals(f"read image {name}"):
            found = find_image(self._engines, engine, ctx, name)
        return Created(id=f"{found['Id']}{name}", outputs=_outputs(engine, ctx, name, found))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        """Gone when the engine does not have the name."""
        if ctx.world.paper:
            return outputs
        engine = self._engines.of(ctx)
        with refusals(f"read image {outputs['name']}"):
            found = local_image(engine, engine.local_name(ctx, outputs["name"]))
        return None if found is None else outputs | _outputs(engine, ctx, outputs["name"], found)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Only `keepLocally` and `forceRemove` change in place."""
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Remove it unless it is to stay; refused while a container uses it.

        On the outer engine it stays: others of this machine may use it.
        """
        if ctx.world.paper or outputs.get("keepLocally"):
            return
        engine = self._engines.of(ctx)
        if engine.outer:
            return
        with refusals(f"remove image {outputs['name']}"), contextlib.suppress(ImageNotFound):
            engine.api.remove_image(outputs["name"], force=outputs.get("forceRemove", False))


def _outputs(engine: Engine, ctx: Context, name: str, found: dict[str, Any]) -> Props:
    """`repoDigest` is the image's content address in the repository it is named by."""
    local = Reference.parse(engine.local_name(ctx, name)).repository
    digests = found.get("RepoDigests") or ()
    digest = next((d.partition("@")[2] for d in digests if d.partition("@")[0] == local), "")
    repository = Reference.parse(name).repository
    return {"imageId": found["Id"], "repoDigest": f"{repository}@{digest}" if digest else ""}
