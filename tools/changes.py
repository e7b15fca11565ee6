"""What a preview changes, resource by resource: the action, its cause, what needs attention."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tools.events import label

_ACTIONS = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "delete": "delete",
    "import": "create",
}
_ORDER = ("delete", "replace", "update", "create")
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's sign for "known after the update"
_REPLACE_WITH = "replaceWith"  # the engine's reason for a resource that follows another
_LONGEST_VALUE = 60
_LONGEST_CAUSES = 8

# What is lost when a resource of this type is deleted or replaced.
_LOSS = {
    "DatabaseCluster": "its data is lost unless restored from a backup",
    "DatabaseReplica": "reads have nowhere to go until a new one has caught up",
    "DatabaseDb": "its tables are lost",
    "DatabaseUser": "its password changes: whoever logs in with it must follow",
    "DatabaseFirewall": "while it is gone the database admits everyone",
    "SpacesBucket": "its objects are lost",
    "SpacesKey": "the key stops working",
    "Droplet": "the machine goes, with everything that is only on it",
    "ReservedIp": "the address is given back and will not be the same again",
    "Vpc": "everything in it has to move",
    "Firewall": "while it is gone the droplets are open",
    "ZeroTrustTunnelCloudflared": "its token changes: connectors reconnect with the new one",
    "DnsRecord": "the name may not resolve for a while",
    "RandomPassword": "a generated secret changes",
    "RandomBytes": "a generated secret changes",
    "RandomString": "a generated value changes",
    "RandomId": "a generated value changes",
}
# Shapes of credentials, should one stand in a property that nobody marked as secret.
_CREDENTIAL = re.compile(
    r"(sk|rk)_(live|test)_\w+|whsec_\w+|dop_v1_\w+|v1:[\w+/=]{12,}:[\w+/=]+"
    r"|://[^/\s:@]+:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource's change: `causes` are the properties behind it, `attention` what it costs."""

    action: str
    label: str
    causes: tuple[str, ...]
    attention: str


def changes(digest: dict[str, Any]) -> list[Change]:
    """The changes of a `preview --json` digest; what needs attention first, unchanged left out."""
    steps: dict[str, list[dict[str, Any]]] = {}
    for step in digest.get("steps") or []:
        if step.get("op") in _ACTIONS and not _is_bookkeeping(step["urn"]):
            steps.setdefault(step["urn"], []).append(step)
    found = [_change(urn, group) for urn, group in steps.items()]
    return sorted(found, key=lambda it: (not it.attention, _ORDER.index(it.action), it.label))


def _change(urn: str, steps: list[dict[str, Any]]) -> Change:
    actions = {_ACTIONS[step["op"]] for step in steps}
    action = next(it for it in ("replace", "delete", "update", "create") if it in actions)
    causes: dict[str, None] = {}
    protected = False
    for step in steps:
        old, new = step.get("oldState") or {}, step.get("newState") or {}
        protected = protected or bool(old.get("protect"))
        if action != "create":
            for path in _paths(step, replacing=action == "replace"):
                causes[_cause(path, old.get("inputs") or {}, new.get("inputs") or {})] = None
    shown = tuple(causes)[:_LONGEST_CAUSES]
    if len(causes) > len(shown):
        shown += (f"and {len(causes) - len(shown)} more",)
    kind = urn.split("::")[2].split(":")[-1]
    return Change(
        action=action, label=label(urn), causes=shown, attention=_attention(action, kind, protected)
    )


def _paths(step: dict[str, Any], *, replacing: bool) -> list[str]:
    """The properties behind a step; those that force a replacement when there are such."""
    detailed = step.get("detailedDiff") or {}
    forcing = [path for path, it in detailed.items() if "replace" in str(it.get("kind", ""))]
    reasons = list(step.get("replaceReasons") or [])
    if replacing and (forcing or reasons):
        return forcing or reasons
    return list(detailed) or list(step.get("diffReasons") or []) or _differing(step)


def _differing(step: dict[str, Any]) -> list[str]:
    """The inputs that differ, where the engine names none (a resource that goes with another)."""
    old = (step.get("oldState") or {}).get("inputs") or {}
    new = (step.get("newState") or {}).get("inputs") or {}
    # Only what both have: the new side is not yet filled up with names and defaults.
    return sorted(key for key in old.keys() & new.keys() if old[key] != new[key])


def _cause(path: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    if path == _REPLACE_WITH:
        return "goes with what it stands on"
    before, after = at(old, path), at(new, path)
    if before == after:
        return path
    return f"{path}: {_value(before)} → {_value(after)}"


def at(value: Any, path: str) -> Any:
    """The value at a property path (`ports[0].internal`, `tags["a.b"]`), or None."""
    for name, index, quoted in re.findall(r'([^.\[\]"]+)|\[(\d+)\]|\["([^"]+)"\]', path):
        if index and not name:
            position = int(index)
            known = isinstance(value, list) and position < len(value)
            value = value[position] if known else None
        else:
            value = value.get(name or quoted) if isinstance(value, dict) else None
    return value


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if _UNKNOWN in text:
        return "(known after the update)"
    text = " ".join(_CREDENTIAL.sub("[secret]", text).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _attention(action: str, kind: str, protected: bool) -> str:
    if action not in {"delete", "replace"}:
        return ""
    loss = _LOSS.get(kind, "")
    if protected:
        return f"it is protected, the update will stop here{f'; {loss}' if loss else ''}"
    return loss


def _is_bookkeeping(urn: str) -> bool:
    """Components, providers, the stack itself: nothing of them exists in a cloud."""
    token = urn.split("::")[2].split("$")[-1]
    return token.startswith(("payments:", "pulumi:pulumi:", "pulumi:providers:"))
