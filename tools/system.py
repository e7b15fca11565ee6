"""What kind of machine this is, and installing packages on it. Standard library only."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import process
from tools.errors import ToolError

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """`/etc/os-release`: its ID and version, and whether apt installs here."""

    id: str
    version: str
    uses_apt: bool


def distribution(release: Path = Path("/etc/os-release")) -> Distribution:
    """The machine's distribution; empty names where there is no os-release file."""
    values: dict[str, str] = {}
    if release.exists():
        for line in release.read_text().splitlines():
            name, _, value = line.partition("=")
            values[name] = " ".join(shlex.split(value))
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    return Distribution(
        id=values.get("ID", ""),
        version=values.get("VERSION_ID", ""),
        uses_apt=bool(names & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None,
    )


def is_root() -> bool:
    """Whether we may install packages and start services."""
    return os.geteuid() == 0


def runs_systemd() -> bool:
    """Whether systemd is this machine's init."""
    return Path("/run/systemd/system").is_dir()


def install_command(packages: Sequence[str]) -> str:
    """The command that installs these packages here, for a person to run."""
    if distribution().uses_apt:
        return f"sudo apt-get install -y {' '.join(packages)}"
    return f"install {', '.join(packages)} with this system's package manager"


def can_install() -> bool:
    """Root on Debian or Ubuntu: missing packages are installed rather than asked for."""
    return is_root() and distribution().uses_apt


def require(program: str, packages: Sequence[str], why: str, say: Say) -> str:
    """The path of a program; as root on Debian or Ubuntu it is installed first, and said so.

    Raises ToolError with the exact command where it is missing and we may not install it.
    """
    found = shutil.which(program)
    if found is None:
        apt_install(packages, why, say)
        found = shutil.which(program)
    if found is None:
        raise ToolError(f"{program} is still missing after installing {' '.join(packages)}.")
    return found


def apt_install(packages: Sequence[str], why: str, say: Say) -> None:
    """Install Debian packages (root only). Raises ToolError with the command for others."""
    if not can_install():
        raise ToolError(f"{packages[0]} is missing: {why}.", install_command(packages))
    say(f"installing {' '.join(packages)} from the distribution: {why}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]
    # -o DPkg::Lock::Timeout: another apt on the machine (unattended upgrades) ends in its own time.
    options = ["-o", "DPkg::Lock::Timeout=120"]

    def apt(argv: Sequence[str], *, check: bool) -> process.Completed:
        return process.run(
            [argv[0], *options, *argv[1:]] if argv[0] == "apt-get" else argv,
            env=environment,
            check=check,
            what=f"Installing {' '.join(packages)}",
            finish_first=True,
        )

    done = apt(install, check=False)
    if done.code == 0:
        return
    if "dpkg --configure -a" in done.text:
        say("finishing a package installation that was interrupted earlier")
        apt(["dpkg", "--configure", "-a"], check=True)
    apt(["apt-get", "-qq", "update"], check=False)
    apt(install, check=True)
