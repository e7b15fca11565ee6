"""The `payments` command: what a container of this image can be told to do.

Exit codes: 0 done, 1 the thing itself failed, 2 wrong arguments, 3 the environment cannot be used,
4 the database login could do more than it may, 5 (`reconcile`) differences that somebody must look
at. Every failure is one sentence on standard error.
Modules are imported when their command runs: a probe must not load the whole service.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from payments.reconcile.options import arguments as add_reconcile_options

Command = Callable[[argparse.Namespace], int]

EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 3
EXIT_UNSAFE_ROLE: Final = 4
EXIT_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="payments",
        description="The payment service. Settings come from the environment (PAYMENTS_*, or"
        " PAYMENTS_*_FILE with the name of a file that holds the value).",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 settings, 4 unsafe login,"
        " 5 (reconcile) differences that somebody must look at, or more than --limit.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, run, text in (
        ("api", _with_settings(_api), "serve the API and the pages (port 8000; metrics on 9100)"),
        ("worker", _with_settings(_worker), "run background jobs"),
        (
            "migrate",
            _with_settings(_migrate),
            "bring the schema up to date, once, as the migrator",
        ),
        (
            "prepare-database",
            _with_settings(_prepare),
            "grant the migrator and the app their part, as the cluster's administrator",
        ),
        ("probe", _probe, "ask the process in this container whether it is well"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(command=run)
    text = "hold the gateways' own lists against our books, and repair what can be"
    reconcile = commands.add_parser("reconcile", help=text, description=text)
    add_reconcile_options(reconcile)
    reconcile.set_defaults(command=_with_settings(_reconcile))
    text = "give somebody a role on the admin pages, or take it away"
    role = commands.add_parser("role", help=text, description=text)
    role.add_argument("email", metavar="ADDRESS")
    role.add_argument("role", choices=("admin", "viewer", "none"))
    role.set_defaults(command=_with_settings(_role))
    return parser


def _with_settings(run: Command) -> Command:
    """Say what is wrong with the environment, one line per variable, instead of a traceback."""

    def guarded(arguments: argparse.Namespace) -> int:
        from payments.settings import SettingsError

        try:
            return run(arguments)
        except SettingsError as error:
            for problem in error.problems:
                _say(problem)
            return EXIT_SETTINGS

    return guarded


def _say(sentence: str) -> None:
    sys.stderr.write(f"payments: {sentence}\n")


def _api(_: argparse.Namespace) -> int:
    from payments import resources
    from payments.app import create_app
    from payments.db import UnsafeRoleError
    from payments.ops import logs, metrics
    from payments.server import serve
    from payments.settings import ServiceSettings, load

    settings = load(ServiceSettings)
    logs.configure(level=settings.log_level, release=settings.release)
    if settings.metrics_port:
        metrics.serve(settings.metrics_port)
    try:
        started = serve(create_app(resources.build(settings, name="payments-api")), settings)
    except UnsafeRoleError as error:
        _say(f"{error}.")
        return EXIT_UNSAFE_ROLE
    return 0 if started else EXIT_FAILED


def _worker(_: argparse.Namespace) -> int:
    from payments.db import UnsafeRoleError
    from payments.ops import logs, metrics
    from payments.settings import ServiceSettings, load
    from payments.worker.run import run

    settings = load(ServiceSettings)
    logs.configure(level=settings.log_level, release=settings.release)
    if settings.metrics_port:
        metrics.serve(settings.metrics_port)
    try:
        run(settings)
    except UnsafeRoleError as error:
        _say(f"{error}.")
        return EXIT_UNSAFE_ROLE
    return 0


def _reconcile(arguments: argparse.Namespace) -> int:
    from payments.errors import ProblemError
    from payments.ops import logs
    from payments.reconcile.command import run
    from payments.settings import ServiceSettings, load

    settings = load(ServiceSettings)
    logs.configure(level="ERROR", release=settings.release)  # the report says what was found
    try:
        return run(settings, arguments)
    except ProblemError as error:
        _say(str(error))
        return EXIT_FAILED


def _role(arguments: argparse.Namespace) -> int:
    from payments.access.command import run
    from payments.ops import logs
    from payments.settings import ServiceSettings, load

    settings = load(ServiceSettings)
    logs.configure(level="ERROR", release=settings.release)
    return run(settings, arguments)


def _migrate(_: argparse.Namespace) -> int:
    from payments.schema.migrate import MigrationError, migrate
    from payments.settings import MigrateSettings, load

    settings = load(MigrateSettings)
    try:
        before, after = migrate(settings.database)
    except MigrationError as error:
        _say(f"{error}.")
        return EXIT_FAILED
    sys.stdout.write(
        f"payments: the schema is at {after}"
        + (f", was at {before}.\n" if before != after else ".\n")
    )
    return 0


def _prepare(_: argparse.Namespace) -> int:
    from payments.schema.prepare import PrepareError, prepare
    from payments.settings import PrepareSettings, load

    settings = load(PrepareSettings)
    try:
        prepare(settings.database, migrator=settings.migrator_role, app=settings.app_role)
    except PrepareError as error:
        _say(f"{error}.")
        return EXIT_FAILED
    sys.stdout.write(
        f"payments: {settings.migrator_role} may make the schema, {settings.app_role} may use it.\n"
    )
    return 0


def _probe(_: argparse.Namespace) -> int:
    from payments.probe import probe

    problem = probe(os.environ)
    if problem is not None:
        _say(f"{problem}.")
        return EXIT_FAILED
    return 0
