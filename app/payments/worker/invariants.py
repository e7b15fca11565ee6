"""What must be true of the books at any moment, asked of the running database.

Each query returns how many things violate it: zero, always. They read only, and are metrics: an
alert on `invariant_violations > 0` is the one that must never be silenced.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY

log = get_logger(__name__)

VIOLATIONS: Final = Gauge(
    "invariant_violations",
    "Things in the books that contradict a rule; anything above 0 is an emergency.",
    ("invariant",),
    registry=REGISTRY,
)
BACKLOG: Final = Gauge(
    "backlog", "Things that wait for the worker or for a person.", ("kind",), registry=REGISTRY
)

INVARIANTS: Final[dict[str, str]] = {
    "transfers_sum_to_zero": """
        SELECT count(*) FROM (SELECT FROM payments.ledger_entries
         GROUP BY transfer_id, currency HAVING sum(amount) <> 0) x""",
    "balances_equal_entries": """
        SELECT count(*) FROM (SELECT FROM payments.ledger_accounts a
          LEFT JOIN payments.ledger_entries e ON e.account_id = a.id
         GROUP BY a.id HAVING a.balance <> COALESCE(sum(e.amount), 0)) x""",
    "held_equals_holds": """
        SELECT count(*) FROM (SELECT FROM payments.ledger_accounts a
          LEFT JOIN payments.ledger_holds h ON h.account_id = a.id AND h.state = 'held'
         GROUP BY a.id HAVING a.held <> COALESCE(sum(h.amount), 0)) x""",
    "refunded_at_most_captured": """
        SELECT count(*) FROM payments.payments WHERE refunded > captured OR captured > amount""",
    "payments_are_booked": """
        SELECT count(*) FROM payments.payments p
         WHERE p.captured > 0 AND p.captured - p.refunded <> COALESCE((
               SELECT -sum(e.amount) FROM payments.ledger_transfers t
                 JOIN payments.ledger_entries e ON e.transfer_id = t.id
                 JOIN payments.ledger_accounts a ON a.id = e.account_id
                WHERE t.subject = 'order:' || p.order_id AND a.purpose = 'gateway_clearing'
                  AND t.kind IN ('payment.captured', 'payment.refunded')), 0)""",
    "orders_follow_payments": """
        SELECT count(*) FROM payments.orders o
         WHERE o.status IN ('paid', 'partially_refunded', 'refunded') AND NOT EXISTS (
               SELECT FROM payments.payments p WHERE p.order_id = o.id AND p.status = o.status)""",
}

WAITING: Final[dict[str, str]] = {
    "webhooks_parked": "SELECT count(*) FROM payments.webhook_inbox WHERE state = 'parked'",
    "webhooks_failed": "SELECT count(*) FROM payments.webhook_inbox"
    " WHERE state IN ('failed', 'abandoned')",
    "payments_unknown": "SELECT count(*) FROM payments.payments"
    " WHERE status IN ('intended', 'unknown')",
    "payments_in_review": "SELECT count(*) FROM payments.payments WHERE status = 'review'",
}


async def check(session: AsyncSession) -> dict[str, int]:
    """Ask everything; set the metrics, log what is violated, return the counts."""
    found = {name: await _count(session, query) for name, query in INVARIANTS.items()}
    for name, number in found.items():
        VIOLATIONS.labels(name).set(number)
        if number:
            log.error("invariant.violated", invariant=name, count=number)
    for kind, query in WAITING.items():
        BACKLOG.labels(kind).set(await _count(session, query))
    return found


async def _count(session: AsyncSession, query: str) -> int:
    number: int = (await session.execute(text(query))).scalar_one()
    return number
