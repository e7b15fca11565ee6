"""A class of difference: disputes whose news never came."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0020_lost_disputes"
down_revision = "0019_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the class of difference."""
    run_file(Path(__file__).with_name("0020_lost_disputes.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
