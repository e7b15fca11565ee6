"""The real engine on the DigitalOcean double, on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.twin.clouds.accounts import ACCOUNT, DO_TOKEN, SPACES_ID, SPACES_SECRET, SSH_KEY
from tests.twin.conftest import Engine, StartEngine
from twin.clouds import digitalocean
from twin.protocol.resource import Context

PROGRAM = f"""
    import pulumi, pulumi_digitalocean as do
    opts = pulumi.ResourceOptions(provider=do.Provider("do", token="{DO_TOKEN}",
        spaces_access_id="{SPACES_ID}", spaces_secret_key="{SPACES_SECRET}"))
    def o(**more): return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(**more))
    vpc = do.Vpc("net", region="fra1", ip_range="10.20.0.0/20", opts=opts)
    tag = do.Tag("app", opts=opts)
    key = do.SshKey("key", public_key="{SSH_KEY}", opts=opts)
    host = do.Droplet("host", image="debian-13-x64", size="s-2vcpu-4gb", region="fra1",
        vpc_uuid=vpc.id, ssh_keys=[key.fingerprint], tags=[tag.name], monitoring=True,
        user_data=pulumi.Output.secret("#cloud-config\\n"), opts=o(delete_before_replace=False))
    address = do.ReservedIp("address", region="fra1", opts=opts)
    do.ReservedIpAssignment("assigned", ip_address=address.ip_address,
        droplet_id=host.id.apply(int), opts=opts)
    do.Firewall("wall", tags=[tag.name],
        inbound_rules=[dict(protocol="tcp", port_range="22", source_addresses=["192.0.2.1"])],
        outbound_rules=[dict(protocol=p, port_range="1-65535", destination_addresses=["0.0.0.0/0"])
            for p in ("tcp", "udp")] + [dict(protocol="icmp", destination_addresses=["0.0.0.0/0"])],
        opts=opts)
    pg = do.DatabaseCluster("pg", engine="pg", version="17", size="db-s-1vcpu-2gb", region="fra1",
        node_count=1, private_network_uuid=vpc.id,
        maintenance_windows=[dict(day="sunday", hour="03:00")], opts=opts)
    do.DatabaseFirewall("sources", cluster_id=pg.id, rules=[dict(type="tag", value=tag.name)],
        opts=opts)
    db = do.DatabaseDb("db", cluster_id=pg.id, name="payments", opts=opts)
    user = do.DatabaseUser("user", cluster_id=pg.id, name="app", opts=opts)
    pool = do.DatabaseConnectionPool("pool", cluster_id=pg.id, db_name=db.name, mode="transaction",
        size=20, user=user.name, opts=opts)
    do.DatabasePostgresqlConfig("tuning", cluster_id=pg.id, work_mem=8, opts=opts)
    replica = do.DatabaseReplica("replica", cluster_id=pg.id, size="db-s-1vcpu-2gb", region="fra1",
        opts=opts)
    cache = do.DatabaseCluster("cache", engine="valkey", version="8", size="db-s-1vcpu-1gb",
        region="fra1", node_count=1, private_network_uuid=vpc.id, opts=opts)
    do.DatabaseValkeyConfig("policy", cluster_id=cache.id,
        valkey_maxmemory_policy="noeviction", opts=opts)
    bucket = do.SpacesBucket("bucket", region="fra1", versioning=dict(enabled=True), opts=opts)
    spaces = do.SpacesKey("spaces", grants=[dict(bucket=bucket.name, permission="readwrite")],
        opts=opts)
    project = do.Project("project", environment="Development", opts=opts)
    do.ProjectResources("members", project=project.id,
        resources=[host.droplet_urn, pg.cluster_urn, bucket.bucket_urn], opts=opts)
    ca = do.get_database_ca_output(cluster_id=pg.id,
        opts=pulumi.InvokeOutputOptions(provider=opts.provider))
    pulumi.export("ca", ca.certificate)
    pulumi.export("secret", spaces.secret_key)
