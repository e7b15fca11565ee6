"""Static files under names that carry their content's digest, so that they can be kept for ever.

Everything is read once and served from memory: the folder is a few hundred kilobytes. While a
release is being rolled out, a page of the new replica may ask an old one for a file: a known name
with another digest gets the file this replica has, and may not be kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from payments.errors import NotFoundError

PREFIX = "/static"
FOLDER = Path(__file__).resolve().parent.parent / "static"

IMMUTABLE = "public, max-age=31536000, immutable"
"""A year, and no revalidation (RFC 8246)."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_REFERENCE = re.compile(r'url\("([a-z0-9.-]+)"\)')
_HASHED = re.compile(r"(?P<stem>[A-Za-z0-9-]+)\.(?P<digest>[0-9a-f]{16})(?P<suffix>\.[a-z0-9]+)")


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    content: bytes
    digest: str
    media_type: str


class Assets:
    """The folder's files by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, Asset] = {}
        # Style sheets last: they name other files, which must have their digests by then.
        for path in sorted(_known(folder), key=lambda p: (p.suffix == ".css", p.name)):
            content = path.read_bytes()
            if path.suffix == ".css":
                content = self._link(path.name, content.decode()).encode()
            digest = hashlib.sha256(content).hexdigest()[:16]
            self._files[path.name] = Asset(content, digest, _TYPES[path.suffix])

    def url(self, name: str) -> str:
        """Return the address of a file; KeyError for one that is not there."""
        path = Path(name)
        return f"{PREFIX}/{path.stem}.{self._files[name].digest}{path.suffix}"

    def find(self, requested: str) -> tuple[Asset, bool] | None:
        """Return the file of a requested name and whether the digest is this very content's."""
        match = _HASHED.fullmatch(requested)
        asset = self._files.get(match["stem"] + match["suffix"]) if match else None
        if match is None or asset is None:
            return None
        return asset, asset.digest == match["digest"]

    def _link(self, sheet: str, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1] not in self._files:
                raise ValueError(f"{sheet} names {match[1]}, which is not in the folder")
            return f'url("{self.url(match[1])}")'

        return _REFERENCE.sub(replace, text)


def _known(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix in _TYPES)


def router(assets: Assets) -> APIRouter:
    """Return the route that serves them."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route(PREFIX + "/{name}", methods=["GET", "HEAD"])
    async def static(name: str, request: Request) -> Response:
        found = assets.find(name)
        if found is None:
            raise NotFoundError("There is no such file.")
        asset, current = found
        headers = {
            "cache-control": IMMUTABLE if current else "no-store",
            "etag": f'"{asset.digest}"',
        }
        if current and request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    return routes
