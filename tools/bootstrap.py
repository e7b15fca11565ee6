"""The Python environments, made from their locks. Standard library only: it runs before they exist.

    python3 -m tools.bootstrap [infra] [app]

An environment is `.venv` (or `app/.venv`) beside a stamp that names what it was made from: the
lock's digest, the interpreter and the recipe. The stamp is written last, so that a creation that
was cut short is seen and done again from nothing. An unchanged environment costs one hash.

uv installs 20 times faster than pip (2 s against 40 s for the infrastructure's 80 packages), so it
is used where it is on PATH and otherwise fetched by pip, pinned. uv does not read pip's settings:
they are handed over (index, certificates, proxy); where one has no equivalent, or uv fails, pip
does it all. Both check every artefact against the lock's hashes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import process, system
from tools.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, ToolError, from_os_error

ROOT = Path(__file__).resolve().parents[1]
_RECIPE = "1"  # raise it when the way an environment is made changes
_OLDEST = (3, 11)
_STAMP = ".payments-stamp"

# pip's setting → uv's variable. Lists are given to uv separated by spaces.
_UV_FOR_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "HTTPS_PROXY",
}
_UV_CANNOT = {"client-cert", "no-index", "keyring-provider", "constraint", "no-binary"}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One virtual environment, its lock, and the name the commands know it by."""

    name: str
    folder: Path
    lock: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


def environments(root: Path = ROOT) -> dict[str, Environment]:
    """The project's environments: the infrastructure's and the service's."""
    return {
        "infra": Environment(name="infra", folder=root / ".venv", lock=root / "requirements.lock"),
        "app": Environment(
            name="app", folder=root / "app" / ".venv", lock=root / "app" / "requirements-test.lock"
        ),
    }


def fingerprint(environment: Environment) -> str:
    """What an environment is made from, as a digest."""
    digest = hashlib.sha256(environment.lock.read_bytes())
    digest.update(f"{_RECIPE} {sys.version_info[:2]} {sys.base_prefix}".encode())
    return digest.hexdigest()


def _interpreter() -> str:
    """The machine's interpreter, also when a virtual environment of ours is the active one."""
    return str(getattr(sys, "_base_executable", sys.executable))


def is_current(environment: Environment) -> bool:
    """Whether the environment stands, whole, and as its lock says."""
    stamp = environment.folder / _STAMP
    return (
        stamp.exists()
        and environment.python.exists()
        and stamp.read_text() == fingerprint(environment)
    )


def ensure(environment: Environment) -> bool:
    """Make the environment when it is missing, unfinished or out of date; True when it was made."""
    if is_current(environment):
        return False
    _check_python()
    with _locked(environment.lock):
        if is_current(environment):  # another command made it while we waited
            return False
        started = time.monotonic()
        shown = os.path.relpath(environment.folder)
        _say(f"environment {shown}: installing what its lock names")
        (environment.folder / _STAMP).unlink(missing_ok=True)
        with_what = _make(environment)
        (environment.folder / _STAMP).write_text(fingerprint(environment))
        seconds = time.monotonic() - started
        _say(f"environment {shown}: ready, {with_what}, {seconds:.0f} s")
    return True


def _make(environment: Environment) -> str:
    uv = shutil.which("uv")
    settings = uv_settings(pip_settings())
    if uv and settings is not None:
        try:
            _uv(uv, "venv", "--clear", "--python", _interpreter(), environment.folder, env=settings)
            _uv_sync(uv, environment, settings)
        except ToolError as error:
            _say(f"uv could not ({error}); trying pip")
        else:
            return "by uv"
    _make_empty(environment)
    if settings is not None:
        try:
            _pip(environment, "-r", ROOT / "tools" / "uv.lock")
            _uv_sync(environment.folder / "bin" / "uv", environment, settings)
        except ToolError as error:
            _say(f"uv could not ({error}); installing with pip alone, which takes longer")
            _make_empty(environment)
        else:
            return "by uv, which pip fetched"
    _pip(environment, "-r", environment.lock)
    return "by pip"


def _make_empty(environment: Environment) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        # Debian splits it off; the versioned package is the one that fits this interpreter.
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        system.apt_install([package], "Python's virtual environments need it", _say)
    process.run(
        [_interpreter(), "-m", "venv", "--clear", environment.folder],
        what="Making the virtual environment",
    )


