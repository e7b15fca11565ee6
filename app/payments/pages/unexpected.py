"""What a customer reads of money that came for an order and did not fit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from payments.money import Money
from payments.orders.status import TAKEN
from payments.orders.suspense import Outcome
from payments.pages.render import Note

WAITS: Final = "A person is looking at it; you need do nothing."


def note(status: str, outcome: Outcome) -> Note | None:
    """Return what there is to say: what waits for a person, and what was decided."""
    parts = []
    if outcome.credited:
        parts.append(f"{_listed(outcome.credited)} was credited to your wallet.")
    if outcome.given_back:
        parts.append(f"{_listed(outcome.given_back)} was given back the way it came.")
    if outcome.waiting:
        parts.append(WAITS)
    if not parts:
        return None
    fits = "More arrived than was ordered." if status in TAKEN else _UNFITTING
    return Note("wait" if outcome.waiting else "info", " ".join([fits, *parts]))


_UNFITTING: Final = "What arrived does not fit the order."


def _listed(moneys: Sequence[Money]) -> str:
    return " and ".join(map(str, moneys))
