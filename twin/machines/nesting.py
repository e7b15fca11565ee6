"""Whether this host lets an engine run inside a machine; where not, machines use the outer one.

Found out once by trying (a few seconds), then remembered for the same kernel, engine and image.
`TWIN_NESTED_ENGINE=off` forces the fallback, `on` skips the trial.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Any, Final, Literal

from docker.types import Mount

from twin.machines.engine import Engine, translated
from twin.machines.images import image
from twin.machines.networks import volume
from twin.store import Store
from twin.world import WorldError

OUTER_SOCKET: Final = "/var/run/docker.sock"
"""The outer engine's socket on its own host; where it is elsewhere there is no fallback."""

_VARIABLE = "TWIN_NESTED_ENGINE"
_CAPABILITIES_KEPT_BACK = ["SYS_RESOURCE", "SYS_TIME", "SYS_MODULE", "SYS_RAWIO"]
"""SYS_RESOURCE is missing on some hosts, and asking for it fails; the others reach the host."""
_log = logging.getLogger(__name__)


class NestedEngine:
    """The answer for one outer engine."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._lock = threading.Lock()
        self._reason = ""

    def works(self) -> bool:
        """Whether machines run an engine of their own; tries it when that is not known yet."""
        wish = os.environ.get(_VARIABLE, "auto")
        if wish in ("on", "off"):
            return wish == "on"
        with self._lock:
            key = self._key()
            kept = self._store.load("machines.nesting", key)
            if kept is None:
                kept = {"reason": self._try()}
                self._store.save("machines.nesting", key, kept)
            return not kept["reason"]

    def status(self) -> dict[str, str]:
        """`engine`: `nested`, `outer` or `unknown`; `why` where it is not nested."""
        wish = os.environ.get(_VARIABLE, "auto")
        kept = self._store.load("machines.nesting", self._key())
        answer: Literal["nested", "outer", "unknown"]
        if wish in ("on", "off"):
            answer, why = ("nested", "") if wish == "on" else ("outer", f"{_VARIABLE}=off")
        elif kept is None:
            answer, why = "unknown", "no droplet was booted yet"
        else:
            answer, why = ("outer", kept["reason"]) if kept["reason"] else ("nested", "")
        return {"engine": answer, "why": why}

    def _key(self) -> str:
        with translated("ask the Docker engine what it is"):
            info = self._engine.client.info()
        return f"{info['ID']} {info['KernelVersion']} {info['ServerVersion']} {image('droplet')}"

    def _try(self) -> str:
        """Run the probe in a machine's container; returns why it failed, empty when it did not."""
        name, disk = self._engine.name("probe"), volume(self._engine, "probe")
        self._engine.remove(name)
        try:
            with translated("try an engine inside a machine"):
                container = self._engine.client.containers.run(
                    image("droplet"),
                    ["/usr/local/sbin/droplet-init", "/usr/local/sbin/engine-probe"],
                    name=name,
                    labels=self._engine.labels("probe"),
                    network="none",
                    mounts=[Mount("/var/lib/docker", disk, type="volume")],
                    detach=True,
                    **machine_options(),
                )
                code = container.wait(timeout=60)["StatusCode"]
                words = container.logs(tail=5).decode(errors="replace").strip()
        finally:
            with contextlib.suppress(WorldError):
                self._engine.remove(name)
                self._engine.remove_volume(disk)
        if code == 0:
            return ""
        _log.warning("No engine runs inside a machine here; droplets use the outer one: %s", words)
        return words or f"the trial ended with {code}"


def machine_options() -> dict[str, Any]:
    """How a container must be run for systemd and an engine to work in it.

    Not `privileged`: that asks for every capability and fails where the host lacks one. `/sys`
    stays read-only, control groups come from `droplet-init`.
    """
    return {
        "cgroupns": "private",
        "cap_add": ["ALL"],
        "cap_drop": _CAPABILITIES_KEPT_BACK,
        "security_opt": [
            "seccomp=unconfined",
            "apparmor=unconfined",
        ],
        "device_cgroup_rules": ["a *:* rwm"],
        "tmpfs": {"/run": "", "/run/lock": "", "/tmp": "exec"},  # noqa: S108  (inside the machine)
    }
