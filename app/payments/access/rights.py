"""What somebody who was let in may do: a person by their role, a program by what it is granted.

`read` is looking. `write` has something done again or ended that moves no money by itself. `money`
moves money where the books or a gateway say, or decides what it is worth. `decide` is for people
alone: who is an admin, and where money goes that leaves us; nothing grants it to a program.

A route says with its first tag which it takes. One that changes something and says nothing takes
`decide`: what nobody thought of is not open to programs or viewers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, cast, get_args

Right = Literal["read", "write", "money", "decide"]
Rights = frozenset[Right]

ALL: Final[Rights] = frozenset(get_args(Right))
GRANTABLE: Final[Rights] = ALL - {"decide"}
"""What a program can be granted; it may always read."""

OF_ROLE: Final[Mapping[str, Rights]] = {"admin": ALL, "viewer": frozenset({"read"})}
"""A customer has none."""


def needed_by(method: str, route: object) -> Right:
    """Return the right that a request of a route takes."""
    if method in ("GET", "HEAD"):
        return "read"
    tags = getattr(route, "tags", None) or ["decide"]
    return cast("Right", tags[0]) if tags[0] in ALL else "decide"
