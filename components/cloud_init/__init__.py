"""The droplet's first boot: `host.yaml` with what varies filled in.

Rendered once per droplet and fixed from then on, because a changed text replaces the droplet. It
holds no secret: anyone on the machine can read it, and DigitalOcean shows it in its panel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

LIMIT: Final = 64 * 1024
"""DigitalOcean's limit for user data, in bytes."""

DOCKER_BRIDGE: Final = "172.30.0.1/24"
DOCKER_POOL: Final = "172.31.0.0/16"
"""Where Docker takes the containers' networks from; the VPC must lie elsewhere."""

_DAEMON: Final[dict[str, Any]] = {
    "bip": DOCKER_BRIDGE,
    "default-address-pools": [{"base": DOCKER_POOL, "size": 24}],
    "icc": False,
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "no-new-privileges": True,
    "userland-proxy": False,
}

_COMMON: Final = (
    "ca-certificates",
    "docker.io",
    "fail2ban",
    "nftables",
    "python3-systemd",  # fail2ban reads the journal through it
    "unattended-upgrades",
)
_KERNEL: Final = ("apparmor", "systemd-timesyncd")
"""Only for a machine with a kernel of its own."""
PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    # Debian 13 split the client off, and `docker system dial-stdio` is the client.
    "debian-13-x64": (*_COMMON, "docker-cli"),
    "ubuntu-24-04-x64": _COMMON,
    "ubuntu-22-04-x64": _COMMON,
}
"""What a droplet of each image must have; every package costs boot time."""


def render(
    *, image: str, public_keys: Sequence[str], user: str, published: Sequence[int] = ()
) -> str:
    """The `#cloud-config` text for a droplet of this image.

    `published` are the ports that containers may offer to the outside; from where is the cloud
    firewall's list. Raises ValueError for an image it was not written for, or a text past the
    cloud's limit.
    """
    if image not in PACKAGES:
        raise ValueError(f"image={image!r}: cloud-init is written for {', '.join(PACKAGES)}")
    template = Path(__file__).with_name("host.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(template)
    contents = {
        "${docker_daemon}": json.dumps(_DAEMON, indent=2, sort_keys=True) + "\n",
        "${packages}": "\n".join(sorted(PACKAGES[image])) + "\n",
        "${packages_kernel}": "\n".join(_KERNEL) + "\n",
    }
    for file in document["write_files"]:
        content = contents.get(file["content"], file["content"])
        file["content"] = _published(content, published)
    document["users"] = [
        {
            "name": user,
            "gecos": "deployments",
            # docker: to deploy; adm and systemd-journal: to read why a boot failed. No sudo.
            "groups": ["docker", "adm", "systemd-journal"],
            "shell": "/bin/bash",
            "lock_passwd": True,
            "ssh_authorized_keys": list(public_keys),
        }
    ]
    text = "#cloud-config\n" + yaml.safe_dump(document, sort_keys=True, width=4096)
    if len(text.encode()) > LIMIT:
        raise ValueError(f"the rendered cloud-init exceeds DigitalOcean's {LIMIT} bytes")
    return text


def _published(content: str, ports: Sequence[int]) -> str:
    """The line that lets published ports through, or none at all: the text is the droplet's."""
    lines = []
    for line in content.splitlines(keepends=True):
        if "${published}" in line:
            if not ports:
                continue
            line = line.replace("${published}", ", ".join(str(port) for port in sorted(ports)))
        lines.append(line)
    return "".join(lines)
