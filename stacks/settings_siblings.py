"""What environments must not share: what the other stacks' files say about their zones.

Cloudflare allows one entry-point ruleset per phase and zone, so two stacks that share a zone would
overwrite each other's firewall and rate limits at every update.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stacks.settings_model import Settings
from stacks.settings_problems import Problem, show


def shared_zones(settings: Settings, stack: str, folder: Path) -> Iterator[Problem]:
    """The zones of the `Pulumi.<other>.yaml` beside ours that are also ours."""
    for file in sorted(folder.glob("Pulumi.*.yaml")):
        if file.name == f"Pulumi.{stack}.yaml":
            continue
        zone = _zone(file)
        same_id = zone.get("id") == settings.zone.id
        same_name = str(zone.get("name", "")).lower() == settings.zone.name
        if same_id or same_name:
            yield Problem(
                field="payments:zone." + ("id" if same_id else "name"),
                value=show(settings.zone.id if same_id else settings.zone.name),
                reason=f"{file.name} uses the same zone; both would overwrite its firewall rules",
                remedy="give each environment a zone of its own",
            )


def shared_organizations(settings: Settings, stack: str, folder: Path) -> Iterator[Problem]:
    """Zero Trust has one organization per account; one stack alone may describe it."""
    if settings.access is None or not settings.access.organization:
        return
    for file in sorted(folder.glob("Pulumi.*.yaml")):
        access = _section(file, "payments:access")
        if (
            file.name == f"Pulumi.{stack}.yaml"
            or not access
            or not access.get("organization", True)
        ):
            continue
        if _zone(file).get("account-id") == settings.zone.account_id:
            yield Problem(
                field="payments:access.organization",
                value=show(True),
                reason=f"{file.name} describes the organization of the same account: each update "
                "would undo the other's",
                remedy="set access.organization: false in one of the two",
            )


def _zone(file: Path) -> dict[str, Any]:
    return _section(file, "payments:zone")


def _section(file: Path, key: str) -> dict[str, Any]:
    """A section of a stack's file; a file that cannot be read is its own stack's problem."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = content["config"][key]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
