"""The connector's command line, as far as the platform uses that of `cloudflared`.

`cloudflared --version`, `cloudflared tunnel [--metrics ADDR] … run [--token …]` and
`cloudflared tunnel --metrics ADDR ready` (exit code 0 once a connection to the edge stands: the
image holds no other program that a health check could run). Options are read before and after the
subcommand, and from the same environment variables as the original's.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import logging
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

from .agent import Agent, Settings

VERSION = "2026.10.0"
CA_FILE = Path("/etc/cloudflared/ca.pem")
"""Put there when the image is built: the authority that signs the edge's certificate."""
EDGE = "region1.v2.argotunnel.com:7844"
DEFAULT_METRICS = "127.0.0.1:20241"

log = logging.getLogger("cloudflared")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--no-autoupdate", action="store_true", default=argparse.SUPPRESS)
    options.add_argument("--metrics", default=argparse.SUPPRESS, metavar="ADDRESS")
    options.add_argument("--loglevel", default=argparse.SUPPRESS, metavar="LEVEL")
    options.add_argument("--edge", default=argparse.SUPPRESS, metavar="HOST:PORT")
    options.add_argument("--cacert", default=argparse.SUPPRESS, metavar="FILE")
    options.add_argument("--ha-connections", type=int, default=argparse.SUPPRESS, metavar="N")
    options.add_argument("--grace-period", type=seconds, default=argparse.SUPPRESS)
    options.add_argument("--protocol", default=argparse.SUPPRESS, help="accepted, without effect")
    top = argparse.ArgumentParser(prog="cloudflared", description=__doc__)
    top.add_argument(
        "--version", "-v", action="version", version=f"cloudflared version {VERSION} (twin)"
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("version")
    tunnel = commands.add_parser("tunnel", parents=[options])
    verbs = tunnel.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", parents=[options])
    run.add_argument("--token", default=argparse.SUPPRESS)
    verbs.add_parser("ready", parents=[options])
    return top


def seconds(text: str) -> float:
    """Read a duration as the original writes them: `30s`, `1m30s`, `500ms`, or a bare number."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
    if not re.fullmatch(r"\d+|(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration like 30s")
    parts = re.findall(r"([\d.]+)(ms|s|m|h|)", text)
    return sum(float(number) * units[unit] for number, unit in parts)


def address(text: str) -> tuple[str, int]:
    """Split `host:port`; no host means every address, as in `:2000`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise SystemExit(f"{text!r} is not an address like 127.0.0.1:2000")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  (asked for by the empty host)


def checked_token(text: str) -> str:
    """Return the token; exits as the original does when it cannot be one."""
    try:
        fields = json.loads(base64.b64decode(text, validate=True))
        if all(isinstance(fields[key], str) for key in "ats"):
            return text
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise SystemExit("Provided Tunnel token is not valid.")


def ready(metrics: str) -> int:
    """Ask a running connector whether it is connected; 0 when it is."""
    host, port = address(metrics)
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  (a comparison)
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/ready", timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = parser().parse_args(arguments)
    if given.command == "version":
        sys.stdout.write(f"cloudflared version {VERSION} (twin)\n")
        return 0
    metrics = getattr(given, "metrics", os.environ.get("TUNNEL_METRICS", DEFAULT_METRICS))
    if given.verb == "ready":
        return ready(metrics)
    logging.basicConfig(
        level=getattr(given, "loglevel", os.environ.get("TUNNEL_LOGLEVEL", "info")).upper(),
        format="%(asctime)s %(levelname).3s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    token = getattr(given, "token", os.environ.get("TUNNEL_TOKEN", ""))
    if not token:
        raise SystemExit('"cloudflared tunnel run" needs a token: --token or TUNNEL_TOKEN.')
    settings = Settings(
        token=checked_token(token),
        edge=address(getattr(given, "edge", os.environ.get("TUNNEL_EDGE", EDGE))),
        ca_file=Path(getattr(given, "cacert", os.environ.get("TUNNEL_CACERT", CA_FILE))),
        metrics=address(metrics),
        connections=getattr(given, "ha_connections", 4),
        grace_period=getattr(given, "grace_period", 30.0),
        version=VERSION,
    )
    if not settings.ca_file.exists():
        raise SystemExit(
            f"{settings.ca_file} is missing: the edge's certificate cannot be checked."
        )
    return asyncio.run(Agent(settings).run())


if __name__ == "__main__":
    sys.exit(main())
