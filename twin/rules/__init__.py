"""Cloudflare's rule language: parsed, checked and evaluated as its ruleset engine does.

    expression = check(text, phase="http_request_firewall_custom", plan="pro", lists=["office"])
    matches = expression.compile()
    matches({"http.host": "pay.example.com", "ip.src": ip_address("192.0.2.1"), …})

`parse` knows the language; `check` also what a phase and a plan of Cloudflare offer. Both raise
RuleError, whose text is what the API answers: the line and a caret under the place. The fields of a
request are any mapping from field names to values (`twin.rules.types.Value`); a field that it lacks
is empty. Lists (`$office`) are asked of the same mapping under their name with its dollar, and may
be anything that has `in`: AddressSet for networks.

Language reference: cloudflare-docs, src/content/docs/ruleset-engine/rules-language; the engine:
github.com/cloudflare/wirefilter.
"""

from __future__ import annotations

from twin.rules.checker import check
from twin.rules.errors import RuleError
from twin.rules.expression import Expression, parse
from twin.rules.fields import FIELDS, PLANS, Field
from twin.rules.functions import FUNCTIONS
from twin.rules.lists import AddressSet
from twin.rules.parser import MAX_LENGTH
from twin.rules.types import Type, Value

__all__ = [
    "FIELDS",
    "FUNCTIONS",
    "MAX_LENGTH",
    "PLANS",
    "AddressSet",
    "Expression",
    "Field",
    "RuleError",
    "Type",
    "Value",
    "check",
    "parse",
]
