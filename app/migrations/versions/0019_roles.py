"""Roles: one that only looks, and one that was taken away stays away; a person approves payouts."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0019_roles"
down_revision = "0018_told"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    run_file(Path(__file__).with_name("0019_roles.sql"))
    grant("UPDATE (role_settled_at)", "users")


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
