"""How the machine that runs Pulumi reaches a droplet; pure functions, no resource.

Both the Docker provider and the gates go through the system's `ssh`. With a config file everything
stands there; without one the options below make a connection that never asks and never hangs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

USER: Final = "deploy"

_OPTIONS: Final = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    # A droplet's host key is new at its first boot; afterwards a changed key is refused.
    "StrictHostKeyChecking=accept-new",
    "ServerAliveInterval=15",
)


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A way to connect: an ssh config file, or none.

    `user` is the only account of a droplet that may log in; cloud-init makes it.
    """

    config_file: str | None = None
    user: str = USER

    def arguments(self) -> list[str]:
        """What stands before the host on ssh's command line."""
        if self.config_file:
            return ["-F", self.config_file]
        return [argument for option in _OPTIONS for argument in ("-o", option)]

    def describe(self, address: str) -> str:
        """A shell command that prints how ssh would connect, without connecting."""
        return shlex.join(["ssh", "-G", *self.arguments(), f"{self.user}@{address}"])

    def command(self, address: str, remote: str = "") -> str:
        """A shell command that runs `remote` on a droplet; without one, a login."""
        words = ["ssh", *self.arguments(), f"{self.user}@{address}", *([remote] if remote else [])]
        return shlex.join(words)


def assignments(values: Mapping[str, str]) -> str:
    """Shell assignments for a remote `eval`: the way secrets travel, on standard input.

    Not `docker run --env-file`: its format has no line breaks, and a CA certificate has many.
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))
