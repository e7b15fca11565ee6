"""A managed Postgres node: TLS only, `doadmin`, pools by PgBouncer.

`doadmin` may create databases and roles and read statistics, and is no superuser. Logins are made
in its name: it may grant itself their rights (`GRANT login TO doadmin`), which from Postgres 16 on
it must do before it can make objects theirs. Whether the real service makes them in its name is not
documented; the rights of a new login (CONNECT, and TEMP and USAGE that PUBLIC has) are the same.
The schema `public` is closed to logins as in every Postgres since 15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twin.machines.engine import Engine, File
from twin.world import WorldError

_PORT = 25060
POOL_PORT: Final = 25061
"""Where PgBouncer answers."""
_CONNECTIONS_PER_GIB = 25
"""Of which 3 are kept back for the service itself (DigitalOcean, Postgres limits)."""
_KEPT_BACK = 3
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")

_UNITS = {"work_mem": "MB", "temp_file_limit": "kB"}
"""Where the API's unit is not the server's own."""
_RENAMED = {"pg_stat_statements_track": "pg_stat_statements.track"}


class Postgres:
    """How a node is rendered and changed; every statement goes over the local socket."""

    role = "postgres"
    data = "/var/lib/postgresql/data"
    ports = (_PORT, POOL_PORT)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- files ----------------------------------------------------------------------------------
    def files(self, kept: Mapping[str, Any]) -> Sequence[File]:
        """Configuration of the node, complete."""
        return [
            File(path="/twin/postgresql.conf", content=server_settings(kept)),
            File(path="/twin/pg_hba.conf", content=_HBA),
            File(path="/twin/pools/pgbouncer.ini", content=pool_settings(kept)),
            File(path="/twin/pools/hba.conf", content=pool_rules(kept["pools"])),
        ]

    # --- the running node -----------------------------------------------------------------------
    def ready(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Whether it accepts connections."""
        try:
            self._sql(container, "SELECT 1;")
        except WorldError:
            return False
        return True

    def apply(self, container: Any, kept: Mapping[str, Any]) -> bool:
        """Bring a running node to its record: administrator, settings, pools."""
        self._sql(container, _ADMINISTRATOR.format(password=literal(kept["password"])))
        if not self._exists(container, "pg_database", "datname", "defaultdb"):
            self._sql(container, "CREATE DATABASE defaultdb OWNER doadmin;")
        self._sql(container, "SELECT pg_reload_conf();")
        self._reload_pools(container)
        pending = self._sql(container, "SELECT name FROM pg_settings WHERE pending_restart;")
        return bool(pending.strip())

    def configure(self, container: Any, settings: Mapping[str, object]) -> None:
        """Set what the server knows, all or nothing; the rest is the service's own affair."""
        known = set(self._sql(container, "SELECT lower(name) FROM pg_settings;").split())
        names = {
            _RENAMED.get(key, key): key for key, value in settings.items() if value is not None
        }
        done: list[str] = []
        wanted = ""
        try:
            for wanted in sorted(known & set(names)):
                value = literal(server_value(names[wanted], settings[names[wanted]]))
                self._sql(container, f"ALTER SYSTEM SET {identifier(wanted)} = {value};")
                done.append(wanted)
        except WorldError as error:
            for name in done:
                self._sql(container, f"ALTER SYSTEM RESET {identifier(name)};")
            raise WorldError(f"The setting {names[wanted]} was refused: {error}") from error

    def create_db(self, container: Any, name: str) -> None:
        """A logical database, the administrator's."""
        if not self._exists(container, "pg_database", "datname", name):
            self._sql(container, f"CREATE DATABASE {identifier(name)} OWNER doadmin;")

    def delete_db(self, container: Any, name: str) -> None:
        """Drop it, connections and all."""
        self._sql(container, f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE);")

    def create_user(self, container: Any, name: str, password: str) -> None:
        """A login, made in the administrator's name."""
        verb = "ALTER" if self._exists(container, "pg_roles", "rolname", name) else "CREATE"
        self._sql(
            container,
            f"SET ROLE doadmin; {verb} ROLE {identifier(name)} LOGIN PASSWORD {literal(password)};",
        )

    def delete_user(self, container: Any, name: str) -> None:
        """Drop a login; what it owns becomes the administrator's."""
        if not self._exists(container, "pg_roles", "rolname", name):
            return
        role = identifier(name)
        listing = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate;"
        for database in self._sql(container, listing).splitlines():
            self._sql(
                container,
                f"REASSIGN OWNED BY {role} TO doadmin; DROP OWNED BY {role};",
                database=database,
            )
        self._sql(container, f"DROP ROLE {role};")

    def _exists(self, container: Any, catalog: str, column: str, name: str) -> bool:
        query = f"SELECT 1 FROM {catalog} WHERE {column} = {literal(name)};"  # noqa: S608
        return bool(self._sql(container, query).strip())

    def _reload_pools(self, container: Any) -> None:
        """Let PgBouncer read its files again, with the logins' verifiers as the server has them.

        A verifier, unlike a password, lets PgBouncer log its clients in and nobody else.
        """
        listing = (
            'SELECT format(\'"%s" "%s"\', replace(rolname, \'"\', \'""\'), rolpassword) '
            "FROM pg_authid WHERE rolcanlogin AND rolpassword IS NOT NULL ORDER BY rolname;"
        )
        script = (
            "umask 077 && cat > /twin/pools/users.new && chown -R postgres: /twin/pools "
            "&& mv /twin/pools/users.new /twin/pools/users && chown postgres: /twin/pools/users "
            "&& { pkill -HUP -x pgbouncer || true; }"
        )
        users = self._sql(container, listing)
        self._engine.run(container, ["sh", "-c", script], stdin=users)

    def _sql(self, container: Any, statements: str, *, database: str = "postgres") -> str:
        return self._engine.run(
            container,
            ["psql", "-p", str(_PORT), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database],
            stdin=statements,
            user="postgres",
        )


