"""Packet filters as text; `test_droplets_docker` has the kernel's word on them."""

from __future__ import annotations

import re

import pytest

from twin.machines.packets import cloud_firewall, trusted_sources
from twin.world import FirewallRule, WorldError

_BOTH = ("eth0", "eth1")


def _rule(
    direction: str, protocol: str = "tcp", ports: str = "22", *addresses: str
) -> FirewallRule:
    return FirewallRule(
        direction=direction,  # type: ignore[arg-type]
        protocol=protocol,  # type: ignore[arg-type]
        ports=ports,
        addresses=addresses or ("0.0.0.0/0", "::/0"),
    )


def _chain(text: str, name: str) -> list[str]:
    found = re.search(rf"chain {name} {{\n(.*?)\n  }}", text, re.DOTALL)
    assert found, text
    return [line.strip() for line in found.group(1).splitlines()]


def _accepts(chain: list[str]) -> list[str]:
    """Lines beyond what every chain has."""
    common = ("type filter", "iifname !=", "oifname !=", "ct state", "icmpv6")
    return [line for line in chain if not line.startswith(common)]


def test_a_droplet_that_no_firewall_covers_has_no_table() -> None:
    text = cloud_firewall([], _BOTH)
    assert "chain" not in text
    assert "delete table inet twin_cloud_firewall" in text, "what stood before must go"


def test_loading_replaces_what_stands_even_where_nothing_stands() -> None:
    lines = cloud_firewall([[_rule("inbound")]], _BOTH).splitlines()
    assert lines[0] == "table inet twin_cloud_firewall {}"
    assert lines[1] == "delete table inet twin_cloud_firewall"


def test_a_firewall_without_outbound_rules_lets_nothing_out() -> None:
    outbound = _chain(cloud_firewall([[_rule("inbound")]], _BOTH), "outbound")
    assert _accepts(outbound) == ["drop"]
    assert "ct state established,related accept" in outbound, "answers must still leave"


def test_inbound_is_judged_before_the_guests_own_translation_on_both_interfaces() -> None:
    inbound = _chain(cloud_firewall([[_rule("inbound")]], _BOTH), "inbound")
    priority = re.search(r"prerouting priority (-?\d+)", inbound[0])
    assert priority
    assert -200 < int(priority.group(1)) < -100, "after tracking (-200), before dnat (-100)"
    assert inbound[1] == "iifname != { eth0, eth1 } accept"
    assert inbound[-1] == "drop"


def test_rules_keep_families_ports_and_protocols_apart() -> None:
    rules = [
        _rule("inbound", "tcp", "443", "203.0.113.7", "2001:db8::/32"),
        _rule("inbound", "udp", "8000-9000", "10.0.0.0/8"),
        _rule("inbound", "icmp", "", "0.0.0.0/0", "::/0"),
        _rule("inbound", "tcp", "0", "10.1.2.3"),
    ]
    assert _accepts(_chain(cloud_firewall([rules], _BOTH), "inbound")) == [
        "ip saddr { 203.0.113.7/32 } meta l4proto tcp th dport 443 accept",
        "ip6 saddr { 2001:db8::/32 } meta l4proto tcp th dport 443 accept",
        "ip saddr { 10.0.0.0/8 } meta l4proto udp th dport 8000-9000 accept",
        "meta nfproto ipv4 meta l4proto icmp accept",
        "meta nfproto ipv6 meta l4proto ipv6-icmp accept",
        "ip saddr { 10.1.2.3/32 } meta l4proto tcp accept",
        "drop",
    ]


def test_several_firewalls_add_up() -> None:
    text = cloud_firewall([[_rule("inbound")], [_rule("inbound", "tcp", "80")]], _BOTH)
    ports = re.findall(r"th dport (\d+)", "\n".join(_chain(text, "inbound")))
    assert set(ports) == {"22", "80"}


def test_overlapping_addresses_are_one_interval() -> None:
    rule = _rule("inbound", "tcp", "22", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.168.0.0/16")
    (line, _) = _accepts(_chain(cloud_firewall([[rule]], _BOTH), "inbound"))
    assert line.startswith("ip saddr { 10.0.0.0/8, 192.168.0.0/16 }"), "nft refuses overlaps"


@pytest.mark.parametrize("ports", ["http", "0-10", "70000", "22-", "-22", "1-2-3"])
def test_bad_ports_are_refused(ports: str) -> None:
    with pytest.raises(WorldError, match="ports"):
        cloud_firewall([[_rule("inbound", "tcp", ports)]], _BOTH)


def test_a_name_is_no_address() -> None:
    with pytest.raises(WorldError, match=r"example\.com"):
        cloud_firewall([[_rule("inbound", "tcp", "22", "example.com")]], _BOTH)


def test_trusted_sources_guard_their_ports_only() -> None:
    text = trusted_sources(["10.0.0.5", "10.2.0.0/16"], (25060, 25061), open_to_all=False)
    chain = _chain(text, "inbound")
    assert "ip saddr { 10.0.0.5/32, 10.2.0.0/16 } tcp dport { 25060, 25061 } accept" in chain
    assert chain[-1] == "tcp dport { 25060, 25061 } drop"
    assert chain.index("iifname lo accept") < len(chain) - 1, "the pooler reaches its server"


def test_sources_that_name_nobody_admit_nobody() -> None:
    chain = _chain(trusted_sources([], (25060,), open_to_all=False), "inbound")
    assert not [line for line in chain if "saddr" in line]
    assert chain[-1] == "tcp dport { 25060 } drop", "a tag that no droplet has is not `everyone`"


def test_an_empty_list_is_open() -> None:
    assert "chain" not in trusted_sources([], (25060,), open_to_all=True)
