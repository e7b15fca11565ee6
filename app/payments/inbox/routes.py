"""Where gateways deliver."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from payments.db import RequestSession
from payments.errors import BadRequestError, NotFoundError, UnavailableError
from payments.gateways.protocol import Gateway, GatewayUnknownError, InvalidWebhookError
from payments.inbox import service
from payments.ops.client import client_address
from payments.ops.logs import get_logger
from payments.ops.metrics import WEBHOOKS_RECEIVED
from payments.resources import Resources

log = get_logger(__name__)

router = APIRouter(include_in_schema=False)


class BadSignatureError(BadRequestError):
    """The delivery was not made by the gateway, or not now. The answer does not say which."""

    code, title = "invalid_webhook", "This delivery is refused."


class UnverifiedError(UnavailableError):
    """What it takes to verify the delivery cannot be had now; the gateway delivers it again."""

    code, title = "webhook_not_verifiable", "This delivery cannot be verified at the moment."


@router.post("/webhooks/{gateway_name}")
async def deliver(gateway_name: str, request: Request, session: RequestSession) -> JSONResponse:
    """Take one delivery."""
    return await _take(gateway_name, request, session)


# Where Razorpay's own guides have it, with and without the slash. No other gateway's deliveries are
# taken here: the edge knows each one's paths and lets by, or refuses, by them.
@router.post("/api/payments/webhook/razorpay")
@router.post("/api/payments/webhook/razorpay/")
async def deliver_from_razorpay(request: Request, session: RequestSession) -> JSONResponse:
    """Take one delivery of Razorpay's."""
    return await _take("razorpay", request, session)


async def _take(gateway_name: str, request: Request, session: RequestSession) -> JSONResponse:
    """Keep what a gateway delivers. 200 only after it is kept: else it is delivered again.

    The body is verified as the bytes that came; it is parsed only afterwards.
    """
    resources: Resources = request.app.state.resources
    gateway = resources.gateways.get(gateway_name)
    if gateway is None or not gateway.takes_webhooks:
        raise NotFoundError
    # A gateway's name is one of ours here; a path's could be any.
    came = partial(WEBHOOKS_RECEIVED.labels, gateway.name)
    if not _may_come_from(gateway, client_address(request.scope)):
        came("wrong_source").inc()
        log.warning("webhook.refused", provider=gateway_name, reason="not from its addresses")
        raise BadSignatureError
    body = await request.body()
    try:
        event = await gateway.read_webhook(body, request.headers, datetime.now(UTC))
    except InvalidWebhookError as error:
        came("bad_signature").inc()
        log.warning("webhook.refused", provider=gateway_name, reason=str(error), size=len(body))
        raise BadSignatureError from None
    except GatewayUnknownError as error:
        came("not_verifiable").inc()
        raise UnverifiedError from error
    state = await service.receive(session, event)
    came(state).inc()
    return JSONResponse({"status": state})


def _may_come_from(gateway: Gateway, address: str) -> bool:
    sources = gateway.webhook_sources
    return not sources or any(ip_address(address) in network for network in sources)
