"""An engine that is on this machine already."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools import process
from tools.engine.versions import ENGINE, Version, is_tested, tested_range
from tools.errors import ToolError

LANGUAGE_HOST = "pulumi-language-python"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A usable engine: the folders PATH must start with, its version, where it came from."""

    folders: tuple[Path, ...]
    version: Version
    origin: str

    @property
    def pulumi(self) -> Path:
        """The command line."""
        return self.folders[0] / "pulumi"

    def path(self, *first: Path) -> str:
        """PATH with `first`, then the engine, then what this process has."""
        parts = [*map(str, first), *map(str, self.folders), os.environ.get("PATH", os.defpath)]
        return os.pathsep.join(parts)


def find() -> Engine | None:
    """The engine on PATH, or None.

    Raises ToolError for one outside the tested range, or without its Python language host: silently
    using another than the one a person installed would surprise more than saying so.
    """
    found = shutil.which("pulumi")
    if found is None:
        return None
    folder = Path(found).parent
    done = process.run([found, "version"], check=False, timeout=30, env=_quiet())
    version = Version.parse(done.out)
    if done.code != 0 or version is None or not is_tested(version):
        said = f"version {version}" if version else "no version it names"
        raise ToolError(
            f"The Pulumi engine at {found} is {said}; tested are versions {tested_range()}.",
            f"Install {ENGINE} (https://www.pulumi.com/docs/install/versions/), or let this "
            "project fetch its own beside yours: PAYMENTS_ENGINE=own make up",
        )
    host = shutil.which(LANGUAGE_HOST, path=f"{folder}{os.pathsep}{os.environ.get('PATH', '')}")
    if host is None:
        raise ToolError(
            f"The Pulumi engine at {found} comes without {LANGUAGE_HOST}.",
            "Install the complete release, or let this project fetch its own: "
            "PAYMENTS_ENGINE=own make up",
        )
    return Engine(
        folders=(folder, Path(host).parent), version=version, origin=f"installed at {found}"
    )


def _quiet() -> dict[str, str]:
    return {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
