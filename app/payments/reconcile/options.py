"""What `payments reconcile` can be told. Light: other commands read it for their `--help`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Final

DAILY_LIMIT: Final = 500


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="DATE",
        help="the first day or moment, UTC: 2026-11-20 or 2026-11-20T06:00 (default: 2 days ago)",
    )
    parser.add_argument("--until", type=_moment, metavar="DATE", help="the end (default: now)")
    parser.add_argument(
        "--limit",
        type=_positive,
        default=DAILY_LIMIT,
        help="payments listed per gateway, at most; the report says where to go on"
        f" (default: {DAILY_LIMIT})",
    )
    parser.add_argument("--gateway", metavar="NAME", help="one gateway only (default: all)")
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="(default: table)"
    )
    parser.add_argument("--no-repair", action="store_true", help="look only, change nothing")


def _moment(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{given!r} is not a date; write 2026-11-20 or 2026-11-20T06:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _positive(given: str) -> int:
    if not given.isdigit() or int(given) == 0:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number above zero")
    return int(given)
