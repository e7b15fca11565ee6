"""The simulator against Stripe's own mock server: the same calls, the same shapes and refusals.

The mock is made of Stripe's OpenAPI document. It remembers nothing, so that values cannot be
compared; names, types and the refusal of what is unknown or missing can.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest

from tests.twin.edge.harness import eventually, free_port, run
from tests.twin.gateways.world import KEY, World, gateway, order
from tools.stripe_mock import STRIPE_MOCK
from twin.gateways.stripe import plans

SAVES = "customer_creation=always&payment_intent_data[setup_future_usage]=off_session"
LINE = (
    "line_items[0][quantity]=1&line_items[0][price_data][currency]=usd"
    "&line_items[0][price_data][unit_amount]=1250"
    "&line_items[0][price_data][product_data][name]=Top-up"
)
SESSION = f"mode=payment&{LINE}&success_url=https://s.example/ok"
INTENT = "amount=990&currency=usd"

CALLS: dict[str, tuple[str, str, str, str]] = {
    "a session is created": ("POST", "/v1/checkout/sessions", f"{SESSION}&{SAVES}", ""),
    "a session is read": ("GET", "/v1/checkout/sessions/{session}", "", ""),
    "sessions are listed": ("GET", "/v1/checkout/sessions", "limit=3", ""),
    "a session expires": ("POST", "/v1/checkout/sessions/{open}/expire", "", ""),
    "its lines are listed": ("GET", "/v1/checkout/sessions/{session}/line_items", "", ""),
    "an intent is created": ("POST", "/v1/payment_intents", INTENT, "amount"),
    "an intent is charged off session": (
        "POST",
        "/v1/payment_intents",
        f"{INTENT}&customer={{customer}}&payment_method={{method}}&off_session=true&confirm=true",
        "currency",
    ),
    "an intent is read": ("GET", "/v1/payment_intents/{intent}", "", ""),
    "a customer's intents are listed": (
        "GET", "/v1/payment_intents", "customer={customer}&created[gte]=1", ""
    ),
    "an intent is cancelled": (
        "POST", "/v1/payment_intents/{new}/cancel", "cancellation_reason=duplicate", ""
    ),
    "charges are listed": ("GET", "/v1/charges", "limit=2&payment_intent={intent}", ""),
    "a charge is read": ("GET", "/v1/charges/{charge}", "", ""),
    "a refund is made": (
        "POST", "/v1/refunds", "payment_intent={intent}&amount=5&metadata[a]=b", ""
    ),
    "refunds are listed": ("GET", "/v1/refunds", "payment_intent={intent}", ""),
    "refunds of a period are listed": (
        "GET", "/v1/refunds", "limit=2&created[gte]=1&created[lt]=4000000000", ""
    ),
    "a customer is created": ("POST", "/v1/customers", "email=a@b.co&name=Ada", ""),
    "a customer is changed": ("POST", "/v1/customers/{customer}", "name=Eve", ""),
    "its payment methods are listed": (
        "GET", "/v1/customers/{customer}/payment_methods", "type=card", ""
    ),
    "a payment method is read": ("GET", "/v1/payment_methods/{method}", "", ""),
    "a payment method is attached": (
        "POST", "/v1/payment_methods/pm_card_visa/attach", "customer={customer}", ""
    ),
    "disputes are listed": ("GET", "/v1/disputes", "payment_intent={disputed}", ""),
    "a dispute is read": ("GET", "/v1/disputes/{dispute}", "", ""),
    "a dispute is answered": (
        "POST",
        "/v1/disputes/{dispute}",
        "evidence[uncategorized_text]=x&submit=false",
        "",
    ),
    "payouts are listed": ("GET", "/v1/payouts", "limit=1", ""),
    "a payout is read": ("GET", "/v1/payouts/{payout}", "", ""),
    "the balance is read": ("GET", "/v1/balance", "", ""),
    "a payout's entries are listed": ("GET", "/v1/balance_transactions", "payout={payout}", ""),
    "events are listed": ("GET", "/v1/events", "limit=1&types[]=charge.succeeded", ""),
}  # fmt: skip
"""What is called, and which parameter it cannot be without."""


@pytest.fixture(scope="module")
def program() -> Path:
    """Stripe's mock server; without Go the test is skipped, saying so."""
    if STRIPE_MOCK.find() is None and shutil.which("go") is None:
        pytest.skip("Stripe's mock server is not built and there is no Go to build it with")
    return STRIPE_MOCK.ensure(lambda text: None).program


@contextlib.asynccontextmanager
async def mock(program: Path) -> AsyncIterator[str]:
    """The mock server on the loopback."""
    # Without the second address it would listen to the whole network, too.
    address, other = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program, "-http-addr", address, "-https-addr", other,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:

        async def listens() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with aiohttp.ClientSession() as http, http.get(f"http://{address}/") as got:
                    return got.status > 0
            return False

        await eventually(listens, "Stripe's mock server must start", 60)
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