_ADMINISTRATOR = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'doadmin') THEN
    CREATE ROLE doadmin;
  END IF;
END $$;
ALTER ROLE doadmin LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS NOSUPERUSER PASSWORD {password};
GRANT pg_monitor, pg_signal_backend TO doadmin WITH ADMIN OPTION;
"""

_HBA = """
local     all  postgres            peer
hostnossl all  all       all       reject
hostssl   all  postgres  all       reject
hostssl   all  all       all       scram-sha-256
"""


def server_settings(kept: Mapping[str, Any]) -> str:
    """The server's configuration: the plan's sizes and TLS; what is configured is in its data."""
    memory = kept["spec"]["memory_mib"]
    share = float(str(kept["settings"].get("shared_buffers_percentage", 20)))
    fixed = {
        "listen_addresses": "*",
        "port": _PORT,
        "hba_file": "/twin/pg_hba.conf",
        "ssl": "on",
        "ssl_cert_file": "/twin/tls/server.pem",
        "ssl_key_file": "/twin/tls/server.key",
        "ssl_min_protocol_version": "TLSv1.2",
        "password_encryption": "scram-sha-256",
        "max_connections": max(_CONNECTIONS_PER_GIB * memory // 1024, 10),
        "superuser_reserved_connections": _KEPT_BACK,
        "shared_buffers": f"{int(memory * share / 100)}MB",
        "shared_preload_libraries": "pg_stat_statements",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return "".join(f"{key} = {literal(str(value))}\n" for key, value in fixed.items())


def pool_settings(kept: Mapping[str, Any]) -> str:
    """PgBouncer's configuration; it verifies the server's certificate by the private name."""
    lines = ["[databases]"]
    for pool in kept["pools"]:
        lines.append(
            f"{_plain(pool['name'])} = host={kept['private_host']} port={_PORT} "
            f"dbname='{_plain(pool['database'])}' pool_size={pool['size']} "
            f"pool_mode={pool['mode']}"
        )
    lines += _POOLER.strip().splitlines()
    return "\n".join(lines) + "\n"


def pool_rules(pools: Sequence[Mapping[str, Any]]) -> str:
    """Who may use which pool: its user, or everyone where it names none."""
    return "".join(
        f"hostssl {_quoted(pool['name'])} {_quoted(pool['user']) if pool['user'] else 'all'} "
        "all scram-sha-256\n"
        for pool in pools
    )


_POOLER = f"""
[pgbouncer]
listen_addr = *
listen_port = {POOL_PORT}
unix_socket_dir =
auth_type = hba
auth_hba_file = /twin/pools/hba.conf
auth_file = /twin/pools/users
client_tls_sslmode = require
client_tls_cert_file = /twin/tls/server.pem
client_tls_key_file = /twin/tls/server.key
server_tls_sslmode = verify-full
server_tls_ca_file = /twin/tls/ca.pem
ignore_startup_parameters = extra_float_digits
max_client_conn = 5000
max_prepared_statements = 0
logfile =
syslog = 0
"""


def server_value(key: str, value: object) -> str:
    """A setting of the API as the server writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # the engine's numbers are all floats
    return f"{value}{_UNITS.get(key, '')}"


def literal(text: str) -> str:
    """Text as an SQL string, and equally as a value in postgresql.conf."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return f'"{_plain(text)}"'


def _plain(text: str) -> str:
    """A name for PgBouncer's files, whose keys cannot be quoted."""
    if not _PLAIN.fullmatch(text):
        raise WorldError(
            f"{text!r} cannot be the name of a pool, its database or its user: "
            "letters, digits, '_', '.' and '-' only."
        )
    return text
