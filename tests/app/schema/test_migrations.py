"""The schema is what the models say, has one history, and can be reached twice at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from payments.money import EXPONENTS, OTHERS
from payments.schema.migrate import MigrationError, config, migrate
from payments.schema.prepare import PrepareError, prepare
from tests.app.backends import ADMIN, APP, MIGRATOR, TEMPLATE, Cluster


def test_the_history_has_one_head() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1, "merge or re-chain them"


def test_the_models_and_the_migrations_agree(postgres: Cluster, database_name: str) -> None:
    engine = create_engine(
        postgres.url(MIGRATOR, database_name).replace("postgresql:", "postgresql+psycopg:")
    )
    with engine.connect() as connection:
        command.check(config(connection))
    engine.dispose()


def test_two_migrations_at_once_both_succeed(postgres: Cluster) -> None:
    with postgres.database("template0") as name, ThreadPoolExecutor(2) as pool:
        settings = postgres.settings(MIGRATOR, name)
        results = list(pool.map(lambda _: migrate(settings), range(2)))
    assert {after for _, after in results} == {results[0][1]} != {"nothing"}
    assert sorted(before == after for before, after in results) == [False, True], (
        "one did the work, the other waited and found nothing to do"
    )


def test_a_migration_says_why_it_could_not(postgres: Cluster, database_name: str) -> None:
    with pytest.raises(MigrationError, match=r"permission denied|must be owner"):
        migrate(postgres.settings(APP, database_name), "heads")


def test_preparing_again_changes_nothing_and_takes_no_superuser(
    postgres: Cluster, database_name: str
) -> None:
    settings = postgres.settings(ADMIN, database_name)
    prepare(settings, migrator=MIGRATOR, app=APP)
    with pytest.raises(PrepareError, match="two logins"):
        prepare(settings, migrator=APP, app=APP)
    with pytest.raises(PrepareError, match="no login nobody_here"):
        prepare(settings, migrator=MIGRATOR, app="nobody_here")


def test_a_superuser_cannot_be_the_app(postgres: Cluster, database_name: str) -> None:
    with pytest.raises(PrepareError, match="superuser"):
        prepare(postgres.settings(ADMIN, database_name), migrator=MIGRATOR, app="postgres")


def test_the_database_knows_every_currency_with_its_exponent(postgres: Cluster) -> None:
    with postgres.connect(APP, TEMPLATE) as connection:
        rows = connection.execute("SELECT code, exponent FROM payments.currencies").fetchall()
    assert dict(rows) == EXPONENTS | OTHERS, "ISO changed: write a migration"


def test_an_admin_and_one_whose_role_was_taken_away_stay_what_they_are(postgres: Cluster) -> None:
    """Without it the first request after the release would make an admin of the second again."""
    with postgres.database("template0") as name:
        migrate(postgres.settings(MIGRATOR, name), "0016_subscription_money")
        with postgres.connect(MIGRATOR, name) as connection:
            for person, role in (("ada", "admin"), ("bo", "customer"), ("cy", "customer")):
                connection.execute(
                    "INSERT INTO payments.users (email, password_hash, role)"
                    " VALUES (%s, '$argon2id$', %s)",
                    (f"{person}@example.com", role),
                )
            connection.execute(
                "INSERT INTO payments.audit_log (actor, action, subject)"
                " SELECT 'system', 'user.role_changed', id::text FROM payments.users"
                " WHERE email = 'bo@example.com'"
            )
        migrate(postgres.settings(MIGRATOR, name))
        with postgres.connect(MIGRATOR, name) as connection:
            settled = connection.execute(
                "SELECT email FROM payments.users WHERE role_settled_at IS NOT NULL ORDER BY email"
            ).fetchall()
    assert settled == [("ada@example.com",), ("bo@example.com",)], "cy never came"


def test_news_of_withdrawals_that_was_given_up_is_tried_again(postgres: Cluster) -> None:
    keep = (
        "INSERT INTO payments.webhook_inbox (provider, account, event_key, event_type, event,"
        " state, handled_at) VALUES ('stripe', 'default', %s, 't', %s::jsonb, %s, now())"
    )
    news = (
        ("withdrawal", '{"kind": "payout_paid", "amount": -1000}', "abandoned"),
        ("payout", '{"kind": "payout_paid", "amount": 1000}', "abandoned"),
        ("payment", '{"kind": "expired", "amount": null}', "abandoned"),
        ("known", '{"kind": "payout_failed", "amount": -1000}', "applied"),
    )
    with postgres.database("template0") as name:
        migrate(postgres.settings(MIGRATOR, name), "0021_begun_disputes")
        with postgres.connect(MIGRATOR, name) as connection:
            for one in news:
                connection.execute(keep, one)
        migrate(postgres.settings(MIGRATOR, name))
        with postgres.connect(MIGRATOR, name) as connection:
            again = connection.execute(
                "SELECT event_key FROM payments.webhook_inbox WHERE state = 'failed'"
                " AND next_attempt_at > now()"
            ).fetchall()
    assert again == [("withdrawal",)]
