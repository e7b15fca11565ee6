"""What must hold after every single step, beyond what the service itself watches."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from payments.people import audit
from payments.resources import Resources
from payments.worker import invariants

RULES: Final[dict[str, str]] = {
    "a running balance follows from the one before": """
        SELECT count(*) FROM (SELECT balance_after - amount AS before,
               lag(balance_after, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY id) AS said
          FROM payments.ledger_entries) e WHERE before <> said""",
    "each currency sums to zero": """
        SELECT count(*) FROM (SELECT FROM payments.ledger_accounts
         GROUP BY currency HAVING sum(balance) <> 0) x""",
    "a status was only ever moved where it may go": """
        SELECT count(*) FROM payments.status_changes c WHERE c.applied AND NOT EXISTS (
               SELECT FROM payments.status_moves m WHERE m.entity = c.entity
                  AND m.from_status = c.from_status AND m.to_status = c.to_status)""",
    "a status is where its last move went": """
        SELECT count(*) FROM (
               SELECT DISTINCT ON (c.entity_id) c.entity_id, c.to_status
                 FROM payments.status_changes c WHERE c.applied AND c.entity = 'payment'
                ORDER BY c.entity_id, c.id DESC) last
          JOIN payments.payments p ON p.id = last.entity_id WHERE p.status <> last.to_status""",
    "each payment is booked once": """
        SELECT count(*) FROM (SELECT split_part(key, ':', 2) FROM payments.ledger_transfers
         WHERE kind = 'payment.captured' GROUP BY 1 HAVING count(*) > 1) x""",
}


async def broken(resources: Resources) -> dict[str, int]:
    """Return every rule that does not hold, with the number of things that break it."""
    async with resources.database.transaction() as session:
        found = {name: n for name, n in (await invariants.check(session)).items() if n}
        for name, query in RULES.items():
            number = (await session.execute(text(query))).scalar_one()
            if number:
                found[name] = number
        if await audit.verify(session) is not None:
            found["the audit log is a chain"] = 1
    return found
