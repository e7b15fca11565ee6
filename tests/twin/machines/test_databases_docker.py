"""Managed databases that really run: TLS by name, trusted sources, pools, rights, restarts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.twin.machines.conftest import Stage, spec
from twin.world import DatabaseEndpoint, DatabaseSpec, PoolSpec, TrustedSource, WorldError

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


def _cluster(id: str, engine: str, version: str, nodes: int = 1) -> DatabaseSpec:
    return DatabaseSpec(
        id=id,
        name=f"pay-{id}",
        engine=engine,  # type: ignore[arg-type]
        version=version,
        nodes=nodes,
        memory_mib=1024,
        vpc_id="v1",
    )


@pytest.fixture(scope="module")
def world(twin: Stage) -> Stage:
    twin.world.create_vpc("v1", "main", "10.202.0.0/20")
    return twin


@pytest.fixture(scope="module")
def postgres(world: Stage) -> DatabaseEndpoint:
    endpoint = world.world.create_database(_cluster("db", "pg", "17", nodes=2))
    world.world.create_database_db("db", "payments")
    for name in ("migrator", "app"):
        world.world.create_database_user("db", name, f"{name}-pw'")
    return endpoint


@pytest.fixture(scope="module")
def valkey(world: Stage) -> DatabaseEndpoint:
    return world.world.create_database(_cluster("kv", "valkey", "8"))


def _psql(
    twin: Stage,
    endpoint: DatabaseEndpoint,
    sql: str,
    *,
    user: str = "doadmin",
    database: str = "defaultdb",
    host: str = "",
    port: int = 0,
    mode: str = "verify-full",
) -> tuple[int, str]:
    password = endpoint.admin_password if user == "doadmin" else f"{user}-pw'"
    target = (
        f"host={host or endpoint.private_host} port={port or endpoint.port} dbname={database} "
        f"user={user} sslmode={mode} sslrootcert=/ca.pem connect_timeout=3"
    )
    return twin.client(
        'psql -XAtq -v ON_ERROR_STOP=1 -d "$TARGET" -c "$SQL"',
        vpc="v1",
        environment={"PGPASSWORD": password, "TARGET": target, "SQL": sql},
    )


def _private_address(twin: Stage) -> str:
    container = twin.engine.containers.get(f"{twin.instance}-database-db")
    networks = container.attrs["NetworkSettings"]["Networks"]
    return str(networks[f"{twin.instance}-vpc-v1"]["IPAddress"])


def test_both_names_verify_and_nothing_goes_without_tls(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    for host in (postgres.host, postgres.private_host):
        code, said = _psql(world, postgres, "SHOW server_version", host=host)
        assert code == 0, said
        assert said.startswith("17")
    code, said = _psql(world, postgres, "SELECT 1", mode="disable")
    assert code != 0, "a connection without TLS must be refused"
    assert "no encryption" in said
    world.world.add_name("wrong.twin.test", _private_address(world))
    code, said = _psql(world, postgres, "SELECT 1", host="wrong.twin.test")
    assert code != 0
    assert "does not match host name" in said


def test_the_administrator_is_no_superuser_but_can_prepare_a_database(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    assert _psql(world, postgres, superuser) == (0, "f\n")
    assert _psql(world, postgres, "COPY (SELECT 1) TO PROGRAM 'true'")[0] != 0
    prepare = (
        "GRANT migrator TO doadmin; CREATE SCHEMA IF NOT EXISTS payments AUTHORIZATION migrator; "
        "CREATE ROLE reporting; GRANT reporting TO app; SET ROLE migrator; "
        "GRANT USAGE ON SCHEMA payments TO app"
    )
    code, said = _psql(world, postgres, prepare, database="payments")
    assert code == 0, said


def test_a_new_login_may_connect_and_nothing_more(world: Stage, postgres: DatabaseEndpoint) -> None:
    world.world.create_database_user("db", "fresh", "fresh-pw'")
    assert _psql(world, postgres, "SELECT 1", user="fresh", database="payments") == (0, "1\n")
    for attempt in ("CREATE TABLE t ()", "CREATE SCHEMA s", "CREATE ROLE r"):
        code, said = _psql(world, postgres, attempt, user="fresh", database="payments")
        assert code != 0, f"{attempt}: {said}"
    world.world.delete_database_user("db", "fresh")
    assert _psql(world, postgres, "SELECT 1", user="fresh", database="payments")[0] != 0
    world.world.delete_database_user("db", "fresh")


def test_a_pool_serves_its_user_its_database_and_nobody_else(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    pool = PoolSpec(name="payments", database="payments", user="app", mode="transaction", size=5)
    assert world.world.set_pools("db", [pool]) == 25061
    query = (
        "SELECT current_user, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    )
    code, said = _psql(world, postgres, query, user="app", database="payments", port=25061)
    assert (code, said) == (0, "app|payments|t\n"), "TLS to the server behind the pool as well"
    wrong = {"user": "migrator", "database": "payments"}, {"user": "app", "database": "defaultdb"}
    for who in wrong:
        assert _psql(world, postgres, "SELECT 1", port=25061, **who)[0] != 0, who
    plain = _psql(
        world, postgres, "SELECT 1", user="app", database="payments", port=25061, mode="disable"
    )
    assert plain[0] != 0
    world.world.set_pools("db", [])
    gone = _psql(world, postgres, "SELECT 1", user="app", database="payments", port=25061)
    assert gone[0] != 0
    world.world.set_pools("db", [pool])


def test_only_trusted_sources_get_in_on_either_port(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    def reaches(port: int) -> bool:
        database = "payments"
        return _psql(world, postgres, "SELECT 1", user="app", database=database, port=port)[0] == 0

    try:
        elsewhere = TrustedSource(kind="ip_addr", value="198.18.0.1")
        world.world.set_trusted_sources("db", [elsewhere])
        assert not reaches(25060)
        assert not reaches(25061)
        vpc = TrustedSource(kind="ip_addr", value="10.202.0.0/20")
        world.world.set_trusted_sources("db", [elsewhere, vpc])
        assert reaches(25060)
        assert reaches(25061)
    finally:
        world.world.set_trusted_sources("db", [])
    assert reaches(25060), "an empty list is open to all, as on the real service"


def test_a_tag_admits_the_droplets_that_have_it_from_then_on(
    world: Stage, postgres: DatabaseEndpoint, ssh_key: Path
) -> None:
    world.world.set_trusted_sources("db", [TrustedSource(kind="tag", value="web")])
    try:
        world.world.create_droplet(spec(7, ssh_key, tags=["other"]))
        droplet = world.engine.containers.get(f"{world.instance}-droplet-7")
        port = ["timeout", "2", "bash", "-c", f"</dev/tcp/{postgres.private_host}/25060"]
        assert droplet.exec_run(port).exit_code != 0
        world.world.tag_droplet("7", ["Web"])
        assert droplet.exec_run(port).exit_code == 0, "tags compare without case"
        world.world.delete_droplet("7")
    finally:
        world.world.set_trusted_sources("db", [])


def test_settings_reach_the_server_restart_included(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    settings = {"work_mem": 8.0, "max_prepared_transactions": 5, "jit": False, "backup_hour": 3}
    world.world.configure_database("db", settings)
    for name, value in (("work_mem", "8MB"), ("max_prepared_transactions", "5"), ("jit", "off")):
        assert _psql(world, postgres, f"SHOW {name}") == (0, f"{value}\n")


def test_a_bad_value_is_refused_and_changes_nothing(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    before = _psql(world, postgres, "SHOW log_min_duration_statement")
    with pytest.raises(WorldError, match="setting timezone was refused"):
        world.world.configure_database(
            "db", {"timezone": "Atlantis", "log_min_duration_statement": 7.0}
        )
    assert world.again().database("db") == postgres
    assert _psql(world, postgres, "SHOW log_min_duration_statement") == before


def test_data_logins_and_pools_outlive_container_and_twin(
    world: Stage, postgres: DatabaseEndpoint
) -> None:
    made = "CREATE TABLE kept (a int); INSERT INTO kept VALUES (42); GRANT SELECT ON kept TO app"
    assert _psql(world, postgres, made, database="payments")[0] == 0
    world.engine.containers.get(f"{world.instance}-database-db").kill()
    assert world.again().database("db") == postgres
    world.engine.containers.get(f"{world.instance}-database-db").remove(force=True)
    assert world.world.database("db") is None, "a refresh must see that it is gone"
    assert world.world.create_database(_cluster("db", "pg", "17", nodes=2)) == postgres
    read = _psql(world, postgres, "SELECT a FROM kept", user="app", database="payments", port=25061)
    assert read == (0, "42\n")


def test_stopping_the_node_is_quick_and_clean(world: Stage, postgres: DatabaseEndpoint) -> None:
    container = world.engine.containers.get(f"{world.instance}-database-db")
    begun = time.monotonic()
    container.stop(timeout=20)
    assert time.monotonic() - begun < 10
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    container.start()
    world.world.start()
    assert "interrupted" not in container.logs(tail=20).decode()


def test_dropping_a_database_and_its_owner(world: Stage, postgres: DatabaseEndpoint) -> None:
    world.world.create_database_db("db", "scratch")
    world.world.create_database_user("db", "owner", "owner-pw'")
    sql = "GRANT owner TO doadmin; CREATE SCHEMA s AUTHORIZATION owner"
    assert _psql(world, postgres, sql, database="scratch")[0] == 0
    world.world.delete_database_user("db", "owner")
    world.world.delete_database_db("db", "scratch")
    assert _psql(world, postgres, "SELECT 1", database="scratch")[0] != 0
    world.world.delete_database_db("db", "scratch")


def test_status_is_honest_about_standbys(world: Stage, postgres: DatabaseEndpoint) -> None:
    assert any("2 nodes asked, one runs" in note for note in world.world.status()["notes"])


# --- Valkey -----------------------------------------------------------------------------------


def _cli(twin: Stage, endpoint: DatabaseEndpoint, *words: str, password: str = "") -> str:
    """Run a command over TLS with Postgres's client image: openssl speaks the inline protocol."""
    line = " ".join(words)
    script = (
        'printf \'%s\\r\\n\' "AUTH default $PASSWORD" "$LINE" QUIT | timeout 5 openssl s_client '
        f"-quiet -verify_return_error -CAfile /ca.pem -verify_hostname {endpoint.private_host} "
        f"-connect {endpoint.private_host}:{endpoint.port} 2>/tmp/err || cat /tmp/err"
    )
    environment = {"PASSWORD": password or endpoint.admin_password, "LINE": line}
    return twin.client(script, vpc="v1", environment=environment)[1]


