"""Any sequence of what may happen to money, with crashes: every rule holds after every step."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from payments.resources import Resources
from tests.app.backends import Cluster
from tests.app.stress import rules
from tests.app.stress.flows import Flows
from tests.app.stripe_server import StripeServer

CRASHES = strategies.sampled_from(["no", "no", "before", "after", "finish"])
FAULTS = strategies.sampled_from([[], [], ["fail"], ["fail_after_commit"], ["refuse"]])
ASKING = ("order", "order_again", "top_up", "retry", "refund", "refund_again", "subscribe", "step")
AT_THE_GATEWAY = (
    "pay", "expire", "refund_there", "settle_refund", "fail_refund", "dispute", "close_dispute",
    "pay_out", "drop",
)  # fmt: skip
OURS = ("credit_suspense", "merchant_payout", "hold", "transfer", "change_subscription")


def machine(
    loop: asyncio.AbstractEventLoop,
    resources: Resources,
    stripe: StripeServer,
    cluster: Cluster,
    database: str,
) -> type[RuleBasedStateMachine]:
    """Return a machine whose steps run on `loop`, each on empty books."""

    def run(doing: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, loop).result(60)

    class Money(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            cluster.empty(database)
            for state in (stripe.sessions, stripe.keys, stripe.refunds, stripe.intents):
                state.clear()
            stripe.faults.clear()
            self.flows = Flows(resources=resources, stripe=stripe, chance=random.Random(0))  # noqa: S311

        @initialize()
        def begin(self) -> None:
            """A purchase and some credit are paid for, and another order is open."""
            for sku in ("coffee", "credit-50"):
                run(self.flows.order(sku))
                self.flows.pay()
                for one in list(self.flows.news):
                    run(self.flows.tell(one))
            run(self.flows.order())

        @rule(what=strategies.sampled_from(ASKING), crash=CRASHES, faults=FAULTS,
              seed=strategies.integers(0, 1000))  # fmt: skip
        def ask(self, what: str, crash: Any, faults: list[Any], seed: int) -> None:
            """Something that asks the gateway, and may die or get no answer."""
            self.flows.chance.seed(seed)
            self.flows.crash = crash
            stripe.faults[:] = faults
            run(self._ask(what))
            self.flows.crash = "no"
            stripe.faults.clear()

        async def _ask(self, what: str) -> None:
            flows = self.flows
            doing = {
                "order": lambda: flows.order(),
                "order_again": lambda: flows.order(again=True),
                "top_up": lambda: flows.order("credit-50"),
                "retry": flows.retry,
                "refund": flows.refund,
                "refund_again": lambda: flows.refund(again=True),
                "subscribe": flows.subscribe,
                "step": flows.step_subscription,
            }[what]
            async with flows.crashing():
                await doing()

        @rule(what=strategies.sampled_from(AT_THE_GATEWAY), seed=strategies.integers(0, 1000))
        def at_the_gateway(self, what: str, seed: int) -> None:
            """Something that happens there, and is told sooner or later."""
            self.flows.chance.seed(seed)
            getattr(self.flows, what)()

        @rule(seed=strategies.integers(0, 1000), newest=strategies.booleans())
        def deliver(self, seed: int, newest: bool) -> None:
            """Some news comes: late, again, in any order."""
            self.flows.chance.seed(seed)
            run(self.flows.deliver(newest=newest))

        @rule(what=strategies.sampled_from(OURS), seed=strategies.integers(0, 1000))
        def ours(self, what: str, seed: int) -> None:
            """Something that needs no gateway."""
            self.flows.chance.seed(seed)
            run(getattr(self.flows, what)())

        @rule()
        def sweep(self) -> None:
            """Time passes."""
            run(self.flows.sweep())

        @invariant()
        def every_rule_holds(self) -> None:
            """Nothing contradicts a rule."""
            assert run(rules.broken(resources)) == {}

        def teardown(self) -> None:
            """In the end the books say what the gateway knows."""
            run(self.flows.settle())
            assert run(rules.broken(resources)) == {}
            found = run(
                self.flows.rows(
                    "SELECT COALESCE(-sum(balance), 0)::bigint AS n FROM payments.ledger_accounts"
                    " WHERE purpose = 'gateway_clearing' AND currency = 'EUR'"
                )
            )
            assert found[0].n == self.flows.clearing(), "our books and the gateway's differ"

    return Money


async def _run(
    resources: Resources, stripe: StripeServer, cluster: Cluster, name: str, runs: int, steps: int
) -> None:
    found = machine(asyncio.get_running_loop(), resources, stripe, cluster, name)
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, found, settings=chosen)


async def test_every_rule_holds_whatever_happens(
    resources: Resources, stripe_server: StripeServer, postgres: Cluster, database_name: str
) -> None:
    await _run(resources, stripe_server, postgres, database_name, runs=6, steps=20)


@pytest.mark.stress
@pytest.mark.timeout(480)
async def test_every_rule_holds_in_long_sequences(
    resources: Resources, stripe_server: StripeServer, postgres: Cluster, database_name: str
) -> None:
    await _run(resources, stripe_server, postgres, database_name, runs=40, steps=40)
