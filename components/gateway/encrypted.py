"""What the gateway adds where the edge connects to it from outside: pure text.

Four locks, each enough alone: the handshake must name our host, the edge must show a certificate of
our own authority, the connection must come from Cloudflare (as the PROXY protocol says), and the
request must be for our host. Only then is the visitor's address, which the edge sends as a header,
believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

TLS_PORT: Final = 8443
PROXIED_HEALTH_PORT: Final = 8081
"""Answers a load balancer's health check, which comes with the PROXY protocol."""

CERTIFICATE: Final = "/tmp/origin.pem"  # noqa: S108  (the container's own tmpfs)
PRIVATE_KEY: Final = "/tmp/origin.key"  # noqa: S108
CLIENT_AUTHORITY: Final = "/tmp/client-authority.pem"  # noqa: S108
FILES: Final = {
    "GATEWAY_TLS_CERTIFICATE": CERTIFICATE,
    "GATEWAY_TLS_KEY": PRIVATE_KEY,
    "GATEWAY_TLS_CLIENT_AUTHORITY": CLIENT_AUTHORITY,
}
"""Variables whose text becomes a file that only the server's user can read."""

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Of TLS 1.2: Mozilla's "intermediate" (Server Side TLS 5.7) without finite-field Diffie-Hellman,
which would need parameters of its own and which the edge never chooses. TLS 1.3 has its own."""
CURVES: Final = ("X25519", "prime256v1", "secp384r1")


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS for connections that come from these CIDRs; the ports are the container's own."""

    edge: Sequence[str]
    port: int = TLS_PORT
    health_port: int = PROXIED_HEALTH_PORT

    def __post_init__(self) -> None:
        if not self.edge:
            raise ValueError("edge=(): no connection would be let in; name the edge's ranges")


_HANDSHAKE: Final = f"""\
# For every server of the port: nginx shakes hands by the settings of the default one.
ssl_protocols TLSv1.2 TLSv1.3;
ssl_ciphers {":".join(CIPHERS)};
ssl_ecdh_curve {":".join(CURVES)};
ssl_prefer_server_ciphers off;
ssl_session_cache shared:edge:4m;
ssl_session_timeout 1d;
ssl_session_tickets off;
"""
_REJECT: Final = """\
# Another name, or none, in the handshake: it ends there, and shows no certificate.
server {{
    listen {port} ssl proxy_protocol default_server;
    ssl_reject_handshake on;
    # A request for another host than the handshake named.
    return 421;
}}

"""
_SERVER: Final = f"""\
ssl_certificate {CERTIFICATE};
ssl_certificate_key {PRIVATE_KEY};
ssl_client_certificate {CLIENT_AUTHORITY};
ssl_verify_client on;
ssl_verify_depth 1;
# Whoever comes without our certificate, or not from the edge, is told nothing, not even a status.
error_page 495 496 497 = @stranger;
location @stranger {{
    return 444;
}}
if ($from_edge = 0) {{
    return 444;
}}
"""


def blocks(tls: Tls, health: int) -> dict[str, str]:
    """The parts of the configuration by their place in `nginx.conf`."""
    ranges = "\n".join(f"    {ip_network(cidr)} 1;" for cidr in tls.edge)
    return {
        "LISTEN_STRANGERS": f"listen 127.0.0.1:{health} default_server;\n"
        f"listen {tls.health_port} proxy_protocol default_server;",
        "LISTEN": f"listen {tls.port} ssl proxy_protocol;",
        "EDGE": f"{_HANDSHAKE}geo $proxy_protocol_addr $from_edge {{\n    default 0;\n{ranges}\n}}",
        "TLS": _SERVER,
        "REJECT": _REJECT.format(port=tls.port),
    }
