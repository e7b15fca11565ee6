"""The engine's official release archive, checked against its published SHA-256."""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tools.engine.versions import ENGINE, SUMS
from tools.errors import ToolError

RELEASES = "https://get.pulumi.com/releases/sdk"
_ANSWER_SECONDS = 5.0  # a closed network must not hold anyone up
_STALL_SECONDS = 30.0
_RETRY_AFTER_SECONDS = 3600.0
_CHUNK = 1 << 20
_PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-arm64",
}


class Unreachable(Exception):
    """The release cannot be had from here; the text says why."""


def archive_name() -> str:
    """The release archive of this platform. Raises Unreachable where there is none."""
    here = (platform.system(), platform.machine())
    if here not in _PLATFORMS:
        raise Unreachable(f"no release for {here[0]} on {here[1]}")
    return f"pulumi-v{ENGINE}-{_PLATFORMS[here]}.tar.gz"


def fetch(
    target: Path, failed: Path, note: Callable[[str], None], releases: str = RELEASES
) -> None:
    """Fetch the release and put its programs into `target`.

    Raises Unreachable when no server answers in time (remembered in the file `failed` for an hour,
    so that a closed network is asked once), and ToolError when what came is not what was published.
    """
    reason = recent_failure(failed)
    if reason:
        raise Unreachable(reason)
    name = archive_name()
    try:
        expected = SUMS.get(name) or _published_sum(name, releases)
        archive = target.with_name(f"{target.name}.tar.gz")
        try:
            actual = _download(f"{releases}/{name}", archive, note)
            if actual != expected:
                raise ToolError(
                    f"{name} is not what was published: SHA-256 {actual}, expected {expected}.",
                    "Nothing of it was used. Try again; if it stays so, something between this "
                    "machine and the release alters files.",
                )
            _extract(archive, target)
        finally:
            archive.unlink(missing_ok=True)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = str(getattr(error, "reason", error))
        failed.write_text(json.dumps({"at": time.time(), "reason": reason}))
        raise Unreachable(reason) from error


def recent_failure(failed: Path) -> str:
    """Why the last attempt failed, when that is less than an hour ago; else nothing."""
    try:
        last = json.loads(failed.read_text())
        age = time.time() - float(last["at"])
        return str(last["reason"]) if 0 <= age < _RETRY_AFTER_SECONDS else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _published_sum(name: str, releases: str) -> str:
    url = f"{releases}/pulumi-{ENGINE}-checksums.txt"
    with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
        listing = answer.read(1 << 16).decode("utf-8", "replace")
    sums = listed_sums(listing)
    if name not in sums:
        raise ToolError(f"The release's checksum list has no entry for {name}.", f"Look at {url}")
    return sums[name]


def listed_sums(listing: str) -> dict[str, str]:
    """`<sha256>  <file>` lines → file to sum; other lines are ignored."""
    sums: dict[str, str] = {}
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 2 and len(fields[0]) == 64:
            sums[fields[1].lstrip("*")] = fields[0].lower()
    return sums


def _download(url: str, to: Path, note: Callable[[str], None]) -> str:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as answer, to.open("wb") as stream:
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while chunk := answer.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            done += len(chunk)
            note(f"downloading {done >> 20} of {total >> 20} MB" if total else "downloading")
    return digest.hexdigest()


def _extract(archive: Path, target: Path) -> None:
    """The archive's programs, flat: no path of the archive is followed, links are not made."""
    target.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            program = target / Path(member.name).name
            with program.open("wb") as stream:
                while chunk := content.read(_CHUNK):
                    stream.write(chunk)
            program.chmod(0o755)
