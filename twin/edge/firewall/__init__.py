"""The edge's firewall: what the deployed rules do to a request before it reaches an origin.

    custom rules → browser check and security level → rate limits → (managed rules) → bots

It is driven by nothing but the deployed rulesets, lists and settings. A skip rule writes what it
takes out into `exchange.skips`; the stages after it, the managed rules among them, look there.
"""

from __future__ import annotations

from twin.edge.firewall.stages import Firewall

__all__ = ["Firewall"]
