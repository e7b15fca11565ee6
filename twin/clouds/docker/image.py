"""docker.Image: built on the provider's engine with its classic builder, pushed to a registry.

A digest of the build context (what .dockerignore leaves) stands among the checked inputs, so that
changed sources plan an update. Paths are relative to the folder that the twin was started in, as
the real provider's are to the program's.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from docker.errors import APIError, BuildError
from docker.utils.build import create_archive, exclude_paths

from twin.clouds.docker.engines import Engine, EngineError, Engines, push, refusals
from twin.clouds.docker.names import Reference, is_image_id, problem
from twin.protocol.resource import (
    UNKNOWN,
    Change,
    Context,
    Created,
    Failure,
    Props,
    Resource,
)

_DIGEST: Final = "contextDigest"
_SHOWN_LINES: Final = 25
_CHUNK: Final = 1024 * 1024
_BUILD_FAILED: Final = 500


class Image(Resource):
    """An image built from a folder."""

    token: ClassVar[str] = "docker:index/image:Image"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """A name, a folder, a Dockerfile in it."""
        name = inputs["imageName"]
        if name is not UNKNOWN:
            if reason := problem(name):
                yield Failure("imageName", reason)
            elif is_image_id(name) or Reference.parse(name).digest:
                yield Failure("imageName", "names what to build: a tag, not an id or a digest")
        build = inputs.get("build", {})
        if build is UNKNOWN or UNKNOWN in build.values():
            return
        context, dockerfile = _paths(build)
        if not context.is_dir():
            yield Failure("build.context", f"{context} is no folder")
        elif not dockerfile.is_file():
            yield Failure("build.dockerfile", f"{dockerfile} does not exist")
        if build.get("builderVersion", "BuilderV1") not in ("BuilderV1", "BuilderBuildKit"):
            yield Failure("build.builderVersion", "is BuilderV1 or BuilderBuildKit")

    def normalize(self, ctx: Context, inputs: Props, olds: Props) -> Props:
        """Put the context's digest beside the build's other inputs."""
        build = inputs.get("build", {})
        if build is UNKNOWN or UNKNOWN in build.values():
            return inputs
        return {**inputs, "build": {**build, _DIGEST: context_digest(*_paths(build))}}

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        """Other sources under the same settings are an update."""
        before, after = olds.get("build") or {}, news.get("build") or {}
        if before is UNKNOWN or after is UNKNOWN or before.get(_DIGEST) != after.get(_DIGEST):
            return Change(update=frozenset({"build"}))
        return Change()

    def preview(self, ctx: Context, inputs: Props) -> Props:
        """All but the digest is known."""
        return {**_told(inputs), "repoDigest": UNKNOWN}

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Build and push."""
        return Created(id=inputs["imageName"], outputs=self._outputs(ctx, inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Build and push again."""
        return self._outputs(ctx, news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """The provider leaves images where they are; the twin takes its tag off the outer engine.

        The layers stay: they are the builder's cache.
        """
        if ctx.world.paper:
            return
        engine = self._engines.of(ctx)
        if engine.outer:
            with contextlib.suppress(APIError):  # a container still runs it
                engine.api.remove_image(engine.local_name(ctx, id), noprune=True)

    def _outputs(self, ctx: Context, inputs: Props) -> Props:
        told = _told(inputs)
        repository = Reference.parse(inputs["imageName"]).repository
        if ctx.world.paper:
            made_of = repr(sorted((inputs.get("build") or {}).items()))
            digest = f"sha256:{hashlib.sha256(made_of.encode()).hexdigest()}"
            return {**told, "repoDigest": f"{repository}@{digest}"}
        engine = self._engines.of(ctx)
        local = engine.local_name(ctx, inputs["imageName"])
        with refusals(f"build image {inputs['imageName']}"):
            id = _build(ctx, engine, local, inputs.get("build", {}))
            _remove_superseded(ctx, engine)
            if inputs.get("skipPush"):
                return {**told, "repoDigest": id}
            digest = push(engine.api, Reference.parse(local), _auth(inputs))
        if not digest:
            raise EngineError(_BUILD_FAILED, f"{local} was pushed, but no digest came back")
        return {**told, "repoDigest": f"{repository}@{digest}"}


def context_digest(context: Path, dockerfile: Path) -> str:
    """SHA-256 over the names, kinds, executable bits and contents of what a build would see."""
    digest = hashlib.sha256()
    for name in _entries(context, dockerfile):
        path = context / name
        found = path.lstat()
        executable = "x" if found.st_mode & stat.S_IXUSR else "-"
        kind = stat.S_IFMT(found.st_mode)
        digest.update(f"{name}\0{kind}{executable}\0".encode())
        if stat.S_ISLNK(kind):
            digest.update(bytes(path.readlink()))
        elif stat.S_ISREG(kind):
            digest.update(_file_digest(path))
    digest.update(_file_digest(dockerfile))
    return digest.hexdigest()


def _build(ctx: Context, engine: Engine, tag: str, build: Props) -> str:
    """The new image's id; ApiError with the last lines of the log when it fails."""
    context, dockerfile = _paths(build)
    inside = dockerfile.is_relative_to(context)
    name = str(dockerfile.relative_to(context)) if inside else ".Dockerfile.outside"
    extra = [] if inside else [(name, dockerfile.read_text())]
    lines: deque[str] = deque(maxlen=_SHOWN_LINES)
    id = ""
    with create_archive(str(context), _entries(context, dockerfile), extra_files=extra) as archive:
        for event in engine.api.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=name,
            tag=tag,
            buildargs=build.get("args") or {},
            target=build.get("target"),
            platform=build.get("platform"),
            network_mode=build.get("network"),
            extra_hosts=dict(h.split(":", 1) for h in build.get("addHosts") or ()) or None,
            cache_from=(build.get("cacheFrom") or {}).get("images"),
            labels=engine.labels(ctx),
            rm=True,
            forcerm=True,
            decode=True,
        ):
            for line in event.get("stream", "").splitlines():
                if line.strip():
                    lines.append(line)
                    if line.startswith("Step "):
                        ctx.say(line)
            id = event.get("aux", {}).get("ID", id)
            if "error" in event:
                log = "\n  ".join(lines)
                raise EngineError(
                    _BUILD_FAILED, ctx.masked(f"Unable to build {tag}: {event['error']}\n  {log}")
                )
            if ctx.stop.is_set():
                raise EngineError(_BUILD_FAILED, f"the build of {tag} was cancelled")
    if not id:
        raise BuildError("the engine named no image", iter(()))
    return id


def _remove_superseded(ctx: Context, engine: Engine) -> None:
    """Remove the images of this instance that a newer build has taken the tag from."""
    for name, value in engine.labels(ctx).items():
        for found in engine.api.images(filters={"label": f"{name}={value}"}):
            if not found.get("RepoTags") or found["RepoTags"] == ["<none>:<none>"]:
                for reference in found.get("RepoDigests") or [found["Id"]]:
                    with contextlib.suppress(APIError):  # a container still runs it
                        engine.api.remove_image(reference)


def _entries(context: Path, dockerfile: Path) -> list[str]:
    """What is sent, in a fixed order: the context less what .dockerignore names."""
    patterns: list[str] = []
    ignore = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    if not ignore.is_file():
        ignore = context / ".dockerignore"
    with contextlib.suppress(FileNotFoundError):
        lines = (line.strip() for line in ignore.read_text().splitlines())
        patterns = [line for line in lines if line and not line.startswith("#")]
    inside = dockerfile.is_relative_to(context)
    keep = str(dockerfile.relative_to(context)) if inside else ".dockerignore"
    return sorted(exclude_paths(str(context), patterns, dockerfile=keep))


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.digest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _paths(build: Props) -> tuple[Path, Path]:
    """The context and the Dockerfile, which is relative to where the twin was started too."""
    context = Path(build.get("context", ".")).absolute()
    given = build.get("dockerfile")
    return context, Path(given).absolute() if given else context / "Dockerfile"


def _told(inputs: Props) -> Props:
    """The outputs that the inputs say."""
    build, registry = inputs.get("build") or {}, inputs.get("registry") or {}
    if build is UNKNOWN or registry is UNKNOWN:
        return {}
    context = build.get("context", ".")
    told: dict[str, Any] = {
        "imageName": inputs["imageName"],
        "baseImageName": inputs["imageName"],
        "registryServer": registry.get("server", ""),
        "context": context,
        "dockerfile": build.get("dockerfile", f"{context}/Dockerfile"),
    }
    return told | ({"platform": build["platform"]} if "platform" in build else {})


def _auth(inputs: Props) -> dict[str, str] | None:
    registry = inputs.get("registry") or {}
    if not registry.get("username"):
        return None
    return {"username": registry["username"], "password": registry.get("password", "")}
