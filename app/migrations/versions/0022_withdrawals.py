"""Payouts below zero: what a gateway takes from our bank."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0022_withdrawals"
down_revision = "0021_begun_disputes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow them, and try their news again."""
    run_file(Path(__file__).with_name("0022_withdrawals.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
