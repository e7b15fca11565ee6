"""`python -m twin serve --home HOME`: run the local clouds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m twin", description="The local clouds.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="run the twin in the foreground until SIGTERM",
        description="Run the twin in the foreground until SIGTERM or Ctrl-C. "
        "HOME/account.json must say which accounts exist; HOME/twin.json appears when it is ready.",
        epilog="exit codes: 0 clean stop, 1 failure, 2 wrong usage or port taken, "
        "3 a twin already runs on this HOME",
    )
    serve.add_argument("--home", type=Path, required=True, help="the instance's folder")
    serve.add_argument(
        "--paper", action="store_true", help="control plane only: nothing is started (previews)"
    )
    serve.add_argument("--https-port", type=int, default=8443, help="the edge's port (8443)")
    serve.add_argument(
        "--firewall", type=Path, help="the managed rules' engine; without it they are not enforced"
    )
    serve.add_argument("--verbose", action="store_true", help="show debug lines too")
    arguments = parser.parse_args(argv)
    if not 0 < arguments.https_port < 2**16:
        parser.error(f"--https-port: {arguments.https_port} is no port")

    from twin import serve as server  # here: `--help` should not load the gRPC stack

    return server.run(
        server.Options(
            home=arguments.home.absolute(),
            paper=arguments.paper,
            https_port=arguments.https_port,
            verbose=arguments.verbose,
            firewall=arguments.firewall,
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
