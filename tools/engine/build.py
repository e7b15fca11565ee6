"""The engine built from its Go modules, for machines that reach package registries only.

`cli/` and `language/` are modules of ours that only name their dependency; their committed go.sum
files pin every source file, and `-mod=readonly` makes Go refuse anything else. They are two because
their versions of shared modules exclude each other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from tools import process
from tools.engine import golang
from tools.engine.versions import ENGINE, LANGUAGE_SDK
from tools.errors import ToolError

_HERE = Path(__file__).parent
_MODULE = "github.com/pulumi/pulumi"
_NEEDED_BYTES = 4_000_000_000  # module and build cache; the result is 135 MB
_MODULES: dict[str, tuple[str, str]] = {
    # our module's folder → package to build, name of the program
    "language": (f"{_MODULE}/sdk/v3/python/cmd/pulumi-language-python", "pulumi-language-python"),
    "cli": (f"{_MODULE}/pkg/v3/cmd/pulumi", "pulumi"),
}
# Without -s -w the programs are a third larger. The version makes `pulumi version` and the state's
# metadata say what this is.
_LDFLAGS = f"-s -w -X {_MODULE}/sdk/v3/go/common/version.Version=v{ENGINE}"
Note = Callable[[str], None]


def recipe() -> str:
    """A digest of everything that decides what is built."""
    digest = hashlib.sha256(f"{_LDFLAGS} {platform.system()} {platform.machine()}".encode())
    for module in sorted(_MODULES):
        for name in ("go.mod", "go.sum"):
            digest.update((_HERE / module / name).read_bytes())
    return digest.hexdigest()[:12]


def build(target: Path, cache: Path, note: Note) -> str:
    """Build both programs into the folder `target`; returns how, for the person.

    Raises ToolError with the cause and the remedy.
    """
    free = shutil.disk_usage(cache).free
    if free < _NEEDED_BYTES:
        raise ToolError(
            f"Building the engine needs {_NEEDED_BYTES // 10**9} GB on the disk of {cache}, "
            f"{free / 10**9:.1f} GB are free.",
            "Free some space, point XDG_CACHE_HOME at another disk, or install the Pulumi engine.",
        )
    toolchain = golang.find(cache, note)
    work = cache / "go-work"
    environment = golang.environment(toolchain, work)
    target.mkdir(parents=True)
    for module, (package, program) in _MODULES.items():
        _build(toolchain, module, package, target / program, environment, note)
    executor = target / "pulumi-language-python-exec"
    shutil.copyfile(_sdk_folder(toolchain, environment) / executor.name, executor)
    executor.chmod(0o755)
    if toolchain.own:
        remove_go_caches(work)
    return f"built from Go modules with {'a fetched' if toolchain.own else 'the installed'} Go"


def _build(
    toolchain: golang.Toolchain,
    module: str,
    package: str,
    program: Path,
    environment: dict[str, str],
    note: Note,
) -> None:
    built = 0

    def on_line(line: str) -> None:
        nonlocal built
        if line.startswith("go: downloading"):
            note(f"{program.name}: {line.removeprefix('go: ')}")
        elif line and " " not in line:
            built += 1
            note(f"{program.name}: compiled {built} packages, now {line}")

    process.run(
        [toolchain.go, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", _LDFLAGS,
         "-o", program, package],
        cwd=_HERE / module,
        env=environment,
        on_line=on_line,
        what=f"Building {program.name}",
    )  # fmt: skip


def _sdk_folder(toolchain: golang.Toolchain, environment: dict[str, str]) -> Path:
    done = process.run(
        [toolchain.go, "list", "-m", "-f", "{{.Dir}}", f"{_MODULE}/sdk/v3"],
        cwd=_HERE / "language",
        env=environment,
        what=f"Finding the language host {LANGUAGE_SDK}",
    )
    return Path(done.out.strip()) / "python" / "cmd"


def remove_go_caches(work: Path) -> None:
    """Remove our own Go caches (Go makes its module folders read-only)."""
    for folder, _, _ in os.walk(work):
        path = Path(folder)
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    shutil.rmtree(work, ignore_errors=True)


def pinned_version() -> str:
    """The engine's version in cli/go.mod."""
    text = (_HERE / "cli" / "go.mod").read_text()
    match = re.search(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)", text)
    return match.group(1) if match else ""
