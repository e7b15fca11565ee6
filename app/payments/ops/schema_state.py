"""Whether the database's schema is at least what this release was built for.

During a release the schema is migrated while the old replicas still serve. So a revision that
this release does not know is a newer one and fine (migrations only ever expand what the release
before needs); one that it knows and has moved past means that its migration has not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"

_REVISION = re.compile(r'^revision = "([^"]+)"', re.MULTILINE)
_DOWN = re.compile(r"^down_revision = (.+)$", re.MULTILINE)
_NAME = re.compile(r'"([^"]+)"')


class SchemaBehindError(Exception):
    """The migration of this release has not run."""


class SchemaState:
    """The release's revisions, read from its migration files. Alembic itself stays unloaded."""

    def __init__(self, folder: Path = VERSIONS) -> None:
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
        self.known = frozenset(name for text in texts for name in _REVISION.findall(text))
        below = {
            name for text in texts for line in _DOWN.findall(text) for name in _NAME.findall(line)
        }
        self.heads = self.known - below

    def missing(self, applied: Iterable[str]) -> frozenset[str]:
        """Return the heads that a database with these revisions lacks."""
        there = set(applied)
        return frozenset() if there - self.known else self.heads - there

    async def check(self, session: AsyncSession) -> None:
        """Ask the database; raises `SchemaBehindError`, or what the driver raises."""
        rows = await session.scalars(text("SELECT version_num FROM payments.alembic_version"))
        if lacking := self.missing(rows):
            raise SchemaBehindError(f"not applied: {', '.join(sorted(lacking))}")
