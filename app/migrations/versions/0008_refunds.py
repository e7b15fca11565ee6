"""Refunds."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0008_refunds"
down_revision = "0007_ledger_kinds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and what keeps refunds below what was captured."""
    run_file(Path(__file__).with_name("0008_refunds.sql"))
    grant("SELECT, INSERT", "refunds")
    grant(
        "UPDATE (status, refund_ref, checks, next_check_at, last_error, updated_at, returned_at)",
        "refunds",
    )
    grant("UPDATE (refund_reserved)", "payments")


def downgrade() -> None:
    """Migrations go forward only: money was given back since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