def test_valkey_asks_for_the_password_over_verified_tls(
    world: Stage, valkey: DatabaseEndpoint
) -> None:
    assert valkey.admin_user == "default"
    assert "+PONG" in _cli(world, valkey, "PING")
    assert "WRONGPASS" in _cli(world, valkey, "PING", password="no")


def test_valkey_follows_the_configured_policy(world: Stage, valkey: DatabaseEndpoint) -> None:
    assert "noeviction" in _cli(world, valkey, "CONFIG", "GET", "maxmemory-policy")
    world.world.configure_database("kv", {"valkey_maxmemory_policy": "allkeys-lru"})
    assert "allkeys-lru" in _cli(world, valkey, "CONFIG", "GET", "maxmemory-policy")
    with pytest.raises(WorldError, match="maxmemory-policy"):
        world.world.configure_database("kv", {"valkey_maxmemory_policy": "sometimes"})
    world.world.configure_database("kv", {"number_of_databases": 4.0})
    assert "$1\r\n4" in _cli(world, valkey, "CONFIG", "GET", "databases")


def test_valkey_keeps_its_data_when_killed(world: Stage, valkey: DatabaseEndpoint) -> None:
    assert "+OK" in _cli(world, valkey, "SET", "session", "alive")
    time.sleep(1.2)  # the log is flushed every second
    world.engine.containers.get(f"{world.instance}-database-kv").kill()
    world.again()
    assert "alive" in _cli(world, valkey, "GET", "session")


def test_valkey_admits_trusted_sources_only(world: Stage, valkey: DatabaseEndpoint) -> None:
    world.world.set_trusted_sources("kv", [TrustedSource(kind="ip_addr", value="198.18.0.1")])
    assert "PONG" not in _cli(world, valkey, "PING")
    world.world.set_trusted_sources("kv", [])
    assert "+PONG" in _cli(world, valkey, "PING")


def test_a_deleted_cluster_is_gone_with_its_data_and_its_names(
    world: Stage, valkey: DatabaseEndpoint
) -> None:
    world.world.delete_database("kv")
    assert world.world.database("kv") is None
    assert not [name for name in world.left() if "database-kv" in name]
    assert world.client(f"getent hosts {valkey.private_host}")[0] != 0
    world.world.delete_database("kv")
