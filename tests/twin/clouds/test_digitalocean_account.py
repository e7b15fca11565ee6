"""What the DigitalOcean double refuses because of what the account already holds, and recovery."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from tests.twin.clouds.accounts import ACCOUNT, DO_CONFIG, SSH_KEY, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_digitalocean_rules import BUCKET, DROPLET, RULE
from twin.clouds import digitalocean
from twin.paper import PaperWorld
from twin.protocol.resource import ApiError, Context, Created
from twin.store import Store
from twin.world import DropletAddresses, DropletSpec, FirewallRule, WorldError

VPC = {"name": "net", "region": "fra1", "ipRange": "10.20.0.0/20"}


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(digitalocean.package(), known(paper_context, DO_CONFIG))


@pytest.fixture
def vpc(handlers: Handlers) -> Created:
    return handlers.create("Vpc", VPC)


def _droplet(handlers: Handlers, vpc: Created, **more: Any) -> Created:
    return handlers.create("Droplet", {**DROPLET, "vpcUuid": vpc.id, **more})


def test_a_wrong_or_missing_token_is_refused_as_the_api_refuses_it(paper_context: Context) -> None:
    package = digitalocean.package()
    package.configure(known(paper_context, DO_CONFIG))
    for config in ({}, {"token": "dop_v1_wrong"}, {"token": ""}):
        with pytest.raises(ApiError, match=r"401 .*Unable to authenticate you"):
            package.configure(known(paper_context, config))


def test_vpc_ranges_never_overlap_and_a_vpc_with_members_stays(
    handlers: Handlers, vpc: Created
) -> None:
    with pytest.raises(ApiError, match=r"422 .*10.20.8.0/24.*overlaps.*net 10.20.0.0/20"):
        handlers.create("Vpc", {**VPC, "name": "other", "ipRange": "10.20.8.0/24"})
    with pytest.raises(ApiError, match=r'"net" is taken'):
        handlers.create("Vpc", {**VPC, "ipRange": "10.30.0.0/20"})
    automatic = handlers.create("Vpc", {"name": "auto", "region": "fra1"})
    assert automatic.outputs["ipRange"].endswith("/20")
    droplet = _droplet(handlers, vpc)
    with pytest.raises(ApiError, match=r"409 .*has members \(host\)"):
        handlers.delete("Vpc", vpc.id)
    handlers.delete("Droplet", droplet.id)
    handlers.delete("Vpc", vpc.id)
    handlers.create("Vpc", VPC)  # the range and the name are free again


def test_a_droplet_has_the_outputs_that_programs_build_on(handlers: Handlers, vpc: Created) -> None:
    made = _droplet(handlers, vpc, userData="#cloud-config\n", ipv6=True)
    assert made.id.isdigit()
    outputs = made.outputs
    assert outputs["dropletUrn"] == f"do:droplet:{made.id}"
    assert (outputs["vcpus"], outputs["memory"], outputs["disk"]) == (2, 4096, 80)
    assert (outputs["priceMonthly"], outputs["priceHourly"]) == (24.0, 0.03571)
    assert outputs["ipv4Address"]
    assert outputs["ipv4AddressPrivate"].startswith("10.20.")
    assert outputs["ipv6Address"].startswith("2001:db8::")
    assert outputs["userData"] == hashlib.sha1(b"#cloud-config\n").hexdigest(), (  # noqa: S324
        "the state's outputs keep the hash of user data, never the text"
    )


def test_a_droplet_needs_known_keys_a_network_of_its_region_and_an_offered_size(
    handlers: Handlers, vpc: Created
) -> None:
    with pytest.raises(ApiError, match=r"422 .*aa:bb.*invalid key identifiers"):
        _droplet(handlers, vpc, sshKeys=["aa:bb"])
    with pytest.raises(ApiError, match=r'422 vpcUuid .*"fra1".*"nyc1"'):
        _droplet(handlers, vpc, region="nyc1")
    with pytest.raises(ApiError, match=r"404 vpcUuid"):
        handlers.create("Droplet", {**DROPLET, "vpcUuid": "nowhere"})
    blr = handlers.create("Vpc", {**VPC, "name": "blr", "region": "blr1", "ipRange": "10.9.0.0/20"})
    without_region = {k: v for k, v in DROPLET.items() if k != "region"}
    with pytest.raises(ApiError, match=r"Size is not available in this region"):
        handlers.create("Droplet", {**without_region, "vpcUuid": blr.id, "size": "c-2"})
    key = handlers.create("SshKey", {"name": "key", "publicKey": SSH_KEY})
    for name in (key.id, key.outputs["fingerprint"]):
        _droplet(handlers, vpc, sshKeys=[name], name=f"host-{len(name)}")


def test_a_public_key_is_in_an_account_once(handlers: Handlers) -> None:
    key = handlers.create("SshKey", {"name": "key", "publicKey": SSH_KEY + "\n"})
    assert key.outputs["fingerprint"].count(":") == 15
    with pytest.raises(ApiError, match=r"422 .*already in use on your account"):
        handlers.create("SshKey", {"name": "again", "publicKey": SSH_KEY})
    ignored = handlers.resource("SshKey").diff(
        handlers.ctx, {"publicKey": SSH_KEY}, {"publicKey": SSH_KEY + "\n"}, {"publicKey"}
    )
    assert ignored.ignore == {"publicKey"}


def test_resizing_keeps_the_droplet_and_never_shrinks_its_disk(
    handlers: Handlers, vpc: Created
) -> None:
    made = _droplet(handlers, vpc)
    inputs = {**DROPLET, "vpcUuid": vpc.id}
    larger = handlers.update("Droplet", made.id, {**inputs, "size": "s-4vcpu-8gb"})
    assert (larger["vcpus"], larger["disk"]) == (4, 160)
    with pytest.raises(ApiError, match=r'422 size "s-1vcpu-1gb" has a smaller disk'):
        handlers.update("Droplet", made.id, {**inputs, "size": "s-1vcpu-1gb"})
    smaller = handlers.update(
        "Droplet", made.id, {**inputs, "size": "s-1vcpu-1gb", "resizeDisk": False}
    )
    assert (smaller["vcpus"], smaller["disk"]) == (1, 160)


def test_a_reserved_ip_moves_to_the_new_droplet_before_the_old_assignment_goes(
    handlers: Handlers, vpc: Created
) -> None:
    old, new = _droplet(handlers, vpc), _droplet(handlers, vpc, name="host-2")
    address = handlers.create("ReservedIp", {"region": "fra1"}).id
    first = handlers.create(
        "ReservedIpAssignment", {"ipAddress": address, "dropletId": int(old.id)}
    )
    second = handlers.create(
        "ReservedIpAssignment", {"ipAddress": address, "dropletId": int(new.id)}
    )
    handlers.delete("ReservedIpAssignment", first.id)
    assignment = handlers.resource("ReservedIpAssignment")
    assert assignment.read(handlers.ctx, second.id, second.outputs) is not None
    other = handlers.create("ReservedIp", {"region": "fra1"}).id
    with pytest.raises(ApiError, match=rf"422 .*has reserved IP {address} already"):
        handlers.create("ReservedIpAssignment", {"ipAddress": other, "dropletId": int(new.id)})
    far = handlers.create("ReservedIp", {"region": "nyc1"}).id
    with pytest.raises(ApiError, match=r'422 .*"nyc1".*"fra1"'):
        handlers.create("ReservedIpAssignment", {"ipAddress": far, "dropletId": int(old.id)})
    with pytest.raises(ApiError, match=r"404 ipAddress"):
        handlers.create(
            "ReservedIpAssignment", {"ipAddress": "203.0.113.250", "dropletId": int(old.id)}
        )
    handlers.delete("Droplet", new.id)
    assert assignment.read(handlers.ctx, second.id, second.outputs) is None


class _FirewallSpy(PaperWorld):
    rules: dict[str, list[FirewallRule]]

    def set_firewall(self, firewall_id: str, rules: Any, **ends: Any) -> None:
        self.__dict__.setdefault("rules", {})[firewall_id] = list(rules)
        super().set_firewall(firewall_id, rules, **ends)


def test_a_firewall_needs_tags_that_exist_and_follows_the_droplets_that_have_them(
    handlers: Handlers,
) -> None:
    world = _FirewallSpy(handlers.ctx.store)
    handlers.ctx = replace(handlers.ctx, world=world)
    vpc = handlers.create("Vpc", VPC)
    wall = {"name": "wall", "tags": ["db"], "inboundRules": [{**RULE, "sourceTags": ["web"]}]}
    with pytest.raises(ApiError, match=r'422 tags "db" does not exist'):
        handlers.create("Firewall", wall)
    for tag in ("web", "DB"):
        handlers.create("Tag", {"name": tag})
    made = handlers.create("Firewall", wall)
    assert world.rules[made.id][0].addresses == ["192.0.2.0/24"]
    droplet = _droplet(handlers, vpc, tags=["WEB"])
    reached = world.rules[made.id][0].addresses
    assert droplet.outputs["ipv4AddressPrivate"] in reached, "a new member must be let in at once"
    handlers.delete("Droplet", droplet.id)
    assert world.rules[made.id][0].addresses == ["192.0.2.0/24"], "a gone member must be kept out"
    open_ports = handlers.update(
        "Firewall",
        made.id,
        {"name": "wall", "inboundRules": [{**RULE, "portRange": "1-65535"}]},
    )
    assert "tags" not in open_ports, "an update is a full PUT"
    assert world.rules[made.id][0].ports == ""


def test_a_project_holds_only_what_exists_and_frees_it_when_it_goes(
    handlers: Handlers, vpc: Created
) -> None:
    droplet = _droplet(handlers, vpc)
    project = handlers.create("Project", {"name": "payments"})
    urn = droplet.outputs["dropletUrn"]
    members = {"project": project.id, "resources": [urn]}
    with pytest.raises(ApiError, match=r'404 resources: "do:dbaas:x"'):
        handlers.create("ProjectResources", {**members, "resources": [urn, "do:dbaas:x"]})
    with pytest.raises(ApiError, match=r"404 project"):
        handlers.create("ProjectResources", {**members, "project": "none"})
    made = handlers.create("ProjectResources", members)
    resource = handlers.resource("ProjectResources")
    assert resource.read(handlers.ctx, made.id, members) == members
    handlers.delete("Project", project.id)
    assert resource.read(handlers.ctx, made.id, members) is None


def test_buckets_need_s3_credentials_that_allow_it(handlers: Handlers) -> None:
    handlers.ctx = replace(handlers.ctx, config={"token": DO_CONFIG["token"]})
    with pytest.raises(ApiError, match=r"Spaces credentials not configured"):
        handlers.create("SpacesBucket", BUCKET)
    handlers.ctx = replace(handlers.ctx, config={**DO_CONFIG, "spacesSecretKey": "wrong"})
    with pytest.raises(ApiError, match=r"403 .*AccessDenied"):
        handlers.create("SpacesBucket", BUCKET)
    handlers.ctx = replace(handlers.ctx, config=DO_CONFIG)
    limited = handlers.create("SpacesKey", {"name": "none"})
    full = handlers.create(
        "SpacesKey", {"name": "all", "grants": [{"bucket": "", "permission": "fullaccess"}]}
    )
    for key, allowed in ((limited, False), (full, True)):
        config = {
            "spacesAccessId": key.outputs["accessKey"],
            "spacesSecretKey": key.outputs["secretKey"],
        }
        handlers.ctx = replace(handlers.ctx, config={**DO_CONFIG, **config})
        if allowed:
            handlers.create("SpacesBucket", BUCKET)
        else:
            with pytest.raises(ApiError, match=r"403"):
                handlers.create("SpacesBucket", BUCKET)
    with pytest.raises(ApiError, match=r'404 grants: bucket "none"'):
        handlers.create(
            "SpacesKey", {"name": "k", "grants": [{"bucket": "none", "permission": "read"}]}
        )


class _MotoWorld(PaperWorld):
    paper = False  # type: ignore[misc,assignment]

    def __init__(self, store: Store, endpoint: str) -> None:
        super().__init__(store)
        self._endpoint = endpoint

    def spaces_endpoint(self, region: str) -> str:
        return self._endpoint


def test_a_bucket_is_configured_over_s3_and_goes_with_its_objects_only_by_force(
    handlers: Handlers,
) -> None:
    import boto3

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        world = _MotoWorld(handlers.ctx.store, endpoint)
        handlers.ctx = replace(handlers.ctx, world=world)
        inputs = {
            **BUCKET,
            "versioning": {"enabled": True},
            "lifecycleRules": [
                {
                    "id": "old",
                    "enabled": True,
                    "prefix": "dumps/",
                    "expiration": {"days": 30},
                    "noncurrentVersionExpiration": {"days": 7},
                }
            ],
        }
        made = handlers.create("SpacesBucket", inputs)
        assert made.outputs["bucketDomainName"] == "backups-1.fra1.digitaloceanspaces.com"
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="x",
            aws_secret_access_key="y",
            region_name="us-east-1",
        )
        assert s3.get_bucket_versioning(Bucket="backups-1")["Status"] == "Enabled"
        rules = s3.get_bucket_lifecycle_configuration(Bucket="backups-1")["Rules"]
        assert rules[0]["Expiration"] == {"Days": 30}
        handlers.update("SpacesBucket", "backups-1", BUCKET)
        assert s3.get_bucket_versioning(Bucket="backups-1")["Status"] == "Suspended"
        with pytest.raises(ApiError, match=r"422 .*cannot be renamed"):
            handlers.update("SpacesBucket", "backups-1", {**BUCKET, "name": "other"})
        s3.put_object(Bucket="backups-1", Key="dump", Body=b"1")
        with pytest.raises(ApiError, match=r"409 .*BucketNotEmpty"):
            handlers.delete("SpacesBucket", "backups-1")
        handlers.update("SpacesBucket", "backups-1", {**BUCKET, "forceDestroy": True})
        handlers.delete("SpacesBucket", "backups-1")
        assert s3.list_buckets()["Buckets"] == []
    finally:
        server.stop()


class _FailingWorld(PaperWorld):
    """Makes a droplet, and dies before it can say so."""

    def create_droplet(self, spec: DropletSpec) -> DropletAddresses:
        super().create_droplet(spec)
        raise WorldError("the twin was killed")


@pytest.mark.parametrize("restart", [False, True])
def test_a_create_that_is_tried_again_finds_what_it_made(tmp_path: Path, restart: bool) -> None:
    path = tmp_path / "twin.db"

    def at(world: Callable[[Store], PaperWorld], store: Store) -> Handlers:
        ctx = Context(config=DO_CONFIG, store=store, world=world(store), account=ACCOUNT)
        return Handlers(digitalocean.package(), ctx)

    store = Store(path)
    first = at(_FailingWorld, store)
    vpc = first.create("Vpc", VPC)
    with pytest.raises(WorldError):
        _droplet(first, vpc)
    if restart:
        store.close()
        store = Store(path)
    second = at(PaperWorld, store)
    made = _droplet(second, vpc)
    assert list(store.items("paper.droplet")) == [made.id], "there must be one machine, not two"
    other = _droplet(second, vpc)
    assert other.id != made.id, "a second droplet of that name is another droplet"
    store.close()


def test_collecting_removes_what_died_half_made_and_nothing_else(paper_context: Context) -> None:
    store = paper_context.store
    ctx = replace(known(paper_context, DO_CONFIG), world=_FailingWorld(store))
    handlers = Handlers(digitalocean.package(), ctx)
    vpc = handlers.create("Vpc", VPC)
    with pytest.raises(WorldError):
        _droplet(handlers, vpc)
    [machine] = store.items("paper.droplet")
    assert digitalocean.package().collect(ctx) == [f"Droplet {machine}"]
    assert store.items("paper.droplet") == {}
    assert list(store.items("paper.vpc")) == [vpc.id]
    assert digitalocean.package().collect(ctx) == []
