from __future__ import annotations

from pathlib import Path

import pytest

from twin.collect import in_order, remove_all
from twin.paper import PaperWorld
from twin.store import Record, Store
from twin.world import DatabaseSpec, DropletSpec, PoolSpec, WorldError


def droplet(id: str) -> DropletSpec:
    return DropletSpec(
        id=id, name=f"web-{id}", image="debian-13-x64", vcpus=1, memory_mib=1024,
        vpc_id="v", user_data="", ssh_public_keys=(), tags=(),
    )  # fmt: skip


def cluster(id: str) -> DatabaseSpec:
    return DatabaseSpec(
        id=id, name="db", engine="pg", version="17", nodes=1, memory_mib=1024, vpc_id="v"
    )


def test_the_same_question_has_the_same_answer_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "twin.db")
    world = PaperWorld(store)
    world.create_vpc("v", "main", "10.0.0.0/24")
    first, second = world.create_droplet(droplet("1")), world.create_droplet(droplet("2"))
    endpoint = world.create_database(cluster("c"))
    address = world.allocate_reserved_ip()
    assert len({first.public_ipv4, second.public_ipv4, address}) == 3
    assert first.private_ipv4.startswith("10.0.0.")
    assert endpoint.host == "db-do-user-4711-0.g.db.ondigitalocean.com"
    store.close()

    again = PaperWorld(Store(tmp_path / "twin.db"))
    assert again.create_droplet(droplet("1")) == first
    assert again.create_database(cluster("c")) == endpoint
    assert again.allocate_reserved_ip() != address


def test_what_a_data_centre_would_refuse_is_refused() -> None:
    world = PaperWorld(Store(":memory:"))
    world.create_vpc("v", "main", "10.0.0.0/24")
    world.create_vpc("v", "main", "10.0.0.0/24")  # again: the same
    with pytest.raises(WorldError, match="overlaps"):
        world.create_vpc("w", "other", "10.0.0.128/25")
    world.create_droplet(droplet("1"))
    with pytest.raises(WorldError, match="members: web-1"):
        world.delete_vpc("v")
    world.create_database(cluster("c"))
    pool = PoolSpec(name="p", database="pay", user="app", mode="transaction", size=5)
    with pytest.raises(WorldError, match="needs the database pay"):
        world.set_pools("c", [pool])
    world.create_database_db("c", "pay")
    assert world.set_pools("c", [pool]) == 25061
    with pytest.raises(WorldError, match="no reserved address"):
        world.assign_reserved_ip("203.0.113.250", "1")


def record(token: str, id: str = "1") -> Record:
    return Record(token=token, id=id, inputs={}, outputs={})


def test_users_go_before_what_they_use() -> None:
    tokens = [
        "digitalocean:index/vpc:Vpc",
        "digitalocean:index/droplet:Droplet",
        "docker:index/network:Network",
        "digitalocean:index/databaseCluster:DatabaseCluster",
        "digitalocean:index/databaseConnectionPool:DatabaseConnectionPool",
        "docker:index/container:Container",
        "digitalocean:index/something:New",
    ]
    assert [r.token.rsplit(":", 1)[1] for r in in_order(map(record, tokens))] == [
        "Container",
        "Network",
        "DatabaseConnectionPool",
        "New",
        "DatabaseCluster",
        "Droplet",
        "Vpc",
    ]


def test_what_was_held_goes_in_a_later_pass_and_what_never_goes_is_told() -> None:
    there = {"holder", "held", "stuck"}

    def remove(item: Record) -> None:
        if item.id == "stuck" or (item.id == "held" and "holder" in there):
            raise RuntimeError(f"{item.id} is in use")
        there.discard(item.id)

    done = remove_all([record("x", id) for id in ("holder", "held", "stuck")], remove)
    assert {id for _, id in done.removed} == {"holder", "held"}
    assert done.failed == {("x", "stuck"): "stuck is in use"}
