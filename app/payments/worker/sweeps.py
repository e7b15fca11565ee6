"""Doing what is due, one thing at a time: what fails is tried at the next sweep, and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar
from uuid import UUID

from prometheus_client import Counter

from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY
from payments.resources import Resources

log = get_logger(__name__)

Id = TypeVar("Id", int, UUID)

SWEEP_FAILURES: Final = Counter(
    "sweep_failures_total",
    "Things that were due and could not be done; they are tried again.",
    ("what",),
    registry=REGISTRY,
)


@contextmanager
def counted(what: str, one: Id | None = None) -> Iterator[None]:
    """Have what fails in the block stop nothing else: it is counted and logged."""
    try:
        yield
    except Exception as error:
        SWEEP_FAILURES.labels(what).inc()
        log.error("sweep.failed", what=what, id=None if one is None else str(one), exc_info=error)


async def attempt(
    what: str, act: Callable[[Resources, Id], Awaitable[object]], resources: Resources, one: Id
) -> None:
    """Do one thing that is due; when that fails, it stops nothing else."""
    with counted(what, one):
        await act(resources, one)
