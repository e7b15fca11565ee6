"""${message}.

Expand → backfill → contract: the release before this one runs against it.
"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; `lock_timeout` is set, so a statement that must wait gives up instead."""
    ${upgrades if upgrades else 'op.execute("SELECT 1")'}


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
