"""What Cloudflare is asked to tell people about, as data.

Each type exists on some plans only and would be refused on the others in the middle of an update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from components.edge.fitting import Finding
from components.edge.plans import Plan

Needs = Literal["nothing", "tunnel", "access", "client certificate", "log export"]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One notification: its type, what must exist for it, whether it is about one zone."""

    kind: str
    title: str
    needs: Needs = "nothing"
    of_zone: bool = False
    otherwise: str = "the platform's own monitoring"


ALERTS: Final = (
    Alert(kind="tunnel_health_event", title="A tunnel lost connections", needs="tunnel"),
    Alert(kind="real_origin_monitoring", title="The origin cannot be reached (521)"),
    Alert(
        kind="http_alert_origin_error",
        title="The origin answers with errors more often",
        of_zone=True,
        otherwise="real_origin_monitoring, and the service's own metrics",
    ),
    Alert(kind="universal_ssl_event_type", title="The edge certificate was not renewed"),
    Alert(
        kind="zone_aop_custom_certificate_expiration_type",
        title="The client certificate for the origin expires",
        needs="client certificate",
    ),
    Alert(
        kind="expiring_service_token_alert",
        title="A service token expires in a week",
        needs="access",
    ),
    Alert(kind="dos_attack_l7", title="A flood of requests was mitigated"),
    Alert(
        kind="clickhouse_alert_fw_anomaly",
        title="The firewall acts more often than usual",
        of_zone=True,
        otherwise="dos_attack_l7, and the security events in the dashboard",
    ),
    Alert(
        kind="traffic_anomalies_alert",
        title="Unusually much or little traffic",
        of_zone=True,
        otherwise="the platform's own monitoring of its request rate",
    ),
    Alert(kind="incident_alert", title="Cloudflare itself has an incident"),
    Alert(
        kind="failing_logpush_job_disabled_alert",
        title="The log export stopped",
        needs="log export",
    ),
)


def fit(plan: Plan, has: frozenset[Needs]) -> tuple[tuple[Alert, ...], tuple[Finding, ...]]:
    """The alerts that this installation can have, and what became of each that makes sense."""
    wanted = [alert for alert in ALERTS if alert.needs == "nothing" or alert.needs in has]
    findings = tuple(
        Finding(phase="alerts", ref=alert.kind.replace("_", "-"), outcome="exact")
        if alert.kind in plan.alerts
        else Finding(
            phase="alerts",
            ref=alert.kind.replace("_", "-"),
            outcome="left out",
            changes=(f"{plan.title} does not have it",),
            otherwise=alert.otherwise,
        )
        for alert in wanted
    )
    return tuple(alert for alert in wanted if alert.kind in plan.alerts), findings
