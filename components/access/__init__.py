"""Who may come to the admin pages, the admin API and the machine: Cloudflare Access.

Owns the account's Zero Trust organization (only where told to), the Google Workspace identity
provider, the reusable policies, the applications in front of `/admin`, `/api/admin` and SSH, the
service tokens of programs, posture rules and the list of the admins' addresses; and the records
of the SSH names, none of which may exist before its application does. Not: the service's own check
of the assertion; the firewall's rules; alerts.

- Multi-factor login is Access's own ("independent MFA"). A rule `auth_method = mfa` reads the `amr`
  claim, which Google Workspace does not send: it would lock everybody out.
- Authenticators are enrolled in the App Launcher, which has to exist for it and is exempt from MFA.
- Paths are written without `/*`: `host/admin/*` would not cover `/admin` itself. A more specific
  application inherits nothing, so each has all its policies.
- Both applications set a cookie of one name on one host; its path keeps them apart.
- Programs come by `non_identity` policies: with `allow` they would be asked to log in.
- The API's policy *requires* the address list. A `bypass` for addresses would drop the assertion
  that the service insists on.
- Only policies refer to lists, rules and tokens, and only applications to policies: the API refuses
  to delete what is in use, and the engine deletes dependents first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_cloudflare as cloudflare

from components.access.args import (
    AccessArgs,
    GoogleWorkspace,
    Posture,
    Right,
    ServiceToken,
    SshRoute,
)
from components.edge.paths import ADMIN, ADMIN_API

__all__ = ["Access", "AccessArgs", "GoogleWorkspace", "Posture", "ServiceToken", "SshRoute"]

TEAM_SUFFIX: Final = ".cloudflareaccess.com"
KEY_ROTATION_DAYS: Final = 42
"""Cloudflare's own default; the key before stays valid for another 7 days."""


@dataclass(frozen=True)
class _Issued:
    """What a service token became."""

    wanted: ServiceToken
    token: cloudflare.ZeroTrustAccessServiceToken


@dataclass
class _Account:
    """What the policies refer to."""

    provider: cloudflare.ZeroTrustAccessIdentityProvider
    addresses: cloudflare.ZeroTrustList
    posture: list[cloudflare.ZeroTrustDevicePostureRule]
    tokens: list[_Issued] = field(default_factory=list)


