"""Orders, payments, and the table of the only moves their status may make."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0005_orders"
down_revision = "0004_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them; what an order is and costs is never changed afterwards, only its status."""
    run_file(Path(__file__).with_name("0005_orders.sql"))
    grant("SELECT", "status_moves")
    grant("SELECT, INSERT", "orders", "payments", "status_changes")
    grant("UPDATE (status, updated_at, paid_at)", "orders")
    grant(
        "UPDATE (status, captured, refunded, checkout_ref, checkout_url, payment_ref, checks,"
        " next_check_at, last_error, updated_at)",
        "payments",
    )


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
