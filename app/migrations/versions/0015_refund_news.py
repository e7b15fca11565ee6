"""What gateways say of refunds is kept, and nobody pays more of a debt than there is."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0015_refund_news"
down_revision = "0014_recent"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; what was said is never changed."""
    run_file(Path(__file__).with_name("0015_refund_news.sql"))
    grant("SELECT, INSERT", "refund_totals", "refunds_undone")
    grant("UPDATE (failed_at)", "refunds")


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
