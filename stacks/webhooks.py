"""Where a stack's gateways deliver, and from where: the same for the edge and the service."""

from __future__ import annotations

from dataclasses import replace

from components.edge.paths import WEBHOOKS, Webhook
from stacks.settings_gateways import Gateways


def webhooks(gateways: Gateways) -> tuple[Webhook, ...]:
    """The webhooks of the gateways that the stack has.

    Without a setting they come from where the gateway says; what stands in for it is elsewhere.
    """
    offered = gateways.offered()
    found = []
    for hook in WEBHOOKS:
        section = offered.get(hook.gateway)
        if section is None:
            continue
        named = tuple(str(source) for source in section.webhook_sources)
        if named or section.api_base:
            hook = replace(hook, sources=named)
        found.append(hook)
    return tuple(found)


def sources(gateways: Gateways) -> dict[str, tuple[str, ...]]:
    """From where each of them may deliver, by name; none: from anywhere."""
    return {hook.gateway: hook.sources for hook in webhooks(gateways)}
