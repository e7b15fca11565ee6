"""What goes wrong with one payment or one gateway stops nothing else, and is not made well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from payments.gateways.protocol import GatewayUnreadableError, Unreadable
from payments.money import Money
from payments.ops.metrics import REGISTRY
from payments.reconcile import fees
from payments.reconcile.command import every
from payments.resources import Resources
from tests.app.orders.helpers import books, order, scalar
from tests.app.reconcile.test_reconcile import COFFEE, Listed, kinds, run, theirs
from tests.app.refunds.test_refunds import paid
from tests.app.stripe_server import StripeServer

ODD = Unreadable(ref="ch_odd", why="an undocumented answer (KeyError)")


async def test_what_was_not_repaired_is_not_called_repaired_the_next_night(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    gateway = Listed([theirs(session, refunded=Money(99_999, "EUR"))])
    for _ in range(3):
        assert kinds(await run(resources, gateway)) == [("refunded", False)]


async def test_a_fee_that_changes_is_booked_by_the_difference(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    for fee in (61, 70, 61, 0):
        gateway = Listed([theirs(session, fee=Money(fee, "EUR"))])
        assert [(await run(resources, gateway)).fees_booked for _ in range(2)] == [1, 0]
        assert (await books(resources)).get(("gateway_fees", "EUR"), 0) == -fee
    count = "SELECT count(*) FROM payments.ledger_transfers WHERE kind = 'gateway.fee'"
    assert await scalar(resources, count) == 4


async def test_an_odd_row_is_a_line_and_the_others_are_done(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    report = await run(resources, Listed([ODD, theirs(session)]))
    assert kinds(report) == [("error", False)]
    assert (report.listed, report.agreed, report.fees_booked) == (2, 1, 1)
    assert (report.error, report.complete, report.agrees) == (None, True, False)
    assert report.lines[0].payment_ref == "ch_odd"


async def test_an_odd_answer_about_one_payment_is_a_line(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    ref = f"pi_{session['id']}"
    gateway = Listed(refunded=[ref], others={ref: GatewayUnreadableError("undocumented")})
    report = await run(resources, gateway)
    assert kinds(report) == [("error", False)], "and not sold for nothing: nobody knows"
    assert (report.lines[0].ours, report.lines[0].theirs) == ("24.90 EUR, paid", "undocumented")


async def test_an_error_with_one_payment_does_not_hold_up_the_next(
    client: httpx.AsyncClient,
    stripe_server: StripeServer,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = await paid(client, stripe_server)
    await order(client, key="lost")
    lost = await scalar(resources, "SELECT id FROM payments.payments WHERE status = 'open'")
    book = fees.book

    async def breaks_for_one(*arguments: object) -> bool:
        if arguments[2] == lost:
            raise ArithmeticError
        return await book(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fees, "book", breaks_for_one)
    rows = [theirs({"id": "lost"}, payment_id=lost), theirs(session)]
    report = await run(resources, Listed(rows))
    assert kinds(report) == [("unpaid_here", True), ("error", False)]
    assert (report.fees_booked, report.error) == (1, None)


async def test_a_gateway_that_breaks_the_run_stops_no_other_and_its_report_is_kept(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    broken = Listed([theirs(session)], name="broken", list_lag=None)  # type: ignore[arg-type]
    first, second = await every(resources, [broken, Listed([theirs(session)])])  # type: ignore[list-item]
    assert (first.error, first.complete) == ("the run broke off (TypeError)", False)
    assert (second.error, second.fees_booked) == (None, 1)
    kept = "SELECT error FROM payments.reconciliation_runs WHERE gateway = 'broken'"
    assert await scalar(resources, kept) == first.error
    assert REGISTRY.get_sample_value("reconciliation_complete", {"gateway": "broken"}) == 0


async def test_a_refund_that_is_under_way_is_not_booked_before_it_is_through(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    async with resources.database.transaction() as transaction:
        await transaction.execute(
            text(
                "INSERT INTO payments.refunds (payment_id, request_key, requested_by, reason,"
                " status, gateway_key, request, currency, amount) SELECT id, 'r', 'tests', 'r',"
                " 'pending', 'r', '{}', currency, 500 FROM payments.payments"
            )
        )
    refunded = "SELECT refunded FROM payments.payments"
    assert kinds(await run(resources, Listed([theirs(session, refunded=Money(500, "EUR"))]))) == []
    gateway = Listed([theirs(session, refunded=Money(800, "EUR"))])
    assert kinds(await run(resources, gateway)) == [("refunded", True)]
    assert await scalar(resources, refunded) == 300, "what their pages gave back, and no more"
    assert kinds(await run(resources, gateway)) == []


async def test_looking_only_changes_nothing(
    client: httpx.AsyncClient, stripe_server: StripeServer, resources: Resources
) -> None:
    session = await paid(client, stripe_server)
    before = await books(resources)
    gateway = Listed([theirs(session, refunded=COFFEE)])
    report = await run(resources, gateway, repair=False, until=datetime.now(UTC))
    assert (kinds(report), report.fees_booked) == ([("refunded", False)], 0)
    assert await books(resources) == before
    assert datetime.now(UTC) - report.until < timedelta(minutes=1)
