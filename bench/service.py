"""The service's image and one replica, on the droplet of a running platform (`make up` first)."""

from __future__ import annotations

import json
from typing import Any, Final

from tools import process
from tools.console import Ui
from tools.errors import ToolError
from tools.paths import STACK, Home
from tools.state import State

# A restart is a start: from the container's own clock to the first answer that it is ready.
_ON_THE_DROPLET: Final = """\
set -eu
api=$(docker ps --filter name=containers-api- --format '{{.ID}}' | head -n 1)
[ -n "$api" ] || { echo 'no api container runs' >&2; exit 1; }
image=$(docker inspect --format '{{.Image}}' "$api")
docker restart --time 40 "$api" >/dev/null
started=$(date +%s%N -d "$(docker inspect --format '{{.State.StartedAt}}' "$api")")
address=$(docker inspect --format \
  '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$api")
until curl --silent --fail --max-time 1 "http://$address:8000/readyz" >/dev/null; do
  [ $(( $(date +%s%N) - started )) -lt 60000000000 ] || { echo 'never ready' >&2; exit 1; }
  sleep 0.02
done
ready=$(( ($(date +%s%N) - started) / 1000000 ))
sleep 5
resident=$(awk '/^VmRSS/ { sum += $2 } END { print sum }' \
  $(docker top "$api" -o pid | tail -n +2 | sed 's|.*|/proc/&/status|'))
size=$(docker image inspect --format '{{.Size}}' "$image")
printf '{"ready_ms": %d, "resident_kib": %d, "image_bytes": %d}\\n' "$ready" "$resident" "$size"
"""


def measure(ui: Ui) -> dict[str, Any]:
    """Image size, a replica's resident memory at rest, seconds from its start to ready."""
    home = Home.from_environment()
    hosts = State(home.path, STACK).outputs().get("hosts")
    if not isinstance(hosts, list) or not hosts:
        raise ToolError("No platform runs here to measure the service on.", "make up")
    with ui.phase("Service") as phase:
        done = process.run(
            ["ssh", "-F", str(home.path / "ssh" / "config"), f"deploy@{hosts[0]}", "sh -s"],
            stdin=_ON_THE_DROPLET,
            timeout=180,
            what="Measuring on the droplet",
        )
        found = json.loads(done.out)
        phase.done("a replica restarted and measured")
    return {
        "image_mb": round(found["image_bytes"] / 1e6, 1),
        "image_mb_promised": 250,
        "replica_resident_mb": round(found["resident_kib"] * 1024 / 1e6, 1),
        "replica_resident_mb_promised": 150,
        "replica_ready_seconds": round(found["ready_ms"] / 1000, 2),
        "replica_ready_seconds_promised": 3,
    }
