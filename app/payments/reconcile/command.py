"""`payments reconcile`: a run by hand, with its report on standard output; and the worker's runs.

Exit codes: 0 both sides agree (or do now), 1 a gateway could not be asked, 5 somebody has to look:
at a difference, or at what --limit has left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from payments.gateways.protocol import Gateway
from payments.gateways.registry import GatewayUnavailableError
from payments.ops.logs import get_logger
from payments.reconcile import coverage
from payments.reconcile.options import DAILY_LIMIT
from payments.reconcile.report import REACHED, Report
from payments.reconcile.service import SLICES, reconcile
from payments.reconcile.show import show
from payments.resources import Resources, build
from payments.settings import ServiceSettings

EXIT_DIFFERENCES: Final = 5

log = get_logger(__name__)


def run(settings: ServiceSettings, options: argparse.Namespace) -> int:
    """Run it, print the report, return the exit code."""
    reports = asyncio.run(_run(settings, options))
    sys.stdout.write(show(reports, options.format))
    if any(report.error for report in reports):
        return 1
    return 0 if all(report.agrees for report in reports) else EXIT_DIFFERENCES


async def _run(settings: ServiceSettings, options: argparse.Namespace) -> list[Report]:
    resources = build(settings, name="payments-reconcile", pool_size=2)
    try:
        return await every(
            resources,
            _wanted(resources, options.gateway),
            since=options.since or coverage.begin(None, datetime.now(UTC)),
            until=options.until,
            limit=options.limit,
            repair=not options.no_repair,
        )
    finally:
        await resources.close()


async def every(
    resources: Resources,
    gateways: Iterable[Gateway],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = DAILY_LIMIT,
    slices: int = 1,
    repair: bool = True,
) -> list[Report]:
    """Reconcile several gateways, one after the other; without `since` each goes on where it was.

    What goes wrong with one stops none of the others.
    """
    reports = []
    for gateway in gateways:
        now = datetime.now(UTC)
        begins = since or now
        try:
            if since is None:
                begins = coverage.begin(await _reached(resources, gateway), now)
            report = await reconcile(
                resources,
                gateway,
                since=begins,
                until=until,
                limit=limit,
                slices=slices,
                repair=repair,
            )
        except Exception as error:  # its report could not even be kept
            log.error("reconciliation.broken", gateway=gateway.name, exc_info=error)
            report = Report(
                gateway=gateway.name,
                account=gateway.account,
                since=begins,
                until=until or now,
                complete=False,
                error=f"the run broke off ({type(error).__name__})",
            )
        reports.append(report)
    return reports


async def everything(resources: Resources, gateways: Iterable[Gateway]) -> list[Report]:
    """Reconcile what has come since the last complete run, however much it is."""
    return await every(resources, gateways, slices=SLICES)


async def missed(resources: Resources) -> list[str]:
    """Return the gateways whose daily run is overdue: the worker was down, or they were."""
    late = []
    for gateway in resources.gateways:
        end = await _reached(resources, gateway)
        if end is not None:
            REACHED.labels(gateway.name).set(end.timestamp())
        if coverage.is_late(end, datetime.now(UTC)):
            late.append(gateway.name)
    return late


async def _reached(resources: Resources, gateway: Gateway) -> datetime | None:
    async with resources.database.transaction() as session:
        return await coverage.reached(session, gateway.name, gateway.account)


def _wanted(resources: Resources, name: str | None) -> list[Gateway]:
    if name is None:
        return list(resources.gateways)
    gateway = resources.gateways.get(name)
    if gateway is None:
        offered = ", ".join(gateway.name for gateway in resources.gateways) or "none"
        raise GatewayUnavailableError(f"There is no gateway {name!r} here; there is {offered}.")
    return [gateway]
