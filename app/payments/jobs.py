"""Enqueueing a job inside the transaction that makes it necessary.

A job written to another system after the commit can be lost between the two; before it, it can run
for something that was rolled back. Here the job is a row like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

QUEUE: Final = "payments"
DELIVERIES: Final = "webhooks_out"
"""What waits for customers' servers, worked on apart: a slow one holds up nobody's money."""
RECONCILIATIONS: Final = "reconciliations"
"""What goes through all that a gateway has, worked on apart and one after the other."""

PROCESS_EVENT: Final = "inbox.process"
REPAIR_PAYMENT: Final = "orders.repair"
REPAIR_REFUND: Final = "refunds.repair"
DELIVER_WEBHOOK: Final = "webhooks_out.deliver"
LEARN_METHOD: Final = "subscriptions.learn_method"
RECONCILE_NOW: Final = "reconcile.now"

_QUEUES: Final = MappingProxyType({DELIVER_WEBHOOK: DELIVERIES, RECONCILE_NOW: RECONCILIATIONS})

_QUEUED: Final = text(
    "SELECT EXISTS (SELECT FROM payments.procrastinate_jobs WHERE task_name = :task"
    " AND args = CAST(:args AS jsonb) AND status = ANY(CAST(:statuses AS"
    " payments.procrastinate_job_status[])))"
)

_DEFER: Final = text(
    "SELECT payments.procrastinate_defer_jobs_v1(ARRAY[ROW(:queue, :task, 0, NULL,"
    " NULL, CAST(:args AS jsonb), CAST(:at AS timestamptz))"
    "::payments.procrastinate_job_to_defer_v1])"
)


async def enqueue(
    session: AsyncSession,
    task: str,
    args: Mapping[str, Any],
    *,
    at: datetime | None = None,
) -> None:
    """Enqueue `task`, to run at once or at `at`; it exists once the transaction commits.

    A job says what to look at, never what to do: it may run twice, or after somebody else did it.
    """
    await session.execute(
        _DEFER,
        {
            "queue": _QUEUES.get(task, QUEUE),
            "task": task,
            "args": json.dumps(dict(args)),
            "at": at,
        },
    )


async def enqueue_once(
    session: AsyncSession, task: str, args: Mapping[str, Any], *, running: bool = True
) -> bool:
    """Enqueue `task` unless it `is_queued`; return whether it was enqueued."""
    if await is_queued(session, task, args, running=running):
        return False
    await enqueue(session, task, args)
    return True


async def is_queued(
    session: AsyncSession, task: str, args: Mapping[str, Any], *, running: bool = True
) -> bool:
    """Whether a job waits that says the same, or runs, where that counts."""
    statuses = ["todo", "doing"] if running else ["todo"]
    found: bool = (
        await session.execute(
            _QUEUED, {"task": task, "args": json.dumps(dict(args)), "statuses": statuses}
        )
    ).scalar_one()
    return found