def _pip(environment: Environment, *arguments: str | Path) -> None:
    process.run(
        [environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-input", "--require-hashes", *arguments],
        cwd=ROOT,
        what="Installing packages with pip",
    )  # fmt: skip


def _uv_sync(uv: str | Path, environment: Environment, settings: dict[str, str]) -> None:
    _uv(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", environment.python,
        environment.lock, env=settings)  # fmt: skip


def _uv(uv: str | Path, *arguments: str | Path, env: dict[str, str]) -> None:
    process.run([uv, *arguments], env={**uv_environment(), **env}, cwd=ROOT, what="uv")


def uv_environment() -> dict[str, str]:
    """The environment that uv needs to trust whom this machine trusts (it brings its own list)."""
    return {**os.environ, "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}


def uv_command(root: Path = ROOT) -> Path:
    """The uv on PATH, else one that pip fetches, pinned, into a folder of its own."""
    found = shutil.which("uv")
    if found:
        return Path(found)
    own = Environment(name="uv", folder=root / ".venv-uv", lock=root / "tools" / "uv.lock")
    uv = own.folder / "bin" / "uv"
    if not uv.exists():
        _make_empty(own)
        _pip(own, "-r", own.lock)
    return uv


def pip_settings() -> dict[str, list[str]]:
    """The settings of pip on this machine, its files and PIP_* variables together."""
    argv = [sys.executable, "-m", "pip", "config", "list"]
    if importlib.util.find_spec("pip") is None:
        pip = shutil.which("pip3") or shutil.which("pip")
        if pip is None:
            return {}
        argv = [pip, "config", "list"]
    done = process.run(argv, check=False)
    return parse_pip_config(done.out) if done.code == 0 else {}


def parse_pip_config(text: str) -> dict[str, list[str]]:
    """`global.index-url='…'` lines → setting to values.

    `install.` wins over `global.`, the environment over both.
    """
    ranks = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, list[str]]] = {}
    for line in text.splitlines():
        key, separator, quoted = line.partition("=")
        section, dot, name = key.rpartition(".")
        if not separator or not dot or section not in ranks:
            continue
        values = quoted.strip().strip("'\"").replace("\\n", " ").split()
        if values and ranks[section] >= found.get(name, (-1, []))[0]:
            found[name] = (ranks[section], values)
    return {name: values for name, (_, values) in found.items()}


def uv_settings(pip: dict[str, list[str]]) -> dict[str, str] | None:
    """The settings of pip in uv's variables; None where one of them has no equivalent."""
    if _UV_CANNOT & pip.keys():
        return None
    settings: dict[str, str] = {}
    for name, values in pip.items():
        variable = _UV_FOR_PIP.get(name)
        if variable is None or variable in os.environ:
            continue
        if name == "find-links":  # uv refuses a folder that does not exist, pip does not mind
            values = [value for value in values if "://" in value or Path(value).exists()]
        if values:
            settings[variable] = " ".join(values)
    return settings


def _check_python() -> None:
    if sys.version_info < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        found = ".".join(map(str, sys.version_info[:3]))
        raise ToolError(
            f"Python {wanted} or newer is needed; {_interpreter()} is {found}.",
            "Name another one: make PYTHON=/path/to/python3.12 up",
        )


@contextmanager
def _locked(lock_file: Path) -> Iterator[None]:
    """Wait for another command that makes the same environment; its lock file is the lock."""
    with lock_file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another command that is making this environment")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(names: list[str]) -> int:
    """Make the named environments (`infra` without a name); returns the exit code."""
    known = environments()
    unknown = [name for name in names if name not in known]
    if unknown:
        _say(f"no environment {unknown[0]}; there are: {', '.join(known)}")
        return EXIT_USAGE
    try:
        process.install_signal_handlers()
        for name in names or ["infra"]:
            ensure(known[name])
    except KeyboardInterrupt:
        process.stop_all()
        _say("stopped; the next command makes the environment again from the start")
        return EXIT_INTERRUPTED
    except (ToolError, OSError) as problem:
        error = problem if isinstance(problem, ToolError) else from_os_error(problem)
        _say("\n".join(part for part in (error.message, error.details, error.remedy) if part))
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
