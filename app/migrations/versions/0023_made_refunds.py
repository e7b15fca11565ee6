"""When a refund was made that came to nothing: what was told before does not count it."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0023_made_refunds"
down_revision = "0022_withdrawals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time."""
    run_file(Path(__file__).with_name("0023_made_refunds.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
