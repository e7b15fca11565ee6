"""Rules about the edge: between its own settings, and between them and the zone's plan."""

from __future__ import annotations

from collections.abc import Iterator

from components.edge import firewall, plans
from components.edge.settings import YEAR
from stacks.settings_model import Settings
from stacks.settings_problems import NOT_SET, Problem, show
from stacks.webhooks import webhooks

LOG_DESTINATION = "payments:log-export-destination"
LOG_OWNERSHIP = "payments:log-export-ownership-challenge"


def edge(s: Settings) -> Iterator[Problem]:
    """What is wrong by the settings alone."""
    yield from _hsts(s)
    yield from _redirects(s)
    yield from _plan(s)
    yield from _admins(s)
    yield from _webhooks(s)
    yield from _ssh_names(s)


def _hsts(s: Settings) -> Iterator[Problem]:
    hsts = s.edge.hsts
    if hsts.preload and (hsts.max_age < YEAR or not hsts.include_subdomains):
        yield _problem(
            "edge.hsts.preload",
            True,
            "browsers put a name on their list only with a year and its subdomains",
            f"set edge.hsts.max-age to {YEAR} and include-subdomains to true, or leave preload out",
        )


def _redirects(s: Settings) -> Iterator[Problem]:
    suffix = "." + s.zone.name
    for index, name in enumerate(s.edge.redirect_from):
        field = f"edge.redirect-from.{index}"
        if name == s.hostname:
            yield _problem(field, name, "it would redirect to itself", "name other hosts here")
        elif name != s.zone.name and not name.endswith(suffix):
            yield _problem(
                field,
                name,
                f"it is not in the zone {s.zone.name}, whose edge would have to answer it",
                f"use {s.zone.name} or a name such as www{suffix}",
            )
        elif name != s.zone.name and "." in name.removesuffix(suffix):
            yield _problem(
                field,
                name,
                "Cloudflare's universal certificate covers the zone and one label below it: "
                "browsers would show an error instead of the redirect",
                f"use one label, for example {name.split('.')[0]}{suffix}",
            )
        if name in s.edge.redirect_from[:index]:
            yield _problem(
                field,
                name,
                "it stands here twice, and its record cannot be made twice",
                "remove one of the two",
            )


def _ssh_names(s: Settings) -> Iterator[Problem]:
    for index, name in enumerate(s.edge.redirect_from):
        if name in s.ssh_hostnames:
            yield _problem(
                f"edge.redirect-from.{index}",
                name,
                "with access.ssh: true this name leads to a droplet's SSH: an update would fail in "
                "the middle, at the second record of one name",
                "name other hosts here, or set access.ssh: false",
            )


def _plan(s: Settings) -> Iterator[Problem]:
    plan = plans.plan(s.zone.plan)
    if s.edge.log_export and not plan.log_export:
        yield _problem(
            "edge.log-export",
            True,
            f"the plan {plan.name} has no log export: an update would fail in the middle",
            "leave edge.log-export out, or use a zone on the plan enterprise",
        )
    if s.edge.owasp.action == "log" and "log" not in plan.custom_actions:
        yield _problem(
            "edge.owasp.action",
            "log",
            f"the plan {plan.name} cannot only log",
            "set edge.owasp.action to managed_challenge or block",
        )


def _admins(s: Settings) -> Iterator[Problem]:
    if s.access is not None and not s.access.admin_cidrs:
        yield _problem(
            "access.admin-cidrs",
            [],
            "the edge would refuse every call of the admin API",
            "name the addresses that may call it, for example [198.51.100.7/32]",
        )


def _webhooks(s: Settings) -> Iterator[Problem]:
    """One rule names the addresses of all gateways, and a rule has only so many characters."""
    let_by, refused = firewall.webhook_rules(webhooks(s.gateways))
    longest = max(len(rule.expression) for rule in (*let_by, *refused))
    if longest > plans.MAX_EXPRESSION:
        name, count = max(_sources(s).items(), key=lambda named: named[1])
        yield _problem(
            f"gateways.{name}.webhook-sources",
            f"{count} addresses",
            f"the edge's rule that names them would have {longest} characters, of "
            f"{plans.MAX_EXPRESSION}, and without it deliveries would be challenged",
            "name whole networks instead of single addresses, or leave it out: the service "
            "verifies every delivery's signature",
        )


def _sources(s: Settings) -> dict[str, int]:
    return {name: len(it.webhook_sources) for name, it in s.gateways.offered().items()}


def log_export(s: Settings, *, destination: bool, ownership: bool) -> Iterator[Problem]:
    """A log export knows where to; the place is a secret, because it holds credentials."""
    if not s.edge.log_export:
        return
    for key, given in ((LOG_DESTINATION, destination), (LOG_OWNERSHIP, ownership)):
        if not given:
            yield Problem(
                field=key,
                value=NOT_SET,
                reason="edge.log-export is on, and Cloudflare asks for this to send logs anywhere",
                remedy=f"pulumi config set --secret {key}, or leave edge.log-export out",
            )


def _problem(field: str, value: object, reason: str, remedy: str) -> Problem:
    return Problem(field=f"payments:{field}", value=show(value), reason=reason, remedy=remedy)
