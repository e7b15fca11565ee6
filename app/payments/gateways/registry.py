"""The gateways of this installation, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from payments.errors import UnavailableError
from payments.gateways.protocol import Gateway
from payments.gateways.stripe import StripeGateway
from payments.money import Money
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

    def choose(self, money: Money, *, avoid: Collection[str] = frozenset()) -> Gateway:
        """Return the gateway for a new payment; one to `avoid` only where there is no other.

        Raises `GatewayUnavailableError`.
        """
        able = [gateway for gateway in self if gateway.takes(money)]
        for gateway in sorted(able, key=lambda gateway: gateway.name in avoid):
            return gateway
        raise GatewayUnavailableError(
            f"No gateway here takes {money.currency}."
            if self._by_name
            else "No gateway is configured."
        )

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
