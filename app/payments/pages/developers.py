"""Pages for whoever calls the API: keys and webhook endpoints. A secret is shown once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from payments.api_keys import service as keys
from payments.api_keys.authenticate import mode_of
from payments.errors import NotFoundError, ProblemError, UnprocessableError
from payments.pages.account import CurrentSession
from payments.pages.render import Note, Renderer
from payments.people.sessions import Session
from payments.resources import Resources
from payments.webhooks_out import service as endpoints
from payments.webhooks_out.signing import Seal

HOME: Final = "/developers"

Text = Annotated[str, Form(max_length=500)]
Chosen = Annotated[list[str] | None, Form()]

_NOTES: Final = {
    "revoked": Note("good", "The key is revoked: nothing can be done with it any more."),
    "on": Note("good", "The endpoint is told of everything from now on."),
    "off": Note("good", "The endpoint is told nothing any more."),
    "redelivering": Note("wait", "It is delivered once more, in a moment."),
}


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret that is shown this once, and what it is."""

    label: str
    value: str


class DeveloperPages:
    """The pages and what their forms do."""

    def __init__(self, renderer: Renderer, resources: Resources) -> None:
        self._renderer = renderer
        self._resources = resources
        self._database = resources.database
        self.routes = APIRouter(include_in_schema=False)
        get, post, add = ["GET"], ["POST"], self.routes.add_api_route
        add(HOME, self.overview, methods=get)
        add(HOME + "/keys", self.make_key, methods=post)
        add(HOME + "/keys/{key_id}/replace", self.replace_key, methods=post)
        add(HOME + "/keys/{key_id}/revoke", self.revoke_key, methods=post)
        add(HOME + "/endpoints", self.add_endpoint, methods=post)
        add(HOME + "/endpoints/{endpoint_id}", self.endpoint, methods=get)
        add(HOME + "/endpoints/{endpoint_id}/secret", self.new_secret, methods=post)
        add(HOME + "/endpoints/{endpoint_id}/switch", self.switch, methods=post)
        add(HOME + "/endpoints/{endpoint_id}/redeliver", self.redeliver, methods=post)

    async def overview(self, request: Request, session: CurrentSession, told: str = "") -> Response:
        """Show keys and endpoints, and the forms for more."""
        return await self._page(request, session, note=_NOTES.get(told))

    async def make_key(
        self, request: Request, session: CurrentSession, scopes: Chosen = None, name: Text = ""
    ) -> Response:
        """Make a key, and show it this once."""

        async def act() -> Secret:
            wanted = name.strip()
            if not 1 <= len(wanted) <= 80 or any(ord(c) < 0x20 for c in wanted):
                raise UnprocessableError("Give the key a name of up to 80 characters.")
            if not scopes:
                raise UnprocessableError("Choose what the key may do.")
            async with self._database.transaction() as transaction:
                made = await keys.make(
                    transaction,
                    customer_id=session.user_id,
                    name=wanted,
                    scopes=scopes,
                    mode=mode_of(self._resources.settings),
                )
            return Secret(label=f"The key {made.key.name}", value=made.secret)

        return await self._shown(request, session, act)

    async def replace_key(
        self, request: Request, session: CurrentSession, key_id: UUID
    ) -> Response:
        """Make a key like another one, which lives on for a week."""

        async def act() -> Secret:
            async with self._database.transaction() as transaction:
                made = await keys.replace(
                    transaction,
                    customer_id=session.user_id,
                    key_id=key_id,
                    mode=mode_of(self._resources.settings),
                )
            return Secret(label=f"The new key {made.key.name}", value=made.secret)

        return await self._shown(request, session, act)

    async def revoke_key(self, session: CurrentSession, key_id: UUID) -> Response:
        """End a key now."""
        async with self._database.transaction() as transaction:
            await keys.revoke(transaction, customer_id=session.user_id, key_id=key_id)
        return RedirectResponse(f"{HOME}?told=revoked", 303)

    async def add_endpoint(
        self, request: Request, session: CurrentSession, url: Text = ""
    ) -> Response:
        """Add an endpoint that is told of everything, and show its secret this once."""

        async def act() -> Secret:
            if any(ord(c) <= 0x20 for c in url.strip()):
                raise UnprocessableError("This is not an address.")
            async with self._database.transaction() as transaction:
                endpoint, secret = await endpoints.add(
                    transaction,
                    self._seal(),
                    customer_id=session.user_id,
                    url=url.strip(),
                    events=(),
                    allow_private=self._resources.settings.webhooks_to_private_addresses,
                )
            return Secret(label=f"The secret of {endpoint.url}", value=secret)

        return await self._shown(request, session, act)

    async def endpoint(
        self, request: Request, session: CurrentSession, endpoint_id: UUID, told: str = ""
    ) -> Response:
        """Show an endpoint and what it was told of late."""
        async with self._database.transaction() as transaction:
            found = await endpoints.mine(transaction, session.user_id, endpoint_id, lock=False)
            sent = await endpoints.deliveries(
                transaction,
                customer_id=session.user_id,
                endpoint_id=endpoint_id,
            )
        return await self._renderer.page(
            request, "endpoint.html", note=_NOTES.get(told), endpoint=found, sent=sent.data
        )

    async def new_secret(
        self, request: Request, session: CurrentSession, endpoint_id: UUID
    ) -> Response:
        """Sign with a new secret, and show it this once."""

        async def act() -> Secret:
            async with self._database.transaction() as transaction:
                endpoint, secret = await endpoints.rotate(
                    transaction,
                    self._seal(),
                    customer_id=session.user_id,
                    endpoint_id=endpoint_id,
                )
            return Secret(label=f"The new secret of {endpoint.url}", value=secret)

        return await self._shown(request, session, act)

    async def switch(
        self,
        session: CurrentSession,
        endpoint_id: UUID,
        enabled: Annotated[Literal["on", "off"], Form()],
    ) -> Response:
        """Switch an endpoint on or off."""
        async with self._database.transaction() as transaction:
            await endpoints.enable(
                transaction,
                customer_id=session.user_id,
                endpoint_id=endpoint_id,
                enabled=enabled == "on",
            )
        return RedirectResponse(f"{HOME}/endpoints/{endpoint_id}?told={enabled}", 303)

    async def redeliver(
        self,
        session: CurrentSession,
        endpoint_id: UUID,
        message: Annotated[UUID, Form()],
    ) -> Response:
        """Have a message delivered once more."""
        async with self._database.transaction() as transaction:
            await endpoints.redeliver(
                transaction,
                customer_id=session.user_id,
                endpoint_id=endpoint_id,
                message_id=message,
            )
        return RedirectResponse(f"{HOME}/endpoints/{endpoint_id}?told=redelivering", 303)

    async def _shown(
        self, request: Request, session: Session, act: Callable[[], Awaitable[Secret]]
    ) -> Response:
        """Show the secret that was made in the answer itself: it is kept nowhere to be shown."""
        try:
            secret = await act()
        except NotFoundError:
            raise
        except ProblemError as error:
            note = Note("bad", error.detail)
            return await self._page(request, session, error.status, note=note)
        return await self._page(request, session, 201, secret=secret)

    async def _page(
        self,
        request: Request,
        session: Session,
        status: int = 200,
        *,
        note: Note | None = None,
        secret: Secret | None = None,
    ) -> Response:
        async with self._database.transaction() as transaction:
            usable = await keys.usable_of(transaction, session.user_id)
            mine = await endpoints.list_for(transaction, session.user_id)
        return await self._renderer.page(
            request,
            "developers.html",
            status,
            note=note,
            secret=secret,
            keys=usable,
            endpoints=mine,
            scopes=keys.SCOPES,
        )

    def _seal(self) -> Seal:
        return Seal(*self._resources.settings.seal_keys)
