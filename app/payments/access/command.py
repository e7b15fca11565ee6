"""`payments role ADDRESS ROLE`: gives a role, or takes it away, where no admin is left to do it.

Who can run it can read the service's secrets anyway. It makes the account of somebody who has not
come yet: so a viewer is one from the first visit on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Final

from payments.people.emails import normalise
from payments.people.lockout import Lockout
from payments.people.repository import Role
from payments.people.service import People
from payments.people.sessions import Sessions
from payments.resources import build
from payments.settings import ServiceSettings

ROLES: Final[Mapping[str, Role]] = {"admin": "admin", "viewer": "viewer", "none": "customer"}


def run(settings: ServiceSettings, options: argparse.Namespace) -> int:
    """Change it, say what is so now, return the exit code."""
    email = normalise(options.email)
    if email is None:
        sys.stderr.write(f"payments: {options.email} is no e-mail address.\n")
        return 1
    asyncio.run(_run(settings, email, ROLES[options.role]))
    sys.stdout.write(f"payments: the role of {email} is {options.role} now.\n")
    if settings.access is None or email not in settings.access.admins:
        sys.stdout.write(
            "payments: they are not on the list of admins, so Access keeps them out.\n"
        )
    return 0


async def _run(settings: ServiceSettings, email: str, role: Role) -> None:
    resources = build(settings, name="payments-role", pool_size=1)
    try:
        people = People(
            resources.database,
            Sessions(resources.cache, time.time),
            Lockout(resources.cache, time.time),
        )
        await people.give_role(email, role, by="system", because="payments role")
    finally:
        await resources.close()
