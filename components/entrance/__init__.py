"""The entrance of a droplet that is reached from outside: nginx as a relay of connections; pure.

A published port belongs to one container at a time, so the gateway cannot have it: its successor
could not start beside it. The entrance has it, changes only with its image, and passes every
connection, still encrypted, to whichever gateway is there. It reads nothing and holds no secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from components.gateway import (
    DOCKER_RESOLVER,
    DRAIN_SECONDS,
    HEALTH_PATH,
    PROXIED_HEALTH_PORT,
    TLS_PORT,
    without_comments,
)

HTTPS_PORT: Final = 443
"""The droplet's port: the one that Cloudflare connects to for https://."""
HEALTH_PORT: Final = 8081
"""The droplet's port that a load balancer's health check asks; nothing else is behind it."""
LOCAL_PORT: Final = 8080

CONFIG_VARIABLE: Final = "ENTRANCE_CONFIG"
_MODULE: Final = "/usr/lib/nginx/modules/ngx_stream_module.so"
START: Final = (
    # Debian's nginx loads what nginx's own image has built in.
    f'{{ [ ! -f {_MODULE} ] || echo "load_module {_MODULE};";'
    f' printf "%s" "${CONFIG_VARIABLE}"; }} > /tmp/nginx.conf'
    ' && exec nginx -e stderr -c /tmp/nginx.conf -g "daemon off;"'
)
HEALTH_CHECK: Final = (
    f"exec 3<>/dev/tcp/127.0.0.1/{LOCAL_PORT} && read -r line <&3 && [[ $line == ok ]]"
)

__all__ = ["HEALTH_PATH", "HEALTH_PORT", "HTTPS_PORT", "render"]


def render(
    *,
    gateway: str,
    behind_load_balancer: bool,
    resolver: str = DOCKER_RESOLVER,
    ports: tuple[int, int, int] = (TLS_PORT, PROXIED_HEALTH_PORT, LOCAL_PORT),
) -> str:
    """The configuration, for connections that come from the edge or from a load balancer.

    `gateway` is a host name; `ports` are the container's own for HTTPS, a load balancer's health
    check and its own. A load balancer has said in the PROXY protocol who connects, and that is
    passed on as it is; without one, the entrance says it.
    """
    https, health, local = (str(port) for port in ports)
    values = {
        "GATEWAY": gateway,
        "TLS_PORT": str(TLS_PORT),
        "GATEWAY_HEALTH_PORT": str(PROXIED_HEALTH_PORT),
        "HTTPS": https,
        "HEALTH": health,
        "LOCAL": local,
        "PROXY_PROTOCOL": "off" if behind_load_balancer else "on",
        "RESOLVER": resolver,
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    template = Path(__file__).with_name("nginx.conf").read_text(encoding="utf-8")
    text = without_comments(template)
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text).strip() + "\n"
