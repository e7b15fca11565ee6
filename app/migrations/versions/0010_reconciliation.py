"""Reconciliation: its runs and what they found."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0010_reconciliation"
down_revision = "0009_disputes_payouts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; a run and its findings are written once."""
    run_file(Path(__file__).with_name("0010_reconciliation.sql"))
    grant("SELECT, INSERT", "reconciliation_runs", "reconciliation_differences")


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
