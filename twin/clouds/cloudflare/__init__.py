"""The double of the Cloudflare provider, as strict as the real API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twin.clouds.cloudflare.access_application import (
    ZeroTrustAccessApplication,
    ZeroTrustAccessShortLivedCertificate,
)
from twin.clouds.cloudflare.access_organization import (
    ZeroTrustAccessKeyConfiguration,
    ZeroTrustOrganization,
)
from twin.clouds.cloudflare.access_policy import (
    ZeroTrustAccessIdentityProvider,
    ZeroTrustAccessPolicy,
    ZeroTrustDevicePostureRule,
    ZeroTrustList,
)
from twin.clouds.cloudflare.access_token import ZeroTrustAccessServiceToken
from twin.clouds.cloudflare.account import authorize
from twin.clouds.cloudflare.dns import DnsRecord
from twin.clouds.cloudflare.hostname_pulls import (
    AuthenticatedOriginPulls,
    AuthenticatedOriginPullsHostnameCertificate,
)
from twin.clouds.cloudflare.lists import List
from twin.clouds.cloudflare.notifications import NotificationPolicy, NotificationPolicyWebhooks
from twin.clouds.cloudflare.origin_tls import (
    AuthenticatedOriginPullsCertificate,
    AuthenticatedOriginPullsSettings,
    GetClientCertificate,
    GetIpRanges,
    OriginCaCertificate,
)
from twin.clouds.cloudflare.rulesets.ruleset import Ruleset
from twin.clouds.cloudflare.settings import ZoneSetting
from twin.clouds.cloudflare.tunnel import (
    GetTunnelToken,
    ZeroTrustTunnelCloudflared,
    ZeroTrustTunnelCloudflaredConfig,
)
from twin.clouds.cloudflare.watching import Healthcheck, LogpushJob
from twin.clouds.cloudflare.zone_features import (
    BotManagement,
    LeakedCredentialCheck,
    ManagedTransforms,
    UrlNormalizationSettings,
    ZoneDnssec,
)
from twin.protocol.resource import Context, Failure, Package, Props

VERSION: Final = "6.23.1"  # of the SDK in requirements.txt


class Cloudflare(Package):
    """One user's accounts and zones, known by an API token."""

    def check_config(self, account: Mapping[str, Any], config: Props) -> Iterable[Failure]:
        """Exactly one kind of credentials; the twin's accounts have tokens."""
        given = [n for n in ("apiToken", "apiKey", "apiUserServiceKey") if config.get(n)]
        if len(given) > 1:
            yield Failure(given[1], f'conflicts with "{given[0]}"; give one kind of credentials')
        elif given and given[0] != "apiToken":
            yield Failure(given[0], 'the twin knows API tokens only: give "apiToken"')

    def configure(self, ctx: Context) -> None:
        """Refuse a wrong token."""
        authorize(ctx)


def package() -> Package:
    """The provider with every type that the twin doubles."""
    return Cloudflare(
        name="cloudflare",
        version=VERSION,
        resources=[
            DnsRecord(),
            ZeroTrustTunnelCloudflared(),
            ZeroTrustTunnelCloudflaredConfig(),
            ZeroTrustOrganization(),
            ZeroTrustAccessKeyConfiguration(),
            ZeroTrustAccessIdentityProvider(),
            ZeroTrustAccessPolicy(),
            ZeroTrustDevicePostureRule(),
            ZeroTrustList(),
            ZeroTrustAccessServiceToken(),
            ZeroTrustAccessApplication(),
            ZeroTrustAccessShortLivedCertificate(),
            OriginCaCertificate(),
            AuthenticatedOriginPullsCertificate(),
            AuthenticatedOriginPullsSettings(),
            AuthenticatedOriginPullsHostnameCertificate(),
            AuthenticatedOriginPulls(),
            Ruleset(),
            List(),
            ZoneSetting(),
            ZoneDnssec(),
            BotManagement(),
            ManagedTransforms(),
            UrlNormalizationSettings(),
            LeakedCredentialCheck(),
            NotificationPolicy(),
            NotificationPolicyWebhooks(),
            LogpushJob(),
            Healthcheck(),
        ],
        functions=[GetTunnelToken(), GetClientCertificate(), GetIpRanges()],
    )
