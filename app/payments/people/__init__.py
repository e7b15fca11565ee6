"""People: accounts, passwords, sessions, lockout, CSRF tokens and the audit log.

`install` sets the application's authenticator and hangs the operations on `app.state.people`; the
pages that use them are in `payments.pages`.
"""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Plug people into the application."""
    from payments.people.plug import plug  # here: the schema imports only our tables

    plug(app)
