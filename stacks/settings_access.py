"""Rules about Access: between its own settings, and between them and the way in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from stacks.settings_model import Access, Settings
from stacks.settings_problems import NOT_SET, Problem, show

IDP_SECRET: Final = "payments:access-idp-client-secret"  # noqa: S105  (a key's name)
LONGEST_SESSION_HOURS: Final = 24
"""The service takes no older login, whatever Access says."""
LONGEST_MFA_HOURS: Final = 720


def access(s: Settings) -> Iterator[Problem]:
    """What is wrong by the settings alone."""
    if s.access is None:
        if s.environment == "production":
            yield Problem(
                field="payments:access",
                value=NOT_SET,
                reason="in production nobody could reach the admin pages, or see what goes wrong",
                remedy="describe team, identity provider and admins: access: {team: ..., idp: ...}",
            )
        return
    yield from _people(s.access)
    yield from _sessions(s.access)
    yield from _posture(s.access)
    yield from _ssh(s, s.access)
    yield from _tokens(s.access)


def _people(a: Access) -> Iterator[Problem]:
    if not a.admins:
        yield _problem("admins", [], "nobody could log in", "name at least one e-mail address")
    for index, email in enumerate(a.admins):
        if email.rpartition("@")[2].lower() != a.idp.apps_domain:
            yield _problem(
                f"admins.{index}",
                email,
                f"the Google Workspace {a.idp.apps_domain} knows nobody by this address",
                f"use an address of {a.idp.apps_domain}, or correct access.idp.apps-domain",
            )


def _sessions(a: Access) -> Iterator[Problem]:
    if _minutes(a.session) > LONGEST_SESSION_HOURS * 60 or _minutes(a.session) == 0:
        yield _problem(
            "session",
            a.session,
            "the service takes no login that is older than a day, and none that is over at once",
            f"choose from 1m to {LONGEST_SESSION_HOURS}h, for example 8h",
        )
    if _minutes(a.mfa.session) > LONGEST_MFA_HOURS * 60:
        yield _problem(
            "mfa.session",
            a.mfa.session,
            "Cloudflare remembers a second factor for at most 30 days",
            f"choose at most {LONGEST_MFA_HOURS}h; 0m asks at every login",
        )


def _posture(a: Access) -> Iterator[Problem]:
    if a.posture is None:
        return
    if not a.posture.enrolled and not a.posture.checks:
        yield _problem(
            "posture",
            {"enrolled": False},
            "nothing would be asked of a device",
            "set posture.enrolled to true, name posture.checks, or leave posture out",
        )
    if a.posture.checks and a.posture.platform is None:
        yield _problem(
            "posture.checks",
            list(a.posture.checks),
            "the client makes a check on one platform, and none is named",
            "set posture.platform to windows, mac or linux",
        )
    if "firewall" in a.posture.checks and a.posture.platform == "linux":
        yield _problem(
            "posture.checks",
            list(a.posture.checks),
            "the client looks at a firewall on windows and mac only: no admin could log in",
            "take firewall out of posture.checks",
        )


def _ssh(s: Settings, a: Access) -> Iterator[Problem]:
    if a.ssh and s.hostname in s.ssh_hostnames:
        yield _problem(
            "ssh",
            True,
            f"{s.hostname} is the service's own name",
            "choose another hostname, or leave access.ssh out",
        )


def _tokens(a: Access) -> Iterator[Problem]:
    for name, token in a.service_tokens.items():
        field = f"service-tokens.{name}"
        if "ssh" in token.uses and not a.ssh:
            yield _problem(
                f"{field}.uses",
                list(token.uses),
                "there is no SSH behind Access to use it for",
                "set access.ssh to true, or take ssh out",
            )
        if (token.version is None) != (token.previous_until is None):
            yield _problem(
                field,
                {"version": token.version, "previous-until": token.previous_until},
                "a new secret needs to know until when the one before is taken, and the reverse",
                'set both, for example version: 2 and previous-until: "2030-01-01T00:00:00Z"',
            )
        if token.previous_until is not None and not _is_moment(token.previous_until):
            yield _problem(
                f"{field}.previous-until",
                token.previous_until,
                "this is no time with its offset (RFC 3339)",
                'write it as "2030-01-01T00:00:00Z"',
            )


def idp_secret(s: Settings, *, given: bool) -> Iterator[Problem]:
    """The identity provider's client needs its secret."""
    if s.access is not None and not given:
        yield Problem(
            field=IDP_SECRET,
            value=NOT_SET,
            reason="Access logs people in at Google with it",
            remedy=f"pulumi config set --secret {IDP_SECRET}",
        )


def _minutes(duration: str) -> int:
    return int(duration[:-1]) * (60 if duration.endswith("h") else 1)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _problem(field: str, value: object, reason: str, remedy: str) -> Problem:
    return Problem(
        field=f"payments:access.{field}", value=show(value), reason=reason, remedy=remedy
    )
