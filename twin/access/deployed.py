"""What is deployed of Zero Trust, as the edge reads it: organizations, applications, policies.

Read anew when a resource of the store changed, and held until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twin.access.paths import Place, place, plain
from twin.access.rules import Judge, Policy
from twin.clouds.cloudflare.access import (
    APPLICATION,
    IDENTITY_PROVIDER,
    LIST,
    ORGANIZATIONS,
    POLICY,
    POSTURE_RULE,
    SERVICE_TOKEN,
    seconds,
)
from twin.store import Store

DAY: Final = 86400.0
REAL_SUFFIX: Final = ".cloudflareaccess.com"
LOCAL_SUFFIX: Final = ".cloudflareaccess.localhost"
"""What a browser on this machine is sent to: the real name does not lead here."""


@dataclass(frozen=True, kw_only=True)
class Mfa:
    """A second factor: by what, and how long one counts (0: asked for at every login)."""

    authenticators: tuple[str, ...]
    session: float


@dataclass(frozen=True, kw_only=True)
class Organization:
    """An account's organization. `mfa` is what it allows; `mfa_everywhere`: all must ask for it."""

    account: str
    name: str
    domain: str
    mfa: Mfa | None = None
    mfa_everywhere: bool = False
    strict: bool = True
    session: float = DAY

    @property
    def issuer(self) -> str:
        """Who signs, as tokens name it."""
        return f"https://{self.domain}"

    @property
    def local(self) -> str:
        """The host that stands for the team domain on this machine."""
        return self.domain.removesuffix(REAL_SUFFIX) + LOCAL_SUFFIX


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application as deployed. `outputs` has the switches that are read at one place only."""

    id: str
    aud: str
    account: str
    name: str
    kind: str
    places: tuple[Place, ...]
    policies: tuple[Policy, ...]
    session: float
    allowed: tuple[str, ...]
    outputs: Mapping[str, Any] = field(repr=False)

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self.outputs.get(name))


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An identity provider."""

    id: str
    name: str
    kind: str
    config: Mapping[str, Any] = field(repr=False)


@dataclass
class _Tables:
    generation: int = -1
    organizations: dict[str, Organization] = field(default_factory=dict)
    applications: list[Application] = field(default_factory=list)
    providers: dict[str, Provider] = field(default_factory=dict)
    posture: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    judge: Judge = field(default_factory=Judge)


