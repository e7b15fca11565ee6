"""The edge of one stack: from its settings to the components in front of the service.

The rules are made before the record that visitors find the service by (`Front.ready`), so that
there is no moment in which the name answers without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.edge import plans, records, settings, whole
from components.edge.alerts import Needs
from components.edge.front import Edge, EdgeArgs
from components.edge.managed import Owasp
from components.edge.report import report
from components.edge.watch import LogExport, Watch, WatchArgs
from components.edge.zone import Zone, ZoneArgs
from stacks.settings import Stack
from stacks.webhooks import webhooks


@dataclass(frozen=True, kw_only=True)
class Front:
    """What stands in front of the service."""

    fitted: whole.Fitted
    zone: Zone
    edge: Edge

    @property
    def ready(self) -> tuple[pulumi.Resource, ...]:
        """What must stand before visitors can find the service."""
        return (self.zone, self.edge)

    def exports(self) -> dict[str, pulumi.Input[object]]:
        """The stack's outputs about the edge."""
        return {"edge": self.edge.summary, "dnssec_ds": self.zone.ds}


def wishes(stack: Stack, *, access_hosts: tuple[str, ...] = ()) -> whole.Wishes:
    """What the stack wants of its edge; `access_hosts` are names that Access alone guards."""
    wanted, access = stack.settings.edge, stack.settings.access
    has: set[Needs] = {"tunnel" if stack.settings.ingress == "tunnel" else "client certificate"}
    if access:
        has.add("access")
    return whole.Wishes(
        hostname=stack.settings.hostname,
        access_hosts=access_hosts,
        redirected=wanted.redirect_from,
        admin_cidrs=tuple(str(cidr) for cidr in access.admin_cidrs) if access else (),
        admin_list=stack.name.replace("-", "_") + "_admins",
        webhooks=webhooks(stack.settings.gateways),
        owasp=Owasp(
            paranoia=wanted.owasp.paranoia,
            threshold=wanted.owasp.threshold,
            action=wanted.owasp.action,
        ),
        modern_ciphers=wanted.modern_ciphers,
        log_export=wanted.log_export,
        has=frozenset(has),
    )


def build(
    stack: Stack,
    clouds: pulumi.ResourceOptions,
    *,
    access_hosts: tuple[str, ...] = (),
    origin_ready: tuple[pulumi.Resource, ...] = (),
) -> Front:
    """The zone and its rules; a preview shows what the plan made of them."""
    here, zone = stack.settings, stack.settings.zone
    wanted = wishes(stack, access_hosts=access_hosts)
    fitted = whole.fit(wanted, plans.plan(zone.plan))
    if pulumi.runtime.is_dry_run():
        pulumi.log.info(report(fitted))
    hsts = here.edge.hsts
    return Front(
        fitted=fitted,
        zone=Zone(
            f"{stack.name}-zone",
            ZoneArgs(
                zone_id=zone.id,
                settings=settings.settings(
                    settings.Hsts(
                        max_age=hsts.max_age,
                        include_subdomains=hsts.include_subdomains,
                        preload=hsts.preload,
                    ),
                    modern_ciphers=here.edge.modern_ciphers,
                ),
                records=records.records(
                    zone.name,
                    mail=_mail(stack),
                    redirected=here.edge.redirect_from,
                ),
                protect=here.protect,
                origin_ready=origin_ready,
            ),
            clouds,
        ),
        edge=Edge(
            f"{stack.name}-edge",
            EdgeArgs(
                account_id=zone.account_id,
                zone_id=zone.id,
                fitted=fitted,
                admin_cidrs=wanted.admin_cidrs,
            ),
            clouds,
        ),
    )


def _mail(stack: Stack) -> records.Mail | None:
    given = stack.settings.edge.mail
    if given is None:
        return None
    return records.Mail(senders=given.senders, others=given.others, reports=given.reports)


def watch(
    stack: Stack,
    front: Front,
    clouds: pulumi.ResourceOptions,
    *,
    tunnel_id: pulumi.Input[str] | None,
) -> Watch:
    """Notifications and log export, as far as the plan has them."""
    zone, secrets = stack.settings.zone, stack.secrets
    return Watch(
        f"{stack.name}-watch",
        WatchArgs(
            account_id=zone.account_id,
            zone_id=zone.id,
            alerts=front.fitted.alerts,
            emails=stack.settings.edge.alert_emails,
            tunnel_id=tunnel_id,
            log_export=LogExport(
                destination=secrets.log_export_destination,
                ownership_challenge=secrets.log_export_ownership,
            )
            if front.fitted.log_export
            else None,
        ),
        clouds,
    )
