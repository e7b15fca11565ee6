"""Disputes and payouts."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0009_disputes_payouts"
down_revision = "0008_refunds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their tables; only what changes in a row's life may be updated."""
    run_file(Path(__file__).with_name("0009_disputes_payouts.sql"))
    grant("SELECT, INSERT", "disputes", "gateway_payouts", "payouts")
    grant("UPDATE (status, updated_at)", "disputes", "gateway_payouts")
    grant("UPDATE (status, approved_by, bank_ref, updated_at)", "payouts")
    grant("UPDATE (disputed)", "payments")


def downgrade() -> None:
    """Migrations go forward only: money was moved since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
