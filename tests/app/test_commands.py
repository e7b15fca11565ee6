"""The commands of the image: what they print, how they end."""

from __future__ import annotations

import os

import pytest

from payments.cli import main
from tests.app.backends import ADMIN, APP, MIGRATOR, Cluster
from tests.app.processes import command, environment

REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests reaches the command."""
    for name in os.environ:
        if name.startswith("PAYMENTS_"):
            monkeypatch.delenv(name)


def run(monkeypatch: pytest.MonkeyPatch, name: str, env: dict[str, str]) -> int:
    """Run a command in this process."""
    with monkeypatch.context() as patched:
        for key, value in env.items():
            patched.setenv(key, value)
        return main([name])


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for name in ("api", "worker", "migrate", "prepare-database", "probe", "reconcile", "role"):
        assert name in said


def test_an_unknown_command_is_a_wrong_argument() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mint"])
    assert ended.value.code == 2


@pytest.mark.parametrize("name", ["api", "worker", "migrate", "prepare-database"])
def test_an_empty_environment_is_explained_line_by_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 3
    assert "payments: PAYMENTS_DATABASE_URL: missing" in capsys.readouterr().err


def test_prepare_and_migrate_make_an_empty_database_usable_and_run_again(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with postgres.database("template0") as name:
        admin = environment(
            postgres, name, REDIS, login=ADMIN,
            PAYMENTS_MIGRATOR_ROLE=MIGRATOR, PAYMENTS_APP_ROLE=APP,
        )  # fmt: skip
        migrator = environment(postgres, name, REDIS, login=MIGRATOR)
        for _ in range(2):
            assert run(monkeypatch, "prepare-database", admin) == 0
            assert run(monkeypatch, "migrate", migrator) == 0
        assert "the schema is at" in capsys.readouterr().out


def test_a_database_that_is_away_is_one_sentence(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = environment(postgres, "x", REDIS, login=MIGRATOR)
    env["PAYMENTS_DATABASE_URL"] = "postgresql://m:s3cret@127.0.0.1:1/x"
    assert run(monkeypatch, "migrate", env) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "s3cret" not in said


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_service_does_not_start_as_the_owner_of_its_tables(
    postgres: Cluster, database_name: str, redis_url: str, name: str
) -> None:
    env = environment(postgres, database_name, redis_url, login=MIGRATOR, PAYMENTS_PORT="0")
    done = command(name, env)
    assert done.returncode == 4
    assert "owns the schema payments" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_probe_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "probe", {"PAYMENTS_PORT": "1"}) == 1
    assert "nothing answers on port 1" in capsys.readouterr().err
