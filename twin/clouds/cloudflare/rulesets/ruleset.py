"""Rulesets: one entry point for each phase of a zone.

Rules: terraform-provider-cloudflare internal/services/ruleset/{schema,resource}.go; the API's
refusals and codes as public issues quote them (20217: terraform-provider-cloudflare #6273).
Account-level rulesets and custom rulesets of a zone are not doubled: Enterprise has them, and
nothing of this project's is written for them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.lists import LIST, names_of
from twin.clouds.cloudflare.rulesets import actions, phases, ratelimits
from twin.clouds.cloudflare.rulesets.expressions import Place
from twin.clouds.cloudflare.zones import has, not_entitled, plan_of, require_zone
from twin.clouds.rules import exclusive, items, known, listed, unset
from twin.protocol.resource import UNKNOWN, ApiError, Context, Created, Failure, Props, Resource

RULESET: Final = "cloudflare:index/ruleset:Ruleset"
_MAX_REF: Final = 255


class Ruleset(Resource):
    """The entry point ruleset of one phase; all rules of the phase live in it."""

    token = RULESET

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if not unset(inputs, "accountId"):
            yield Failure("accountId", "an account's rulesets are not doubled: give zoneId")
        kind, phase = known(inputs, "kind"), known(inputs, "phase")
        if kind is not None and kind != "zone":
            yield Failure("kind", f'"{kind}" is not doubled: a zone\'s entry point has "zone"')
        if phase is None:
            return
        plan = plan_of(ctx, inputs)
        found = phases.PHASES.get(phase)
        if found is None:
            why = phases.OTHERWISE.get(phase, "not of a zone, or not doubled")
            yield Failure("phase", f'"{phase}" is {why}')
        elif not has(plan, found.plan):
            yield not_entitled("phase", phase, found.plan, plan)
        else:
            yield from rule_failures(inputs, Place(phase=phase, plan=plan))

    def preview(self, ctx: Context, inputs: Props) -> Props:
        return {"rules": UNKNOWN, "version": UNKNOWN, "lastUpdated": UNKNOWN}

    def create(self, ctx: Context, inputs: Props) -> Created:
        zone, phase = require_zone(ctx, inputs["zoneId"]), inputs["phase"]
        with (
            exclusive(f"rulesets {zone.id}"),
            birth(ctx, self.token, f"{zone.id} {phase}", _id) as id,
        ):
            if any(ctx.store.find(self.token, zoneId=zone.id, phase=phase)):
                raise ApiError(
                    400,
                    "'zone' is not a valid value for kind because exceeded maximum number of "
                    f"zone rulesets for phase {phase} (20217)",
                )
            self._refuse(ctx, id, inputs)
            outputs = {
                **inputs,
                "rules": _numbered(inputs.get("rules") or [], []),
                "version": "1",
                "lastUpdated": _stamp(),
            }
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        with exclusive(f"rulesets {news['zoneId']}"):
            self._refuse(ctx, id, news)
        return {
            **news,
            "rules": _numbered(news.get("rules") or [], outputs.get("rules") or []),
            "version": str(int(outputs["version"]) + 1),
            "lastUpdated": _stamp(),
        }

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)

    def _refuse(self, ctx: Context, id: str, inputs: Props) -> None:
        """What only the account as it is now can tell: lists, other rulesets' rules."""
        zone = require_zone(ctx, inputs["zoneId"])
        place = Place(
            phase=inputs["phase"],
            plan=zone.plan,
            lists=names_of(ctx.store.find(LIST, accountId=zone.account_id)),
        )
        for failure in rule_failures(inputs, place):
            raise ApiError(400, f"{failure.property}: {failure.reason}")
        if inputs["phase"] not in phases.TRANSFORMS:
            return
        count, limit = len(inputs.get("rules") or ()), phases.PHASES[inputs["phase"]].quota
        for other in ctx.store.find(self.token, zoneId=zone.id):
            if other.id != id and other.outputs["phase"] in phases.TRANSFORMS:
                count += len(other.outputs.get("rules") or ())
        if count > limit[zone.plan]:
            raise ApiError(
                400,
                f"rules: the zone's transform rules would be {count}, the plan {zone.plan} has "
                f"{limit[zone.plan]}",
            )


