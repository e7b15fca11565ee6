"""A rule's expressions, told apart from what the API would refuse."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twin.protocol.resource import UNKNOWN, Failure
from twin.rules import RuleError, check, parse


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where rules are: their phase, their zone's plan, and the account's lists.

    `lists` None while they are not known: in a preview a list may be about to be made.
    """

    phase: str
    plan: str
    lists: Collection[str] | None = None

    def failures(
        self, path: str, text: Any, *, value: bool = False, counting: bool = False
    ) -> Iterator[Failure]:
        """What is wrong with an expression, if anything; UNKNOWN passes."""
        if text is UNKNOWN or text is None:
            return
        name = path.rsplit(".", 1)[-1]
        if not str(text).strip():
            yield Failure(path, f"'' is not a valid value for {name} because it is blank (20125)")
            return
        try:
            mentioned = parse(text).lists if self.lists is None else self.lists
            check(
                text,
                phase=self.phase,
                plan=self.plan,
                lists=mentioned,
                value=value,
                counting=counting,
            )
        except RuleError as error:
            yield Failure(
                path,
                f"'{text}' is not a valid value for {name} because could not parse filter "
                f"expression: {error}",
            )


def expressions(rule: Mapping[str, Any]) -> Iterator[str]:
    """Every expression of a rule that is known."""
    texts = [rule.get("expression"), (rule.get("ratelimit") or {}).get("countingExpression")]
    parameters = rule.get("actionParameters") or {}
    texts += [header.get("expression") for header in (parameters.get("headers") or {}).values()]
    for part in ("path", "query"):
        texts.append(((parameters.get("uri") or {}).get(part) or {}).get("expression"))
    target = (parameters.get("fromValue") or {}).get("targetUrl") or {}
    texts.append(target.get("expression"))
    return (text for text in texts if isinstance(text, str))
