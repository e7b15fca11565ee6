"""Redirects of other names of the zone to the one that is served."""

from __future__ import annotations

from collections.abc import Sequence

from components.edge.rules import Rule, one_of, text


def rules(hostname: str, redirected: Sequence[str]) -> tuple[Rule, ...]:
    """One rule for all the names, path and query kept; none where there are no names."""
    if not redirected:
        return ()
    return (
        Rule(
            ref="to-the-service",
            description=f"To {hostname}",
            expression=one_of("http.host", redirected),
            action="redirect",
            parameters={
                "from_value": {
                    "status_code": 301,
                    "preserve_query_string": True,
                    "target_url": {
                        "expression": f"concat({text(f'https://{hostname}')}, "
                        "http.request.uri.path)"
                    },
                }
            },
            rank=1,
            otherwise="nobody: these names would be refused",
        ),
    )
