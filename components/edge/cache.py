"""Cache rules: files named by their own hash are kept, everything else never.

The origin's own words decide how long (`respect_origin`): it sends a year and `immutable` for a
name whose hash is its content's, and `no-store` for one that is not. An overriding TTL would keep
the answer to a name of the next release, asked for a second too early, for that year.
"""

from __future__ import annotations

from components.edge import paths
from components.edge.rules import Rule, below


def rules() -> tuple[Rule, ...]:
    """The wanted rules; where several match, the last one decides."""
    return (
        Rule(
            ref="never",
            description="Pages, the API, admin, webhooks: nobody's balance belongs into a cache",
            expression=f"not {below(paths.STATIC)}",
            action="set_cache_settings",
            parameters={"cache": False},
            rank=1,
            otherwise="the service sends no-store with everything but static files",
        ),
        Rule(
            ref="static",
            description="Files named by their own hash: as long as the service says, a year",
            expression=below(paths.STATIC),
            action="set_cache_settings",
            parameters={
                "cache": True,
                "edge_ttl": {"mode": "respect_origin"},
                "browser_ttl": {"mode": "respect_origin"},
                # A page served under a file's name is not kept (web cache deception).
                "cache_key": {"cache_deception_armor": True},
            },
            rank=2,
            otherwise="Cloudflare keeps known file types anyway, as the service's headers say",
        ),
    )
