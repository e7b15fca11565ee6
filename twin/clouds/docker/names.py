"""Image names: registry, repository, tag, digest (docs: distribution/reference)."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Final

DOCKER_HUB: Final = "docker.io"
_ID: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")
_PATH: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """`registry/path:tag@digest`; `registry` is empty when the name leaves it out."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @staticmethod
    def parse(text: str) -> Reference:
        """Split a name; without tag and digest the tag is `latest`. No checks: see `problem`."""
        name, _, digest = text.partition("@")
        tag = ""
        if ":" in name.rsplit("/", 1)[-1]:
            name, _, tag = name.rpartition(":")
        registry = ""
        head, slash, rest = name.partition("/")
        if slash and (head == "localhost" or "." in head or ":" in head):
            registry, name = head, rest
        return Reference(registry, name, tag or ("" if digest else "latest"), digest)

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    def on(self, registry: str) -> Reference:
        """The same in another registry."""
        return dataclasses.replace(self, registry=registry)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def is_image_id(text: str) -> bool:
    """Whether this is an image's id, not a name."""
    return bool(_ID.fullmatch(text))


def problem(text: str) -> str | None:
    """Why no registry would take this name; None when it is fine."""
    if is_image_id(text):
        return None
    parsed = Reference.parse(text)
    if not parsed.path or not all(_PATH.fullmatch(part) for part in parsed.path.split("/")):
        return f'"{text}" is no image name (lower case letters, digits, and . _ - between them)'
    if parsed.tag and not _TAG.fullmatch(parsed.tag):
        return f'"{parsed.tag}" is no image tag'
    if parsed.digest and not _DIGEST.fullmatch(parsed.digest):
        return f'"{parsed.digest}" is no digest (sha256: and 64 hex digits)'
    return None


def mirror_reference(text: str) -> Reference | None:
    """Where a mirror of docker.io keeps an image (`library/nginx:1.28`); None for other names.

    A name with a digest is left out: what is pushed again gets a digest of its own.
    """
    if is_image_id(text):
        return None
    parsed = Reference.parse(text)
    if parsed.registry not in ("", DOCKER_HUB, f"index.{DOCKER_HUB}") or parsed.digest:
        return None
    path = parsed.path if "/" in parsed.path else f"library/{parsed.path}"
    return Reference("", path, parsed.tag)
