"""The gateway's nginx configuration, rendered; pure, no resource.

The text travels as an environment variable and the container writes it to its tmpfs: Docker cannot
upload a file into a container whose root is read-only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final

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


def render(
    *,
    hostname: str,
    trusted: Sequence[str],
    port: int = PORT,
    api: str = API,
    resolver: str = DOCKER_RESOLVER,
) -> str:
    """The configuration for one host name.

    `trusted` are the CIDRs from which the visitor's address is believed: the containers' own
    networks. Raises ValueError for a name that could end a directive.
    """
    if not re.fullmatch(r"[a-z0-9.-]+", hostname):
        raise ValueError(f"hostname={hostname!r}: use a plain host name, such as pay.example.com")
    values = {
        "HOSTNAME": hostname,
        "PORT": str(port),
        "API": api,
        "RESOLVER": resolver,
        "BODY_LIMIT": BODY_LIMIT,
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
        "TRUSTED": "\n    ".join(f"set_real_ip_from {ip_network(c)};" for c in trusted),
    }
    template = Path(__file__).with_name("nginx.conf").read_text(encoding="utf-8")
    body = re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], _without_comments(template))
    return body.strip() + "\n"


def _without_comments(text: str) -> str:
    """A changed comment must not replace the gateway."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
