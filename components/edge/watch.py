"""What Cloudflare tells about itself: notifications, and the export of its logs.

- A log export that was switched off loses what happened meanwhile: nothing is sent later.
- The exported fields hold no query, no header and no body: gateways send references back in a
  query, and headers hold sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_cloudflare as cloudflare

from components.edge.alerts import Alert

DATASETS: Final[dict[str, tuple[str, ...]]] = {
    "http_requests": (
        "EdgeStartTimestamp",
        "RayID",
        "ClientIP",
        "ClientCountry",
        "ClientRequestHost",
        "ClientRequestMethod",
        "ClientRequestPath",
        "ClientSSLProtocol",
        "EdgeResponseStatus",
        "OriginResponseStatus",
        "CacheCacheStatus",
        "SecurityAction",
        "SecurityRuleID",
    ),
    "firewall_events": (
        "Datetime",
        "RayID",
        "Action",
        "Source",
        "RuleID",
        "ClientIP",
        "ClientCountry",
        "ClientRequestHost",
        "ClientRequestMethod",
        "ClientRequestPath",
        "EdgeResponseStatus",
    ),
}
"""What is exported (logs/logpush/logpush-job/datasets/zone)."""


@dataclass(frozen=True, kw_only=True)
class LogExport:
    """Where logs go, with its credentials (secret), and the proof that the place is ours."""

    destination: pulumi.Input[str]
    ownership_challenge: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class WatchArgs:
    """Who is told what; `tunnel_id` narrows the tunnel's alert to ours."""

    account_id: str
    zone_id: str
    alerts: Sequence[Alert]
    emails: Sequence[str]
    tunnel_id: pulumi.Input[str] | None = None
    log_export: LogExport | None = None


class Watch(pulumi.ComponentResource):
    """Notification policies and log export."""

    policies: pulumi.Output[list[str]]
    """The ids of the notification policies."""

    def __init__(
        self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Watch", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        told = args.alerts if args.emails else ()
        policies = [
            cloudflare.NotificationPolicy(
                f"{name}-{alert.kind.replace('_', '-')}",
                account_id=args.account_id,
                name=f"{name}: {alert.title}",
                description=alert.title,
                alert_type=alert.kind,
                enabled=True,
                mechanisms=cloudflare.NotificationPolicyMechanismsArgs(
                    emails=[
                        cloudflare.NotificationPolicyMechanismsEmailArgs(id=email)
                        for email in args.emails
                    ]
                ),
                filters=_filters(alert, args),
                opts=child,
            )
            for alert in told
        ]
        if args.log_export:
            _jobs(name, args.zone_id, args.log_export, child)
        self.policies = pulumi.Output.all(*(policy.id for policy in policies))
        self.register_outputs({"policies": self.policies})


def _filters(alert: Alert, args: WatchArgs) -> cloudflare.NotificationPolicyFiltersArgs | None:
    if alert.of_zone:
        return cloudflare.NotificationPolicyFiltersArgs(zones=[args.zone_id])
    if alert.needs == "tunnel" and args.tunnel_id is not None:
        return cloudflare.NotificationPolicyFiltersArgs(tunnel_ids=[args.tunnel_id])
    return None


def _jobs(name: str, zone_id: str, export: LogExport, opts: pulumi.ResourceOptions) -> None:
    for dataset, wanted in DATASETS.items():
        cloudflare.LogpushJob(
            f"{name}-{dataset.replace('_', '-')}",
            zone_id=zone_id,
            dataset=dataset,
            name=f"{name}-{dataset.replace('_', '-')}",
            destination_conf=pulumi.Output.secret(export.destination),
            ownership_challenge=pulumi.Output.secret(export.ownership_challenge),
            enabled=True,
            output_options=cloudflare.LogpushJobOutputOptionsArgs(
                output_type="ndjson", field_names=list(wanted), timestamp_format="rfc3339"
            ),
            opts=opts,
        )
