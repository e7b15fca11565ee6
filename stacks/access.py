"""Access of one stack: from its settings to the component, and what the service is told of it."""

from __future__ import annotations

import pulumi

from components.access import Access, AccessArgs, GoogleWorkspace, Posture, ServiceToken, SshRoute
from components.service import AccessEnvironment
from stacks.ingress import WayIn
from stacks.settings import Stack


def build(stack: Stack, way: WayIn, clouds: pulumi.ResourceOptions) -> Access | None:
    """Access in front of the admin's places; None where the settings have none."""
    wanted, zone = stack.settings.access, stack.settings.zone
    if wanted is None:
        return None
    return Access(
        f"{stack.name}-access",
        AccessArgs(
            account_id=zone.account_id,
            zone_id=zone.id,
            hostname=stack.settings.hostname,
            team=wanted.team,
            provider=GoogleWorkspace(
                apps_domain=wanted.idp.apps_domain,
                client_id=wanted.idp.client_id,
                client_secret=stack.secrets.access_idp_client_secret,
            ),
            admins=wanted.admins,
            admin_cidrs=[str(cidr) for cidr in wanted.admin_cidrs],
            session=wanted.session,
            authenticators=wanted.mfa.authenticators,
            mfa_session=wanted.mfa.session,
            posture=Posture(
                enrolled=wanted.posture.enrolled,
                platform=wanted.posture.platform,
                checks=wanted.posture.checks,
            )
            if wanted.posture
            else None,
            service_tokens=[
                ServiceToken(
                    name=token,
                    uses=given.uses,
                    hours=given.hours,
                    version=given.version,
                    previous_until=given.previous_until,
                )
                for token, given in wanted.service_tokens.items()
            ],
            ssh=[SshRoute(hostname=ssh.hostname, target=ssh.tunnel.target) for ssh in way.ssh],
            owns_organization=wanted.organization,
        ),
        clouds,
    )


def environment(stack: Stack, access: Access | None) -> AccessEnvironment | None:
    """What the service is told, so that it verifies every assertion itself."""
    wanted = stack.settings.access
    if access is None or wanted is None:
        return None
    return AccessEnvironment(
        team_domain=access.team_domain,
        audiences=access.audiences,
        admins=wanted.admins,
        admin_cidrs=[str(cidr) for cidr in wanted.admin_cidrs],
        service_tokens=access.api_clients,
    )