class Deployed:
    """Zero Trust as it stands now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held = _Tables()

    def application(self, host: str, *paths: str) -> tuple[Application, Place] | None:
        """Return the most specific application that covers one of the readings of a path."""
        readings = {plain(path) for path in paths}
        found = [
            (spot.rank, app, spot)
            for app in self._tables().applications
            for spot in app.places
            if any(spot.covers(host, reading) for reading in readings)
        ]
        if not found:
            return None
        _, app, spot = max(found, key=lambda entry: entry[0])
        return app, spot

    def by_aud(self, aud: str) -> Application | None:
        """Return the application with an AUD tag."""
        return next((app for app in self._tables().applications if app.aud == aud), None)

    def guards(self, host: str) -> bool:
        """Whether any application has something on a host."""
        return any(
            spot.host.fullmatch(host) for app in self._tables().applications for spot in app.places
        )

    def prefixes(self, host: str) -> set[str]:
        """Return the paths of a host that applications cover."""
        return {
            spot.prefix
            for app in self._tables().applications
            for spot in app.places
            if spot.host.fullmatch(host)
        }

    def launcher(self, account: str) -> Application | None:
        """Return the account's App Launcher, where authenticators are enrolled."""
        for app in self._tables().applications:
            if app.kind == "app_launcher" and app.account == account:
                return app
        return None

    def organization(self, account: str) -> Organization | None:
        """Return an account's organization."""
        return self._tables().organizations.get(account)

    def organizations(self) -> list[Organization]:
        """Return all of them."""
        return list(self._tables().organizations.values())

    def provider(self, id: str) -> Provider | None:
        """Return an identity provider."""
        return self._tables().providers.get(id)

    def providers(self) -> list[Provider]:
        """Return all of them."""
        return list(self._tables().providers.values())

    def posture(self) -> dict[str, str]:
        """Return the posture rules' names by their ids."""
        return self._tables().posture

    def token(self, client_id: str) -> tuple[str, dict[str, Any]] | None:
        """Return a service token's id and outputs by its client id."""
        for id, outputs in self._tables().tokens.items():
            if outputs.get("clientId") == client_id:
                return id, outputs
        return None

    @property
    def judge(self) -> Judge:
        """What policies are judged with."""
        return self._tables().judge

    def mfa(self, app: Application, policy: Policy) -> Mfa | None:
        """Return the second factor that a login needs: the policy's, application's or team's."""
        organization = self.organization(app.account)
        if organization is None or organization.mfa is None or app.kind == "app_launcher":
            return None
        for config in (policy.mfa, app.outputs.get("mfaConfig")):
            if config is None:
                continue
            if config.get("mfaDisabled"):
                return None
            session = config.get("sessionDuration")
            return Mfa(
                authenticators=tuple(
                    config.get("allowedAuthenticators") or organization.mfa.authenticators
                ),
                session=organization.mfa.session if session is None else seconds(session),
            )
        return organization.mfa if organization.mfa_everywhere else None

    # --- reading ---------------------------------------------------------------------------------
    def _tables(self) -> _Tables:
        generation = self._store.generation
        if self._held.generation != generation:
            self._held = self._read(generation)
        return self._held

    def _read(self, generation: int) -> _Tables:
        store = self._store
        policies = {record.id: _policy(record.id, record.outputs) for record in store.all(POLICY)}
        return _Tables(
            generation=generation,
            organizations={
                account: _organization(account, kept)
                for account, kept in store.items(ORGANIZATIONS).items()
            },
            applications=[
                _application(record.id, record.outputs, policies)
                for record in store.all(APPLICATION)
            ],
            providers={
                record.id: Provider(
                    id=record.id,
                    name=record.outputs["name"],
                    kind=record.outputs["type"],
                    config=record.outputs["config"],
                )
                for record in store.all(IDENTITY_PROVIDER)
            },
            posture={record.id: record.outputs["name"] for record in store.all(POSTURE_RULE)},
            tokens={record.id: record.outputs for record in store.all(SERVICE_TOKEN)},
            judge=Judge(
                {
                    record.id: frozenset(i["value"] for i in record.outputs.get("items") or ())
                    for record in store.all(LIST)
                }
            ),
        )


def _organization(account: str, kept: Mapping[str, Any]) -> Organization:
    config = kept.get("mfaConfig") or {}
    allowed = tuple(config.get("allowedAuthenticators") or ())
    return Organization(
        account=account,
        name=str(kept["name"]),
        domain=str(kept["authDomain"]),
        mfa=Mfa(authenticators=allowed, session=seconds(config.get("sessionDuration") or "24h"))
        if allowed
        else None,
        mfa_everywhere=bool(kept.get("mfaRequiredForAllApps")),
        strict=kept.get("strictServiceTokenAuth", True),
        session=seconds(kept.get("sessionDuration") or "24h"),
    )


def _application(
    id: str, outputs: Mapping[str, Any], policies: Mapping[str, Policy]
) -> Application:
    attached = sorted(outputs.get("policies") or (), key=lambda entry: entry.get("precedence") or 0)
    found = []
    for index, entry in enumerate(attached):
        if entry.get("id") is None:
            found.append(_policy(f"{id}/{index}", entry))
        elif entry["id"] in policies:
            found.append(policies[entry["id"]])
    uris = [
        destination["uri"]
        for destination in outputs.get("destinations") or ()
        if destination.get("type") in (None, "public") and destination.get("uri")
    ]
    if not uris and outputs.get("domain") and outputs["type"] != "app_launcher":
        uris = [outputs["domain"]]
    return Application(
        id=id,
        aud=outputs["aud"],
        account=str(outputs.get("accountId") or ""),
        name=str(outputs.get("name") or outputs.get("domain") or id),
        kind=str(outputs["type"]),
        places=tuple(place(uri) for uri in uris),
        policies=tuple(found),
        session=seconds(outputs.get("sessionDuration") or "24h"),
        allowed=tuple(outputs.get("allowedIdps") or ()),
        outputs=outputs,
    )


def _policy(id: str, outputs: Mapping[str, Any]) -> Policy:
    duration = outputs.get("sessionDuration")
    return Policy(
        id=id,
        name=str(outputs.get("name") or id),
        decision=str(outputs["decision"]),
        includes=tuple(outputs.get("includes") or ()),
        requires=tuple(outputs.get("requires") or ()),
        excludes=tuple(outputs.get("excludes") or ()),
        session=seconds(duration) if duration else None,
        mfa=outputs.get("mfaConfig"),
    )
