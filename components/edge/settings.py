"""The zone's settings as data.

`http2` is missing: Free cannot change it, and it is on everywhere. `ciphers` needs Advanced
Certificate Manager on every plan and is therefore a choice (`modern_ciphers`); without it TLS 1.2
also offers CBC suites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

DAY: Final = 86400
YEAR: Final = 365 * DAY

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""Mozilla's intermediate profile without DHE (wiki.mozilla.org/Security/Server_Side_TLS)."""


@dataclass(frozen=True, kw_only=True)
class Hsts:
    """How long browsers insist on HTTPS (seconds), for subdomains too, and in their preload list.

    Preloading is nearly irrevocable and wants a year and the subdomains (hstspreload.org).
    """

    max_age: int = YEAR
    include_subdomains: bool = True
    preload: bool = False

    def __post_init__(self) -> None:
        if self.preload and (self.max_age < YEAR or not self.include_subdomains):
            raise ValueError(
                f"preload=True with max_age={self.max_age} and include_subdomains="
                f"{self.include_subdomains}: browsers take a name only with a year and its "
                "subdomains; set both or leave preload out"
            )


SETTINGS: Final[dict[str, Any]] = {
    # Transport.
    "ssl": "strict",
    "always_use_https": "on",
    "automatic_https_rewrites": "on",
    "min_tls_version": "1.2",
    "tls_1_3": "on",  # not "zrt", which switches 0-RTT on as well
    "0rtt": "off",  # early data can be replayed, and a payment must not be
    "http3": "on",
    "websockets": "on",
    "ipv6": "on",
    "opportunistic_onion": "off",
    # Who comes in.
    "security_level": "medium",
    "browser_check": "on",
    "challenge_ttl": 1800,
    "ip_geolocation": "on",
    # Nothing rewrites our pages or keeps them: their policy forbids scripts that are not ours.
    "browser_cache_ttl": 0,  # as the origin says
    "always_online": "off",
    "email_obfuscation": "off",
    "rocket_loader": "off",
}
"""The settings of every zone: id and value."""


def settings(hsts: Hsts, *, modern_ciphers: bool) -> dict[str, Any]:
    """Every setting of the zone, HSTS and ciphers with them."""
    wanted = dict(SETTINGS)
    wanted["security_header"] = {
        "strict_transport_security": {
            "enabled": True,
            "max_age": hsts.max_age,
            "include_subdomains": hsts.include_subdomains,
            "preload": hsts.preload,
            "nosniff": True,
        }
    }
    if modern_ciphers:
        wanted["ciphers"] = list(CIPHERS)
    return wanted
