"""The gateways of this installation, by name."""

from __future__ import annotations

from collections.abc import Iterator

from payments.errors import UnavailableError
from payments.gateways.protocol import Gateway
from payments.gateways.stripe import StripeGateway
from payments.settings import ServiceSettings


class GatewayUnavailableError(UnavailableError):
    """No gateway can take the payment now."""

    code, title = "gateway_unavailable", "Payments are not possible at the moment."


class Gateways:
    """What can take money here; empty where no gateway is configured."""

    def __init__(self, *gateways: Gateway) -> None:
        self._by_name = {gateway.name: gateway for gateway in gateways}

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Gateway | None:
        """Return a gateway, None when it is not offered here."""
        return self._by_name.get(name)

    def need(self, name: str) -> Gateway:
        """Return a gateway; raises `GatewayUnavailableError`."""
        gateway = self._by_name.get(name)
        if gateway is None:
            raise GatewayUnavailableError(f"The gateway {name} is not offered here.")
        return gateway

    def choose(self) -> Gateway:
        """Return the gateway for a new payment; raises `GatewayUnavailableError`."""
        for gateway in self:
            return gateway
        raise GatewayUnavailableError("No gateway is configured.")

    async def close(self) -> None:
        """Close the connections of all."""
        for gateway in self:
            await gateway.close()


def build(settings: ServiceSettings) -> Gateways:
    """Make the gateways that the settings have keys for."""
    made: list[Gateway] = []
    if settings.stripe.secret_key is not None:
        made.append(StripeGateway(settings.stripe, outgoing_ca=settings.outgoing_ca))
    return Gateways(*made)
