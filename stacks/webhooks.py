"""Where a stack's gateways deliver, and from where: one setting for the edge and the service."""

from __future__ import annotations

from dataclasses import replace

from components.edge.paths import WEBHOOKS, Webhook
from stacks.settings_gateways import Gateway, Gateways


def sources(gateway: Gateway) -> list[str]:
    """The addresses that the settings name for a gateway's deliveries; none: anywhere."""
    return [str(source) for source in gateway.webhook_sources]


def webhooks(gateways: Gateways) -> tuple[Webhook, ...]:
    """The webhooks of the gateways that the stack has, for its edge.

    Without a setting they come from where the gateway says; what stands in for it is elsewhere.
    """
    offered = gateways.offered()
    found = []
    for hook in WEBHOOKS:
        section = offered.get(hook.gateway)
        if section is None:
            continue
        named = tuple(sources(section))
        if named or section.api_base:
            hook = replace(hook, sources=named)
        found.append(hook)
    return tuple(found)
