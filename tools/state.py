"""The engine's state of one stack, read from its file: for looking, never for changing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.paths import PROJECT


@dataclass(frozen=True)
class State:
    """The state in the file backend under `folder`/state."""

    folder: Path
    stack: str

    @property
    def path(self) -> Path:
        """The file; it exists once the stack does."""
        return self.folder / "state" / ".pulumi" / "stacks" / PROJECT / f"{self.stack}.json"

    def resources(self) -> list[dict[str, Any]]:
        """Every resource the engine knows, as its state has it."""
        found = self._deployment().get("resources")
        return found if isinstance(found, list) else []

    def pending(self) -> list[dict[str, Any]]:
        """Operations that a killed engine had begun and not ended."""
        found = self._deployment().get("pending_operations")
        return found if isinstance(found, list) else []

    def known_ids(self) -> Iterator[tuple[str, str]]:
        """(token, id) of every cloud resource the engine knows, those it will delete included."""
        for resource in self.resources():
            if resource.get("custom") and resource.get("id"):
                yield str(resource["type"]), str(resource["id"])

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as its state has them; secrets stay encrypted mappings."""
        for resource in self.resources():
            if resource.get("type") == "pulumi:pulumi:Stack":
                found = resource.get("outputs")
                return found if isinstance(found, dict) else {}
        return {}

    def _deployment(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ToolError(
                f"The engine's state {self.path} is damaged.",
                f"Backups of it: {self.folder}/state/.pulumi/backups; or start over: make down",
            ) from error
        found = content.get("checkpoint", {}).get("latest")
        return found if isinstance(found, dict) else {}
