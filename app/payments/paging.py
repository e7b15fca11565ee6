"""Lists in pages: newest first, and a cursor that stays right while rows are added."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query
from sqlalchemy import Select, SQLColumnExpression, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from payments.errors import BadRequestError

T = TypeVar("T")

SIZE: Final = 50
MOST: Final = 200

Limit = Annotated[int, Query(ge=1, le=MOST)]
Cursor = Annotated[str | None, Query(max_length=200)]


class BadCursorError(BadRequestError):
    """The cursor was not made by us for this list."""

    code, title = "bad_cursor", "This cursor is not one of this list's."


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` asks for the next one, None: this is the last."""

    data: list[T]
    next_cursor: str | None


async def page(
    session: AsyncSession,
    query: Select[*tuple[Any, ...]],
    *,
    order: Sequence[SQLColumnExpression[Any]],
    parse: Sequence[Callable[[str], Any]],
    cursor: str | None,
    limit: int,
    view: Callable[[Any], T],
) -> Page[T]:
    """Run a query newest first by the columns `order`, which together are unique.

    The query's last columns are those of `order`; `parse` reads their texts back.
    Raises `BadCursorError`.
    """
    if cursor is not None:
        query = query.where(tuple_(*order) < tuple_(*_decode(cursor, parse)))
    columns: list[Any] = [column.label(f"cursor_{number}") for number, column in enumerate(order)]
    query = query.add_columns(*columns).order_by(*(column.desc() for column in order))
    rows = (await session.execute(query.limit(limit + 1))).all()
    more = len(rows) > limit
    shown = rows[:limit]
    last = shown[-1][-len(order) :] if more else ()
    return Page(data=[view(row) for row in shown], next_cursor=_encode(last) if more else None)


def _encode(values: Sequence[Any]) -> str:
    texts = (value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
    return base64.urlsafe_b64encode("|".join(texts).encode()).decode().rstrip("=")


def _decode(cursor: str, parse: Sequence[Callable[[str], Any]]) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        texts = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("|")
        return [read(text) for read, text in zip(parse, texts, strict=True)]
    except (binascii.Error, ValueError, OverflowError) as error:
        raise BadCursorError("Ask for the list again, without a cursor.") from error


def moment(told: str) -> datetime:
    """Read a time; one without an offset is not ours, and one that UTC cannot hold is no time."""
    read = datetime.fromisoformat(told)
    if read.tzinfo is None:
        raise ValueError("without an offset")
    return read.astimezone(UTC)


def row_number(told: str) -> int:
    """Read a row's number; one that no column could hold is refused before the database does."""
    number = int(told)
    if not 0 <= number < 2**63:
        raise ValueError("out of range")
    return number
