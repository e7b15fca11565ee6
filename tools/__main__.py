"""The command line behind `make`: `python -m tools <command>`.

Exit codes: 0 done; 1 it failed, and the message says why and what to do; 2 wrong usage; 130 stopped
by Ctrl-C. No failure shows a stack trace: it goes to the log, and `--debug` shows it.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from tools import process
from tools.console import Ui
from tools.errors import EXIT_FAILED, EXIT_INTERRUPTED, ToolError, from_os_error, tail
from tools.paths import Home

PLANS = ("free", "pro", "business", "enterprise")
Command = Callable[[argparse.Namespace, Ui], int]


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="python -m tools", description="The platform's commands.")
    top.add_argument("--debug", action="store_true", help="show stack traces")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, about: str, run: Command) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(run=run)
        return made

    up = command("up", "bring the whole platform up on this machine", _up)
    up.add_argument("--port", type=_port, help="the site's HTTPS port (8443, kept once chosen)")
    up.add_argument(
        "--ingress",
        choices=("tunnel", "load-balancer", "direct"),
        help="the way visitors come in (the stack file's, kept once chosen)",
    )
    command("down", "remove everything that `up` made", _down)
    command("status", "what runs, and whether the site answers", _status)
    logs = command("logs", "the last lines of everything that writes a log", _logs)
    logs.add_argument("--what", default="", help="only logs whose name contains this")
    logs.add_argument("--follow", action="store_true", help="keep showing until Ctrl-C")
    command("open", "open the platform's page", _open)
    command("test", "the whole default test suite", _test).add_argument("rest", nargs="*")
    command("e2e", "the tests that need a Docker engine", _e2e).add_argument("rest", nargs="*")
    command("stress", "what moves money, at its full size under load", _stress).add_argument(
        "rest", nargs="*"
    )
    command("lint", "style, types, Dockerfiles, shell scripts, workflows", _lint)
    command("types", "strict types of both environments", _types)
    preview = command("preview", "what an update of a stack would change, without an account",
                      _preview)  # fmt: skip
    report = command("report", "the same as a table", _report)
    for it in (preview, report):
        it.add_argument("--stack", required=True)
        it.add_argument("--base", default="", help="compare with this revision of the program")
    preview.add_argument("--plan", default="", choices=("", *PLANS),
                         help="as if the zone were on this plan of Cloudflare's")  # fmt: skip
    report.add_argument("--markdown", default="", help="write it for a comment, into this file")
    command("drift", "would an update of a stack change anything; asks its clouds", _drift
            ).add_argument("--stack", required=True)  # fmt: skip
    clean = command("clean", "remove environments and caches from the project", _clean)
    clean.add_argument("--all", action="store_true", help="the engine and the images as well")
    return top


def main(argv: list[str]) -> int:
    """Run a command; returns its exit code."""
    arguments = parser().parse_args(argv)
    ui = Ui()
    process.install_signal_handlers()
    try:
        return int(arguments.run(arguments, ui))
    except KeyboardInterrupt:
        process.stop_all()
        ui.say("")
        ui.say(f"Stopped. {_after_stop(arguments.command)}", style="yellow")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_FAILED
    except Exception as problem:
        process.stop_all()
        ui.record(traceback.format_exc())
        if arguments.debug:
            ui.say(traceback.format_exc())
        return _show(ui, problem)


def _show(ui: Ui, problem: Exception) -> int:
    if isinstance(problem, ToolError):
        error = problem
    elif isinstance(problem, OSError):
        error = from_os_error(problem)
    else:
        error = ToolError(
            f"An error in this tool: {type(problem).__name__}: {problem}",
            "Run it again with DEBUG=1 to see where, and report it with that.",
        )
    ui.say("")
    ui.say(error.message, style="bold red")
    if error.details:
        for line in tail(error.details, 25).splitlines():
            ui.say(f"    {line}", style="dim")
    for line in error.remedy.splitlines():
        ui.say(f"  {line}")
    return EXIT_FAILED


def _after_stop(command: str) -> str:
    if command == "up":
        return "make up goes on from here; make down removes what was made so far."
    if command == "down":
        return "make down goes on from here."
    return "Nothing of it goes on in the background."


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 1 << 16:
        raise argparse.ArgumentTypeError(f"{port} is no port")
    return port


# Each command imports what it needs: the help and a wrong argument should not wait for it.
def _up(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.up import up

    return up(Home.from_environment(), ui, arguments.port, arguments.ingress)


def _down(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.down import down

    return down(Home.from_environment(), ui)


def _status(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.look import status

    return status(Home.from_environment(), ui)


def _logs(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.look import logs

    return logs(Home.from_environment(), ui, arguments.what, follow=arguments.follow)


def _open(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.look import open_site

    return open_site(Home.from_environment(), ui)


def _test(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.checks import test

    return test(ui, arguments.rest)


def _e2e(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.checks import e2e

    return e2e(ui, arguments.rest)


def _stress(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.checks import stress

    return stress(ui, arguments.rest)


def _lint(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.checks import lint

    return lint(ui)


def _types(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.checks import types

    return types(ui)


def _preview(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.preview import preview

    return preview(ui, arguments.stack, arguments.base, arguments.plan)


def _report(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.report import report

    return report(ui, arguments.stack, arguments.base, arguments.markdown)


def _drift(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.drift import drift

    return drift(ui, arguments.stack)


def _clean(arguments: argparse.Namespace, ui: Ui) -> int:
    from tools.clean import clean

    return clean(ui, everything=arguments.all)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
