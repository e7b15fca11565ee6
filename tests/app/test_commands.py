"""The commands of the image: what they print, how they end."""

from __future__ import annotations

import pytest

from tests.app.backends import ADMIN, APP, MIGRATOR, Cluster
from tests.app.processes import command, environment

REDIS = "redis://127.0.0.1:1/0"


def test_help_lists_every_command() -> None:
    done = command("--help", {})
    assert done.returncode == 0
    for name in ("api", "worker", "migrate", "prepare-database", "probe"):
        assert name in done.stdout


def test_an_unknown_command_is_a_wrong_argument() -> None:
    assert command("mint", {}).returncode == 2


@pytest.mark.parametrize("name", ["api", "worker", "migrate", "prepare-database"])
def test_an_empty_environment_is_explained_line_by_line(name: str) -> None:
    done = command(name, {})
    assert done.returncode == 3
    assert "payments: PAYMENTS_DATABASE_URL: missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_prepare_and_migrate_make_an_empty_database_usable_and_run_again(
    postgres: Cluster,
) -> None:
    with postgres.database("template0") as name:
        admin = environment(
            postgres, name, REDIS, login=ADMIN,
            PAYMENTS_MIGRATOR_ROLE=MIGRATOR, PAYMENTS_APP_ROLE=APP,
        )  # fmt: skip
        migrator = environment(postgres, name, REDIS, login=MIGRATOR)
        for _ in range(2):
            prepared = command("prepare-database", admin)
            assert prepared.returncode == 0, prepared.stderr
            migrated = command("migrate", migrator)
            assert migrated.returncode == 0, migrated.stderr
        assert "the schema is at" in migrated.stdout


def test_a_database_that_is_away_is_one_sentence(postgres: Cluster) -> None:
    env = environment(postgres, "x", REDIS, login=MIGRATOR)
    env["PAYMENTS_DATABASE_URL"] = "postgresql://m:s3cret@127.0.0.1:1/x"
    done = command("migrate", env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_service_does_not_start_as_the_owner_of_its_tables(
    postgres: Cluster, database_name: str, redis_url: str, name: str
) -> None:
    env = environment(postgres, database_name, redis_url, login=MIGRATOR, PAYMENTS_PORT="0")
    done = command(name, env)
    assert done.returncode == 4
    assert "owns the schema payments" in done.stderr


def test_the_probe_says_what_is_wrong() -> None:
    done = command("probe", {"PAYMENTS_PORT": "1"})
    assert done.returncode == 1
    assert "nothing answers on port 1" in done.stderr
