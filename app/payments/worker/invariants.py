"""What must be true of the books at any moment, asked of the running database.

Each rule counts how many things violate it: zero, always. They read only, and are metrics: an alert
on `invariant_violations > 0` is the one that must never be silenced.

Asking everything of everything takes longer the longer the books get. So each minute only what has
changed of late is asked for (`WINDOW`: many runs overlap, so that one that fails leaves no gap),
and once a day everything. The two are kept apart (`recent`, `all`): a recent run that sees nothing
does not hide what the daily one has found. That an account's balance is the sum of its entries is
asked by induction there: each running balance follows from the one before, and the last one is the
account's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ops.logs import get_logger
from payments.ops.metrics import REGISTRY

log = get_logger(__name__)

WINDOW: Final = timedelta(minutes=30)
FULL_TIMEOUT_MS: Final = 600_000

VIOLATIONS: Final = Gauge(
    "invariant_violations",
    "Things in the books that contradict a rule; anything above 0 is an emergency.",
    ("invariant", "scope"),
    registry=REGISTRY,
)
BACKLOG: Final = Gauge(
    "backlog", "Things that wait for the worker or for a person.", ("kind",), registry=REGISTRY
)

SUSPENSE: Final = Gauge(
    "suspense_minor_units",
    "Money that came and that nobody has decided about, in the currency's minor unit.",
    ("currency",),
    registry=REGISTRY,
)

# `{since}` is replaced by a condition on the column named in it, or by nothing.
INVARIANTS: Final[dict[str, str]] = {
    "transfers_sum_to_zero": """
        SELECT count(*) FROM (SELECT FROM payments.ledger_entries e WHERE true {since:e.created_at}
         GROUP BY e.transfer_id, e.currency HAVING sum(e.amount) <> 0) x""",
    "running_balances_follow": """
        SELECT count(*) FROM payments.ledger_entries e
         WHERE e.balance_after - e.amount <> COALESCE((
               SELECT b.balance_after FROM payments.ledger_entries b
                WHERE b.account_id = e.account_id AND b.id < e.id ORDER BY b.id DESC LIMIT 1), 0)
         {since:e.created_at}""",
    "balances_are_the_last_entries": """
        SELECT count(*) FROM payments.ledger_accounts a
         WHERE a.balance <> COALESCE((
               SELECT e.balance_after FROM payments.ledger_entries e
                WHERE e.account_id = a.id ORDER BY e.id DESC LIMIT 1), 0)
         {accounts}""",
    "held_equals_holds": """
        SELECT count(*) FROM payments.ledger_accounts a
          LEFT JOIN (SELECT account_id, sum(amount) AS amount FROM payments.ledger_holds
                      WHERE state = 'held' GROUP BY account_id) h ON h.account_id = a.id
         WHERE a.held <> COALESCE(h.amount, 0)""",
    "suspense_is_not_below_zero": """
        SELECT count(*) FROM payments.ledger_accounts
         WHERE owner = 'house' AND purpose = 'suspense' AND balance < 0""",
    "refunded_at_most_captured": """
        SELECT count(*) FROM payments.payments p
         WHERE (p.refunded > p.captured OR p.captured > p.amount) {since:p.updated_at}""",
    "payments_are_booked": """
        SELECT count(*) FROM payments.payments p
         WHERE p.captured > 0 AND p.captured - p.refunded <> COALESCE((
               SELECT -sum(e.amount) FROM payments.ledger_transfers t
                 JOIN payments.ledger_entries e ON e.transfer_id = t.id
                 JOIN payments.ledger_accounts a ON a.id = e.account_id
                WHERE t.subject = 'order:' || p.order_id AND a.purpose = 'gateway_clearing'
                  AND t.key LIKE 'payment:' || p.id || ':%'
                  AND t.kind IN ('payment.captured', 'payment.refunded',
                                 'payment.refund_undone')), 0)
         {since:p.updated_at}""",
    "refunds_are_reserved": """
        SELECT count(*) FROM payments.payments p
         WHERE p.captured > 0 AND p.refund_reserved <> COALESCE((
               SELECT sum(r.amount) FROM payments.refunds r
                WHERE r.payment_id = p.id AND r.status NOT IN ('failed', 'remote_failed')), 0)
         {since:p.updated_at}""",
    "disputes_are_counted": """
        SELECT count(*) FROM payments.payments p
         WHERE p.captured > 0 AND p.disputed <> COALESCE((
               SELECT sum(d.amount) FROM payments.disputes d
                WHERE d.payment_id = p.id AND d.status <> 'won'), 0)
         {since:p.updated_at}""",
    "orders_follow_payments": """
        SELECT count(*) FROM payments.orders o
         WHERE o.status IN ('paid', 'partially_refunded', 'refunded') AND NOT EXISTS (
               SELECT FROM payments.payments p WHERE p.order_id = o.id AND p.status = o.status)
         {since:o.updated_at}""",
    "disputes_are_booked": """
        SELECT count(*) FROM payments.disputes d CROSS JOIN unnest(
               CASE d.status WHEN 'open' THEN ARRAY['opened'] ELSE ARRAY['opened', d.status] END) w
         WHERE NOT EXISTS (SELECT FROM payments.ledger_transfers t
                            WHERE t.key = 'dispute:' || d.id || ':' || w)
         {since:d.updated_at}""",
    "gateway_payouts_are_booked": """
        SELECT count(*) FROM payments.gateway_payouts g CROSS JOIN unnest(
               CASE g.status WHEN 'paid' THEN ARRAY['paid'] ELSE ARRAY['paid', 'failed'] END) w
         WHERE NOT EXISTS (SELECT FROM payments.ledger_transfers t
                            WHERE t.key = 'gateway-payout:' || g.id || ':' || w)
         {since:g.updated_at}""",
    "payouts_are_booked": """
        SELECT count(*) FROM payments.payouts p CROSS JOIN unnest(
               CASE WHEN p.status IN ('declined', 'failed') THEN ARRAY['requested', 'given_back']
                    WHEN p.status = 'settled' THEN ARRAY['requested', 'settled']
                    ELSE ARRAY['requested'] END) w
         WHERE NOT EXISTS (SELECT FROM payments.ledger_transfers t
                            WHERE t.key = 'payout:' || p.id || ':' || w)
         {since:p.updated_at}""",
    "invoices_follow_orders": """
        SELECT count(*) FROM payments.subscription_invoices i
          JOIN payments.orders o ON o.id = i.order_id
         WHERE ((i.status = 'paid' AND o.paid_at IS NULL)
             OR (i.status = 'open' AND o.paid_at IS NOT NULL))
         {since:o.updated_at}""",
}

WAITING: Final[dict[str, str]] = {
    "webhooks_parked": "SELECT count(*) FROM payments.webhook_inbox WHERE state = 'parked'"
    " AND next_attempt_at IS NOT NULL",
    "webhooks_failed": "SELECT count(*) FROM payments.webhook_inbox"
    " WHERE state IN ('failed', 'abandoned')",
    "payments_unknown": "SELECT count(*) FROM payments.payments"
    " WHERE status IN ('intended', 'unknown')",
    "refunds_unfinished": "SELECT count(*) FROM payments.refunds"
    " WHERE status IN ('intended', 'unknown', 'pending')",
    # By what waits, whatever the payment's status: it is what somebody has to decide.
    "payments_in_review": """
        SELECT count(*) FROM (
               SELECT FROM payments.ledger_transfers t
                 JOIN payments.ledger_entries e ON e.transfer_id = t.id
                 JOIN payments.ledger_accounts a ON a.id = e.account_id
                WHERE a.purpose = 'suspense' AND t.key LIKE 'suspense:%'
                GROUP BY split_part(t.key, ':', 2), e.currency HAVING sum(e.amount) > 0) x""",
    "payments_unwanted": "SELECT count(*) FROM payments.subscription_invoices"
    " WHERE status = 'unwanted'",
}


IN_SUSPENSE: Final = """
    SELECT currency, sum(balance)::bigint FROM payments.ledger_accounts
     WHERE owner = 'house' AND purpose = 'suspense' GROUP BY currency"""


async def check(session: AsyncSession) -> dict[str, int]:
    """Ask everything of everything, in a transaction of its own; return the counts.

    Sets the metrics and logs what is violated, as `check_recent` does.
    """
    await session.execute(text(f"SET LOCAL statement_timeout = {FULL_TIMEOUT_MS}"))
    found = {name: await _count(session, _asked(query)) for name, query in INVARIANTS.items()}
    _tell(found, "all")
    return found


async def check_recent(session: AsyncSession, *, window: timedelta = WINDOW) -> dict[str, int]:
    """Ask everything of what has changed within `window`; return the counts."""
    seconds = int(window.total_seconds())
    found = {
        name: await _count(session, _asked(query, seconds)) for name, query in INVARIANTS.items()
    }
    _tell(found, "recent")
    for kind, query in WAITING.items():
        BACKLOG.labels(kind).set(await _count(session, query))
    for currency, amount in await session.execute(text(IN_SUSPENSE)):
        SUSPENSE.labels(currency).set(amount)
    return found


def _asked(query: str, seconds: int | None = None) -> str:
    """Return the query for what changed in the last `seconds`, or for everything."""
    recent = "" if seconds is None else f"> now() - interval '{seconds} seconds'"
    before, marked, rest = query.partition("{since:")
    if marked:
        column, _, after = rest.partition("}")
        query = before + (f"AND {column} {recent}" if recent else "") + after
    touched = "AND a.id IN (SELECT account_id FROM payments.ledger_entries WHERE created_at {})"
    return query.replace("{accounts}", touched.format(recent) if recent else "")


def _tell(found: dict[str, int], scope: str) -> None:
    for name, number in found.items():
        VIOLATIONS.labels(name, scope).set(number)
        if number:
            log.error("invariant.violated", invariant=name, scope=scope, count=number)


async def _count(session: AsyncSession, query: str) -> int:
    number: int = (await session.execute(text(query))).scalar_one()
    return number
