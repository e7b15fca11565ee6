"""Postgres and Valkey: closed to everyone else, never reset by a change, reached over TLS."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import unquote, urlsplit

import pulumi
import pytest

from components import database
from components.cache import Cache, CacheArgs
from components.database import Database, DatabaseArgs
from tests.components.fakes import built
from tests.recorder import PEM, is_secret, value_of

ARGS = DatabaseArgs(
    version="17",
    size="db-s-2vcpu-4gb",
    nodes=2,
    pool_size=40,
    replica_size="db-s-2vcpu-4gb",
    maintenance_day="sunday",
    maintenance_hour="03:00",
    region="fra1",
    vpc_id="vpc-1",
    trusted_tag="tag-1",
    protect=True,
)
CACHE_ARGS = CacheArgs(
    version="8",
    size="db-s-1vcpu-2gb",
    nodes=2,
    maintenance_day="sunday",
    maintenance_hour="04:00",
    region="fra1",
    vpc_id="vpc-1",
    trusted_tag="tag-1",
    protect=True,
)


@pytest.mark.parametrize("nodes", [0, 4])
def test_a_cluster_has_one_to_three_nodes(nodes: int) -> None:
    with pytest.raises(ValueError, match=f"nodes={nodes}"):
        dataclasses.replace(ARGS, nodes=nodes)
    with pytest.raises(ValueError, match=f"nodes={nodes}"):
        dataclasses.replace(CACHE_ARGS, nodes=nodes)


def test_every_way_to_the_database_is_its_own_login() -> None:
    _, made = built(lambda: Database("db", ARGS))
    wanted = {
        "admin_url": ("doadmin", 25060, "/payments"),
        "migrator_url": ("migrator", 25060, "/payments"),
        "app_url": ("app", 25060, "/payments"),
        "pool_url": ("app", 25061, "/db-pool-1a2b3c4"),
    }
    for name, (user, port, path) in wanted.items():
        output: pulumi.Output[str] = getattr(made, name)
        parts = urlsplit(value_of(output) or "")
        assert (parts.username, parts.port, parts.path) == (user, port, path), name
        assert str(parts.hostname).startswith("private-"), "never over the public internet"
        assert is_secret(output), f"{name} holds a password"
    assert value_of(made.ca) == PEM


def test_a_cluster_is_private_and_trusts_the_tag_alone() -> None:
    record, _ = built(lambda: (Database("db", ARGS), Cache("cache", CACHE_ARGS)))
    assert {c.inputs["privateNetworkUuid"] for c in record.of_type(":DatabaseCluster")} == {"vpc-1"}
    firewalls = record.of_type(":DatabaseFirewall")
    assert len(firewalls) == 3, "the primary, its replica, the cache"
    for firewall in firewalls:
        assert firewall.inputs["rules"] == [{"type": "tag", "value": "tag-1"}]
        assert firewall.options.retain_on_delete
        assert firewall.options.protect
    replica = next(f for f in firewalls if "replica" in f.name)
    assert replica.inputs["clusterId"] == "uuid-of-db-replica", "a replica's id is a path"


def test_resizing_the_pool_does_not_cut_the_service_off() -> None:
    record, _ = built(lambda: Database("db", ARGS))
    pool = record.one(":DatabaseConnectionPool")
    assert "name" not in pool.inputs, "a name of ours makes the provider delete first"
    assert pool.inputs["mode"] == "transaction"
    assert pool.inputs["user"] == "app"


def test_what_lives_in_a_cluster_goes_with_it() -> None:
    record, _ = built(lambda: (Database("db", ARGS), Cache("cache", CACHE_ARGS)))
    kinds = ("User", "Db", "ConnectionPool", "PostgresqlConfig", "ValkeyConfig")
    for found in (found for kind in kinds for found in record.of_type(f":Database{kind}")):
        assert found.options.deleted_with, (
            f"{found.name}: dropping the migrator by itself fails, it owns the schema"
        )


def test_without_a_replica_there_is_none() -> None:
    record, _ = built(lambda: Database("db", dataclasses.replace(ARGS, replica_size=None)))
    assert not record.of_type(":DatabaseReplica")
    assert len(record.of_type(":DatabaseFirewall")) == 1


def test_a_full_cache_refuses_instead_of_forgetting() -> None:
    record, made = built(lambda: Cache("cache", CACHE_ARGS))
    config = record.one(":DatabaseValkeyConfig").inputs
    assert config["valkeyMaxmemoryPolicy"] == "noeviction", "sessions and locks would vanish"
    assert config["ssl"] is True
    cluster = record.one(":DatabaseCluster").inputs
    assert "evictionPolicy" not in cluster, "two places for one setting undo each other"
    assert cluster["engine"] == "valkey"
    assert (value_of(made.url) or "").startswith("rediss://default:")
    assert is_secret(made.url)


def _url(*parts: Any) -> str:
    outputs: list[pulumi.Output[str]] = []
    built(lambda: outputs.append(database.url(*parts)))
    return value_of(outputs[0]) or ""


def test_a_url_survives_any_password() -> None:
    url = _url("postgresql", "us@r", "p@ss:/w%rd?", "h.test", 25060.0, "db")
    parts = urlsplit(url)
    assert (parts.hostname, parts.port, parts.path) == ("h.test", 25060, "/db")
    assert unquote(parts.username or "") == "us@r"
    assert unquote(parts.password or "") == "p@ss:/w%rd?"


def test_a_token_that_may_not_read_passwords_is_named() -> None:
    with pytest.raises(ValueError, match="database:view_credentials"):
        _url("postgresql", "app", "", "h.test", 25060, "db")
