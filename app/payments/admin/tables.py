"""Tables and forms of the admin's pages: what they hold; `admin/money.html` shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from payments.money import Money
from payments.pages.status import State

NOTHING: Final = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: a text, amounts, a moment or a badge; `about` is its smaller second line."""

    text: str = ""
    money: Sequence[Money] = ()
    when: datetime | None = None
    badge: State | None = None
    href: str | None = None
    about: str | None = None
    mono: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; the first cell of a row names it."""

    label: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str = "There is none."

    @property
    def amounts(self) -> frozenset[str]:
        """The columns of amounts, which stand below each other at their right."""
        return frozenset(
            column
            for row in self.rows
            for column, cell in zip(self.columns, row, strict=True)
            if cell.money
        )


@dataclass(frozen=True, kw_only=True)
class Input:
    """One field of a form."""

    name: str
    label: str
    value: str = ""
    hint: str | None = None
    maxlength: int = 80


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form with its buttons: (name, value, label) each; an empty name sends nothing."""

    title: str
    action: str
    buttons: Sequence[tuple[str, str, str]]
    inputs: Sequence[Input] = ()
    hidden: Sequence[tuple[str, str]] = ()
    about: str | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """What one page shows, from top to bottom."""

    title: str
    facts: Sequence[tuple[str, Cell]] = ()
    tables: Sequence[Table] = ()
    forms: Sequence[Form] = ()
    links: Sequence[tuple[str, str]] = ()
    tabs: Sequence[tuple[str, str]] = ()
    chosen: str = ""
    path: str = ""
    next_cursor: str | None = None
    back: tuple[str, str] | None = None


def text(value: object, *, about: str | None = None) -> Cell:
    """Return a cell with a text; a dash for nothing."""
    return Cell(text=NOTHING if value in (None, "") else str(value), about=about)


def mono(value: object) -> Cell:
    """Return a cell with an id."""
    return Cell(text=NOTHING if value is None else str(value), mono=True)


def at(moment: datetime | None) -> Cell:
    """Return a cell with a moment; a dash for none."""
    return text(None) if moment is None else Cell(when=moment)


def amount(*money: Money) -> Cell:
    """Return a cell with amounts; a dash for none."""
    return Cell(money=money) if money else text(None)


def link(label: str, href: str, *, about: str | None = None) -> Cell:
    """Return a cell that leads somewhere."""
    return Cell(text=label, href=href, about=about)