class Access(pulumi.ComponentResource):
    """Access in front of the admin pages, the admin API and SSH."""

    team_domain: pulumi.Output[str]
    """`<team>.cloudflareaccess.com`: who signs assertions, and where the keys are published."""
    audiences: pulumi.Output[list[str]]
    """The AUD tags of `/admin` and `/api/admin`, in this order."""
    api_clients: pulumi.Output[Mapping[str, list[Right]]]
    """Who may call the admin API and read: a service token's client id, and its further rights."""
    service_tokens: pulumi.Output[Mapping[str, Mapping[str, str]]]
    """Name to `client_id` and `client_secret` of every service token (secret)."""

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Access", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        owned = self._organization() if args.owns_organization else []
        # Multi-factor settings are refused until the organization allows them.
        self._after_organization = pulumi.ResourceOptions(parent=self, depends_on=owned)
        known = self._account()
        admins = self._admins("admins", known, [])
        from_home = self._admins("admin-api", known, [self._from_addresses(known)])
        if args.owns_organization:  # one per account, as the organization
            self._application("launcher", "app_launcher", None, known, [admins], mfa=False)
        pages = self._application(
            "pages", "self_hosted", args.hostname + ADMIN, known, [admins], binding=True
        )
        callers = [made for made in known.tokens if made.wanted.calls_api]
        api = self._application(
            "api",
            "self_hosted",
            args.hostname + ADMIN_API,
            known,
            [from_home, *self._programs("admin-api", callers, [self._from_addresses(known)])],
            visible=False,
        )
        if args.ssh:
            logins = [made for made in known.tokens if "ssh" in made.wanted.uses]
            policies = [admins, *self._programs("ssh", logins)]
            for route in args.ssh:
                self._ssh(route, known, policies)

        self.team_domain = pulumi.Output.from_input(args.team + TEAM_SUFFIX)
        self.audiences = pulumi.Output.all(pages.aud, api.aud)
        self.api_clients = pulumi.Output.all(*[made.token.client_id for made in callers]).apply(
            lambda ids: {id: c.wanted.rights for id, c in zip(ids, callers, strict=True)}
        )
        self.service_tokens = pulumi.Output.secret(
            pulumi.Output.all(
                **{
                    made.wanted.name: pulumi.Output.all(
                        client_id=made.token.client_id, client_secret=made.token.client_secret
                    )
                    for made in known.tokens
                }
            )
        )
        self.register_outputs(
            {
                "team_domain": self.team_domain,
                "audiences": self.audiences,
                "api_clients": self.api_clients,
                "service_tokens": self.service_tokens,
            }
        )

    # --- the account ----------------------------------------------------------------------------
    def _organization(self) -> list[pulumi.Resource]:
        """The organization and the rotation of its keys. Deleting either changes nothing there."""
        args = self._args
        organization = cloudflare.ZeroTrustOrganization(
            f"{self._name}-organization",
            account_id=args.account_id,
            name=args.team,
            auth_domain=args.team + TEAM_SUFFIX,
            session_duration=args.session,
            strict_service_token_auth=True,
            mfa_required_for_all_apps=True,
            mfa_config=cloudflare.ZeroTrustOrganizationMfaConfigArgs(
                allowed_authenticators=list(args.authenticators), session_duration=args.mfa_session
            ),
            opts=self._child,
        )
        cloudflare.ZeroTrustAccessKeyConfiguration(
            f"{self._name}-keys",
            account_id=args.account_id,
            key_rotation_interval_days=KEY_ROTATION_DAYS,
            opts=self._child,
        )
        return [organization]

    def _account(self) -> _Account:
        args = self._args
        provider = cloudflare.ZeroTrustAccessIdentityProvider(
            f"{self._name}-google",
            account_id=args.account_id,
            name=f"Google Workspace ({self._name})",
            type="google-apps",
            config=cloudflare.ZeroTrustAccessIdentityProviderConfigArgs(
                apps_domain=args.provider.apps_domain,
                client_id=args.provider.client_id,
                client_secret=pulumi.Output.secret(args.provider.client_secret),
            ),
            opts=self._after_organization,
        )
        addresses = cloudflare.ZeroTrustList(
            f"{self._name}-addresses",
            account_id=args.account_id,
            name=f"{self._name}-addresses",
            description="From where the admin API may be called",
            type="IP",
            items=[cloudflare.ZeroTrustListItemArgs(value=cidr) for cidr in args.admin_cidrs],
            opts=self._child,
        )
        return _Account(provider, addresses, self._posture(), self._tokens())

    def _posture(self) -> list[cloudflare.ZeroTrustDevicePostureRule]:
        wanted = self._args.posture
        if wanted is None:
            return []
        rules = [self._posture_rule("enrolled", "gateway", None)] if wanted.enrolled else []
        inputs = cloudflare.ZeroTrustDevicePostureRuleInputArgs
        for check in wanted.checks:
            kind = check.replace("-", "_")
            given = inputs(require_all=True) if check == "disk-encryption" else inputs(enabled=True)
            rules.append(self._posture_rule(check, kind, given))
        return rules

    def _posture_rule(
        self, suffix: str, kind: str, given: cloudflare.ZeroTrustDevicePostureRuleInputArgs | None
    ) -> cloudflare.ZeroTrustDevicePostureRule:
        platform = self._args.posture.platform if self._args.posture else None
        return cloudflare.ZeroTrustDevicePostureRule(
            f"{self._name}-posture-{suffix}",
            account_id=self._args.account_id,
            name=f"{self._name}-{suffix}",
            type=kind,
            input=given,
            matches=[cloudflare.ZeroTrustDevicePostureRuleMatchArgs(platform=platform)]
            if given and platform
            else None,
            schedule="5m",
            opts=self._child,
        )

    def _tokens(self) -> list[_Issued]:
        return [
            _Issued(
                wanted,
                cloudflare.ZeroTrustAccessServiceToken(
                    f"{self._name}-token-{wanted.name}",
                    account_id=self._args.account_id,
                    name=f"{self._name}-{wanted.name}",
                    duration=f"{wanted.hours}h",
                    client_secret_version=wanted.version,
                    previous_client_secret_expires_at=wanted.previous_until,
                    opts=self._child,
                ),
            )
            for wanted in self._args.service_tokens
        ]

    # --- policies -------------------------------------------------------------------------------
    def _admins(
        self,
        suffix: str,
        known: _Account,
        more: Sequence[cloudflare.ZeroTrustAccessPolicyRequireArgs],
    ) -> cloudflare.ZeroTrustAccessPolicy:
        """People on the list, by our identity provider, on a device that is as it should be."""
        include = cloudflare.ZeroTrustAccessPolicyIncludeArgs
        email = cloudflare.ZeroTrustAccessPolicyIncludeEmailArgs
        require = cloudflare.ZeroTrustAccessPolicyRequireArgs
        login = cloudflare.ZeroTrustAccessPolicyRequireLoginMethodArgs
        posture = cloudflare.ZeroTrustAccessPolicyRequireDevicePostureArgs
        return cloudflare.ZeroTrustAccessPolicy(
            f"{self._name}-policy-{suffix}",
            account_id=self._args.account_id,
            name=f"{self._name}-{suffix}",
            decision="allow",
            includes=[include(email=email(email=address)) for address in self._args.admins],
            requires=[
                require(login_method=login(id=known.provider.id)),
                *[require(device_posture=posture(integration_uid=r.id)) for r in known.posture],
                *more,
            ],
            session_duration=self._args.session,
            opts=self._child,
        )

    def _from_addresses(self, known: _Account) -> cloudflare.ZeroTrustAccessPolicyRequireArgs:
        return cloudflare.ZeroTrustAccessPolicyRequireArgs(
            ip_list=cloudflare.ZeroTrustAccessPolicyRequireIpListArgs(id=known.addresses.id)
        )

    def _programs(
        self,
        use: str,
        issued: Sequence[_Issued],
        requires: Sequence[cloudflare.ZeroTrustAccessPolicyRequireArgs] = (),
    ) -> list[cloudflare.ZeroTrustAccessPolicy]:
        """The policy of the service tokens that were issued for a use; none without one."""
        if not issued:
            return []
        include = cloudflare.ZeroTrustAccessPolicyIncludeArgs
        by_token = cloudflare.ZeroTrustAccessPolicyIncludeServiceTokenArgs
        return [
            cloudflare.ZeroTrustAccessPolicy(
                f"{self._name}-policy-programs-{use}",
                account_id=self._args.account_id,
                name=f"{self._name}-programs-{use}",
                decision="non_identity",
                includes=[include(service_token=by_token(token_id=one.token.id)) for one in issued],
                requires=list(requires) or None,
                opts=self._child,
            )
        ]

    # --- applications ---------------------------------------------------------------------------
    def _application(
        self,
        suffix: str,
        kind: str,
        place: str | None,
        known: _Account,
        policies: Sequence[cloudflare.ZeroTrustAccessPolicy],
        *,
        mfa: bool = True,
        binding: bool = False,
        visible: bool = True,
    ) -> cloudflare.ZeroTrustAccessApplication:
        args = self._args
        web = kind == "self_hosted"
        attached = cloudflare.ZeroTrustAccessApplicationPolicyArgs
        return cloudflare.ZeroTrustAccessApplication(
            f"{self._name}-app-{suffix}",
            account_id=args.account_id,
            name=f"{self._name}-{suffix}",
            type=kind,
            domain=place,
            destinations=[
                cloudflare.ZeroTrustAccessApplicationDestinationArgs(type="public", uri=place)
            ]
            if place
            else None,
            policies=[attached(id=p.id, precedence=n) for n, p in enumerate(policies, start=1)],
            allowed_idps=[known.provider.id],
            auto_redirect_to_identity=True,
            session_duration=args.session,
            mfa_config=cloudflare.ZeroTrustAccessApplicationMfaConfigArgs(
                allowed_authenticators=list(args.authenticators), session_duration=args.mfa_session
            )
            if mfa
            else None,
            # A client on a command line has to read it.
            http_only_cookie_attribute=web if place else None,
            # Not strict: the way back from the login would come without the cookie, for ever.
            same_site_cookie_attribute="lax" if web else None,
            path_cookie_attribute=True if web else None,
            # Only where browsers alone come: other clients do not carry it along.
            enable_binding_cookie=True if binding else None,
            service_auth401_redirect=True if web else None,
            app_launcher_visible=visible if place else None,
            opts=self._after_organization,
        )

    def _ssh(
        self,
        route: SshRoute,
        known: _Account,
        policies: Sequence[cloudflare.ZeroTrustAccessPolicy],
    ) -> None:
        application = self._application(
            route.label, "ssh", route.hostname, known, policies, visible=False
        )
        cloudflare.DnsRecord(
            f"{self._name}-{route.label}-record",
            zone_id=self._args.zone_id,
            name=route.hostname,
            type="CNAME",
            content=route.target,
            proxied=True,
            ttl=1,
            comment="SSH, behind Access",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[application]),
        )
