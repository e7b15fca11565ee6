"""Where a webhook may go: a public address over HTTPS, decided anew at every delivery.

A name may resolve to something else each time it is asked for, so what was checked is what is
connected to: the request goes to the address, under the name. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from payments.errors import UnprocessableError

_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is handed out to anybody. Outside of it lie the addresses that stand for others:
`64:ff9b::/96` leads wherever an IPv4 address does, `fec0::/10` was private once."""
_STAND_INS: Final = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))
"""6to4 and Teredo: an IPv4 address inside, which may be a private one."""
_RELAYS: Final = IPv4Network("192.88.99.0/24")
"""Of 6to4, as `is_global` does not know."""

_LOOKUPS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lookup")
"""A name server of somebody's choice may take its time; a thread that waits for it cannot be
stopped, so it is none of those that look up our own database and the gateways."""


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
    if not (url.isascii() and url.isprintable()):
        raise BadAddressError("It must be written in ASCII; a name of other letters as xn--….")
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
    numbers = await _numbers(host, port)
    # One private answer among public ones is an attack, not a choice. Nor is anybody told which
    # names exist in our network: none and a private one are the same answer.
    if not numbers or not (allow_private or all(is_public(number) for number in numbers)):
        raise BadAddressError(f"The name {host} does not lead to a public address.")
    number = f"[{numbers[0]}]" if ":" in numbers[0] else numbers[0]
    return Target(
        url=urlunsplit((parts.scheme, f"{number}:{port}", parts.path or "/", parts.query, "")),
        host=host,
        authority=parts.netloc,
    )


def is_public(number: str) -> bool:
    """Say whether an address is one host of the internet, and stands for no other address."""
    address = ip_address(number)
    if not address.is_global or address.is_multicast:
        return False
    if address.version == 4:
        return address not in _RELAYS
    return address in _UNICAST and not any(address in network for network in _STAND_INS)


async def _numbers(host: str, port: int) -> list[str]:
    """Return the addresses of a name; none where it has none, or is no name."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, ask)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
