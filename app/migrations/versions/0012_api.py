"""Keys of the API's clients, and webhooks to them."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0012_api"
down_revision = "0011_subscriptions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    run_file(Path(__file__).with_name("0012_api.sql"))
    grant(
        "SELECT, INSERT", "api_keys", "webhook_endpoints", "webhook_messages", "webhook_deliveries"
    )
    grant("UPDATE (expires_at, last_used_on, revoked_at)", "api_keys")
    grant(
        "UPDATE (url, events, secret, old_secret, old_secret_until, enabled, disabled_reason,"
        " failing_since)",
        "webhook_endpoints",
    )
    grant(
        "UPDATE (state, attempts, next_attempt_at, answer, error, delivered_at)",
        "webhook_deliveries",
    )


def downgrade() -> None:
    """Migrations go forward only; write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