"""


@pytest.fixture
def engine(start_engine: StartEngine, paper_context: Context) -> Engine:
    context = replace(paper_context, account=ACCOUNT)
    return start_engine(digitalocean.package(), context=context)


def test_a_second_up_and_a_refresh_change_nothing_and_destroy_leaves_nothing(
    engine: Engine, paper_context: Context
) -> None:
    engine.program(PROGRAM)
    first = engine.up()
    assert first.code == 0, first.output
    second = engine.up()
    assert second.steps == {}, second.output
    refreshed = engine.refresh("--expect-no-changes")
    assert refreshed.code == 0, refreshed.output
    made = {n: e.get("outputs", {}) for n, e in engine.revealed().items()}
    assert made["host"]["ipv4Address"].startswith("203.0.113.")
    assert made["host"]["ipv4AddressPrivate"].startswith("10.20.")
    assert made["pool"]["port"] == 25061
    plain = engine.state()
    for name in ("pg", "user", "pool"):
        secret = made[name]["password"]["plaintext"].strip('"')
        assert secret not in plain, "a database password must not be readable in the state"
    assert engine.destroy().code == 0
    assert paper_context.store.all() == [], "destroy must empty the account"


REPLACEABLE = """
    import pulumi, pulumi_digitalocean as do
    opts = pulumi.ResourceOptions(provider=do.Provider("do", token="TOKEN",
        spaces_access_id="SPACES_ID", spaces_secret_key="SPACES_SECRET"))
    kept = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=True))
    V = VALUES
    vpc = do.Vpc("vpc", region="fra1", ip_range=V["range"], name="net", opts=opts)
    home = do.Vpc("home", region="fra1", ip_range="10.30.0.0/20", opts=opts)
    do.Tag("tag", name=V["tag"], opts=opts)
    for name, more in V["droplets"].items():
        do.Droplet(name, **{"image": "debian-13-x64", "size": "s-2vcpu-4gb", "region": "fra1",
            "vpc_uuid": home.id, "user_data": "#cloud-config", **more}, opts=opts)
    for name, more in V["clusters"].items():
        do.DatabaseCluster(name, **{"engine": "pg", "version": "16", "size": "db-s-1vcpu-2gb",
            "region": "fra1", "node_count": 1, "private_network_uuid": home.id,
            "maintenance_windows": [{"day": "sunday", "hour": "03:00"}], **more}, opts=kept)
    pg = do.DatabaseCluster("pg", engine="pg", version="17", size="db-s-1vcpu-2gb", region="fra1",
        node_count=1, private_network_uuid=home.id, opts=opts)
    do.DatabaseDb("db", cluster_id=pg.id, name=V["db"], opts=opts)
    do.DatabaseUser("user", cluster_id=pg.id, name=V["user"], opts=opts)
    do.DatabaseConnectionPool("pool", cluster_id=pg.id, name="pool", db_name="defaultdb",
        mode="transaction", size=V["pool"], opts=opts)
    do.DatabaseReplica("replica", cluster_id=pg.id, name="copy", tags=V["tags"], opts=opts)
    do.ReservedIp("address", region=V["region"], opts=opts)
    do.SpacesBucket("bucket", region=V["region"], force_destroy=V["force"], opts=opts)
    do.SpacesKey("key", name=V["key"], opts=opts)
    do.Project("project", name=V["key"], opts=opts)
"""
BEFORE = {
    "range": "10.20.0.0/20",
    "tag": "a",
    "droplets": {name: {} for name in ("image", "data", "agent", "six", "size", "tags")},
    "clusters": {name: {} for name in ("engine", "version", "nodes", "window")},
    "db": "one",
    "user": "one",
    "pool": 10,
    "tags": ["a"],
    "region": "fra1",
    "force": False,
    "key": "one",
}
AFTER = {
    "range": "10.21.0.0/20",
    "tag": "b",
    "droplets": {
        "image": {"image": "debian-12-x64"},
        "data": {"user_data": "#cloud-config\\n"},
        "agent": {"droplet_agent": False},
        "six": {},
        "size": {"size": "s-4vcpu-8gb"},
        "tags": {"tags": ["a"], "backups": True},
    },
    "clusters": {
        "engine": {"engine": "valkey", "version": "8"},
        "version": {"version": "17"},
        "nodes": {"node_count": 2, "size": "db-s-2vcpu-4gb"},
        "window": {"maintenance_windows": [{"day": "sunday", "hour": "03:00:00"}]},
    },
    "db": "two",
    "user": "two",
    "pool": 11,
    "tags": ["b"],
    "region": "ams3",
    "force": True,
    "key": "two",
}
REPLACED_FIRST_DELETED = {"vpc", "tag", "db", "user", "pool", "replica"}
"""Those with a name of their own: the provider asks for the old one to go first, so that the last
step of each is the creation."""
REPLACED = {"image", "data", "agent", "six", "address", "bucket"}
UPDATED = {"size", "tags", "version", "nodes", "key", "project"}


def _values(values: dict[str, Any], **droplets: Any) -> str:
    merged = {**values, "droplets": {**values["droplets"], **droplets}}
    text = REPLACEABLE.replace("VALUES", repr(merged)).replace("TOKEN", DO_TOKEN)
    return text.replace("SPACES_ID", SPACES_ID).replace("SPACES_SECRET", SPACES_SECRET)


def test_only_what_is_documented_replaces_and_a_protected_cluster_is_never_replaced(
    engine: Engine,
) -> None:
    engine.program(_values(BEFORE, six={"ipv6": True}))
    first = engine.up()
    assert first.code == 0, first.output
    engine.program(_values({**AFTER, "clusters": {**AFTER["clusters"], "engine": {}}}))
    planned = engine.preview()
    assert planned.code == 0, planned.output
    steps = planned.steps
    assert {n for n, op in steps.items() if op == "update"} == UPDATED, planned.output
    replacing = {n for n, op in steps.items() if "replac" in op}
    assert replacing == REPLACED | REPLACED_FIRST_DELETED, planned.output
    last = {name: steps[name] for name in replacing}
    assert {n for n, op in last.items() if op == "create-replacement"} == REPLACED_FIRST_DELETED
    assert {n for n, op in last.items() if op == "delete-replaced"} == REPLACED
    assert "window" not in steps, "03:00 and 03:00:00 are the same hour"

    engine.program(_values(AFTER))
    refused = engine.preview()
    assert refused.code != 0
    assert "protect" in refused.output, "another engine would be another cluster: data loss"
