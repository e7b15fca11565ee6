"""Reconciliation over a gateway's real list: lost events are repaired, the rest is reported."""

from __future__ import annotations

import csv
import io
import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from payments.gateways.protocol import GatewayUnknownError, ListedPayment, Unreadable
from payments.money import Money
from payments.ops.metrics import REGISTRY
from payments.reconcile.compare import KINDS
from payments.reconcile.options import arguments
from payments.reconcile.report import Report
from payments.reconcile.service import reconcile
from payments.reconcile.show import show
from payments.resources import Resources
from tests.app.orders.helpers import books, order, scalar
from tests.app.refunds.test_refunds import paid
from tests.app.stripe_server import StripeServer

COFFEE = Money(2490, "EUR")


@dataclass
class Listed:
    """A gateway that lists what it is given, and knows of `others` beside; `asked` is who."""

    payments: list[ListedPayment | Unreadable] = field(default_factory=list)
    others: dict[str, ListedPayment | Exception] = field(default_factory=dict)
    refunded: list[str] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    list_lag: timedelta = timedelta(minutes=15)
    disputes: None = None
    name: str = "stripe"
    account: str = "default"
    down: bool = False

    async def list_payments(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedPayment | Unreadable]:
        if self.down:
            raise GatewayUnknownError("no answer")
        inside = (
            one
            for one in self.payments
            if isinstance(one, Unreadable) or since <= one.created < until
        )
        for payment in islice(inside, most):
            yield payment

    async def list_refunded(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[str]:
        for ref in self.refunded[:most]:
            yield ref

    async def find_payment(
        self, *, payment_ref: str | None, checkout_ref: str | None
    ) -> ListedPayment | None:
        self.asked.append(payment_ref)
        found = self.others.get(payment_ref or checkout_ref or "")
        if isinstance(found, Exception):
            raise found
        return found


def theirs(session: dict[str, Any], **changes: Any) -> ListedPayment:
    values = {
        "payment_ref": f"pi_{session['id']}",
        "checkout_ref": None,
        "payment_id": None,
        "status": "paid",
        "money": COFFEE,
        "refunded": Money(0, "EUR"),
        "fee": Money(61, "EUR"),
        "created": datetime.now(UTC) - timedelta(seconds=1),
    }
    return ListedPayment(**(values | changes))


async def run(resources: Resources, gateway: Listed, **options: Any) -> Report:
    options = {"since": datetime.now(UTC) - timedelta(days=1)} | options
    return await reconcile(resources, gateway, **options)  # type: ignore[arg-type]


def kinds(report: Report) -> list[tuple[str, bool]]:
    return [(line.kind, line.repaired) for line in report.lines]


async def test_what_agrees_is_no_difference_and_the_fee_is_booked_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    gateway = Listed([theirs(session)])
    first, second = await run(resources, gateway), await run(resources, gateway)
    assert (first.listed, first.agreed, first.lines) == (1, 1, [])
    assert (first.fees_booked, second.fees_booked) == (1, 0)
    found = await books(resources)
    assert found[("gateway_fees", "EUR")] == -61
    assert found[("gateway_clearing", "EUR")] == -(2490 - 61), "what they will pay out"


async def test_a_lost_event_is_repaired_through_the_inbox_and_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await order(client)
    (session,) = stripe_server.sessions.values()
    payment_id = await scalar(resources, "SELECT id FROM payments.payments")
    gateway = Listed([theirs(session, payment_id=payment_id)])
    only_look = await run(resources, gateway, repair=False)
    assert kinds(only_look) == [("unpaid_here", False)]
    assert await scalar(resources, "SELECT status FROM payments.orders") == "pending"
    assert kinds(await run(resources, gateway)) == [("unpaid_here", True)]
    assert await scalar(resources, "SELECT status FROM payments.orders") == "paid"
    assert kinds(await run(resources, gateway)) == []
    await books(resources)


async def test_refunds_made_elsewhere_are_booked(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    gateway = Listed([theirs(session, refunded=Money(1000, "EUR"))])
    assert kinds(await run(resources, gateway)) == [("refunded", True)]
    assert await scalar(resources, "SELECT refunded FROM payments.payments") == 1000
    assert kinds(await run(resources, gateway)) == []


async def test_what_only_one_side_has_is_a_persons_to_look_at(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    await _age_payments(resources)
    report = await run(resources, Listed([theirs({"id": "foreign"})]))
    assert sorted(kinds(report)) == [("unknown_here", False), ("unpaid_there", False)]
    assert report.open == 2
    value = REGISTRY.get_sample_value(
        "reconciliation_differences", {"gateway": "stripe", "kind": "unpaid_there"}
    )
    assert value == 1
    for kind in KINDS:
        labels = {"gateway": "stripe", "kind": kind}
        assert REGISTRY.get_sample_value("reconciliation_differences", labels) is not None, kind
    kept = "SELECT count(*) FROM payments.reconciliation_differences WHERE NOT repaired"
    assert await scalar(resources, kept) == 2


async def test_a_second_payment_whose_event_was_lost_goes_to_suspense_once(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    payment_id = await scalar(resources, "SELECT id FROM payments.payments")
    second = theirs({"id": "second"}, payment_id=payment_id, fee=None)
    gateway = Listed([theirs(session, payment_id=payment_id), second])
    assert kinds(await run(resources, gateway)) == [("unknown_here", True)]
    assert (await books(resources))[("suspense", "EUR")] == COFFEE.amount
    assert kinds(await run(resources, gateway)) == []


async def _age_payments(resources: Resources) -> None:
    """Let what was paid lie an hour back."""
    async with resources.database.transaction() as session:
        await session.execute(
            text("UPDATE payments.orders SET paid_at = paid_at - interval '1 hour'")
        )


async def test_a_cut_list_is_not_taken_for_a_whole_one(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    await _age_payments(resources)
    now = datetime.now(UTC)
    many = [
        theirs({"id": f"x{n}"}, created=now - timedelta(minutes=n), status="failed")
        for n in range(5)
    ]
    report = await run(resources, Listed(many), limit=3)
    assert not report.complete
    assert report.listed == 3
    assert report.lines == [], "ours is older than what was listed: nothing is known of it"
    assert report.rest is not None
    told = show([report], "table")
    assert f"--until {report.rest.until:%Y-%m-%dT%H:%M:%S}, or raise --limit" in told
    assert not report.agrees, "the command must not say that both sides agree"


async def test_a_gateway_that_does_not_answer_is_a_failed_run_and_changes_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    await paid(client, stripe_server)
    report = await run(resources, Listed(down=True))
    assert report.error == "the gateway does not answer: no answer"
    assert await scalar(resources, "SELECT error FROM payments.reconciliation_runs") == report.error


async def test_reports_read_as_a_table_as_csv_and_as_json(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    report = await run(resources, Listed([theirs(session, money=Money(2400, "EUR"))]))
    table = show([report], "table")
    assert (
        "1 payments listed, 0 asked about, 0 agree, 1 differ (0 repaired), 1 fees booked" in table
    )
    assert "24.90 EUR, paid" in table
    (row,) = csv.DictReader(io.StringIO(show([report], "csv")))
    assert (row["kind"], row["theirs"], row["repaired"]) == ("amount", "24.00 EUR, paid", "no")
    (found,) = json.loads(show([report], "json"))
    assert found["lines"][0]["kind"] == "amount"


@pytest.mark.parametrize(
    "given", [["--since", "yesterday"], ["--limit", "0"], ["--limit", "many"], ["--format", "xml"]]
)
def test_wrong_options_are_refused_by_name(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ArgumentParser(prog="payments reconcile")
    arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(given)
    assert given[0] in capsys.readouterr().err
