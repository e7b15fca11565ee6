"""The rules in front of the service: rulesets, the admins' addresses, bots, leaked passwords.

Owns one ruleset per phase, as fitted. Not: what is wanted (`firewall`, `limits`, …); Access; the
zone's settings (`zone`); alerts and log export (`watch`).

- The list of admins' addresses is made before the ruleset that names it and deleted after it.
- Deleting BotManagement or LeakedCredentialCheck changes nothing at Cloudflare: the provider's
  delete is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_cloudflare as cloudflare

from components.edge.rules import PHASES
from components.edge.rulesets import ruleset
from components.edge.whole import Fitted


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """Where the rules go, the rules, and the addresses that may call the admin API."""

    account_id: str
    zone_id: str
    fitted: Fitted
    admin_cidrs: Sequence[str] = ()


class Edge(pulumi.ComponentResource):
    """Everything that decides about a request before it reaches the origin, Access aside."""

    rulesets: pulumi.Output[dict[str, str]]
    """The rulesets' ids by phase."""
    summary: pulumi.Output[dict[str, object]]
    """The plan, how many rules it got, and what is weaker than wanted."""

    def __init__(
        self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Edge", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        fitted = args.fitted
        before: list[pulumi.Resource] = []
        if fitted.admin_list:
            before.append(self._admins(name, args, fitted.admin_list))
        # Its fields are empty until it is switched on, and a rule on them would never match.
        before.append(
            cloudflare.LeakedCredentialCheck(
                f"{name}-leaked-passwords", zone_id=args.zone_id, enabled=True, opts=child
            )
        )
        made = {
            phase: ruleset(
                name,
                phase,
                fitted.rules[phase],
                args.zone_id,
                parent=self,
                after=before if phase == "http_request_firewall_custom" else (),
            )
            for phase in PHASES
            if fitted.rules[phase]
        }
        cloudflare.BotManagement(
            f"{name}-bots",
            zone_id=args.zone_id,
            **fitted.bots,
            opts=child,
        )
        self.rulesets = pulumi.Output.all(**{phase: it.id for phase, it in made.items()})
        self.summary = pulumi.Output.from_input(fitted.summary())
        self.register_outputs({"rulesets": self.rulesets, "summary": self.summary})

    def _admins(self, name: str, args: EdgeArgs, title: str) -> cloudflare.List:
        return cloudflare.List(
            f"{name}-admins",
            account_id=args.account_id,
            kind="ip",
            name=title,
            description="Who may call the admin API",
            items=[
                cloudflare.ListItemArgs(ip=_plain(cidr), comment="payments:access:admin-cidrs")
                for cidr in sorted(set(args.admin_cidrs))
            ],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False),
        )


def _plain(cidr: str) -> str:
    """A single address without its length, as the API gives it back; IPv6 has ranges only."""
    return cidr.removesuffix("/32") if "." in cidr else cidr
