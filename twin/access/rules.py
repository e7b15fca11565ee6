"""Policies and whom they mean: selectors, the three groups of rules, the order of decisions.

Source: cloudflare-docs, access-controls/policies (rule types, selectors, order of execution):
includes are alternatives, requires all hold, excludes none; bypass and service auth are evaluated
first, then block and allow, each from the top. Selectors that the twin has nothing to tell by
(certificates, other identity providers, risk scores) mean nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from twin.clouds.cloudflare.access import IDENTITY_SELECTORS

Rule = Mapping[str, Any]
MACHINE: Final = ("non_identity", "bypass")
PERSON: Final = ("deny", "allow")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who logged in: by which identity provider, of which groups, on what kind of device."""

    email: str
    provider: str
    groups: frozenset[str] = frozenset()
    posture: frozenset[str] = frozenset()
    """Ids of the posture rules that the device passes."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A request as policies see it. `service_token` is the id of one that was verified."""

    address: str
    country: str
    person: Person | None = None
    service_token: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy as deployed. `session` in seconds, None where the application's counts."""

    id: str
    name: str
    decision: str
    includes: Sequence[Rule] = ()
    requires: Sequence[Rule] = ()
    excludes: Sequence[Rule] = ()
    session: float | None = None
    mfa: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Judge:
    """Tells whether policies mean a subject; `lists` are the account's, values by id."""

    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def first(
        self, policies: Iterable[Policy], decisions: Sequence[str], subject: Subject
    ) -> Policy | None:
        """Return the first policy with one of these decisions that means the subject."""
        for policy in policies:
            if policy.decision in decisions and self.means(policy, subject):
                return policy
        return None

    def means(self, policy: Policy, subject: Subject, *, identity_known: bool = False) -> bool:
        """Say whether a policy means the subject.

        With `identity_known` the selectors of identity count as fulfilled: they are checked when a
        person logs in and not again, those of addresses and devices with every request.
        """

        def met(rule: Rule) -> bool:
            return (identity_known and _of_identity(rule)) or self._selects(rule, subject)

        def excluded(rule: Rule) -> bool:
            return not (identity_known and _of_identity(rule)) and self._selects(rule, subject)

        return (
            any(map(met, policy.includes))
            and all(map(met, policy.requires))
            and not any(map(excluded, policy.excludes))
        )

    def _selects(self, rule: Rule, subject: Subject) -> bool:
        for name, value in rule.items():
            if value is None:
                continue
            known = _SELECTORS.get(name)
            return known is not None and known(self, value, subject)
        return False


def _of_identity(rule: Rule) -> bool:
    return any(name in IDENTITY_SELECTORS for name, value in rule.items() if value is not None)


def _email(judge: Judge, value: Rule, subject: Subject) -> bool:
    person = subject.person
    return person is not None and person.email.casefold() == str(value["email"]).casefold()


def _email_domain(judge: Judge, value: Rule, subject: Subject) -> bool:
    person = subject.person
    domain = str(value["domain"]).casefold()
    return person is not None and person.email.casefold().rpartition("@")[2] == domain


def _email_list(judge: Judge, value: Rule, subject: Subject) -> bool:
    known = {entry.casefold() for entry in judge.lists.get(value["id"], ())}
    return subject.person is not None and subject.person.email.casefold() in known


def _gsuite(judge: Judge, value: Rule, subject: Subject) -> bool:
    person = subject.person
    if person is None or person.provider != value["identityProviderId"]:
        return False
    return str(value["email"]).casefold() in {group.casefold() for group in person.groups}


def _login_method(judge: Judge, value: Rule, subject: Subject) -> bool:
    return subject.person is not None and subject.person.provider == value["id"]


def _posture(judge: Judge, value: Rule, subject: Subject) -> bool:
    return subject.person is not None and value["integrationUid"] in subject.person.posture


def _ip(judge: Judge, value: Rule, subject: Subject) -> bool:
    return _inside(subject.address, [str(value["ip"])])


def _ip_list(judge: Judge, value: Rule, subject: Subject) -> bool:
    return _inside(subject.address, judge.lists.get(value["id"], frozenset()))


def _inside(address: str, networks: Iterable[str]) -> bool:
    visitor = ip_address(address)
    return any(visitor in ip_network(network, strict=False) for network in networks)


_SELECTORS: Final[Mapping[str, Callable[[Judge, Rule, Subject], bool]]] = {
    "everyone": lambda judge, value, subject: True,
    "email": _email,
    "emailDomain": _email_domain,
    "emailList": _email_list,
    "gsuite": _gsuite,
    "loginMethod": _login_method,
    "devicePosture": _posture,
    "ip": _ip,
    "ipList": _ip_list,
    "geo": lambda judge, value, subject: subject.country == value["countryCode"],
    "serviceToken": lambda judge, value, subject: subject.service_token == value["tokenId"],
    "anyValidServiceToken": lambda judge, value, subject: subject.service_token != "",
}
"""Not among them: `authMethod`, which reads the `amr` claim; Google Workspace does not send it."""
