"""The gateway's nginx configuration, rendered; pure, no resource.

The text travels as an environment variable and the container writes it to its tmpfs: Docker cannot
upload a file into a container whose root is read-only. Key and certificate travel likewise.

Behind a tunnel the gateway speaks HTTP to the connector on its network. Where a droplet is reached
from outside it speaks TLS, and only with an edge that shows a certificate of our own authority, for
our name, over a connection that comes from Cloudflare (`gateway.encrypted`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from components.gateway.encrypted import FILES, PROXIED_HEALTH_PORT, TLS_PORT, Tls
from components.gateway.encrypted import blocks as encrypted_blocks

PORT: Final = 8080
DRAIN_SECONDS: Final = 30
"""How long a stopped gateway goes on with the requests it has."""

BODY_LIMIT: Final = "1m"
"""The largest request body; gateways' webhooks stay below 256 KiB."""

API: Final = "api:8000"
DOCKER_RESOLVER: Final = "127.0.0.11"
HEALTH_PATH: Final = "/_gateway/health"
HEALTH_CHECK: Final = (
    f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"
    f" && printf 'GET {HEALTH_PATH} HTTP/1.0\\r\\n\\r\\n' >&3"
    ' && read -r line <&3 && [[ $line == *" 200 "* ]]'
)
"""A health check for bash: not every nginx image has curl, all of Debian's have bash."""
CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"

START: Final = (
    f'printf "%s" "${CONFIG_VARIABLE}" > /tmp/nginx.conf'
    ' && exec nginx -e stderr -c /tmp/nginx.conf -g "daemon off;"'
)
"""What the container's shell runs. `-e`: before it reads its configuration nginx would open a log
file in its read-only root."""
START_WITH_TLS: Final = (
    "umask 077"
    + "".join(f' && printf "%s" "${name}" > {path}' for name, path in FILES.items())
    + f" && unset {' '.join(FILES)} && {START}"
)

__all__ = ["PROXIED_HEALTH_PORT", "TLS_PORT", "Tls", "render"]


def render(
    *,
    hostname: str,
    trusted: Sequence[str],
    port: int = PORT,
    api: str = API,
    resolver: str = DOCKER_RESOLVER,
    tls: Tls | None = None,
) -> str:
    """The configuration for one host name.

    `trusted` are the CIDRs from which the visitor's address is believed: the containers' own
    networks. `port` is plain HTTP; with `tls` it answers the container's own health check only.
    Raises ValueError for a name that could end a directive.
    """
    if not re.fullmatch(r"[a-z0-9.-]+", hostname):
        raise ValueError(f"hostname={hostname!r}: use a plain host name, such as pay.example.com")
    blocks = _plain_blocks(port) if tls is None else encrypted_blocks(tls, port)
    values = {
        **blocks,
        "HOSTNAME": hostname,
        "API": api,
        "RESOLVER": resolver,
        "BODY_LIMIT": BODY_LIMIT,
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
        "TRUSTED": "\n".join(f"set_real_ip_from {ip_network(c)};" for c in trusted),
    }
    text = without_comments(Path(__file__).with_name("nginx.conf").read_text(encoding="utf-8"))
    text = re.sub(r"( *)@([A-Z_]+)@\n", lambda m: _indented(values[m[2]], m[1]), text)
    text = re.sub(r"@([A-Z_]+)@", lambda m: values[m[1]], text)
    return without_comments(text).strip() + "\n"


def _plain_blocks(port: int) -> dict[str, str]:
    return {
        "LISTEN_STRANGERS": f"listen {port} default_server;",
        "LISTEN": f"listen {port};",
        "EDGE": "",
        "TLS": "",
        "REJECT": "",
    }


def _indented(lines: str, indentation: str) -> str:
    """Lines in the indentation of their place; no lines, no place."""
    return "".join(f"{indentation}{line}".rstrip() + "\n" for line in lines.splitlines())


def without_comments(text: str) -> str:
    """A changed comment must not replace a container."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
