"""Images of the twin's machines: built here from their sources, named after them.

A changed source is another name, so a machine made from it is made anew and none is built twice.
The bases (`debian:trixie-slim`, `postgres:17`, `valkey/valkey:8`) are provided before: from their
registry, or as local stand-ins under the same tags.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from twin.machines.engine import translated
from twin.world import WorldError

_SOURCES = Path(__file__).parent / "images"

Progress = Callable[[str, str], None]
"""Called with an image's name and what is being done to it."""


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """An image to build: its role, the folder with its Dockerfile, its base and its full name."""

    role: str
    folder: Path
    base: str
    name: str


def image_sources() -> Mapping[str, ImageSource]:
    """The machine images by role: droplet, support, postgres, valkey."""
    return {role: _source(role) for role in ("support", "droplet", "postgres", "valkey")}


def image(role: str) -> str:
    """The full name of a role's image."""
    return _source(role).name


def ensure_images(client: Any, progress: Progress = lambda name, doing: None) -> list[str]:
    """Build what is missing with a Docker SDK client; returns the names of what was built.

    Raises WorldError when a base is missing or a build fails (with the build's last lines).
    """
    built = []
    for source in image_sources().values():
        with _one_builder(source.role):
            if _exists(client, source.name):
                continue
            _build(client, source, progress)
            built.append(source.name)
    return built


def _source(role: str) -> ImageSource:
    folder = _SOURCES / role
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    lines = (folder / "Dockerfile").read_text().splitlines()
    base = next(line.split()[1] for line in lines if line.startswith("FROM "))
    name = f"payments-twin/{role}:{digest.hexdigest()[:12]}"
    return ImageSource(role=role, folder=folder, base=base, name=name)


def _exists(client: Any, name: str) -> bool:
    with translated(f"look for the image {name}"):
        try:
            client.images.get(name)
        except ImageNotFound:
            return False
        return True


def _build(client: Any, source: ImageSource, progress: Progress) -> None:
    if not _exists(client, source.base):
        raise WorldError(
            f"The image {source.base} is missing on the Docker engine, and {source.name} is built "
            f"on it: `docker pull {source.base}`, or `make up`, which provides it."
        )
    progress(source.name, "building")
    last: list[str] = []
    with translated(f"build {source.name}"):
        for event in client.api.build(
            fileobj=_context(source.folder),
            custom_context=True,
            tag=source.name,
            rm=True,
            forcerm=True,
            decode=True,
            labels={"payments.twin.image": source.role},
        ):
            if "error" in event:
                said = " | ".join(last[-5:])
                raise WorldError(
                    f"Building {source.name} failed: {event['error'].strip()} ({said})"
                )
            line = str(event.get("stream", "")).strip()
            if line:
                last.append(line)
            if line.startswith("Step "):
                progress(source.name, line.partition(" && ")[0])


def _context(folder: Path) -> io.BytesIO:
    """The build context: names and contents only, so that equal sources are equal layers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in sorted(folder.iterdir()):
            data = file.read_bytes()
            info = tarfile.TarInfo(file.name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


class _one_builder:
    """Keep two processes of this machine from building one image at once."""

    def __init__(self, role: str) -> None:
        self._path = Path(tempfile.gettempdir()) / f"payments-twin-{role}.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("a")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
