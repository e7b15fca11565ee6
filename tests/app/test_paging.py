"""Cursors: whatever somebody makes up is refused, and a list is read to its end."""

from __future__ import annotations

import base64
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import paging
from payments.paging import BadCursorError
from payments.resources import Resources
from tests.app.fixtures import ALICE, USER_HEADER
from tests.app.webhooks_out.helpers import fill

ID = "00000000-0000-4000-8000-00000000000a"
FORGED = [
    f"9999-12-31T23:59:59-12:00|{ID}",
    f"0001-01-01T00:00:00+12:00|{ID}",
    f"2026-01-01|{ID}",
    f"2026-01-01T00:00:00|{ID}",
    f"2026-01-01T00:00:00+00:00|{ID}|1",
    "2026-01-01T00:00:00+00:00|x",
    "1e400|",
    "-1",
    str(2**63),
    "",
]


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("told", FORGED)
async def test_a_cursor_that_was_made_up_is_refused_by_every_list(
    client: httpx.AsyncClient, resources: Resources, told: str
) -> None:
    endpoint, _ = await fill(resources, "https://shop.example/", 1)
    for path in ("orders", "api-keys", f"webhook-endpoints/{endpoint}/deliveries"):
        answer = await client.get(f"/api/v1/{path}", params={"cursor": encoded(told)})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor"), path


@given(st.text(max_size=100) | st.datetimes().map(lambda at: f"{at.isoformat()}+23:59|{ID}"))
def test_no_text_is_more_than_a_refused_cursor(told: str) -> None:
    for text in (told, encoded(told)):
        try:
            moment, _ = paging._decode(text, (paging.moment, UUID))
        except BadCursorError:
            continue
        assert moment.utcoffset().total_seconds() == 0


async def test_a_list_is_read_to_its_end_page_by_page(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    endpoint, messages = await fill(resources, "https://shop.example/", 5)
    client.headers[USER_HEADER] = str(ALICE)
    for number in range(5):
        body = {"name": str(number), "scopes": ["orders:read"]}
        assert (await client.post("/api/v1/api-keys", json=body)).status_code == 201
    for path, name, newest_first in (
        ("api-keys", "name", [str(number) for number in reversed(range(5))]),
        (
            f"webhook-endpoints/{endpoint}/deliveries",
            "message",
            [str(message) for message in reversed(messages)],
        ),
    ):
        seen: list[str] = []
        cursor = None
        for _ in range(3):
            wanted = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"/api/v1/{path}", params=wanted)).json()
            seen += [one[name] for one in page["data"]]
            cursor = page["next_cursor"]
        assert (seen, cursor) == (newest_first, None)
