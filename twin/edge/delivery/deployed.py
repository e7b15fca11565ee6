"""What is deployed of a zone's settings and of its rules that do not stop a request.

Read from the store in the provider's own names, compiled when a resource changed. A part that the
edge does not carry out is logged once per deployment, so that nothing is missing in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twin.edge.logs import note
from twin.kept import in_force
from twin.rules import RuleError, Value, parse
from twin.store import Store

RULESET: Final = "cloudflare:index/ruleset:Ruleset"
ZONE_SETTING: Final = "cloudflare:index/zoneSetting:ZoneSetting"
NORMALISATION: Final = "cloudflare:index/urlNormalizationSettings:UrlNormalizationSettings"
MANAGED_TRANSFORMS: Final = "cloudflare:index/managedTransforms:ManagedTransforms"

REDIRECTS: Final = "http_request_dynamic_redirect"
REQUEST_HEADERS: Final = "http_request_late_transform"
CACHE: Final = "http_request_cache_settings"
REPLY_HEADERS: Final = "http_response_headers_transform"
PHASES: Final = (REDIRECTS, REQUEST_HEADERS, CACHE, REPLY_HEADERS)
NOT_CARRIED_OUT: Final = (
    "http_request_transform",
    "http_config_settings",
    "http_request_origin",
    "http_custom_errors",
    "http_response_compression",
    "http_response_cache_settings",
)
"""Phases that our program does not use and this edge does not have."""

Condition = Callable[[Mapping[str, Value]], bool]
Text = Callable[[Mapping[str, Value]], str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An enabled rule, compiled; `texts` are the values that its expressions make, by place."""

    id: str
    ref: str
    description: str
    condition: Condition
    parameters: Mapping[str, Any]
    texts: Mapping[str, Text]

    @property
    def name(self) -> str:
        """What the rule is called in the journal."""
        return self.ref or self.id


@dataclass(kw_only=True)
class ZoneDelivery:
    """What one zone has deployed. Path normalisation is on for the rules unless told otherwise."""

    settings: dict[str, Any] = field(default_factory=dict)
    normalisation: tuple[str, str] = ("cloudflare", "incoming")
    """Type and scope; a new zone's (rules/normalization)."""
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    managed: frozenset[str] = frozenset()
    """The ids of the managed transforms that are switched on."""

    def on(self, setting: str, default: str = "off") -> bool:
        """True where a setting is `on`."""
        return bool(self.settings.get(setting, default) == "on")


class Deployed:
    """The zones' deployments, read anew when a resource of the store changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._zones: dict[str, ZoneDelivery] = {}

    def zone(self, id: str) -> ZoneDelivery:
        """Return what a zone has deployed; a new zone's defaults where that is nothing."""
        generation = self._store.generation
        if generation != self._generation:
            self._zones = self._read()
            self._generation = generation
        return self._zones.get(id) or _NOTHING

    def settings(self, id: str) -> dict[str, Any]:
        """Return a zone's settings by their id."""
        return self.zone(id).settings

    def _read(self) -> dict[str, ZoneDelivery]:
        zones: dict[str, ZoneDelivery] = {}

        def of(outputs: Mapping[str, Any]) -> ZoneDelivery:
            return zones.setdefault(str(outputs.get("zoneId")), ZoneDelivery())

        for outputs in in_force(self._store, ZONE_SETTING):
            of(outputs).settings[str(outputs["settingId"])] = outputs["value"]
        for record in self._store.all(NORMALISATION):
            kind, scope = str(record.outputs["type"]), str(record.outputs["scope"])
            of(record.outputs).normalisation = (kind, scope)
        for record in self._store.all(MANAGED_TRANSFORMS):
            outputs = record.outputs
            transforms = [
                *(outputs.get("managedRequestHeaders") or []),
                *(outputs.get("managedResponseHeaders") or []),
            ]
            of(outputs).managed = frozenset(str(it["id"]) for it in transforms if it["enabled"])
        for record in self._store.all(RULESET):
            phase = str(record.outputs.get("phase"))
            if phase in PHASES and record.outputs.get("kind") == "zone":
                zone = of(record.outputs)
                zone.rules[phase] = zone.rules.get(phase, ()) + _rules(record.outputs)
            elif phase in NOT_CARRIED_OUT:
                note(logging.ERROR, "rules not carried out", phase=phase, ruleset=record.id)
        return zones


_NOTHING: Final = ZoneDelivery()


def _rules(outputs: Mapping[str, Any]) -> tuple[Rule, ...]:
    found = []
    for number, given in enumerate(outputs.get("rules") or []):
        if given.get("enabled") is False:
            continue
        ref = str(given.get("ref") or "")
        try:
            parameters = given.get("actionParameters") or {}
            rule = Rule(
                id=str(given.get("id") or number),
                ref=ref,
                description=str(given.get("description") or ""),
                condition=parse(str(given["expression"])).compile(),
                parameters=parameters,
                texts=_texts(parameters),
            )
        except (RuleError, KeyError, TypeError, ValueError) as error:
            # A double let something through that the real API refuses.
            note(logging.ERROR, "rule not carried out", rule=ref or number, reason=error)
            continue
        found.append(rule)
    return tuple(found)


def _texts(parameters: Mapping[str, Any]) -> dict[str, Text]:
    """Return the expressions of a rule's parameters by place: a header's name, or `target`."""
    places = {
        name.lower(): given for name, given in (parameters.get("headers") or {}).items() if given
    }
    target = (parameters.get("fromValue") or {}).get("targetUrl")
    if target:
        places["target"] = target
    return {
        place: parse(str(given["expression"])).compile_value()
        for place, given in places.items()
        if given.get("expression")
    }
