"""A managed Valkey node: TLS only, the user `default` with a password, data kept over restarts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twin.machines.engine import Engine, File
from twin.world import WorldError

_PORT = 25061
_MEMORY_SHARE = 0.8
"""Of the plan's memory for data; the rest is for replication, buffers and the server itself."""

_LIVE = {
    "valkey_maxmemory_policy": "maxmemory-policy",
    "maxmemory_policy": "maxmemory-policy",
    "eviction_policy": "maxmemory-policy",
    "timeout": "timeout",
    "notify_keyspace_events": "notify-keyspace-events",
    "lfu_decay_time": "lfu-decay-time",
    "lfu_log_factor": "lfu-log-factor",
    "valkey_active_expire_effort": "active-expire-effort",
    "active_expire_effort": "active-expire-effort",
}
_AT_START = {
    "number_of_databases": "databases",
    "valkey_number_of_databases": "databases",
    "io_threads": "io-threads",
    "valkey_io_threads": "io-threads",
}
_MOST = {"databases": 128, "io-threads": 32}
"""Of the API (DigitalOcean, Valkey configuration)."""
_POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


class Valkey:
    """How a node is rendered and changed."""

    role = "valkey"
    data = "/data"
    ports = (_PORT,)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def files(self, kept: Mapping[str, Any]) -> Sequence[File]:
        """Configuration of the node, complete."""
        return [File(path="/twin/valkey.conf", content=settings_file(kept))]

    def ready(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Whether it accepts connections."""
        try:
            return self._call(container, kept, "PING").strip() == "PONG"
        except WorldError:
            return False

    def apply(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Bring a running node to its record; what only counts at a start takes a restart."""
        for name, value in _settings(kept, _LIVE).items():
            self._call(container, kept, "CONFIG", "SET", name, value)
        saves = "" if _persistence(kept) == "off" else "60 1"
        self._call(container, kept, "CONFIG", "SET", "save", saves)
        self._call(container, kept, "CONFIG", "SET", "appendonly", "yes" if saves else "no")
        return any(
            self._call(container, kept, "CONFIG", "GET", name).split() != [name, value]
            for name, value in _settings(kept, _AT_START).items()
        )

    def configure(self, container: Any, settings: Mapping[str, object]) -> None:
        """Judge the values before they are recorded; `apply` sets them."""
        for name, value in _settings({"settings": settings}, _AT_START).items():
            if not (value.isdigit() and 1 <= int(value) <= _MOST[name]):
                raise WorldError(f"{name} = {value}: it must be 1 to {_MOST[name]}.")
        for name, value in _settings({"settings": settings}, _LIVE).items():
            allowed = _POLICIES if name == "maxmemory-policy" else None
            if allowed and value not in allowed:
                raise WorldError(f"{name} = {value}: it must be one of {', '.join(allowed)}.")

    def create_db(self, container: Any, name: str) -> None:
        """Refused, as the service refuses it."""
        raise WorldError("A Valkey cluster has numbered databases only.")

    delete_db = create_db

    def create_user(self, container: Any, name: str, password: str) -> None:
        """Refused: the program uses `default`."""
        raise WorldError("The twin's Valkey clusters have the user `default` only.")

    def delete_user(self, container: Any, name: str) -> None:
        """Nothing to drop."""

    def _call(self, container: Any, kept: Mapping[str, Any], *words: str) -> str:
        script = 'exec "$(command -v valkey-cli || command -v redis-cli)" "$@"'
        tls = ["--tls", "--cacert", "/twin/tls/ca.pem", "--sni", kept["private_host"]]
        command = ["sh", "-c", script, "cli", "-e", "-p", str(_PORT), *tls, *words]
        answer = self._engine.run(
            container, command, environment={"REDISCLI_AUTH": kept["password"]}
        )
        if answer.startswith("ERR"):
            raise WorldError(f"Valkey refused {' '.join(words)}: {answer.strip()}")
        return answer


def settings_file(kept: Mapping[str, Any]) -> str:
    """The server's configuration: the plan's memory, TLS, and what the program configured."""
    memory = int(kept["spec"]["memory_mib"] * _MEMORY_SHARE)
    lasting = _persistence(kept) != "off"
    lines = {
        "port": "0",
        "tls-port": str(_PORT),
        "bind": "* -::*",
        "protected-mode": "no",
        "tls-cert-file": "/twin/tls/server.pem",
        "tls-key-file": "/twin/tls/server.key",
        "tls-ca-cert-file": "/twin/tls/ca.pem",
        "tls-auth-clients": "no",
        "requirepass": _quoted(kept["password"]),
        "dir": "/data",
        "appendonly": "yes" if lasting else "no",
        "save": "60 1" if lasting else '""',
        "maxmemory": f"{memory}mb",
        "maxmemory-policy": "noeviction",
        **{name: _quoted(value) for name, value in _settings(kept, _LIVE | _AT_START).items()},
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _settings(kept: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for key, value in kept["settings"].items():
        if key in known and value is not None:
            number = isinstance(value, float) and value.is_integer()
            text = str(int(value)) if number else str(value)
            # The cluster's own argument writes underscores where the server has dashes.
            found[known[key]] = text.replace("_", "-") if "policy" in key else text
    return found


def _persistence(kept: Mapping[str, Any]) -> str:
    settings = kept["settings"]
    return str(settings.get("persistence") or settings.get("valkey_persistence") or "rdb")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
