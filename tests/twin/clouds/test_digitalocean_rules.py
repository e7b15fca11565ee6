"""What the DigitalOcean double accepts and refuses before anything is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.twin.clouds.accounts import DO_CONFIG, SSH_KEY, known
from tests.twin.clouds.handlers import Handlers
from twin.clouds import digitalocean
from twin.protocol.resource import UNKNOWN, Context

VPC_ID = "11111111-1111-4111-8111-111111111111"
CLUSTER_ID = "22222222-2222-4222-8222-222222222222"
DROPLET = {
    "name": "host",
    "image": "debian-13-x64",
    "size": "s-2vcpu-4gb",
    "region": "fra1",
    "vpcUuid": VPC_ID,
}
CLUSTER = {
    "name": "pg-main",
    "engine": "pg",
    "version": "17",
    "size": "db-s-1vcpu-2gb",
    "region": "fra1",
    "nodeCount": 1,
    "privateNetworkUuid": VPC_ID,
}
VALKEY = {**CLUSTER, "engine": "valkey", "version": "8", "size": "db-s-1vcpu-1gb"}
RULE = {"protocol": "tcp", "portRange": "443", "sourceAddresses": ["192.0.2.0/24"]}
FIREWALL = {"name": "wall", "inboundRules": [RULE]}
BUCKET = {"name": "backups-1", "region": "fra1"}


PASSED = {
    "entryProtocol": "https",
    "entryPort": 443,
    "targetProtocol": "https",
    "targetPort": 443,
    "tlsPassthrough": True,
}
BALANCER = {"name": "lb", "region": "fra1", "vpcUuid": VPC_ID, "forwardingRules": [PASSED]}


def _passed(**more: Any) -> dict[str, Any]:
    return {**BALANCER, "forwardingRules": [{**PASSED, **more}]}


def _checked(**check: Any) -> dict[str, Any]:
    return {**BALANCER, "healthcheck": {"port": 8081, "protocol": "http", **check}}


def _window(**more: Any) -> dict[str, Any]:
    return {**CLUSTER, "maintenanceWindows": [{"day": "sunday", "hour": "03:00", **more}]}


def _rule(**more: Any) -> dict[str, Any]:
    merged = {**RULE, **more}
    return {**FIREWALL, "inboundRules": [{k: v for k, v in merged.items() if v is not None}]}


def _backup(**policy: Any) -> dict[str, Any]:
    return {**DROPLET, "backups": True, "backupPolicy": policy}


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.20.0.0/16"}),
    ("Vpc", {"name": "net", "region": "ric1", "ipRange": "192.168.7.16/28"}),
    ("Vpc", {"name": "net", "region": "fra1", "description": "d" * 255}),
    ("Tag", {"name": "env:prod_1-a"}),
    ("Tag", {"name": "t" * 255}),
    ("SshKey", {"name": "key", "publicKey": SSH_KEY + "\n"}),
    ("Droplet", DROPLET),
    ("Droplet", {**DROPLET, "region": UNKNOWN, "vpcUuid": UNKNOWN, "userData": UNKNOWN}),
    ("Droplet", {**DROPLET, "image": "ubuntu-24-04-x64", "userData": "x" * 65536}),
    ("Droplet", _backup(plan="daily", hour=20)),
    ("Droplet", _backup(plan="weekly", weekday="SUN", hour=0)),
    ("Droplet", {**DROPLET, "tags": ["a", UNKNOWN]}),
    ("ReservedIp", {"region": "fra1"}),
    ("ReservedIpAssignment", {"ipAddress": "203.0.113.9", "dropletId": 530000001}),
    ("Firewall", FIREWALL),
    ("Firewall", _rule(portRange="8000-9000")),
    ("Firewall", _rule(portRange="all")),
    ("Firewall", _rule(protocol="icmp", portRange=None)),
    ("Firewall", _rule(sourceAddresses=["0.0.0.0/0", "::/0", "2001:db8::1"])),
    ("Firewall", _rule(sourceAddresses=UNKNOWN)),
    ("Firewall", _rule(sourceAddresses=None, sourceLoadBalancerUids=["a-balancer"])),
    ("LoadBalancer", {**BALANCER, "dropletTag": "hosts", "sizeUnit": 200}),
    ("LoadBalancer", {**BALANCER, "dropletTag": UNKNOWN, "vpcUuid": UNKNOWN}),
    ("LoadBalancer", _passed(entryProtocol="tcp", targetProtocol="tcp", tlsPassthrough=False)),
    ("LoadBalancer", _checked(path="/up", checkIntervalSeconds=3, healthyThreshold=10)),
    ("LoadBalancer", _checked(protocol="tcp")),
    ("LoadBalancer", {**BALANCER, "stickySessions": {"type": "none"}}),
    (
        "LoadBalancer",
        {**BALANCER, "firewall": {"allows": ["cidr:192.0.2.0/24"], "denies": ["ip:192.0.2.7"]}},
    ),
    ("Firewall", {**FIREWALL, "tags": [f"t{i}" for i in range(5)]}),
    ("Firewall", {**FIREWALL, "inboundRules": [RULE] * 50}),
    ("DatabaseCluster", {**CLUSTER, "name": "n" * 36}),
    ("DatabaseCluster", CLUSTER),
    ("DatabaseCluster", {**CLUSTER, "nodeCount": 3, "version": "15"}),
    ("DatabaseCluster", _window(hour="23:59:00")),
    ("DatabaseCluster", {**CLUSTER, "storageSizeMib": "61440"}),
    ("DatabaseCluster", {**CLUSTER, "storageAutoscale": {"enabled": True, "thresholdPercent": 80}}),
    ("DatabaseCluster", {**VALKEY, "evictionPolicy": "allkeys_lru"}),
    ("DatabaseCluster", {**VALKEY, "nodeCount": 2, "size": "db-s-1vcpu-2gb"}),
    ("DatabaseDb", {"name": "payments", "clusterId": UNKNOWN}),
    ("DatabaseUser", {"name": "app", "clusterId": CLUSTER_ID}),
    (
        "DatabaseConnectionPool",
        {"name": "payments", "clusterId": CLUSTER_ID, "dbName": "d", "mode": "session", "size": 1},
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "ip_addr", "value": "192.0.2.1"}]},
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "droplet", "value": "530000001"}]},
    ),
    (
        "DatabasePostgresqlConfig",
        {
            "clusterId": CLUSTER_ID,
            "workMem": 1024,
            "walSenderTimeout": 0,
            "pgStatStatementsTrack": "all",
            "pgbouncers": [{"minPoolSize": 5, "autodbPoolMode": "transaction"}],
        },
    ),
    (
        "DatabaseValkeyConfig",
        {"clusterId": CLUSTER_ID, "valkeyMaxmemoryPolicy": "noeviction", "ssl": True},
    ),
    ("DatabaseReplica", {"name": "copy", "clusterId": CLUSTER_ID, "size": "db-s-1vcpu-2gb"}),
    ("SpacesBucket", BUCKET),
    (
        "SpacesBucket",
        {**BUCKET, "lifecycleRules": [{"enabled": True, "expiration": {"days": 30}}]},
    ),
    ("SpacesKey", {"name": "key"}),
    ("SpacesKey", {"name": "key", "grants": [{"bucket": "", "permission": "fullaccess"}]}),
    ("SpacesKey", {"name": "key", "grants": [{"bucket": "b", "permission": "read"}]}),
    ("Project", {"name": "p", "environment": "Production", "resources": ["do:droplet:1"]}),
    ("ProjectResources", {"project": VPC_ID, "resources": ["do:dbaas:" + CLUSTER_ID]}),
]

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("Vpc", {"name": "net", "region": "mars"}, '^region: .*"mars" is not one of ams3'),
    ("Vpc", {"name": "a b", "region": "fra1"}, '^name: "a b"'),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.0.0.0"}, "ipRange: .*prefix length"),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.0.0.1/24"}, "ipRange: .*CIDR"),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.0.0.0/15"}, "/16 and /28"),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.0.0.0/29"}, "/16 and /28"),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "8.8.8.0/24"}, "private range"),
    ("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.244.4.0/24"}, "10.244.0.0/16"),
    ("Vpc", {"name": "net", "region": "fra1", "description": "d" * 256}, "256 characters, 255"),
    ("Vpc", {"name": "net"}, "^region: "),
    ("Vpc", {"name": "net", "region": "fra1", "cidr": "10.0.0.0/16"}, "cidr"),
    ("Tag", {"name": "a.b"}, '^name: .*"a.b" is no tag'),
    ("Tag", {"name": "t" * 256}, "1 to 255 characters"),
    ("SshKey", {"name": "key", "publicKey": "ssh-ed25519 notbase64"}, "type key"),
    ("SshKey", {"name": "key", "publicKey": SSH_KEY.replace("ssh-ed", "ssh-rsa ")}, "type key"),
    ("Droplet", {**DROPLET, "image": "debian-99-x64"}, '^image: "debian-99-x64" is not one of'),
    ("Droplet", {**DROPLET, "size": "s-9vcpu-9gb"}, '^size: "s-9vcpu-9gb" is no Droplet size'),
    ("Droplet", {**DROPLET, "size": "c-2", "region": "blr1"}, '^size: .*not available in .*"blr1"'),
    ("Droplet", {**DROPLET, "name": "my_host"}, "^name: .*host name"),
    ("Droplet", {**DROPLET, "userData": "é" * 32769}, "^userData: has 65538 bytes, 65536"),
    ("Droplet", {**DROPLET, "userData": ""}, "^userData: must not be empty"),
    ("Droplet", {**DROPLET, "tags": ["a b"]}, r"^tags\[0\]: .*no tag"),
    ("Droplet", {**DROPLET, "backupPolicy": {"plan": "daily"}}, "^backupPolicy: .*backups"),
    ("Droplet", _backup(hour=4), "^backupPolicy.plan: is required"),
    ("Droplet", _backup(plan="monthly"), "monthly"),
    ("Droplet", _backup(plan="daily", hour=3), "^backupPolicy.hour: 3 is not one of 0, 4"),
    ("Droplet", _backup(plan="weekly", hour=4), "^backupPolicy.weekday: is required"),
    ("Droplet", _backup(plan="weekly", weekday="sunday"), "sunday"),
    ("Droplet", {k: v for k, v in DROPLET.items() if k != "vpcUuid"}, "^vpcUuid: "),
    ("ReservedIp", {"region": "xyz1"}, '"xyz1"'),
    ("ReservedIp", {"region": "fra1", "ipAddress": "203.0.113.9"}, "^ipAddress: .*chosen"),
    ("ReservedIpAssignment", {"ipAddress": "::1", "dropletId": 1}, '^ipAddress: "::1"'),
    ("LoadBalancer", {**BALANCER, "dropletTag": "t", "dropletIds": [1]}, "conflicts with"),
    ("LoadBalancer", {**BALANCER, "dropletIds": list(range(11))}, "^dropletIds: 11 given, 10"),
    ("LoadBalancer", {**BALANCER, "sizeUnit": 201}, "^sizeUnit: 201"),
    ("LoadBalancer", {k: v for k, v in BALANCER.items() if k != "region"}, "region: must be set"),
    ("LoadBalancer", {**BALANCER, "region": "mars1"}, "^region: .*mars1"),
    ("LoadBalancer", {**BALANCER, "forwardingRules": []}, "at least one rule"),
    ("LoadBalancer", {**BALANCER, "type": "GLOBAL"}, "^type: .*REGIONAL"),
    ("LoadBalancer", {**BALANCER, "redirectHttpToHttps": True}, "^redirectHttpToHttps: "),
    ("LoadBalancer", _passed(entryProtocol="smtp"), "entryProtocol: .*smtp"),
    ("LoadBalancer", _passed(entryPort=0), "entryPort: 0 is not"),
    ("LoadBalancer", _passed(certificateName="c"), "certificateName: must be left out"),
    ("LoadBalancer", _passed(targetProtocol="http"), 'tlsPassthrough: needs "https"'),
    ("LoadBalancer", _passed(tlsPassthrough=False), "certificateName: is needed"),
    ("LoadBalancer", _checked(), "path: is required"),
    ("LoadBalancer", _checked(protocol="tcp", path="/"), "path: is not allowed"),
    ("LoadBalancer", _checked(path="/", checkIntervalSeconds=2), "checkIntervalSeconds: 2 is not"),
    (
        "LoadBalancer",
        {**BALANCER, "stickySessions": {"type": "cookies", "cookieName": "c"}},
        "cookieTtlSeconds: is required",
    ),
    (
        "LoadBalancer",
        {
            **BALANCER,
            "stickySessions": {"type": "cookies", "cookieName": "c", "cookieTtlSeconds": 60},
        },
        "needs a rule that terminates",
    ),
    ("LoadBalancer", {**BALANCER, "firewall": {"allows": ["192.0.2.0/24"]}}, 'neither "ip:'),
    ("Firewall", {"name": "wall"}, "at least one rule"),
    ("Firewall", _rule(protocol="http"), '"http"'),
    ("Firewall", _rule(portRange=None), "portRange: is required"),
    ("Firewall", _rule(protocol="icmp", portRange="1"), 'portRange: "1" must be left out'),
    ("Firewall", _rule(portRange="0"), '"0"'),
    ("Firewall", _rule(portRange="9000-8000"), '"9000-8000"'),
    ("Firewall", _rule(portRange="70000"), '"70000"'),
    ("Firewall", _rule(sourceAddresses=["300.0.0.1"]), '"300.0.0.1" is no address'),
    ("Firewall", _rule(sourceAddresses=None), "names no source"),
    ("Firewall", _rule(sourceTags=["a b"]), "no tag"),
    ("Firewall", _rule(action="deny"), 'action: "deny" is in the SDK'),
    ("Firewall", {**FIREWALL, "name": "-wall"}, "^name: "),
    ("Firewall", {**FIREWALL, "tags": [f"t{i}" for i in range(6)]}, "^tags: 6 given, 5"),
    ("Firewall", {**FIREWALL, "dropletIds": list(range(11))}, "^dropletIds: 11 given, 10"),
    ("Firewall", {**FIREWALL, "inboundRules": [RULE] * 51}, "51 rules in all, 50"),
    ("Firewall", _rule(sourceAddresses=["192.0.2.1"] * 1001), "1001 given, 1000"),
    ("DatabaseCluster", {**CLUSTER, "engine": "redis"}, '^engine: "redis".*valkey'),
    ("DatabaseCluster", {**CLUSTER, "engine": "mysql"}, '^engine: .*"mysql"'),
    ("DatabaseCluster", {k: v for k, v in CLUSTER.items() if k != "version"}, "^version: is req"),
    ("DatabaseCluster", {**CLUSTER, "version": "14"}, '^version: "14" of pg is not offered'),
    ("DatabaseCluster", {**CLUSTER, "version": "18"}, '^version: "18" of pg'),
    ("DatabaseCluster", {**VALKEY, "version": "7"}, '^version: "7" of valkey'),
    ("DatabaseCluster", {**CLUSTER, "size": "s-1vcpu-2gb"}, '^size: "s-1vcpu-2gb" is no size'),
    ("DatabaseCluster", {**CLUSTER, "nodeCount": 4}, "^nodeCount: 4 is not between 1 and 3"),
    ("DatabaseCluster", {**CLUSTER, "nodeCount": 0}, "^nodeCount: 0"),
    (
        "DatabaseCluster",
        {**CLUSTER, "size": "db-s-1vcpu-1gb", "nodeCount": 2},
        '^nodeCount: 2 nodes are not offered for size "db-s-1vcpu-1gb"',
    ),
    ("DatabaseCluster", {**VALKEY, "nodeCount": 2}, "^nodeCount: 2 nodes"),
    ("DatabaseCluster", {**VALKEY, "region": "nyc2"}, '^region: .*"nyc2"'),
    ("DatabaseCluster", {**CLUSTER, "name": "PG"}, '^name: "PG"'),
    ("DatabaseCluster", {**CLUSTER, "evictionPolicy": "allkeys_lru"}, "^evictionPolicy: .*valkey"),
    ("DatabaseCluster", {**VALKEY, "evictionPolicy": "allkeys-lru"}, "^evictionPolicy: "),
    ("DatabaseCluster", {**CLUSTER, "sqlMode": "ANSI"}, "^sqlMode: "),
    ("DatabaseCluster", _window(day="Sunday"), "day: .*monday"),
    ("DatabaseCluster", _window(hour="3:00"), 'hour: "3:00"'),
    ("DatabaseCluster", _window(hour="24:00"), 'hour: "24:00"'),
    ("DatabaseCluster", {**CLUSTER, "maintenanceWindows": []}, "exactly one"),
    ("DatabaseCluster", {**CLUSTER, "storageSizeMib": "30000"}, "^storageSizeMib: .*10240"),
    ("DatabaseCluster", {**CLUSTER, "storageSizeMib": "20480"}, "less than 30720"),
    ("DatabaseCluster", {**VALKEY, "storageSizeMib": "10240"}, "^storageSizeMib: .*valkey"),
    (
        "DatabaseCluster",
        {**CLUSTER, "storageAutoscale": {"enabled": True, "thresholdPercent": 96}},
        "thresholdPercent: 96",
    ),
    (
        "DatabaseCluster",
        {**CLUSTER, "storageAutoscale": {"enabled": True, "incrementGib": 9}},
        "incrementGib: 9",
    ),
    (
        "DatabaseCluster",
        {k: v for k, v in CLUSTER.items() if k != "privateNetworkUuid"},
        "^privateNetworkUuid: ",
    ),
    ("DatabaseDb", {"name": "defaultdb", "clusterId": CLUSTER_ID}, '^name: "defaultdb" belongs'),
    ("DatabaseDb", {"name": "a b", "clusterId": CLUSTER_ID}, '^name: "a b"'),
    ("DatabaseUser", {"name": "doadmin", "clusterId": CLUSTER_ID}, '^name: "doadmin" belongs'),
    (
        "DatabaseUser",
        {"name": "app", "clusterId": CLUSTER_ID, "mysqlAuthPlugin": "caching_sha2_password"},
        "^mysqlAuthPlugin: ",
    ),
    (
        "DatabaseConnectionPool",
        {"name": "ab", "clusterId": CLUSTER_ID, "dbName": "d", "mode": "session", "size": 1},
        "3 to 60 characters",
    ),
    (
        "DatabaseConnectionPool",
        {"name": "pool", "clusterId": CLUSTER_ID, "dbName": "d", "mode": "fast", "size": 1},
        '^mode: "fast" is not one of session, transaction, statement',
    ),
    (
        "DatabaseConnectionPool",
        {"name": "pool", "clusterId": CLUSTER_ID, "dbName": "d", "mode": "session", "size": 0},
        "^size: 0",
    ),
    ("DatabaseFirewall", {"clusterId": CLUSTER_ID, "rules": []}, "^rules: is empty.*everyone"),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "ip_addr", "value": "2001:db8::1"}]},
        "IPv6",
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "ip_addr", "value": "laptop"}]},
        '"laptop" is no IPv4',
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "droplet", "value": "host"}]},
        '"host" is no Droplet id',
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "vpc", "value": "x"}]},
        '"vpc"',
    ),
    (
        "DatabaseFirewall",
        {"clusterId": CLUSTER_ID, "rules": [{"type": "droplet", "value": "1"}] * 101},
        "101 rules, 100",
    ),
    ("DatabasePostgresqlConfig", {"clusterId": CLUSTER_ID, "workMem": 1025}, "^workMem: 1025"),
    (
        "DatabasePostgresqlConfig",
        {"clusterId": CLUSTER_ID, "walSenderTimeout": 4999},
        "^walSenderTimeout: 4999",
    ),
    (
        "DatabasePostgresqlConfig",
        {"clusterId": CLUSTER_ID, "sharedBuffersPercentage": 61},
        "between 20 and 60",
    ),
    (
        "DatabasePostgresqlConfig",
        {"clusterId": CLUSTER_ID, "maxConnections": 100},
        "maxConnections",
    ),
    (
        "DatabasePostgresqlConfig",
        {"clusterId": CLUSTER_ID, "pgbouncers": [{"serverLifetime": 59}]},
        r"^pgbouncers\[0\].serverLifetime: 59",
    ),
    (
        "DatabaseValkeyConfig",
        {"clusterId": CLUSTER_ID, "valkeyMaxmemoryPolicy": "allkeys_lru"},
        '^valkeyMaxmemoryPolicy: "allkeys_lru" is not one of noeviction',
    ),
    ("DatabaseValkeyConfig", {"clusterId": CLUSTER_ID, "numberOfDatabases": 129}, "1 and 128"),
    ("DatabaseReplica", {"name": "copy", "clusterId": CLUSTER_ID, "size": "huge"}, '"huge"'),
    ("SpacesBucket", {**BUCKET, "region": "nyc1"}, '^region: .*"nyc1"'),
    ("SpacesBucket", {**BUCKET, "name": "My_Bucket"}, '^name: "My_Bucket"'),
    ("DatabaseCluster", {**CLUSTER, "name": "n" * 37}, "more than 36"),
    ("SpacesBucket", {**BUCKET, "name": "ab"}, "3 to 63"),
    ("SpacesBucket", {**BUCKET, "acl": "world"}, '"world"'),
    ("SpacesBucket", {**BUCKET, "lifecycleRules": [{"enabled": True}]}, "needs expiration"),
    (
        "SpacesKey",
        {"name": "k", "grants": [{"bucket": "b", "permission": "fullaccess"}]},
        'bucket: "b" must be ""',
    ),
    (
        "SpacesKey",
        {"name": "k", "grants": [{"bucket": "", "permission": "read"}]},
        "must name a bucket",
    ),
    ("SpacesKey", {"name": "k", "grants": [{"bucket": "b", "permission": "write"}]}, '"write"'),
    ("Project", {"name": "p", "environment": "Testing"}, '"Testing"'),
    ("Project", {"name": "p" * 176}, "176 characters, 175"),
    ("ProjectResources", {"project": "p", "resources": ["urn:pulumi:x"]}, "dropletUrn"),
    ("ProjectResources", {"project": "p", "resources": ["do:vpc:1"]}, "droplet, dbaas.*vpc"),
]


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(digitalocean.package(), known(paper_context, DO_CONFIG))


@pytest.mark.parametrize(("name", "inputs"), ACCEPTED)
def test_what_the_api_takes_is_accepted(
    handlers: Handlers, name: str, inputs: dict[str, Any]
) -> None:
    assert handlers.failures(name, inputs) == []


@pytest.mark.parametrize(("name", "inputs", "message"), REFUSED)
def test_what_the_api_refuses_is_refused_and_says_what_and_why(
    handlers: Handlers, name: str, inputs: dict[str, Any], message: str
) -> None:
    found = handlers.failures(name, inputs)
    assert any(re.search(message, text) for text in found), found


def test_every_type_has_a_rule_in_both_tables(handlers: Handlers) -> None:
    types = {resource.token.rsplit(":", 1)[-1] for resource in digitalocean.package().resources}
    assert {name for name, _ in ACCEPTED} == types
    assert {name for name, *_ in REFUSED} == types, "a type that refuses nothing is not strict"
