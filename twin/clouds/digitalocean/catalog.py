"""What DigitalOcean offers: regions, Droplet sizes, images, database engines; from `catalog.json`.

The file carries its as-of date and sources. Where no source says that a size is offered in a region
it is left out: what the twin accepts, the real API must accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

HOURS_PER_MONTH = 672  # the bundled plans' cap (28 days): price_hourly is price_monthly / 672


@dataclass(frozen=True, kw_only=True)
class Size:
    """A Droplet size; `regions` are those where it can be created."""

    slug: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    transfer_tib: float
    price_monthly: float
    regions: tuple[str, ...]

    @property
    def price_hourly(self) -> float:
        """USD, rounded as the API rounds."""
        return round(self.price_monthly / HOURS_PER_MONTH, 5)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A managed database engine; `versions` to the date of their end of availability, if any."""

    slug: str
    regions: tuple[str, ...]
    versions: Mapping[str, str | None]
    layouts: Mapping[int, tuple[str, ...]]

    def offered(self, as_of: str) -> list[str]:
        """The versions of which a new cluster can be made on a day (ISO date)."""
        return [v for v, until in self.versions.items() if until is None or as_of < until]


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The whole offer, as of a date."""

    as_of: str
    regions: Mapping[str, str]
    images: tuple[str, ...]
    sizes: Mapping[str, Size]
    spaces_regions: tuple[str, ...]
    engines: Mapping[str, Engine]


@cache
def catalog() -> Catalog:
    """The committed catalogue."""
    raw = json.loads((resources.files(__package__) / "catalog.json").read_text())
    sizes = {
        slug: Size(
            slug=slug,
            regions=tuple(raw["size_families"][entry["family"]]),
            **{key: value for key, value in entry.items() if key != "family"},
        )
        for slug, entry in raw["sizes"].items()
    }
    engines = {
        slug: Engine(
            slug=slug,
            regions=tuple(entry["regions"]),
            versions=entry["versions"],
            layouts={int(nodes): tuple(names) for nodes, names in entry["layouts"].items()},
        )
        for slug, entry in raw["databases"].items()
    }
    return Catalog(
        as_of=raw["as_of"],
        regions=raw["regions"],
        images=tuple(raw["images"]),
        sizes=sizes,
        spaces_regions=tuple(raw["spaces_regions"]),
        engines=engines,
    )


def memory_gib(database_size: str) -> int:
    """The memory of a database size, which its slug ends with: `db-s-1vcpu-2gb` has 2 GiB."""
    found = re.search(r"-(\d+)gb$", database_size)
    if found is None:
        raise ValueError(f"database size {database_size!r} does not end with its memory")
    return int(found[1])
