"""`payments reconcile`: a run by hand, with its report on standard output.

Exit codes: 0 both sides agree (or do now), 1 a gateway could not be asked, 5 somebody has to look.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from payments.gateways.protocol import Gateway
from payments.gateways.registry import GatewayUnavailableError
from payments.reconcile.options import DAILY_LIMIT
from payments.reconcile.service import Report, reconcile
from payments.reconcile.show import show
from payments.resources import Resources, build
from payments.settings import ServiceSettings

EXIT_DIFFERENCES: Final = 5
DEFAULT_PERIOD: Final = timedelta(days=2)
"""The day before last night's run is looked at once more: some payments settle late."""


def run(settings: ServiceSettings, options: argparse.Namespace) -> int:
    """Run it, print the report, return the exit code."""
    reports = asyncio.run(_run(settings, options))
    sys.stdout.write(show(reports, options.format))
    if any(report.error for report in reports):
        return 1
    return EXIT_DIFFERENCES if any(report.open for report in reports) else 0


async def _run(settings: ServiceSettings, options: argparse.Namespace) -> list[Report]:
    resources = build(settings, name="payments-reconcile", pool_size=2)
    try:
        return await every(
            resources,
            _wanted(resources, options.gateway),
            since=options.since or datetime.now(UTC) - DEFAULT_PERIOD,
            until=options.until,
            limit=options.limit,
            repair=not options.no_repair,
        )
    finally:
        await resources.close()


async def every(
    resources: Resources,
    gateways: list[Gateway],
    *,
    since: datetime,
    until: datetime | None = None,
    limit: int = DAILY_LIMIT,
    repair: bool = True,
) -> list[Report]:
    """Reconcile several gateways, one after the other."""
    return [
        await reconcile(resources, gateway, since=since, until=until, limit=limit, repair=repair)
        for gateway in gateways
    ]


def _wanted(resources: Resources, name: str | None) -> list[Gateway]:
    if name is None:
        return list(resources.gateways)
    gateway = resources.gateways.get(name)
    if gateway is None:
        offered = ", ".join(gateway.name for gateway in resources.gateways) or "none"
        raise GatewayUnavailableError(f"There is no gateway {name!r} here; there is {offered}.")
    return [gateway]
