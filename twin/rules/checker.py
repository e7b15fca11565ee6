"""What a phase and a plan let an expression use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from twin.rules.errors import RuleError, near
from twin.rules.expression import Expression, parse
from twin.rules.fields import (
    COUNTING_FIELDS,
    FIELDS,
    PLANS,
    RATE_LIMIT_FIELDS,
    RESPONSE_PHASES,
    Field,
)
from twin.rules.functions import FUNCTIONS
from twin.rules.nodes import Call, Comparison, FieldNode, ListName, Node
from twin.rules.types import BOOLEAN, STRING

_MATCHES_PLAN: Final = "business"
MANAGED_LISTS: Final = frozenset(
    {"cf.anonymizer", "cf.botnetcc", "cf.malware", "cf.open_proxies", "cf.vpn"}
)
"""Cloudflare's own lists (cloudflare-docs, waf/tools/lists/managed-lists), Enterprise's."""


def check(
    text: str,
    *,
    phase: str,
    plan: str,
    lists: Collection[str] = (),
    value: bool = False,
    counting: bool = False,
) -> Expression:
    """Read an expression as the API does for a rule of `phase` in a zone of `plan`.

    `lists` are the account's. `value` for an expression that makes a text (a target URL, a header)
    instead of a condition, `counting` for a rate limit's counting expression. RuleError for
    whatever the API refuses.
    """
    if plan not in PLANS:
        raise ValueError(f"{plan!r} is no plan: {', '.join(PLANS)}")
    expression = parse(text)
    _Checker(expression, phase, plan, lists, value, counting).check()
    return expression


class _Checker:
    """One expression against one phase and plan."""

    def __init__(
        self,
        expression: Expression,
        phase: str,
        plan: str,
        lists: Collection[str],
        value: bool,
        counting: bool,
    ) -> None:
        self.expression = expression
        self.phase = phase
        self.plan = plan
        self.lists = lists
        self.value = value
        self.counting = counting

    def check(self) -> None:
        wanted = STRING if self.value else BOOLEAN
        root = self.expression.node
        if root.type != wanted:
            self._fail(root, f"must make a {wanted}, this is of type {root.type}")
        replacements = 0
        for node in root.walk():
            if isinstance(node, FieldNode):
                self._field(node, FIELDS[node.name])
            elif isinstance(node, Call):
                self._function(node)
                replacements += FUNCTIONS[node.name].once
                if replacements > 1:
                    self._fail(node, "regex_replace and wildcard_replace can be used once")
            elif isinstance(node, Comparison):
                self._comparison(node)

    def _fail(self, node: Node, message: str) -> None:
        raise RuleError(
            message, node.start, length=node.end - node.start, source=self.expression.text
        )

    def _has(self, plan: str) -> bool:
        return PLANS.index(self.plan) >= PLANS.index(plan)

    def _field(self, node: FieldNode, field: Field) -> None:
        if self.phase == "http_ratelimit":
            self._rate_limit_field(node)
            if field.name == "cf.bot_management.verified_bot":
                return  # in rate limits every plan has it
        if not self._has(field.plan):
            self._fail(node, f"not entitled: needs the plan {field.plan}, the zone has {self.plan}")
        response = self.phase in RESPONSE_PHASES or self.counting
        if field.response and not response:
            self._fail(node, f"a response's field is not available in the phase {self.phase}")
        if field.phases is not None and self.phase not in field.phases:
            self._fail(node, f"not available in the phase {self.phase}")

    def _rate_limit_field(self, node: FieldNode) -> None:
        table = COUNTING_FIELDS if self.counting else RATE_LIMIT_FIELDS
        if self.plan == "enterprise":
            return
        if self.plan not in table:
            self._fail(node, f"not entitled: the plan {self.plan} has no counting expression")
        if node.name not in table[self.plan]:
            allowed = ", ".join(sorted(table[self.plan]))
            self._fail(node, f"not entitled: rate limits of the plan {self.plan} have {allowed}")

    def _function(self, node: Call) -> None:
        function = FUNCTIONS[node.name]
        if not self._has(function.plan):
            self._fail(
                node, f"not entitled: needs the plan {function.plan}, the zone has {self.plan}"
            )
        if function.phases is not None and self.phase not in function.phases:
            self._fail(node, f"{node.name} is not available in the phase {self.phase}")
        if function.rewrite and not self.value:
            self._fail(node, f"{node.name} is for values, not for a rule's condition")

    def _comparison(self, node: Comparison) -> None:
        if node.operator == "matches" and not self._has(_MATCHES_PLAN):
            self._fail(
                node,
                f"not entitled: matches needs the plan {_MATCHES_PLAN}, the zone has {self.plan}",
            )
        if isinstance(node.right, ListName):
            self._list(node, node.right.name)

    def _list(self, node: Comparison, name: str) -> None:
        if name in MANAGED_LISTS:
            if not self._has("enterprise"):
                self._fail(node, f"not entitled: ${name} needs the plan enterprise")
        elif name not in self.lists:
            self._fail(node, f"unknown list ${name}{near(name, self.lists)}")
