"""What tests say about the books."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from payments.ledger.service import Entry, Purpose, Transfer
from payments.money import Money


def move(
    key: str,
    amount: int,
    *,
    debit: tuple[str, Purpose],
    credit: tuple[str, Purpose],
    currency: str = "EUR",
) -> Transfer:
    """A transfer with two entries."""
    money = Money(amount, currency)
    return Transfer(
        key=key,
        kind="test",
        subject=None,
        entries=(Entry(*debit, -money), Entry(*credit, money)),
    )


def fund(owner: str, amount: int, key: str = "fund") -> Transfer:
    """Put money from the gateway into a wallet."""
    return move(key, amount, debit=("gateway", "gateway_clearing"), credit=(owner, "wallet"))


async def assert_books_agree(session: AsyncSession) -> None:
    """Sums are zero in each currency, and every balance is what its entries say."""
    sums = await session.execute(
        text("SELECT currency, sum(amount) FROM payments.ledger_entries GROUP BY 1")
    )
    assert all(total == 0 for _, total in sums), "money was made or lost"
    wrong = await session.execute(
        text(
            "SELECT a.id, a.balance, sum(e.amount) FROM payments.ledger_accounts a"
            " LEFT JOIN payments.ledger_entries e ON e.account_id = a.id"
            " GROUP BY a.id HAVING a.balance <> COALESCE(sum(e.amount), 0)"
        )
    )
    assert wrong.all() == [], "a balance differs from its entries"
    chain = await session.execute(
        text(
            "SELECT id FROM (SELECT id, balance_after - amount AS before,"
            " lag(balance_after, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY id) AS said"
            " FROM payments.ledger_entries) e WHERE before <> said"
        )
    )
    assert chain.all() == [], "a running balance skips an entry"
