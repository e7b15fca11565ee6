"""What a droplet's user-data may ask and a container cannot give: swap, and kernel settings.

Swap would be the host's, and `swapon` refuses a file on the container's filesystem; so `swap:` of
a cloud-config is taken out before the machine sees it. Kernel settings need nothing here:
`droplet-init` gives the machine copies of everything outside net.*, to set and read back.
"""

from __future__ import annotations

import re

_DOCKER = re.compile(r"\b(docker\.io|docker-ce|moby-engine)\b|get\.docker\.com")
_TOP_LEVEL = re.compile(r"[^\s#\-]")


def installs_docker(user_data: str) -> bool:
    """Whether the user-data asks for an engine: the cloud's image has none by itself."""
    return bool(_DOCKER.search(user_data))


def without_swap(user_data: str) -> tuple[str, str]:
    """The user-data a machine gets, and what was left out (empty when nothing was).

    Every other byte stays as it is; only block style (`swap:` at the start of a line) is found.
    """
    if not user_data.startswith("#cloud-config"):
        return user_data, ""
    kept: list[str] = []
    dropped: list[str] = []
    inside = False
    for line in user_data.splitlines(keepends=True):
        if _TOP_LEVEL.match(line):
            inside = line.startswith("swap:")
        (dropped if inside else kept).append(line)
    return "".join(kept), "".join(dropped)