def rule_failures(inputs: Props, place: Place) -> Iterator[Failure]:
    """What the API refuses of a ruleset's rules."""
    phase = phases.PHASES[place.phase]
    rules = known(inputs, "rules") or ()
    if len(rules) > phase.quota[place.plan]:
        yield Failure(
            "rules",
            f"has {len(rules)} rules, the plan {place.plan} has {phase.quota[place.plan]} for the "
            f"phase {place.phase}",
        )
    refs: dict[str, int] = {}
    for index, rule in items(inputs, "rules"):
        path = f"rules[{index}]"
        ref = known(rule, "ref")
        if ref is not None and ref in refs:
            yield Failure(f"{path}.ref", f'"{ref}" is the ref of rules[{refs[ref]}] as well')
        elif ref is not None:
            refs[ref] = index
            if not 0 < len(ref) <= _MAX_REF:
                yield Failure(f"{path}.ref", f"has {len(ref)} characters, not 1 to {_MAX_REF}")
        yield from _one_rule(path, rule, place, phase)
    yield from _order_failures(inputs, place)


def _one_rule(
    path: str, rule: Mapping[str, Any], place: Place, phase: phases.Phase
) -> Iterator[Failure]:
    action = known(rule, "action")
    if action is not None and action not in phase.actions:
        yield Failure(
            f"{path}.action",
            f'"{action}" is not {listed(sorted(phase.actions))}, the actions of the phase '
            f"{place.phase}",
        )
    elif action is not None and not has(place.plan, phase.actions[action]):
        yield not_entitled(f"{path}.action", action, phase.actions[action], place.plan)
    yield from place.failures(f"{path}.expression", rule.get("expression"))
    yield from actions.failures(path, rule, place)
    if place.phase == phases.RATE_LIMIT:
        yield from ratelimits.failures(path, rule, place)
    elif not unset(rule, "ratelimit"):
        yield Failure(f"{path}.ratelimit", "is for rules of the phase http_ratelimit only")
    if not unset(rule, "logging") and action is not None and action != "skip":
        yield Failure(f"{path}.logging", f'is for the action "skip", this one is "{action}"')
    if not unset(rule, "exposedCredentialCheck") and not has(place.plan, "enterprise"):
        where = f"{path}.exposedCredentialCheck"
        yield not_entitled(where, "a check of one's own", "enterprise", place.plan)


def _order_failures(inputs: Props, place: Place) -> Iterator[Failure]:
    """A managed ruleset is executed once, and skipped before that or not at all."""
    if place.phase not in (phases.MANAGED, phases.RESPONSE_MANAGED):
        return
    executed: dict[str, int] = {}
    rules = list(items(inputs, "rules"))
    for index, rule in rules:
        id = known(known(rule, "actionParameters") or {}, "id")
        if known(rule, "action") != "execute" or id is None:
            continue
        if id in executed:
            yield Failure(
                f"rules[{index}].actionParameters.id",
                f'"{id}" is executed by rules[{executed[id]}] already: once per zone',
            )
        executed.setdefault(id, index)
    last = max(executed.values(), default=-1)
    for index, rule in rules:
        if known(rule, "action") != "skip" or not executed:
            continue
        parameters = known(rule, "actionParameters") or {}
        skipped = [*(known(parameters, "rulesets") or ()), *(known(parameters, "rules") or {})]
        after = [id for id in skipped if id in executed and executed[id] < index]
        if after or index > last:
            what = f'"{after[0]}"' if after else "any managed ruleset"
            yield Failure(
                f"rules[{index}].action",
                f'"skip" stands behind the rule that executes {what}, and skips nothing: put it '
                "before",
            )


def _numbered(
    rules: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]
) -> list[Props]:
    """The rules with their ids: a rule keeps its own by its ref, or as long as it is the same."""
    by_ref = {rule["ref"]: rule["id"] for rule in before if rule.get("ref")}
    alike = [(_content(rule), rule["id"]) for rule in before]
    made = []
    for rule in rules:
        ref, content = rule.get("ref"), _content(rule)
        id = by_ref.get(ref) if ref else next((i for c, i in alike if c == content), None)
        id = id or rule.get("id") or _id()
        alike = [(c, i) for c, i in alike if i != id]
        made.append({"enabled": True, **rule, "id": id, "ref": ref or id})
    return made


def _content(rule: Mapping[str, Any]) -> Props:
    skipped = ("id", "ref", "enabled", "description")
    return {name: value for name, value in rule.items() if name not in skipped}


def _id() -> str:
    return secrets.token_hex(16)


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
