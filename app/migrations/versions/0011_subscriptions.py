"""Subscriptions and their invoices."""

from __future__ import annotations

from pathlib import Path

from payments.schema.grants import grant, run_file

revision = "0011_subscriptions"
down_revision = "0010_reconciliation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the moves that a subscription may make."""
    run_file(Path(__file__).with_name("0011_subscriptions.sql"))
    grant("SELECT, INSERT", "subscriptions", "subscription_invoices")
    grant(
        "UPDATE (plan, next_plan, amount, status, method_ref, gateway, anchor_day, period_start,"
        " period_end, cancel_at_end, credit, attempts, next_step_at, updated_at, ended_at)",
        "subscriptions",
    )
    grant("UPDATE (status)", "subscription_invoices")


def downgrade() -> None:
    """Migrations go forward only: money was taken since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
