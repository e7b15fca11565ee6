"""A browser without a screen: keeps cookies, reads forms, fills them in and sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from itertools import count

import httpx
from fastapi import FastAPI

from payments.people.sessions import COOKIE
from tests.app.fixtures import PUBLIC_URL

PASSWORD = "four marbles under a hat"
OTHER_PASSWORD = "seven ladders in the rain"


class Page(HTMLParser):
    """The parts of a page that tests look at: headings, texts, forms with their hidden fields."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: dict[str, dict[str, str]] = {}
        self.text = ""
        self._form: str | None = None
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "form":
            self._form = found["action"]
            self.forms[self._form] = {}
        elif tag == "input" and self._form and "name" in found:
            if found.get("type") == "radio" and "checked" not in found:
                return
            self.forms[self._form][found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self.text += " " + data

    def of(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every such tag."""
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        """The page's text with single spaces."""
        return " ".join(self.text.split())


class Browser:
    """One person's browser on the site."""

    def __init__(self, client: httpx.AsyncClient, email: str | None = None) -> None:
        self.client = client
        self.email = email or f"ada-{next(_numbers)}@example.com"

    async def get(self, path: str, **options: object) -> Page:
        return Page(await self.client.get(path, **options))  # type: ignore[arg-type]

    async def send(self, action: str, *, on: str | None = None, **fields: str) -> httpx.Response:
        """Load the page `on` (default: the form's own address) and send its form."""
        page = await self.get(on or action)
        return await self.client.post(action, data=page.forms[action] | fields)

    async def register(self, email: str | None = None, password: str = PASSWORD) -> httpx.Response:
        return await self.send("/register", email=_or(email, self.email), password=password)

    async def log_in(self, email: str | None = None, password: str = PASSWORD) -> httpx.Response:
        return await self.send("/login", email=_or(email, self.email), password=password)

    async def join(self) -> None:
        """Register and log in, both of which must work."""
        assert (await self.register()).status_code == 303
        assert (await self.log_in()).status_code == 303

    @property
    def session(self) -> str | None:
        """The session cookie's value."""
        return self.client.cookies.get(COOKIE)


def _or(given: str | None, own: str) -> str:
    return own if given is None else given


_numbers = count(1)


@asynccontextmanager
async def browser_on(
    app: FastAPI, address: str = "198.51.100.7", *, email: str | None = None
) -> AsyncIterator[Browser]:
    """Give a browser at a client address, behind a gateway at a private one.

    It belongs to a new person, or to the one whose `email` is given.
    """
    transport = httpx.ASGITransport(app=app, client=("172.18.0.2", 40000))
    headers = {"x-real-ip": address, "accept": "text/html", "user-agent": "Firefox/140"}
    async with httpx.AsyncClient(
        transport=transport, base_url=PUBLIC_URL, headers=headers
    ) as client:
        yield Browser(client, email)
