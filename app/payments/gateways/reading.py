"""Reading a gateway's JSON: each function returns what it names, or raises `TypeError`.

What a gateway sends is data from outside even when it is signed; a field that is not what the
documentation says is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from payments.gateways.protocol import (
    GatewayUnknownError,
    GatewayUnreadableError,
    ListedDispute,
    ListedPayment,
    Unreadable,
)
from payments.money import MoneyError

MAX_TEXT: Final = 255

Listed = TypeVar("Listed", ListedPayment, ListedDispute)

_RANKS: Final = {"paid": 0, "pending": 1, "failed": 2}


@contextmanager
def documented() -> Iterator[None]:
    """Read an answer inside: one that is not as the documentation says leaves open what happened.

    Raises `GatewayUnreadableError`.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, MoneyError) as error:
        raise GatewayUnreadableError(f"an undocumented answer ({type(error).__name__})") from error


def row(
    value: Any, read: Callable[[Mapping[str, Any]], Listed], *, name: str
) -> Listed | Unreadable:
    """Read a row of a list; one that cannot be read is told by what it has under `name`."""
    try:
        with documented():
            return read(value)
    except GatewayUnknownError as error:
        ref = value.get(name) if isinstance(value, Mapping) else None
        return Unreadable(ref=str(ref or "")[:MAX_TEXT], why=str(error))


def decisive(
    attempts: Iterable[ListedPayment], payment_ref: str | None = None
) -> ListedPayment | None:
    """Return the attempt that says what became of a payment: one was paid, whatever failed before.

    Of two that were paid, the one that is known as `payment_ref`.
    """
    return min(
        attempts,
        key=lambda one: (_RANKS[one.status], one.payment_ref != payment_ref),
        default=None,
    )


def text(value: object) -> str:
    """Return a short text."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise TypeError("not a short text")
    return value


def path_part(value: object) -> str:
    """Return an id that came from outside, fit for a path."""
    found = text(value)
    if not found.replace("-", "").isalnum() or not found.isascii():
        raise TypeError("an id that is none")
    return found


def optional_text(value: object) -> str | None:
    """Return a short text or None."""
    return None if value is None or value == "" else text(value)


def integer(value: object) -> int:
    """Return an integer; `True` is none."""
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def mapping(value: object) -> Mapping[str, object]:
    """Return an object."""
    if not isinstance(value, Mapping):
        raise TypeError("not an object")
    return value


def our_id(value: object) -> UUID | None:
    """Return an id of ours; what is not one of ours matches nothing."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def moment(seconds: object) -> datetime:
    """Return a time given in seconds since 1970; what is none is 1970."""
    return datetime.fromtimestamp(seconds if type(seconds) is int else 0, UTC)


def instant(value: object) -> datetime:
    """Return a time given as RFC 3339 text; what is none is 1970."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        return datetime.fromtimestamp(0, UTC)
    return found.astimezone(UTC)
