"""Webhook secrets: several at once, each perhaps with an end, so that one replaces another.

`whsec_old;until=2026-12-31T00:00:00Z,whsec_new`: between secrets stands a comma, before an end
`;until=`. No gateway makes a secret with either; of those that a person invents (Razorpay's) it is
asked not to. One without an end must be among them: nothing else tells when the last of them is
over, and then every delivery is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_settings import NoDecode

END: Final = ";until="


class WebhookSecret(BaseModel):
    """One secret, and until when it is accepted; None: as long as it is here."""

    model_config = ConfigDict(frozen=True)

    value: SecretStr
    until: datetime | None = None


def read(told: object) -> object:
    """Read the setting; what is wrong is told by the secret's place, never by its value."""
    if not isinstance(told, str):
        return told
    parts = [part.strip() for part in told.split(",") if part.strip()]
    secrets = [_secret(number, part) for number, part in enumerate(parts, 1)]
    if secrets and all(secret.until for secret in secrets):
        raise ValueError("each of them has an end; one must be without, for what comes afterwards")
    return tuple(secrets)


def active(secrets: Sequence[WebhookSecret], now: datetime) -> list[str]:
    """Return those that are accepted now."""
    return [
        secret.value.get_secret_value()
        for secret in secrets
        if secret.until is None or now < secret.until
    ]


def _secret(number: int, told: str) -> WebhookSecret:
    value, marked, end = told.partition(END)
    if not value:
        raise ValueError(f"number {number} has an end and no secret")
    return WebhookSecret(value=SecretStr(value), until=_moment(number, end) if marked else None)


def _moment(number: int, end: str) -> datetime:
    try:
        moment = datetime.fromisoformat(end)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"the end of number {number} must be a time with its zone, like 2026-12-31T00:00:00Z"
        ) from None


WebhookSecrets = Annotated[tuple[WebhookSecret, ...], NoDecode, BeforeValidator(read)]
