"""Names: one prefix per stack, so that two environments in one account never collide."""

from __future__ import annotations

import re
from typing import Final

PREFIX_LIMIT: Final = 24
"""A droplet's name is prefix, `-host-1` and the engine's suffix; a host name has 63 characters."""


def prefix(project: str, stack: str) -> str:
    """The prefix of every resource's name: `payments-staging`.

    Raises ValueError when the stack's name cannot be part of a host name.
    """
    name = f"{project}-{stack}"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > PREFIX_LIMIT:
        raise ValueError(
            f"stack {stack!r} makes the name {name!r}: use lower-case letters, digits and dashes, "
            f"at most {PREFIX_LIMIT} characters together with {project!r}"
        )
    return name
