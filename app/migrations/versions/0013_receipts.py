"""Receipts."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0013_receipts"
down_revision = "0012_api"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; a receipt is never changed and never taken back."""
    run_file(Path(__file__).with_name("0013_receipts.sql"))
    grant("SELECT, INSERT", "receipts")


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
