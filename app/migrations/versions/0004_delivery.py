"""Idempotency keys and the webhook inbox: what makes a request or a delivery count once."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0004_delivery"
down_revision = "0003_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both; a delivery is never deleted by the app, an expired key is."""
    run_file(Path(__file__).with_name("0004_delivery.sql"))
    grant("SELECT, INSERT, UPDATE, DELETE", "idempotency_keys")
    grant("SELECT, INSERT", "webhook_inbox")
    grant(
        "UPDATE (payment_id, state, reason, attempts, next_attempt_at, handled_at)", "webhook_inbox"
    )


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
