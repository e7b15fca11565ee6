"""One DNS zone per environment: what the other stacks' files say about theirs.

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


def _zone(file: Path) -> dict[str, Any]:
    """The zone in a stack's file; a file that cannot be read is its own stack's problem."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        zone = content["config"]["payments:zone"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return zone if isinstance(zone, dict) else {}
