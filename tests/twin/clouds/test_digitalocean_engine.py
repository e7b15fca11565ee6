"""The real engine on the DigitalOcean double, on paper."""

from __future__ import annotations

from dataclasses import replace

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
    assert engine.up().steps == {}
    made = {n: e.get("outputs", {}) for n, e in engine.resources().items()}
    assert made["host"]["ipv4Address"].startswith("203.0.113.")
    assert made["host"]["ipv4AddressPrivate"].startswith("10.20.")
    assert made["pool"]["port"] == 25061
    plain = engine.state()
    for name in ("pg", "user", "pool"):
        secret = made[name]["password"]["plaintext"].strip('"')
        assert secret not in plain, "a database password must not be readable in the state"
    assert engine.destroy().code == 0
    assert paper_context.store.all() == [], "destroy must empty the account"
