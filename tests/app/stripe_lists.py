"""What the Stripe of the tests lists, and its disputes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


@dataclass
class Disputes:
    """The disputes of an account."""

    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: list[dict[str, Any]] = field(default_factory=list)

    async def dispute_list(self, request: Request) -> Response:
        """GET /v1/disputes."""
        wanted = request.query_params.get("charge")
        return page(request, [d for d in self.disputes.values() if wanted in (None, d["charge"])])

    async def dispute(self, request: Request) -> Response:
        """GET /v1/disputes/{ref}."""
        found = self.disputes.get(request.path_params["ref"])
        return JSONResponse(found) if found else error(404, "resource_missing")

    def contest(self, payment_ref: str, status: str = "needs_response") -> dict[str, Any]:
        """Dispute what was paid under an intent, for a fee; a second call says how it goes on."""
        (charge,) = (
            c for c in self.charges
            if c["payment_intent"] == payment_ref and c["status"] == "succeeded"
        )  # fmt: skip
        charge["disputed"] = True
        booked = {"fee": 1500, "currency": charge["currency"], "amount": -charge["amount"]}
        made = self.disputes.setdefault(
            f"dp_{charge['id']}",
            {
                "id": f"dp_{charge['id']}",
                "object": "dispute",
                "charge": charge["id"],
                "payment_intent": payment_ref,
                "amount": charge["amount"],
                "currency": charge["currency"],
                "created": int(time.time()),
                "balance_transactions": [booked],
            },
        )
        made["status"] = status
        return made


def page(request: Request, objects: list[dict[str, Any]]) -> Response:
    """Return a page of a list, the newest first, by the filters that the service uses."""
    query = request.query_params
    found = sorted(objects, key=lambda one: one["created"], reverse=True)
    if "payment_intent" in query:
        found = [one for one in found if one["payment_intent"] == query["payment_intent"]]
    since, until = (int(query.get(f"created[{n}]", d)) for n, d in (("gte", 0), ("lt", 2**40)))
    found = [one for one in found if since <= one["created"] < until]
    if "starting_after" in query:
        ids = [one["id"] for one in found]
        found = found[ids.index(query["starting_after"]) + 1 :]
    limit = int(query.get("limit", 10))
    return JSONResponse(
        {
            "object": "list",
            "url": request.url.path,
            "has_more": len(found) > limit,
            "data": found[:limit],
        }
    )


def error(status: int, code: str | None, kind: str = "invalid_request_error") -> Response:
    if status >= 500:
        kind = "api_error"
    body = {"error": {"type": kind, "code": code, "message": "no"}}
    return JSONResponse(body, status)
