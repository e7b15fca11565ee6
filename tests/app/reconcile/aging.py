"""Letting time pass over what is in the database."""

from __future__ import annotations

from tests.app.backends import MIGRATOR, Cluster


def age(postgres: Cluster, database: str, days: int) -> None:
    """Let every order and payment lie days further back; the service itself may not do that."""
    columns = {"payments": ("created_at", "updated_at", "expires_at"), "orders": ("paid_at",)}
    with postgres.connect(MIGRATOR, database, autocommit=True) as connection:
        for table, names in columns.items():
            changes = ", ".join(f"{name} = {name} - interval '{days} days'" for name in names)
            connection.execute(f"UPDATE payments.{table} SET {changes}".encode())  # noqa: S608
