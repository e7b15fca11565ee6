"""Users, and the audit log with its chain.

The app may add people, change what of them changes, and add audit rows; it may not delete a
person, and it can neither number, date nor chain an audit row itself.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from payments.schema.base import SCHEMA
from payments.schema.grants import grant, run_file

revision = "0002_people"
down_revision = "0001_frame"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, the trigger and the check of the chain; grant the app its part."""
    _create_users()
    _create_audit()
    run_file(Path(__file__).with_name("0002_audit.sql"))
    # The last one is for readiness: a replica asks whether its migration has run.
    grant("SELECT", "users", "audit_log", "alembic_version")
    grant("INSERT (email, password_hash)", "users")
    grant("UPDATE (password_hash, role, disabled_at, updated_at)", "users")
    grant("INSERT (actor, action, subject, detail)", "audit_log")


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default=sa.text("'customer'"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        _moment("created_at"),
        _moment("updated_at"),
        sa.CheckConstraint(
            "email = lower(email) AND length(email) <= 254", name=op.f("ck_users_email")
        ),
        sa.CheckConstraint("role IN ('customer', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("password_hash LIKE '$argon2id$%'", name=op.f("ck_users_password_hash")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        schema=SCHEMA,
    )


def _create_audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        schema=SCHEMA,
    )
    op.create_table(
        "audit_head",
        sa.Column("only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint('"only"', name=op.f("ck_audit_head_only")),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_audit_head")),
        schema=SCHEMA,
    )


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )
