"""The gateways of this installation, by name, and which of them is asked for what."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from payments.errors import UnavailableError, UnprocessableError
from payments.gateways.protocol import Charging, Gateway
from payments.gateways.routing import Rule, deciding
from payments.money import Money
from payments.settings import ServiceSettings


class GatewayUnavailableError(UnavailableError):
    """No gateway can take the payment now."""

    code, title = "gateway_unavailable", "Payments are not possible at the moment."


class GatewayNotOfferedError(UnprocessableError):
    """The gateway that was asked for is not offered for this payment."""

    code, title = "gateway_not_offered", "This way to pay is not offered here."


class Gateways:
    """What can take money here; empty where no gateway is configured."""

    def __init__(self, *gateways: Gateway, routing: Sequence[Rule] = ()) -> None:
        self._by_name = {gateway.name: gateway for gateway in gateways}
        self._routing = tuple(routing)

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

    def able(self, money: Money, *, kind: str | None = None) -> list[Gateway]:
        """Return who takes a payment, in the order in which they are asked for it."""
        rule = deciding(self._routing, money, kind)
        names = rule.gateways if rule else tuple(self._by_name)
        gateways = (self._by_name.get(name) for name in names)
        return [gateway for gateway in gateways if gateway and gateway.takes(money)]

    def choose(
        self,
        money: Money,
        *,
        kind: str | None = None,
        avoid: Collection[str] = frozenset(),
        wanted: str | None = None,
        saving: bool = False,
    ) -> Gateway:
        """Return the gateway for a new payment; one to `avoid` only where there is no other.

        One that does not answer at the moment is passed over. `wanted` is the customer's choice;
        `saving` asks for one that can charge again without them. Raises `GatewayNotOfferedError`
        and `GatewayUnavailableError`.
        """
        able = self.able(money, kind=kind)
        if wanted is not None:
            able = [gateway for gateway in able if gateway.name == wanted]
            if not able:
                raise GatewayNotOfferedError(f"{wanted} does not take {money} here.")
        # Where none can charge again, the customer is asked each time instead.
        able = [gateway for gateway in able if saving and isinstance(gateway, Charging)] or able
        answering = [gateway for gateway in able if gateway.breaker.admits]
        for gateway in sorted(answering, key=lambda gateway: gateway.name in avoid):
            return gateway
        if able:
            names = " and ".join(gateway.name for gateway in able)
            raise GatewayUnavailableError(f"{names} cannot be reached. Try again in a minute.")
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
    """Make the gateways that the settings have keys for; their clients load only then."""
    made: list[Gateway] = []
    ca = settings.outgoing_ca
    if settings.stripe.secret_key is not None:
        from payments.gateways.stripe import StripeGateway

        made.append(StripeGateway(settings.stripe, outgoing_ca=ca))
    if settings.razorpay.key_id is not None:
        from payments.gateways.razorpay import RazorpayGateway

        made.append(
            RazorpayGateway(settings.razorpay, public_url=settings.public_url, outgoing_ca=ca)
        )
    if settings.paypal.client_id is not None:
        from payments.gateways.paypal import PaypalGateway

        made.append(PaypalGateway(settings.paypal, public_url=settings.public_url, outgoing_ca=ca))
    if settings.cryptomus.enabled:
        from payments.gateways.cryptomus import CryptomusGateway

        made.append(
            CryptomusGateway(settings.cryptomus, public_url=settings.public_url, outgoing_ca=ca)
        )
    return Gateways(*made, routing=settings.routing)
