"""Which application covers a request: hosts and paths as app-paths.mdx of cloudflare-docs has them.

- A pattern without `*` covers its path and everything below it: not `/administrator` by `/admin`.
- `*` in a host stays within a label; in a path it may span segments. `/alpha/*` is not `/alpha`.
- The most specific pattern wins, and nothing of the others is inherited.

Paths are compared in the most suspicious reading: percent-encodings decoded (an encoded slash is a
slash), backslashes as slashes, doubled slashes and dot segments taken out, case ignored. Cloudflare
does not say how it reads `/ADMIN`; an origin may well take it for `/admin`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, kw_only=True)
class Place:
    """A host and path that an application covers."""

    host: re.Pattern[str]
    path: re.Pattern[str]
    prefix: str
    """The path as written, without its host; the application's cookie may be kept to it."""
    rank: tuple[bool, int, int]
    """How specific it is: an exact host before a wildcard, then the longer path."""

    def covers(self, host: str, path: str) -> bool:
        """Say whether a request is meant; `path` as `plain` returns it."""
        return bool(self.host.fullmatch(host) and self.path.fullmatch(path))


def place(uri: str) -> Place:
    """Read `host/path` as an application has it."""
    host, _, path = uri.partition("/")
    path = plain("/" + path)
    labels = [re.escape(label).replace(r"\*", "[^.]*") for label in host.lower().split(".")]
    labels = ["[^.]+" if label == "[^.]*" else label for label in labels]
    body = re.escape(path.rstrip("/")).replace(r"\*", ".*")
    below = "" if path.endswith("*") else "(?:/.*)?"
    return Place(
        host=re.compile(r"\.".join(labels)),
        path=re.compile(body + below, re.DOTALL),
        prefix=path if "*" not in path else "/",
        rank=("*" not in host, len(path.replace("*", "").strip("/").split("/")), len(path)),
    )


def plain(path: str) -> str:
    """Return a path as an attentive reader takes it; see the module's docstring."""
    text = unquote(path.partition("?")[0], errors="replace").replace("\\", "/").lower()
    kept: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            kept[-1:] = []
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)