async def ids(world: World) -> dict[str, str]:
    """Make one of everything; returns its id."""
    saved = {
        "customer_creation": "always",
        "payment_intent_data": {"setup_future_usage": "off_session"},
    }
    session = await world.session(**saved)
    await world.pay(session)
    paid: Any = await world.call(
        lambda c: c.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    )
    intent = paid.payment_intent
    other = await world.session()
    await world.pay(other)
    disputed: Any = await world.call(lambda c: c.v1.checkout.sessions.retrieve(other.id))
    payout = world.gateway.act("pay-out", {"currency": "usd"})
    dispute = world.gateway.act("open-dispute", {"charge": disputed.payment_intent})
    new = await world.call(
        lambda c: c.v1.payment_intents.create({"amount": 990, "currency": "usd"})
    )
    return {
        "session": session.id,
        "open": (await world.call(lambda c: c.v1.checkout.sessions.create(order()))).id,
        "intent": intent.id,
        "customer": intent.customer,
        "method": intent.payment_method,
        "charge": intent.latest_charge,
        "disputed": disputed.payment_intent,
        "dispute": dispute["id"],
        "payout": payout["id"],
        "new": new.id,
    }


Answer = tuple[int, dict[str, Any]]


async def both(world: World, real: str, method: str, path: str, text: str) -> tuple[Answer, Answer]:
    """Make a call at the simulator and at the mock."""
    found = []
    for base in (world.api, real):
        form = dict(parse_qsl(text, keep_blank_values=True))
        sent: dict[str, Any] = {"params": form} if method == "GET" else {"data": form}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with world.http.request(method, base + path, headers=headers, **sent) as answer:
            found.append((answer.status, await answer.json()))
    return found[0], found[1]


OPTIONAL = {
    # Since 2022-11-15 a charge's refunds are there for who expands them.
    "charge": {"refunds", "radar_options"},
    # A platform's alone.
    "balance": {"connect_reserved"},
}
"""What one of the two leaves out of an object, by the object's name, and why it may."""


def same_shape(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> None:
    """Assert that two objects have the same names, and values of the same kinds."""
    kind = str(theirs.get("object"))
    assert ours.get("object") == theirs.get("object"), where
    unknown = set(ours) - set(theirs) - OPTIONAL.get(kind, set())
    missing = set(theirs) - set(ours) - OPTIONAL.get(kind, set())
    assert not unknown, f"{where}: Stripe's {kind} has no {sorted(unknown)}"
    assert not missing, f"{where}: Stripe's {kind} has {sorted(missing)} as well"
    for name in set(ours) & set(theirs):
        mine, its = ours[name], theirs[name]
        if mine is not None and its is not None:
            numbers = isinstance(mine, int) and isinstance(its, int)
            assert numbers or type(mine) is type(its), f"{where}: {kind}.{name}"


@pytest.mark.timeout(600)  # the first time the mock server is built
def test_the_same_calls_have_the_same_shapes_and_refusals(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "SOON", 3600)

    async def scenario() -> None:
        async with mock(program) as real, gateway(tmp_path) as world:
            made = await ids(world)
            for what, (method, path, text, needed) in CALLS.items():
                place, form = path.format(**made), text.format(**made)
                stranger = f"{form}&twin_unknown=1" if form else "twin_unknown=1"
                ours, theirs = await both(world, real, method, place, stranger)
                assert (ours[0], theirs[0]) == (400, 400), f"{what}: an unknown parameter"
                assert ours[1]["error"]["type"] == theirs[1]["error"]["type"], what
                if needed:
                    pairs = [pair for pair in form.split("&") if not pair.startswith(needed)]
                    ours, theirs = await both(world, real, method, place, "&".join(pairs))
                    assert (ours[0], theirs[0]) == (400, 400), f"{what}: without {needed}"
                    assert needed in ours[1]["error"]["message"], what
                ours, theirs = await both(world, real, method, place, form)
                assert (ours[0], theirs[0]) == (200, 200), f"{what}: {ours[1]} {theirs[1]}"
                same_shape(ours[1], theirs[1], what)
                if theirs[1].get("object") == "list" and theirs[1]["data"]:
                    assert ours[1]["data"], f"{what}: nothing to compare"
                    same_shape(ours[1]["data"][0], theirs[1]["data"][0], what)
            async with world.http.get(f"{real}/v1/balance") as refused:
                assert refused.status == 401
            async with world.http.get(f"{world.api}/v1/balance") as refused:
                assert refused.status == 401

    run(scenario())
