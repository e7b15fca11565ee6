"""What the DigitalOcean double refuses about databases because of what the account holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin.clouds.accounts import DO_CONFIG, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_digitalocean_rules import CLUSTER, DROPLET, VALKEY
from twin.clouds import digitalocean
from twin.clouds.digitalocean.cluster_parts import backend_connections
from twin.protocol.resource import ApiError, Context, Created

VPC = {"name": "net", "region": "fra1", "ipRange": "10.20.0.0/20"}


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(digitalocean.package(), known(paper_context, DO_CONFIG))


@pytest.fixture
def vpc(handlers: Handlers) -> Created:
    return handlers.create("Vpc", VPC)


def _droplet(handlers: Handlers, vpc: Created, **more: Any) -> Created:
    return handlers.create("Droplet", {**DROPLET, "vpcUuid": vpc.id, **more})


def _cluster(handlers: Handlers, vpc: Created, **more: Any) -> Created:
    return handlers.create("DatabaseCluster", {**CLUSTER, "privateNetworkUuid": vpc.id, **more})


def test_clusters_have_unique_names_a_quota_and_grow_only(handlers: Handlers, vpc: Created) -> None:
    made = _cluster(handlers, vpc)
    assert made.outputs["storageSizeMib"] == "30720"
    assert made.outputs["uri"].startswith("postgresql://doadmin:AVNS_")
    assert made.outputs["uri"].endswith(":25060/defaultdb?sslmode=require")
    assert made.outputs["privateUri"].count("@private-pg-main-do-user-") == 1
    with pytest.raises(ApiError, match=r'"pg-main" is taken'):
        _cluster(handlers, vpc)
    inputs = {**CLUSTER, "privateNetworkUuid": vpc.id}
    grown = handlers.update("DatabaseCluster", made.id, {**inputs, "size": "db-s-2vcpu-4gb"})
    assert grown["storageSizeMib"] == "61440", "a larger plan brings its base storage"
    for change, message in (
        ({"size": "db-s-1vcpu-1gb"}, "nodes cannot be resized down"),
        ({"size": "db-s-2vcpu-4gb", "storageSizeMib": "40960"}, "storage only grows"),
        ({"size": "db-s-2vcpu-4gb", "version": "16"}, "only upgrades"),
    ):
        with pytest.raises(ApiError, match=rf"422 .*{message}"):
            handlers.update("DatabaseCluster", made.id, {**inputs, **change})
    for number in range(9):
        _cluster(handlers, vpc, name=f"pg-{number}")
    with pytest.raises(ApiError, match=r"403 .*10 is the limit"):
        _cluster(handlers, vpc, name="pg-10")
    handlers.delete("DatabaseCluster", made.id)
    _cluster(handlers, vpc)


def test_pools_share_the_backend_connections_of_the_plan(handlers: Handlers, vpc: Created) -> None:
    cluster = _cluster(handlers, vpc)
    base = {"clusterId": cluster.id, "mode": "transaction"}
    with pytest.raises(ApiError, match=r'404 dbName "payments"'):
        handlers.create(
            "DatabaseConnectionPool", {**base, "name": "pool", "dbName": "payments", "size": 1}
        )
    handlers.create("DatabaseDb", {"clusterId": cluster.id, "name": "payments"})
    user = handlers.create("DatabaseUser", {"clusterId": cluster.id, "name": "app"})
    assert user.id == f"{cluster.id}/user/app"
    with pytest.raises(ApiError, match=r'404 user "nobody"'):
        handlers.create(
            "DatabaseConnectionPool",
            {**base, "name": "pool", "dbName": "payments", "size": 1, "user": "nobody"},
        )
    limit = backend_connections("db-s-1vcpu-2gb")
    assert (limit, backend_connections("db-s-1vcpu-1gb"), backend_connections("x-4gb")) == (
        47,
        22,
        97,
    ), "25 connections for each GB, less 3"
    first = handlers.create(
        "DatabaseConnectionPool",
        {**base, "name": "payments", "dbName": "payments", "size": 40, "user": "app"},
    )
    password = user.outputs["password"]
    assert first.outputs["privateUri"] == (
        f"postgresql://app:{password}@{cluster.outputs['privateHost']}:25061/payments"
        "?sslmode=require"
    )
    with pytest.raises(ApiError, match=r"422 size 8 with the 40 connections"):
        handlers.create(
            "DatabaseConnectionPool", {**base, "name": "more", "dbName": "payments", "size": 8}
        )
    inbound = handlers.create(
        "DatabaseConnectionPool", {**base, "name": "more", "dbName": "defaultdb", "size": 7}
    )
    assert inbound.outputs["password"] == cluster.outputs["password"]
    handlers.delete("DatabaseConnectionPool", first.id)
    kept = handlers.ctx.store.load("paper.database", cluster.id)["pools"]
    assert [pool["name"] for pool in kept] == ["more"], "the world serves exactly what is left"


def test_what_is_for_postgres_is_refused_on_valkey(handlers: Handlers, vpc: Created) -> None:
    cache = handlers.create("DatabaseCluster", {**VALKEY, "privateNetworkUuid": vpc.id})
    assert cache.outputs["uri"].startswith("rediss://default:")
    for name, inputs in (
        ("DatabaseDb", {"name": "payments"}),
        ("DatabaseUser", {"name": "app"}),
        ("DatabaseReplica", {"name": "copy"}),
        ("DatabasePostgresqlConfig", {"workMem": 8}),
    ):
        with pytest.raises(ApiError, match=r"422 clusterId .* is a valkey cluster, not pg"):
            handlers.create(name, {"clusterId": cache.id, **inputs})


def test_trusted_sources_are_one_list_and_removing_it_opens_the_cluster(
    handlers: Handlers, vpc: Created
) -> None:
    cluster = _cluster(handlers, vpc)
    rule = {"type": "tag", "value": "web"}
    inputs = {"clusterId": cluster.id, "rules": [rule]}
    with pytest.raises(ApiError, match=r'422 rules "web" does not exist'):
        handlers.create("DatabaseFirewall", inputs)
    handlers.create("Tag", {"name": "web"})
    made = handlers.create("DatabaseFirewall", inputs)

    def sources() -> list[Any]:
        kept = handlers.ctx.store.load("paper.database", cluster.id)
        return list(kept["sources"])

    assert sources() == [{"kind": "tag", "value": "web"}]
    with pytest.raises(ApiError, match=r"409 .*replaces the whole list"):
        handlers.create("DatabaseFirewall", inputs)
    handlers.update(
        "DatabaseFirewall",
        made.id,
        {**inputs, "rules": [{"type": "ip_addr", "value": "192.0.2.7"}]},
    )
    assert sources() == [{"kind": "ip_addr", "value": "192.0.2.7"}]
    handlers.delete("DatabaseFirewall", made.id)
    assert sources() == [], "the real service admits everyone then"


def test_settings_that_can_only_be_raised_stay_raised(handlers: Handlers, vpc: Created) -> None:
    cluster = _cluster(handlers, vpc)
    inputs = {"clusterId": cluster.id, "maxWorkerProcesses": 16}
    made = handlers.create("DatabasePostgresqlConfig", inputs)
    assert made.id == f"{cluster.id}/postgresql-config"
    with pytest.raises(ApiError, match=r"422 maxWorkerProcesses 8 is less than 16"):
        handlers.update("DatabasePostgresqlConfig", made.id, {**inputs, "maxWorkerProcesses": 8})


def test_a_replica_is_no_smaller_and_shares_its_primarys_region(
    handlers: Handlers, vpc: Created
) -> None:
    cluster = _cluster(handlers, vpc, size="db-s-2vcpu-4gb")
    with pytest.raises(ApiError, match=r'422 size "db-s-1vcpu-2gb" is smaller'):
        handlers.create(
            "DatabaseReplica", {"clusterId": cluster.id, "name": "copy", "size": "db-s-1vcpu-2gb"}
        )
    with pytest.raises(ApiError, match=r"422 privateNetworkUuid"):
        handlers.create(
            "DatabaseReplica",
            {
                "clusterId": cluster.id,
                "name": "copy",
                "region": "nyc1",
                "privateNetworkUuid": vpc.id,
            },
        )
    made = handlers.create("DatabaseReplica", {"clusterId": cluster.id, "name": "copy"})
    assert made.id == f"{cluster.id}/replicas/copy"
    handlers.create("Tag", {"name": "web"})
    handlers.create(
        "DatabaseFirewall",
        {"clusterId": made.outputs["uuid"], "rules": [{"type": "tag", "value": "web"}]},
    )


def test_what_lives_in_a_cluster_a_droplet_or_a_project_goes_with_it(
    handlers: Handlers, vpc: Created
) -> None:
    cluster, droplet = _cluster(handlers, vpc), _droplet(handlers, vpc)
    inside = {"clusterId": cluster.id}
    handlers.create("Tag", {"name": "web"})
    rules = [{"type": "tag", "value": "web"}]
    handlers.create("DatabaseDb", {**inside, "name": "payments"})
    handlers.create("DatabaseUser", {**inside, "name": "app"})
    handlers.create(
        "DatabaseConnectionPool",
        {**inside, "name": "pool", "dbName": "payments", "mode": "session", "size": 5},
    )
    handlers.create("DatabasePostgresqlConfig", {**inside, "workMem": 8})
    handlers.create("DatabaseFirewall", {**inside, "rules": rules})
    replica = handlers.create("DatabaseReplica", {**inside, "name": "copy"})
    handlers.create("DatabaseFirewall", {"clusterId": replica.outputs["uuid"], "rules": rules})
    address = handlers.create("ReservedIp", {"region": "fra1"}).id
    handlers.create("ReservedIpAssignment", {"ipAddress": address, "dropletId": int(droplet.id)})
    project = handlers.create("Project", {"name": "payments"})
    urns = [droplet.outputs["dropletUrn"], cluster.outputs["clusterUrn"]]
    handlers.create("ProjectResources", {"project": project.id, "resources": urns})

    handlers.delete("DatabaseCluster", cluster.id)
    handlers.delete("Droplet", droplet.id)
    handlers.delete("Project", project.id)
    left = {record.token.rsplit(":", 1)[-1] for record in handlers.ctx.store.all()}
    assert left == {"Vpc", "Tag", "ReservedIp"}, (
        "the engine never deletes what is deleted_with another: its record must not stay"
    )


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("DatabaseDb", {"name": "payments"}),
        ("DatabaseUser", {"name": "app"}),
        ("DatabasePostgresqlConfig", {"workMem": 8}),
        ("DatabaseFirewall", {"rules": [{"type": "ip_addr", "value": "192.0.2.7"}]}),
        ("DatabaseReplica", {"name": "copy"}),
    ],
)
def test_a_cluster_that_is_gone_takes_what_was_in_it_out_of_the_next_refresh(
    handlers: Handlers, vpc: Created, name: str, inputs: dict[str, Any]
) -> None:
    cluster = _cluster(handlers, vpc)
    made = handlers.create(name, {"clusterId": cluster.id, **inputs})
    resource = handlers.resource(name)
    assert resource.read(handlers.ctx, made.id, made.outputs) is not None
    handlers.ctx.world.delete_database(cluster.id)
    whole = handlers.resource("DatabaseCluster")
    assert whole.read(handlers.ctx, cluster.id, cluster.outputs) is None
    assert resource.read(handlers.ctx, made.id, made.outputs) is None
