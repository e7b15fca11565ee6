"""What the program asks of Cloudflare for each plan, against doubles that refuse what it lacks.

The program's table of plans and the doubles' are written apart, from the same documentation: a
mistake in one shows here as a refusal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from components.edge import paths, plans, records, settings, whole
from components.edge.front import Edge, EdgeArgs
from components.edge.limits import Limit
from components.edge.managed import Owasp
from components.edge.rules import Rule
from components.edge.settings import Hsts
from components.edge.watch import LogExport, Watch, WatchArgs
from components.edge.zone import Zone, ZoneArgs
from tests.components.fakes import built
from tests.twin.clouds.handlers import Handlers
from twin.clouds import cloudflare
from twin.paper import PaperWorld
from twin.protocol.resource import Context
from twin.store import Store

ZONE, ACCOUNT = "a" * 32, "b" * 32
NAME = "example.com"
WISHES = whole.Wishes(
    hostname=f"pay.{NAME}",
    access_hosts=(f"ssh.{NAME}",),
    redirected=(NAME, f"www.{NAME}"),
    admin_cidrs=("198.51.100.7/32", "203.0.113.0/24", "2001:db8::/48"),
    log_export=True,
    has=frozenset({"tunnel", "access", "client certificate"}),
)


def handlers(plan: str) -> Handlers:
    zone = {"id": ZONE, "name": NAME, "plan": plan, "account_id": ACCOUNT}
    account = {"cloudflare": {"accounts": [{"id": ACCOUNT}], "zones": [zone]}}
    store = Store(":memory:")
    ctx = Context(config={}, store=store, world=PaperWorld(store), account=account)
    return Handlers(cloudflare.package(), ctx)


def _resources(fitted: whole.Fitted, wishes: whole.Wishes) -> list[tuple[str, dict[str, Any]]]:
    def program() -> None:
        Zone(
            "zone",
            ZoneArgs(
                zone_id=ZONE,
                settings=settings.settings(Hsts(), modern_ciphers=False),
                records=records.records(NAME, mail=None, redirected=wishes.redirected),
                protect=True,
            ),
        )
        args = EdgeArgs(
            account_id=ACCOUNT, zone_id=ZONE, fitted=fitted, admin_cidrs=wishes.admin_cidrs
        )
        Edge("edge", args)
        export = LogExport(destination="s3://logs/edge?region=fra1", ownership_challenge="proof")
        Watch(
            "watch",
            WatchArgs(
                account_id=ACCOUNT,
                zone_id=ZONE,
                alerts=fitted.alerts,
                emails=("ops@example.com",),
                tunnel_id="tunnel-1",
                log_export=export if fitted.log_export else None,
            ),
        )

    found = built(program)[0].resources
    return [
        (it.token.rsplit(":", 1)[-1], it.inputs)
        for it in found
        if it.token.startswith("cloudflare:")
    ]


@pytest.mark.parametrize("plan", plans.NAMES)
def test_no_plan_is_asked_for_what_it_refuses(plan: plans.PlanName) -> None:
    double = handlers(plan)
    asked = _resources(whole.fit(WISHES, plans.plan(plan)), WISHES)
    kinds = {kind for kind, _ in asked}
    assert {"Ruleset", "List", "ZoneSetting", "BotManagement", "ZoneDnssec", "DnsRecord"} <= kinds
    refused = {f"{kind} {inputs.get('name', '')}": double.failures(kind, inputs)
               for kind, inputs in asked if double.failures(kind, inputs)}  # fmt: skip
    assert refused == {}
    for kind, inputs in asked:
        double.create(kind, inputs)


@pytest.mark.parametrize(("fitted_to", "deployed_on"), [("pro", "free"), ("enterprise", "pro")])
def test_rules_of_a_wider_plan_are_refused(
    fitted_to: plans.PlanName, deployed_on: plans.PlanName
) -> None:
    double = handlers(deployed_on)
    asked = _resources(whole.fit(WISHES, plans.plan(fitted_to)), WISHES)
    refused = {inputs["phase"] for kind, inputs in asked
               if kind == "Ruleset" and double.failures(kind, inputs)}  # fmt: skip
    assert "http_ratelimit" in refused, "the doubles must tell plans apart"


limits = st.builds(
    lambda period, more, **given: Limit(period=period, block=period + more, **given),
    name=st.sampled_from(["one", "two", "three"]),
    requests=st.integers(1, 100_000),
    period=st.integers(1, 100_000),
    more=st.integers(0, 100_000),
    action=st.just("block"),
    methods=st.sampled_from([None, ("POST",), ("GET", "PUT")]),
    paths=st.sampled_from([("/login",), ("/a", '/b"\\')]),
    prefixes=st.sampled_from([(), ("/api/",)]),
    form=st.booleans(),
    rank=st.integers(0, 9),
)
challenges = st.builds(
    lambda limit, action: replace(limit, action=action, block=0),
    limits,
    st.sampled_from(["managed_challenge", "js_challenge"]),
)


def _camel(value: Any) -> Any:
    """Python's names in the engine's spelling; the names of headers stay."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, inner in value.items():
        first, *rest = name.split("_")
        key = first + "".join(part.capitalize() for part in rest)
        headers = name == "headers" and isinstance(inner, dict)
        made[key] = {k: _camel(v) for k, v in inner.items()} if headers else _camel(inner)
    return made


def _ruleset(phase: str, rules: tuple[Rule, ...]) -> dict[str, Any]:
    """A ruleset's inputs without a program around it: hundreds of programs would take minutes."""
    made = []
    for rule in rules:
        entry = {"ref": rule.ref, "expression": rule.expression, "action": rule.action}
        if rule.parameters:
            entry["actionParameters"] = _camel(dict(rule.parameters))
        if rule.rate:
            entry["ratelimit"] = {
                "characteristics": list(rule.rate.characteristics),
                "period": rule.rate.period,
                "requestsPerPeriod": rule.rate.requests,
                "mitigationTimeout": rule.rate.timeout,
                "requestsToOrigin": False,
            }
        made.append(entry)
    return {"zoneId": ZONE, "kind": "zone", "name": phase, "phase": phase, "rules": made}


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.sampled_from(plans.NAMES),
    wanted=st.lists(limits | challenges, max_size=8, unique_by=lambda it: it.name),
    paranoia=st.integers(1, 4),
    hosts=st.lists(st.sampled_from([f"{name}.{NAME}" for name in "abcdef"]), unique=True),
    webhooks=st.lists(st.sampled_from(paths.WEBHOOKS), unique_by=lambda it: it.gateway),
    admins=st.booleans(),
)
def test_whatever_is_wanted_is_fitted_to_what_the_plan_takes(
    plan: plans.PlanName,
    wanted: list[Limit],
    paranoia: int,
    hosts: list[str],
    webhooks: list[paths.Webhook],
    admins: bool,
) -> None:
    wishes = replace(
        WISHES,
        limits=tuple(wanted),
        owasp=Owasp(paranoia=paranoia),
        access_hosts=tuple(hosts),
        webhooks=tuple(webhooks),
        admin_cidrs=WISHES.admin_cidrs if admins else (),
    )
    fitted = whole.fit(wishes, plans.plan(plan))
    double = handlers(plan)
    if fitted.admin_list:
        entry = {"accountId": ACCOUNT, "kind": "ip", "name": fitted.admin_list}
        double.create("List", {**entry, "items": [{"ip": "203.0.113.0/24"}]})
    for phase, rules in fitted.rules.items():
        if rules:
            double.create("Ruleset", _ruleset(phase, rules))
    double.create("BotManagement", {"zoneId": ZONE, **_camel(dict(fitted.bots))})
