"""Everything that the edge should do, fitted to a plan at once: pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from components.edge import alerts, bots, cache, firewall, headers, managed, redirects
from components.edge.fitting import (
    Finding,
    fit_cache,
    fit_firewall,
    fit_headers,
    fit_limits,
    fit_managed,
    fit_redirects,
)
from components.edge.limits import LIMITS, Limit
from components.edge.paths import WEBHOOKS, Webhook
from components.edge.plans import Plan
from components.edge.rules import Phase, Rule

_LIST_NAME: Final = re.compile(r"[a-z0-9_]{1,50}")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What one installation wants of the edge, whatever its plan.

    `hostname` is the service's name, `access_hosts` those that Access alone guards, `redirected`
    those that only redirect. `admin_cidrs` may call the admin API; none: nobody may. `admin_list`
    names the account's list of them. `has` says which things exist that alerts can be about.
    """

    hostname: str
    access_hosts: tuple[str, ...] = ()
    redirected: tuple[str, ...] = ()
    admin_cidrs: tuple[str, ...] = ()
    admin_list: str = "payments_admins"
    webhooks: tuple[Webhook, ...] = WEBHOOKS
    limits: tuple[Limit, ...] = LIMITS
    owasp: managed.Owasp = field(default_factory=managed.Owasp)
    modern_ciphers: bool = False
    log_export: bool = False
    has: frozenset[alerts.Needs] = frozenset({"tunnel"})

    def __post_init__(self) -> None:
        if not _LIST_NAME.fullmatch(self.admin_list):
            raise ValueError(
                f"admin_list={self.admin_list!r}: a list's name has up to 50 lower-case letters, "
                "digits and underscores"
            )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What the plan takes: the rules of every phase, bot settings, alerts, and what was lost."""

    plan: Plan
    rules: dict[Phase, tuple[Rule, ...]]
    bots: dict[str, bots.Value]
    alerts: tuple[alerts.Alert, ...]
    log_export: bool
    admin_list: str | None
    findings: tuple[Finding, ...]

    @property
    def lost(self) -> tuple[Finding, ...]:
        """The findings about what is weaker than wanted or missing."""
        return tuple(it for it in self.findings if it.outcome in {"weakened", "left out"})

    def summary(self) -> dict[str, object]:
        """What the stack shows of it: short, no addresses."""
        return {
            "plan": self.plan.name,
            "rules": {phase: len(rules) for phase, rules in self.rules.items() if rules},
            "weakened": _told(self.findings, "weakened"),
            "left_out": _told(self.findings, "left out"),
        }


def fit(wishes: Wishes, plan: Plan) -> Fitted:
    """Fit every wish to a plan."""
    admin_list = wishes.admin_list if wishes.admin_cidrs and plan.lists else None
    custom = fit_firewall(
        firewall.rules(
            hostname=wishes.hostname,
            access_hosts=wishes.access_hosts,
            redirected=wishes.redirected,
            webhooks=wishes.webhooks,
            admin_list=admin_list,
        ),
        plan,
    )
    rates = fit_limits(wishes.limits, plan)
    rulesets = fit_managed(managed.rules(wishes.owasp), plan)
    kept = fit_cache(cache.rules(), plan)
    redirected = fit_redirects(redirects.rules(wishes.hostname, wishes.redirected), plan)
    requests, replies = fit_headers(headers.request_rules(), headers.response_rules(), plan)
    told, about_alerts = alerts.fit(
        plan, wishes.has | ({"log export"} if wishes.log_export else frozenset())
    )
    return Fitted(
        plan=plan,
        rules={
            "http_request_dynamic_redirect": redirected.rules,
            "http_request_firewall_custom": custom.rules,
            "http_ratelimit": rates.rules,
            "http_request_firewall_managed": rulesets.rules,
            "http_request_late_transform": requests.rules,
            "http_request_cache_settings": kept.rules,
            "http_response_headers_transform": replies.rules,
        },
        bots=bots.settings(plan),
        alerts=told,
        log_export=wishes.log_export and plan.log_export,
        admin_list=admin_list,
        findings=(
            *redirected.findings,
            *custom.findings,
            *rates.findings,
            *rulesets.findings,
            *bots.findings(plan),
            *requests.findings,
            *kept.findings,
            *replies.findings,
            *_ciphers(wishes, plan),
            *about_alerts,
            *_log_export(plan, wanted=wishes.log_export),
        ),
    )


def _ciphers(wishes: Wishes, plan: Plan) -> tuple[Finding, ...]:
    return (
        Finding(
            phase="zone",
            ref="modern-ciphers",
            outcome="exact" if wishes.modern_ciphers else "left out",
            changes=()
            if wishes.modern_ciphers
            else (f"needs Advanced Certificate Manager, on {plan.title} too",),
            otherwise="" if wishes.modern_ciphers else "TLS 1.3, which every current browser takes",
        ),
    )


def _log_export(plan: Plan, *, wanted: bool) -> tuple[Finding, ...]:
    if wanted and plan.log_export:
        return (Finding(phase="logs", ref="log-export", outcome="exact"),)
    why = f"{plan.title} does not have it" if not plan.log_export else "not asked for"
    return (
        Finding(
            phase="logs",
            ref="log-export",
            outcome="left out",
            changes=(why,),
            otherwise="the gateway and the service log every request with its ray",
        ),
    )


def _told(findings: Sequence[Finding], outcome: str) -> list[str]:
    return [f"{it.phase}/{it.ref}" for it in findings if it.outcome == outcome]
