"""`twin.localhost/edge`: the edge's rules, what they decided, who is blocked, and the clock."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, parse_qsl, urlencode

import jinja2
from aiohttp import web
from pydantic import ValidationError

from twin.clock import Clock
from twin.edge.fields import FieldSource
from twin.edge.firewall import Firewall
from twin.edge.firewall.deployed import CUSTOM, RATE_LIMIT, Rule
from twin.edge.journal import KEPT, Decision, Journal
from twin.edge.routes import Routes, Zone
from twin.edge.site import Site
from twin.pages.common import HEADERS, body_of, date_and_time, own, time_of_day

PHASES: Final = {CUSTOM: "Custom rules", RATE_LIMIT: "Rate limits"}
SHOWN: Final = 100
ON_PAGE: Final = 25
QUIET: Final = "skip"
"""Each static file is such a decision: the page leaves them out until they are asked for."""
FILTERS: Final = ("action", "rule", "visitor")
STEPS: Final = ((60, "1 min"), (900, "15 min"), (3600, "1 h"))
LONGEST_STEP: Final = 366 * 86_400
"""Seconds that one step of the clock may take: a year, so that a slip of the keyboard does less."""


class EdgeFront(Protocol):
    """What the page asks of the edge it is served by."""

    clock: Clock
    journal: Journal
    routes: Routes
    firewall: Firewall
    fields: FieldSource


class EdgePage:
    """The page, and the same as JSON below `/api/edge/` and `/api/clock`."""

    def __init__(self, site: Site, templates: jinja2.Environment, front: EdgeFront) -> None:
        self._front = front
        self._templates = templates
        templates.filters["moment"] = date_and_time
        templates.filters.setdefault("clock", time_of_day)
        site.route("GET", "/edge", self._page)
        site.route("GET", "/api/edge/rules", self._get_rules)
        site.route("GET", "/api/edge/decisions", self._get_decisions)
        site.route("GET", "/api/edge/mitigations", self._get_mitigations)
        site.route("DELETE", "/api/edge/mitigations/{id}", own(self._delete_mitigation))
        site.route("POST", "/edge/mitigations/{id}/lift", own(self._form_lift))
        site.route("GET", "/api/edge/visitors", self._get_visitors)
        site.route("PUT", "/api/edge/visitors", own(self._put_visitors))
        site.route("POST", "/edge/visitors", own(self._form_visitor))
        site.route("GET", "/api/clock", self._get_clock)
        site.route("POST", "/api/clock", own(self._post_clock))
        site.route("POST", "/edge/clock", own(self._form_clock))

    async def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        wanted = _filters(request)
        whole = "all" in request.query
        quiet = "" if wanted["action"] or whole else QUIET
        decisions = self.decisions(wanted, KEPT if whole else ON_PAGE, but=quiet)
        text = self._templates.get_template("edge.html").render(
            clock=self.clock(),
            steps=STEPS,
            requests=self._front.journal.requests,
            zones=self.rules(),
            others=self.others(),
            mitigations=self.mitigations(),
            decisions=decisions,
            shown=ON_PAGE,
            whole=whole,
            quiet=quiet,
            wanted=wanted,
            actions=sorted({action for _, _, action in self._front.journal.counts}),
            names=sorted({rule for _, rule, _ in self._front.journal.counts if rule}),
            visitors=self._front.fields.visitors.assigned(),
            query=urlencode({key: value for key, value in wanted.items() if value}),
        )
        return web.Response(
            body=text.encode(errors="replace"),  # a path may hold bytes that are no text
            content_type="text/html",
            charset="utf-8",
            headers=HEADERS,
        )

    # --- what is shown --------------------------------------------------------------------------
    def clock(self) -> dict[str, Any]:
        """Return the twin's time and how far it is ahead of the machine's, in seconds."""
        return {"now": self._front.clock.now(), "ahead": self._front.clock.ahead}

    def rules(self) -> list[dict[str, Any]]:
        """Return each zone's rules by phase with what they did, and the settings that decide."""
        found = []
        for zone in self._front.routes.zones():
            deployed = self._front.firewall.deployed.zone(zone.id)
            found.append(
                {
                    "zone": zone.name,
                    "plan": zone.plan,
                    "faults": list(deployed.faults),
                    "phases": [
                        {
                            "phase": phase,
                            "title": title,
                            "rules": [
                                self._rule(zone, rule) for rule in deployed.rules.get(phase, ())
                            ],
                        }
                        for phase, title in PHASES.items()
                    ],
                }
            )
        return found

    def _rule(self, zone: Zone, rule: Rule) -> dict[str, Any]:
        counts = self._front.journal.counts
        shown: dict[str, Any] = {
            "rule": rule.name,
            "description": rule.description,
            "expression": rule.text,
            "action": rule.action,
            "parameters": dict(rule.parameters),
            "enabled": rule.enabled,
            "decisions": {
                action: count
                for (phase, name, action), count in counts.items()
                if (phase, name) == (rule.phase, rule.name)
            },
        }
        if rule.limit is not None:
            counters = self._front.firewall.limits.counters(zone.id, rule)
            shown["limit"] = {
                "requests": rule.limit.requests,
                "period": rule.limit.period,
                "mitigation_timeout": rule.limit.timeout,
                "counters": len(counters),
                "mitigated": sum(1 for _ in counters.mitigations()),
            }
        return shown

    def others(self) -> list[dict[str, Any]]:
        """Return the counts of decisions that no listed rule made: settings, bots, Access."""
        return [
            {"phase": phase, "rule": rule, "action": action, "count": count}
            for (phase, rule, action), count in sorted(self._front.journal.counts.items())
            if phase not in PHASES
        ]

    def mitigations(self) -> list[dict[str, Any]]:
        """Return who is refused or challenged until when, the soonest to end first."""
        found = [
            {"zone": zone.name, **dataclasses.asdict(each)}
            for zone in self._front.routes.zones()
            for each in self._front.firewall.limits.mitigations(zone.id)
        ]
        return sorted(found, key=lambda each: float(each["until"]))

    def decisions(self, wanted: Mapping[str, str], most: int, *, but: str = "") -> list[Decision]:
        """Return sampled decisions, newest first, without those of the action `but`."""
        fits = (
            each
            for each in reversed(self._front.journal.decisions)
            if each.action != but
            and all(getattr(each, name) == value for name, value in wanted.items() if value)
        )
        return list(itertools.islice(fits, most))

    # --- JSON -----------------------------------------------------------------------------------
    async def _get_rules(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json({"zones": self.rules(), "others": self.others()})

    async def _get_decisions(self, request: web.BaseRequest) -> web.StreamResponse:
        number = request.query.get("limit", str(SHOWN))
        if not (number.isascii() and number.isdigit()):
            return _json({"errors": ["limit: a whole number"]}, 422)
        found = self.decisions(_filters(request), max(1, int(number)))
        return _json(
            {
                "requests": self._front.journal.requests,
                "decisions": [dataclasses.asdict(each) for each in found],
            }
        )

    async def _get_mitigations(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json({"mitigations": self.mitigations()})

    async def _delete_mitigation(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        for zone in self._front.routes.zones():
            if self._front.firewall.limits.lift(zone.id, id):
                return web.Response(status=204)
        return _json({"errors": [f"nobody is mitigated under {id}"]}, 404)

    async def _get_visitors(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json(self._front.fields.visitors.assigned())

    async def _put_visitors(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._front.fields.visitors.assign(await body_of(request))
        except ValidationError as error:
            return _json({"errors": json.loads(error.json(include_url=False))}, 422)
        return _json(self._front.fields.visitors.assigned())

    async def _get_clock(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json(self.clock())

    async def _post_clock(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            sent = json.loads(await body_of(request))
            seconds = sent["advance"] if isinstance(sent, dict) else None
        except (ValueError, KeyError):
            seconds = None
        return self._advance(seconds) or _json(self.clock())

    def _advance(self, seconds: object) -> web.Response | None:
        """Move the clock; returns the refusal of a step that makes no sense."""
        known = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        step = float(seconds) if known else math.nan  # type: ignore[arg-type]
        if not 0 <= step <= LONGEST_STEP:
            text = f'advance: seconds from 0 to {LONGEST_STEP}, as in {{"advance": 900}}'
            return _json({"errors": [text]}, 422)
        self._front.clock.advance(step)
        return None

    # --- forms ----------------------------------------------------------------------------------
    async def _form_clock(self, request: web.BaseRequest) -> web.StreamResponse:
        typed = parse_qs((await body_of(request)).decode(errors="replace"))
        number = typed.get("advance", [""])[0]
        refusal = self._advance(int(number) if number.isascii() and number.isdigit() else None)
        return refusal or _back("clock")

    async def _form_lift(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        await self._delete_mitigation(request, id)  # one that has ended meanwhile is lifted too
        return _back("blocked")

    async def _form_visitor(self, request: web.BaseRequest) -> web.StreamResponse:
        """Assign one address, or forget it."""
        typed = dict(parse_qsl((await body_of(request)).decode(errors="replace")))
        table = self._front.fields.visitors.assigned()
        address = typed.get("address", "").strip()
        if "forget" in typed:
            table.pop(address, None)
        else:
            table[address] = {
                "country": typed.get("country", "").strip().upper() or "XX",
                "asn": typed.get("asn") or 0,
                "bot": typed.get("bot") == "true",
            }
        try:
            self._front.fields.visitors.assign(json.dumps(table).encode())
        except ValidationError as error:
            wrong = "\n".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
            return web.Response(status=422, text=f"This says nothing of an address.\n{wrong}\n")
        return _back("visitors")


def _filters(request: web.BaseRequest) -> dict[str, str]:
    return {name: request.query.get(name, "").strip() for name in FILTERS}


def _json(content: object, status: int = 200) -> web.Response:
    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})


def _back(anchor: str) -> web.StreamResponse:
    return web.Response(status=303, headers={"Location": f"/edge#{anchor}"})
