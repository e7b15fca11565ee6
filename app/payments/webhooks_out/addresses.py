"""Where a webhook may go: a public address over HTTPS, decided anew at every delivery.

A name may resolve to something else each time it is asked for, so what was checked is what is
connected to: the request goes to the address, under the name. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from payments.errors import UnprocessableError


class BadAddressError(UnprocessableError):
    """Not an address that a webhook goes to."""

    code, title = "bad_webhook_address", "Webhooks do not go to this address."


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address that was looked up and may be connected to: `url` names it by number."""

    url: str
    host: str
    authority: str


def check(url: str, *, allow_private: bool = False) -> None:
    """Refuse what can be told without looking a name up. Raises `BadAddressError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddressError(f"It cannot be read: {error}.") from None
    # The text itself: `HTTPS://` is the same scheme, and not the address that is kept and shown.
    if not url.startswith(("https://", "http://") if allow_private else "https://"):
        raise BadAddressError("It must begin with https://.")
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise BadAddressError("It must be a plain address, with no login and no fragment.")
    if port is not None and port not in (443, 8443) and not allow_private:
        raise BadAddressError("The port must be 443 or 8443.")


async def look_up(url: str, *, allow_private: bool = False) -> Target:
    """Return where `url` leads now. Raises `BadAddressError` where that is not public."""
    check(url, allow_private=allow_private)
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise BadAddressError(f"The name {host} cannot be looked up.") from None
    numbers = [str(address[0]) for *_, address in found]
    # One private answer among public ones is an attack, not a choice.
    if not allow_private and any(not ip_address(number).is_global for number in numbers):
        raise BadAddressError(f"The name {host} leads into a private network.")
    number = f"[{numbers[0]}]" if ":" in numbers[0] else numbers[0]
    return Target(
        url=urlunsplit((parts.scheme, f"{number}:{port}", parts.path or "/", parts.query, "")),
        host=host,
        authority=parts.netloc,
    )
