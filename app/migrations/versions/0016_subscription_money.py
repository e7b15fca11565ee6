"""Money of subscriptions that goes back, charges that settle late, and trials that are resumed."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0016_subscription_money"
down_revision = "0015_refund_news"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow what is new, and put right what earlier releases left."""
    run_file(Path(__file__).with_name("0016_subscription_money.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
