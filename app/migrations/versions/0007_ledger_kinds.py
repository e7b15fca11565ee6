"""More kinds of accounts: tokens, crypto money, rewards, exchange, the gateways' own fees."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0007_ledger_kinds"
down_revision = "0006_jobs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them, and the rates that money is exchanged at."""
    run_file(Path(__file__).with_name("0007_ledger_kinds.sql"))
    grant("SELECT, INSERT", "exchange_rates")


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
