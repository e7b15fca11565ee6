"""PayPal's disputes: a list of ids, each looked at by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from payments.gateways import paypal_events
from payments.gateways.protocol import (
    GatewayRefusedError,
    GatewayUnreadableError,
    ListedDispute,
    Unreadable,
)
from payments.gateways.reading import MAX_TEXT, documented, path_part, text

PATH: Final = "/v1/customer/disputes"
PAGE_SIZE: Final = 50

Ask = Callable[..., Awaitable[dict[str, Any]]]


class PaypalDisputes:
    """The disputes of an account. The list is told by changes, and says of each only a little."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def changed(
        self, since: datetime, until: datetime, *, most: int
    ) -> AsyncIterator[ListedDispute | Unreadable]:
        """Yield those that changed in a period, newest first."""
        seen = 0
        async for ref in self._refs(since, until):
            if seen >= most:
                return
            seen += 1
            try:
                found = await self.find(ref)
            except GatewayUnreadableError as error:
                yield Unreadable(ref=ref, why=str(error))
            else:
                if found is not None:
                    yield found

    async def find(self, dispute_ref: str) -> ListedDispute | None:
        """Look at one."""
        with documented():
            path = f"{PATH}/{path_part(dispute_ref)}"
        try:
            found = await self._ask("GET", path)
        except GatewayRefusedError as error:
            if error.code in paypal_events.NO_SUCH:
                return None
            raise
        with documented():
            kind, facts = paypal_events.disputed(found)
            return ListedDispute(kind=kind, **facts)

    async def _refs(self, since: datetime, until: datetime) -> AsyncIterator[str]:
        params = {
            "update_time_after": paypal_events.zulu(since),
            "update_time_before": paypal_events.zulu(until),
            "page_size": str(PAGE_SIZE),
        }
        while True:
            page = await self._ask("GET", PATH, params=params)
            with documented():
                refs = [str(one.get("dispute_id"))[:MAX_TEXT] for one in page.get("items", ())]
                token = _next(page)
            for ref in refs:
                yield ref
            if token is None:
                return
            params = params | {"next_page_token": token}


def _next(page: Mapping[str, Any]) -> str | None:
    links = {link["rel"]: text(link["href"]) for link in page.get("links", ())}
    found = parse_qs(urlsplit(links.get("next", "")).query).get("next_page_token")
    return found[0] if found else None
