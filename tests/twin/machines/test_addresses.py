"""Which addresses the twin takes."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.machines.addresses import (
    Internet,
    PrivateNetwork,
    choose_slot,
    first_free,
    host_networks,
    package_servers,
    slots,
)
from twin.world import WorldError


def _networks(*cidrs: str) -> list[IPv4Network]:
    return [IPv4Network(cidr) for cidr in cidrs]


def test_the_first_slot_that_overlaps_nothing_is_taken() -> None:
    assert str(choose_slot({})) == "203.0.113.0/26"
    taken = {
        "the Docker network pp-aaaaaa-internet": _networks("203.0.113.0/26"),
        "a package server": _networks("203.0.113.100/32"),
        "a route of this host": _networks("192.0.2.0/24"),
    }
    assert str(choose_slot(taken)) == "203.0.113.128/26"


def test_every_slot_is_a_documentation_range_and_there_are_twelve() -> None:
    every = list(slots())
    assert len(every) == 12
    assert not [slot for slot in every if slot.is_global]


def test_who_holds_the_ranges_is_named_when_none_is_free() -> None:
    taken = {
        "a route of this host": _networks("203.0.113.0/24"),
        "the Docker network lab": _networks("198.51.100.0/24", "192.0.2.0/24"),
    }
    with pytest.raises(WorldError, match="a route of this host, the Docker network lab"):
        choose_slot(taken)


@given(st.sampled_from(list(slots())))
def test_services_machines_and_reserved_addresses_never_meet(slot: IPv4Network) -> None:
    internet = Internet(slot)
    services = [internet.gateway, internet.dns, internet.pop, internet.registry]
    automatic = [str(host) for host in IPv4Network(internet.automatic)]
    every = [*services, *internet.machines(), *automatic, *internet.reserved()]
    assert len(every) == len(set(every)), "two holders of one address"
    inside = {str(host) for host in slot.hosts()}
    assert set(every) <= inside, "network and broadcast address are nobody's"


@pytest.mark.parametrize("prefix", [16, 20, 24, 27, 28])
def test_machines_of_a_vpc_never_get_what_the_engine_may_give(prefix: int) -> None:
    network = PrivateNetwork(IPv4Network(f"10.64.0.0/{prefix}"))
    automatic = {str(host) for host in IPv4Network(network.automatic)}
    machines = set(network.machines())
    assert machines, "even the smallest VPC has room"
    assert network.gateway not in machines
    assert not machines & automatic


def test_the_first_free_address_is_given_and_none_left_is_said() -> None:
    assert first_free(iter(["a", "b", "c"]), {"a", "c"}, "public") == "b"
    with pytest.raises(WorldError, match="No public address is left"):
        first_free(iter(["a"]), {"a"}, "public")


def test_host_routes_are_read_without_the_default_one(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert host_networks(table) == _networks("192.0.2.0/24")
    assert host_networks(tmp_path / "none") == []


def test_package_servers_are_found_by_this_machines_own_name_service() -> None:
    assert package_servers(["localhost"]) == _networks("127.0.0.1/32")
    assert package_servers(["nobody.invalid"]) == []
