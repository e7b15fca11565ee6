"""Places: how many attempts are made at once, and how many of them may be one customer's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Places:
    """The attempts under way in this process, by customer.

    A customer may take another place while they have fewer than are free. So one alone gets half
    of them, and whoever comes later still finds some, however long the others keep theirs.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken: Counter[UUID] = Counter()
        self.choosing = asyncio.Lock()
        """Held from asking who is full until the place is taken."""

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self._number - self._taken.total()

    def full(self) -> list[UUID]:
        """Return the customers who may take no further place now."""
        return [customer for customer, number in self._taken.items() if number >= self.free]

    @contextmanager
    def taken(self, customer_id: UUID) -> Iterator[None]:
        """Keep a place for the time of the block."""
        self._taken[customer_id] += 1
        try:
            yield
        finally:
            self._taken[customer_id] -= 1
            if not self._taken[customer_id]:
                del self._taken[customer_id]
