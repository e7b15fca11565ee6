"""Each gateway's whole way on the running platform: paid, told, given back, disputed, reconciled.

Customers and payers are browsers, admins come in through Access, and what befalls a gateway is done
on the twin's own page. One gateway after the other; the tests of one build on each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import people
from tests.e2e.conftest import Platform
from tests.e2e.people import Admin, Customer, Twin, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

_COFFEE, _COURSE = "Coffee beans", "Espresso course"


@dataclass(frozen=True)
class Way:
    """How to pay at one gateway, and what is disputed there: its actions, and their values."""

    name: str
    label: str
    pay: Callable[[Page], None]
    open_dispute: tuple[str, ...] = ()
    close_dispute: tuple[str, ...] = ()


_WAYS = (
    Way("stripe", "Card, by Stripe", people.pay_with_card,
        ("open-dispute", "fraudulent"), ("close-dispute", "lost")),
    Way("razorpay", "UPI, card or bank, by Razorpay", people.pay_by_upi,
        ("open-dispute",), ("close-dispute", "lost")),
    Way("paypal", "PayPal", people.pay_with_paypal,
        ("open-dispute",), ("resolve-dispute", "buyer")),
    Way("cryptomus", "Crypto, by Cryptomus", people.pay_with_coins),
)  # fmt: skip


@dataclass
class Walk:
    """One gateway's way, and the people on it; `orders` are what was paid, newest last."""

    way: Way
    platform: Platform
    customer: Customer
    admin: Admin
    twin: Twin
    orders: list[str] = field(default_factory=list)

    def pay(self, product: str) -> str:
        """Buy something in the browser; returns the order, on whose page the payer ends."""
        order = self.customer.order(product, self.way.label)
        self.way.pay(self.customer.page)
        self.customer.page.wait_for_url(re.compile(f"/orders/{order}"))
        self.orders.append(order)
        return order

    def payment(self, order: str) -> str:
        return self._one(f"SELECT id FROM payments.payments WHERE order_id = '{order}'")  # noqa: S608

    def ref(self, order: str) -> str:
        """The payment's id at the gateway."""
        return self._one(f"SELECT payment_ref FROM payments.payments WHERE order_id = '{order}'")  # noqa: S608

    def events(self, order: str) -> set[str]:
        """What became of the webhooks that told of an order: state by kind."""
        text = self.platform.psql(
            "SELECT i.state FROM payments.webhook_inbox i JOIN payments.payments p "  # noqa: S608
            "ON p.id = i.payment_id OR i.event ->> 'checkout_ref' = p.checkout_ref "
            f"WHERE p.order_id = '{order}' AND i.event_type NOT LIKE 'asked.%' "
            "AND i.event_type NOT LIKE 'reconciled.%'"
        )
        return set(text.split())

    def booked(self, order: str, purpose: str) -> int:
        """Minor units of EUR that an order has moved on accounts of this purpose, fees left out.

        What a gateway keeps is booked whenever it is reconciled, which the worker does as well.
        """
        text = self.platform.psql(
            "SELECT coalesce(sum(e.amount), 0) FROM payments.ledger_entries e "  # noqa: S608
            "JOIN payments.ledger_transfers t ON t.id = e.transfer_id "
            "JOIN payments.ledger_accounts a ON a.id = e.account_id "
            f"JOIN payments.payments p ON p.order_id = '{order}' "
            "WHERE (t.subject IN ('order:' || p.order_id, 'payment:' || p.id) "
            f"OR t.key LIKE '%' || p.id || '%') AND a.purpose = '{purpose}' AND a.currency = 'EUR' "
            "AND t.kind <> 'gateway.fee'"
        )
        return int(text)

    def _one(self, query: str) -> str:
        found = self.platform.psql(query)
        assert found, query
        return found


@pytest.fixture(scope="module")
def customer(platform: Platform, browser: Browser) -> Iterator[Customer]:
    with people.visit(browser) as page:
        made = Customer(page, platform.url, "grace@example.com")
        made.join()
        yield made


@pytest.fixture(scope="module")
def admin(platform: Platform, browser: Browser) -> Iterator[Admin]:
    with people.visit(browser) as page:
        made = Admin(page, platform.url, "charles@payments.localhost")
        made.come_in()
        yield made


@pytest.fixture(scope="module")
def twin(platform: Platform, browser: Browser) -> Iterator[Twin]:
    with people.visit(browser) as page:
        yield Twin(page, f"https://twin.localhost:{platform.port}")


@pytest.fixture(scope="module", params=_WAYS, ids=lambda way: way.name)
def walk(
    request: pytest.FixtureRequest,
    platform: Platform,
    customer: Customer,
    admin: Admin,
    twin: Twin,
) -> Walk:
    return Walk(request.param, platform, customer, admin, twin)


def test_somebody_pays_and_the_gateway_tells_of_it(walk: Walk) -> None:
    order = walk.pay(_COFFEE)
    walk.customer.sees(order, "Paid")
    until(lambda: walk.events(order), "the gateway's signed webhook")
    assert walk.events(order) <= {"applied", "refused", "ignored"}, "none is stuck"
    assert walk.booked(order, "gateway_clearing") == -2490
    assert walk.booked(order, "merchant") + walk.booked(order, "fees") == 2490


