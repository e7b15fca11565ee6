"""When a dispute was opened at the gateway: what was given back before is no part of it."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0021_begun_disputes"
down_revision = "0020_lost_disputes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time."""
    run_file(Path(__file__).with_name("0021_begun_disputes.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
