"""The deployed rulesets and settings of each zone, compiled once per deployment.

Everything is read from the store in the provider's own names. A request finds its rules parsed, its
characteristics split and its settings looked up; nothing of that is done per request.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twin.edge.fields import BODY_FIELDS, Fields
from twin.edge.logs import note
from twin.kept import in_force
from twin.rules import RuleError, Value, parse
from twin.store import Store

RULESET: Final = "cloudflare:index/ruleset:Ruleset"
ZONE_SETTING: Final = "cloudflare:index/zoneSetting:ZoneSetting"
BOT_MANAGEMENT: Final = "cloudflare:index/botManagement:BotManagement"
CUSTOM: Final = "http_request_firewall_custom"
RATE_LIMIT: Final = "http_ratelimit"
MANAGED: Final = "http_request_firewall_managed"
SBFM: Final = "http_request_sbfm"

Condition = Callable[[Mapping[str, Value]], bool]
Count = Callable[[Fields], Value]


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """How a rate limiting rule counts; times in seconds, `key` is what it counts by."""

    period: int
    requests: int
    timeout: int
    key: tuple[Count, ...]
    counting: Condition | None
    """None: what the rule itself matches."""
    counts_replies: bool
    """True where the counting expression looks at the reply: counted once that is known."""
    to_origin: bool
    """True where a request that the cache answers does not count."""
    score_header: str
    """A reply's header with what the request costs; empty where requests are counted."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule, ready to be evaluated. `identity` changes when what it counts changes."""

    ruleset: str
    id: str
    ref: str
    phase: str
    description: str
    text: str
    action: str
    parameters: Mapping[str, Any]
    enabled: bool
    condition: Condition
    limit: RateLimit | None
    identity: str

    @property
    def name(self) -> str:
        """What the rule is called in the journal."""
        return self.ref or self.id


@dataclass(kw_only=True)
class ZoneRules:
    """What one zone has deployed."""

    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    """By phase, in their order, the disabled ones too."""
    settings: dict[str, Any] = field(default_factory=dict)
    bots: Mapping[str, Any] = field(default_factory=dict)
    needs_body: bool = False
    faults: list[str] = field(default_factory=list)
    """Rules that are not enforced, and why: none, unless a double let something through."""

    def on(self, setting: str) -> bool:
        """True where a setting was deployed as `on`."""
        return self.settings.get(setting) == "on"


class Deployed:
    """The zones' rules, read anew when a resource of the store changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._zones: dict[str, ZoneRules] = {}

    def zone(self, id: str) -> ZoneRules:
        """Return what a zone has deployed; an empty set for a zone without anything."""
        generation = self._store.generation
        if generation != self._generation:
            self._zones = self._read()
            self._generation = generation
        found = self._zones.get(id)
        if found is None:
            found = self._zones[id] = ZoneRules()
        return found

    def _read(self) -> dict[str, ZoneRules]:
        zones: dict[str, ZoneRules] = {}
        for outputs in in_force(self._store, ZONE_SETTING):
            zone = zones.setdefault(str(outputs.get("zoneId")), ZoneRules())
            zone.settings[str(outputs["settingId"])] = outputs.get("value")
        for outputs in in_force(self._store, BOT_MANAGEMENT):
            zone = zones.setdefault(str(outputs.get("zoneId")), ZoneRules())
            zone.bots = outputs
        for record in self._store.all(RULESET):
            if record.outputs.get("kind") != "zone":
                continue  # account rulesets are an Enterprise feature that nothing here deploys
            zone = zones.setdefault(str(record.outputs.get("zoneId")), ZoneRules())
            _add_ruleset(zone, record.id, record.outputs)
        return zones


def _add_ruleset(zone: ZoneRules, id: str, outputs: Mapping[str, Any]) -> None:
    phase = str(outputs["phase"])
    if phase not in (CUSTOM, RATE_LIMIT):
        return
    rules = list(zone.rules.get(phase, ()))
    for number, given in enumerate(outputs.get("rules") or []):
        try:
            rule, fields = _rule(id, phase, number, given)
        except (RuleError, KeyError, TypeError, ValueError) as error:
            called = given.get("ref") or given.get("description") or number
            zone.faults.append(f"{phase}, rule {called}: {error}")
            note(logging.ERROR, "rule not enforced", rule=called, phase=phase, reason=error)
            continue
        rules.append(rule)
        zone.needs_body |= rule.enabled and any(name.startswith(BODY_FIELDS) for name in fields)
    zone.rules[phase] = tuple(rules)


def _rule(
    ruleset: str, phase: str, number: int, given: Mapping[str, Any]
) -> tuple[Rule, frozenset[str]]:
    expression = parse(str(given["expression"]))
    fields = expression.fields
    limit = None
    if phase == RATE_LIMIT:
        limit, counted = _limit(given["ratelimit"])
        fields |= counted
    ref = str(given.get("ref") or "")
    id = str(given.get("id") or f"{ruleset}-{number}")
    rule = Rule(
        ruleset=ruleset,
        id=id,
        ref=ref,
        phase=phase,
        description=str(given.get("description") or ""),
        text=str(given["expression"]),
        action=str(given["action"]),
        parameters=given.get("actionParameters") or {},
        enabled=given.get("enabled") is not False,
        condition=expression.compile(),
        limit=limit,
        identity=json.dumps(
            [ruleset, ref or id, given["expression"], given.get("ratelimit")], sort_keys=True
        ),
    )
    return rule, fields


def _limit(given: Mapping[str, Any]) -> tuple[RateLimit, frozenset[str]]:
    counting, fields = None, frozenset[str]()
    if given.get("countingExpression"):
        expression = parse(str(given["countingExpression"]))
        counting, fields = expression.compile(), expression.fields
    characteristics = [str(each) for each in given["characteristics"]]
    header = str(given.get("scoreResponseHeaderName") or "")
    limit = RateLimit(
        period=int(given["period"]),
        requests=int(given.get("scorePerPeriod" if header else "requestsPerPeriod") or 0),
        timeout=int(given.get("mitigationTimeout") or 0),
        key=tuple(_characteristic(each) for each in characteristics if each != "cf.colo.id"),
        counting=counting,
        counts_replies=bool(header) or any(name.startswith("http.response.") for name in fields),
        to_origin=bool(given.get("requestsToOrigin")),
        score_header=header,
    )
    bodies = frozenset(BODY_FIELDS[:1]) if "http.request.body" in str(characteristics) else fields
    return limit, fields | bodies


_KEYED: Final = re.compile(r'([a-z0-9_.]+)\["([^"]*)"\]')
_PLAIN: Final = re.compile(r"[a-z0-9_.]+")
VISITOR: Final = "cf.unique_visitor_id"


def _characteristic(text: str) -> Count:
    """Return what reads a characteristic of a request; the twin has one data centre."""
    if text == VISITOR:
        return _visitor
    keyed = _KEYED.fullmatch(text)
    if keyed is not None:
        field_name, key = keyed.groups()
        return lambda fields: _of_map(fields[field_name], key)
    if _PLAIN.fullmatch(text):
        return lambda fields: fields[text]
    compiled = parse(text).compile_value()
    return lambda fields: compiled(fields)


def _of_map(values: Value, key: str) -> Value:
    """Return a key's values joined, or None: absent is counted apart from empty."""
    found = values.get(key) if isinstance(values, Mapping) else None
    return "\n".join(str(each) for each in found) if isinstance(found, list) else None


def _visitor(fields: Fields) -> Value:
    """Tell visitors behind one address apart by what their browsers send."""
    return f"{fields['ip.src']} {fields['http.user_agent']}"
