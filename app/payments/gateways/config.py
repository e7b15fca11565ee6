"""What the service is told of its gateways: keys, addresses, and which one takes what.

A gateway without keys is not offered; without webhook secrets its webhook endpoint does not exist.
`is_live` says whether a gateway's keys move real money (None: it has none): real and pretended
money never share one installation.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from payments.access.config import Networks
from payments.gateways.secrets import WebhookSecrets

ADDRESS: Final = r"^https?://[^/?#]+$"
ACCOUNT: Final = r"^[a-z0-9_-]{1,40}$"

RAZORPAY_API: Final = "https://api.razorpay.com"
RAZORPAY_SCRIPT: Final = "https://checkout.razorpay.com/v1/checkout.js"
PAYPAL_API: Final = "https://api-m.paypal.com"
CRYPTOMUS_API: Final = "https://api.cryptomus.com"


def split(value: object) -> object:
    """Return the parts of a list with commas; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class _Gateway(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    api_base: str | None = Field(default=None, pattern=ADDRESS)
    account: str = Field(default="default", pattern=ACCOUNT)
    webhook_sources: Networks = ()
    """Where its deliveries come from; empty: anywhere, their signature alone decides."""

    _split_sources = field_validator("webhook_sources", mode="before")(split)

    @property
    def is_live(self) -> bool | None:
        """Whether its keys move real money; None without keys."""
        raise NotImplementedError

    def _all_or_none(self, *names: str) -> None:
        missing = [name for name in names if not getattr(self, name)]
        if 0 < len(missing) < len(names):
            raise ValueError(
                f"needs {' and '.join(names)} together; {' and '.join(missing)} is missing"
            )


class StripeSettings(_Gateway):
    """The Stripe account."""

    secret_key: SecretStr | None = None
    webhook_secrets: WebhookSecrets = ()

    @property
    def is_live(self) -> bool | None:
        """What the key says of itself."""
        key = self.secret_key
        return None if key is None else "_live_" in key.get_secret_value()


class RazorpaySettings(_Gateway):
    """The Razorpay account."""

    key_id: str | None = Field(default=None, pattern=r"^rzp_(live|test)_[A-Za-z0-9]+$")
    key_secret: SecretStr | None = None
    webhook_secrets: WebhookSecrets = ()
    checkout_script: str = Field(
        default=RAZORPAY_SCRIPT, pattern=r"^https?://[^/?#;,\s]+/[^?#;,\s]+$"
    )

    @model_validator(mode="after")
    def _whole(self) -> RazorpaySettings:
        self._all_or_none("key_id", "key_secret")
        return self

    @property
    def is_live(self) -> bool | None:
        """What the key's id says of itself."""
        return None if self.key_id is None else self.key_id.startswith("rzp_live_")


class PaypalSettings(_Gateway):
    """The PayPal application. Without a webhook's id no delivery can be verified."""

    client_id: str | None = None
    client_secret: SecretStr | None = None
    webhook_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]{1,50}$")

    @model_validator(mode="after")
    def _whole(self) -> PaypalSettings:
        self._all_or_none("client_id", "client_secret")
        return self

    @property
    def is_live(self) -> bool | None:
        """What the address says: the keys do not, and the sandbox has its own."""
        return None if self.client_id is None else _is(self.api_base, PAYPAL_API)


class CryptomusSettings(_Gateway):
    """The Cryptomus merchant: offered only with keys *and* `enabled`.

    Off by default because of who runs it: Canada's FINTRAC fined the operator, Xeltox, CAD 177
    million on 2025-10-16 for 2,593 breaches of the law against money laundering (under appeal).
    Whoever turns it on has weighed that.
    """

    enabled: bool = False
    merchant: str | None = Field(default=None, pattern=r"^[0-9a-fA-F-]{36}$")
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _whole(self) -> CryptomusSettings:
        if self.enabled and not (self.merchant and self.api_key):
            raise ValueError("is enabled, and has no merchant or api_key; set both or disable it")
        return self

    @property
    def is_live(self) -> bool | None:
        """What the address says: there is no test mode."""
        return _is(self.api_base, CRYPTOMUS_API) if self.enabled else None


def _is(base: str | None, address: str) -> bool:
    return base is None or urlsplit(base).hostname == urlsplit(address).hostname
