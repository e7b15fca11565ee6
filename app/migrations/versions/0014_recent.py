"""What has changed of late is found without reading everything."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import run_file

revision = "0014_recent"
down_revision = "0013_receipts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes."""
    run_file(Path(__file__).with_name("0014_recent.sql"))


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
