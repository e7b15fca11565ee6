"""Endpoints that are told of everything are told of refunds and disputes too."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0018_told"
down_revision = "0017_reconciliation_reach"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Complete the lists."""
    run_file(Path(__file__).with_name("0018_told.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
