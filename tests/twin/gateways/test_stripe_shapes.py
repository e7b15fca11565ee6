"""The simulator's objects and parameters against the official client's declarations."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import stripe

from tests.twin.edge.harness import run
from tests.twin.gateways.world import gateway
from twin.gateways.stripe import customers, disputes, operations, sessions
from twin.gateways.stripe.forms import Shape
from twin.gateways.stripe.state import API_VERSION


def test_events_are_rendered_in_the_clients_version() -> None:
    assert stripe.api_version == API_VERSION


def test_objects_have_every_field_that_the_client_declares_as_present(tmp_path: Path) -> None:
    """A field that may be null may be missing for lack of use; any other must be there."""

    async def scenario() -> dict[type, dict[str, Any]]:
        async with gateway(tmp_path) as world:
            session = await world.session()
            await world.pay(session)
            paid = await world.call(
                lambda c: c.v1.checkout.sessions.retrieve(
                    session.id, {"expand": ["payment_intent.latest_charge", "line_items"]}
                )
            )
            intent: Any = paid.payment_intent
            charge = intent.latest_charge
            refund = await world.call(lambda c: c.v1.refunds.create({"charge": charge.id}))
            customer = await world.call(lambda c: c.v1.customers.create({"email": "a@b.co"}))
            balance = await world.call(lambda c: c.v1.balance.retrieve())
            events = await world.call(lambda c: c.v1.events.list())
            entry = await world.call(
                lambda c: c.v1.balance_transactions.retrieve(charge.balance_transaction)
            )
            dispute = world.gateway.act("open-dispute", {"charge": charge.id})
            disputed = await world.call(lambda c: c.v1.disputes.retrieve(dispute["id"]))
            await world.pay(await world.session(quantity=4))
            payout = world.gateway.act("pay-out", {"currency": "usd"})
            paid_out = await world.call(lambda c: c.v1.payouts.retrieve(payout["id"]))
            method = await world.call(
                lambda c: c.v1.payment_methods.retrieve(charge.payment_method)
            )
            line = paid.line_items.data[0] if paid.line_items else None
            objects: list[Any] = [paid, intent, charge, refund, customer, balance, entry]
            objects += [disputed, disputed.evidence_details, paid_out, method, method.card]
            objects += [events.data[0], line, line.price if line else None]
            return {type(each): each.to_dict() for each in objects}

    for kind, found in run(scenario()).items():
        for name, hint in _annotations(kind).items():
            if not hint.startswith(("Optional[", "ClassVar[")):
                assert found.get(name) is not None, f"{kind.__name__}.{name}"


def _annotations(kind: type) -> dict[str, str]:
    """The class's own annotations as text: evaluated they would need imports that it has not."""
    declared = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(declared, ast.ClassDef)
    return {
        node.target.id: ast.unparse(node.annotation).strip("'")
        for node in declared.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _known(shape: Shape, declared: type, where: str) -> None:
    hints = _annotations(declared)
    for name, parser in shape.fields.items():
        assert name in hints, f"{where}: the official client knows no parameter {name!r}"
        inner = parser if isinstance(parser, Shape) else None
        if inner is None and getattr(parser, "__closure__", None):
            cells = [cell.cell_contents for cell in parser.__closure__]  # type: ignore[attr-defined]
            inner = next((cell for cell in cells if isinstance(cell, Shape)), None)
        nested = re.search(declared.__name__ + r"\w+", hints[name])
        if inner is not None and nested is not None:
            _known(inner, vars(sys.modules[declared.__module__])[nested[0]], f"{where}.{name}")


def test_no_parameter_is_accepted_that_the_official_client_does_not_know() -> None:
    from stripe import params
    from stripe.params import checkout

    _known(sessions.CREATE, checkout.SessionCreateParams, "checkout.sessions.create")
    _known(operations._INTENT, params.PaymentIntentCreateParams, "payment_intents.create")
    _known(customers.CUSTOMER, params.CustomerCreateParams, "customers.create")
    _known(customers._CHANGES, params.CustomerUpdateParams, "customers.update")
    _known(operations._CONFIRM, params.PaymentIntentConfirmParams, "payment_intents.confirm")
    _known(disputes._UPDATE, params.DisputeUpdateParams, "disputes.update")
