"""What a reconciliation run covered, so that the next one goes on there."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0017_reconciliation_reach"
down_revision = "0016_subscription_money"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, the class of difference and the index."""
    run_file(Path(__file__).with_name("0017_reconciliation_reach.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