def test_a_part_is_given_back(walk: Walk) -> None:
    order = walk.orders[-1]
    if walk.way.name == "cryptomus":
        walk.admin.page.goto(f"{walk.platform.url}/admin/payments/{walk.payment(order)}/refund")
        expect(walk.admin.page.locator("main")).to_contain_text("gives nothing back by itself")
        assert walk.twin.befall("cryptomus", "refund", walk.ref(order)) == walk.ref(order)
        walk.customer.sees(order, "Refunded")
        assert walk.booked(order, "gateway_clearing") == 0
        return
    walk.admin.refund(walk.payment(order), "5.00")
    walk.customer.sees(order, "Partly refunded", "€5.00")
    status = f"SELECT status FROM payments.refunds WHERE payment_id = '{walk.payment(order)}'"  # noqa: S608
    until(lambda: walk.platform.psql(status) == "succeeded", "the refund's end")
    assert walk.booked(order, "gateway_clearing") == -1990


def test_a_dispute_or_its_nearest_is_settled(walk: Walk) -> None:
    """Coins have no disputes; somebody who sends half of them is the nearest."""
    if not walk.way.open_dispute:
        _half_is_paid_and_credited(walk)
        return
    order = walk.pay(_COURSE)
    walk.customer.sees(order, "Paid")
    action, *values = walk.way.open_dispute
    dispute = walk.twin.befall(walk.way.name, action, walk.ref(order), *values)
    page = walk.admin.page
    disputes = f"{walk.platform.url}/admin/disputes"
    row = page.locator("tr", has_text=dispute)
    until(row.count, f"{dispute} is known", lambda: page.goto(disputes))
    expect(row).to_contain_text("Open")
    assert walk.booked(order, "disputed") == -12900, "the gateway has it while nobody has decided"
    action, *values = walk.way.close_dispute
    walk.twin.befall(walk.way.name, action, dispute, *values)
    until(lambda: row.get_by_text("Lost").count(), "it is lost", lambda: page.goto(disputes))
    if walk.way.name == "razorpay":
        refunds = (
            "SELECT count(*) FROM payments.webhook_inbox WHERE event_type = 'refund.processed' "  # noqa: S608
            f"AND payment_id = '{walk.payment(order)}' AND state = 'refused'"
        )
        until(lambda: int(walk.platform.psql(refunds)), "what is lost is told as a refund as well")
    assert walk.booked(order, "disputed") == 0
    assert walk.booked(order, "gateway_clearing") == 0


def _half_is_paid_and_credited(walk: Walk) -> None:
    order = walk.customer.order(_COURSE, walk.way.label)
    people.pay_with_coins(walk.customer.page, "less")
    walk.customer.page.wait_for_url(re.compile(f"/orders/{order}"))
    walk.orders.append(order)
    walk.customer.sees(order, "Being checked", "A person is looking at it")
    page = walk.admin.page
    page.goto(f"{walk.platform.url}/admin/reviews/{walk.payment(order)}")
    page.get_by_role("button").filter(has_text="redit").click()
    expect(page.get_by_text("What waited is the customer's credit now")).to_be_visible()
    walk.customer.page.goto(f"{walk.platform.url}/dashboard")
    expect(walk.customer.page.locator("main")).to_contain_text("Crypto")


def test_what_no_event_told_is_found_by_reconciliation(walk: Walk) -> None:
    with walk.twin.losing_events(walk.way.name):
        order = walk.pay(_COFFEE)
    walk.admin.reconcile(walk.way.name.capitalize())
    walk.customer.sees(order, "Paid")
    assert walk.events(order) == set(), "no webhook told of it"
    report = walk.admin.page.locator("main")
    expect(report).to_contain_text("Payments listed")
    # Whoever comes back makes the worker ask, so that it may be known before the report is made.
    unrepaired = walk.platform.psql(
        "SELECT string_agg(d.kind, ',') FROM payments.reconciliation_differences d "  # noqa: S608
        "JOIN payments.reconciliation_runs r ON r.id = d.run_id "
        f"WHERE r.gateway = '{walk.way.name}' AND NOT d.repaired"
    )
    assert unrepaired == "", "both sides say the same"


def test_a_dispute_that_no_event_told_of_is_found_by_reconciliation(walk: Walk) -> None:
    if not walk.way.open_dispute:
        return
    order, page = walk.orders[-1], walk.admin.page
    dispute, disputes = "", f"{walk.platform.url}/admin/disputes"
    for (action, *values), shown in (
        (walk.way.open_dispute, "Open"),
        (walk.way.close_dispute, "Lost"),
    ):
        with walk.twin.losing_events(walk.way.name):
            dispute = walk.twin.befall(walk.way.name, action, dispute or walk.ref(order), *values)
        page.goto(disputes)
        expect(page.locator("tr", has_text=dispute).get_by_text(shown)).to_have_count(0)
        walk.admin.reconcile(walk.way.name.capitalize())
        row = page.locator("tr", has_text=dispute)
        page.goto(disputes)
        until(
            row.get_by_text(shown).count,
            f"{dispute} is found to be {shown}",
            lambda: page.goto(disputes),
        )
    assert walk.booked(order, "disputed") == 0
    assert walk.booked(order, "gateway_clearing") == 0


def test_all_books_balance(platform: Platform, customer: Customer) -> None:
    sums = platform.psql(
        "SELECT currency, sum(amount) FROM payments.ledger_entries "
        "GROUP BY 1 HAVING sum(amount) <> 0"
    )
    assert sums == ""
    stuck = platform.psql(
        "SELECT provider, event_type, state, reason FROM payments.webhook_inbox "
        "WHERE state IN ('parked', 'failed', 'abandoned')"
    )
    assert stuck == "", "no event waits for its effect"
