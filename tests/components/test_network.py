"""The border: what may come in, what may go out."""

from __future__ import annotations

import dataclasses

import pytest

from components.network import Network, NetworkArgs
from tests.components.fakes import built
from tests.recorder import Recorder

ARGS = NetworkArgs(region="fra1", cidr="10.20.0.0/20", ssh_sources=["198.51.100.7/32"])


def _record(args: NetworkArgs = ARGS) -> Recorder:
    return built(lambda: Network("net", args))[0]


@pytest.mark.parametrize("source", ["0.0.0.0/0", "::/0"])
def test_ssh_from_everywhere_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="never be open to the world"):
        dataclasses.replace(ARGS, ssh_sources=["198.51.100.7/32", source])


def test_only_ssh_comes_in() -> None:
    (rule,) = _record().one(":Firewall").inputs["inboundRules"]
    assert rule == {
        "protocol": "tcp",
        "portRange": "22",
        "sourceAddresses": ["198.51.100.7/32"],
    }, "visitors come through the tunnel; anything else is a way around the edge"


def test_the_order_of_sources_changes_nothing() -> None:
    two = ["198.51.100.9/32", "198.51.100.7/32"]
    rules = [
        _record(dataclasses.replace(ARGS, ssh_sources=sources)).one(":Firewall").inputs
        for sources in (two, two[::-1])
    ]
    assert rules[0] == rules[1], "a firewall that changes at every update hides a real change"


def test_what_goes_out_is_listed_and_databases_stay_inside() -> None:
    rules = _record().one(":Firewall").inputs["outboundRules"]
    ranges = {rule.get("portRange") for rule in rules}
    assert not {"1-65535", "all", "0"} & ranges, "an open egress carries data out"
    inside = [rule for rule in rules if rule.get("portRange") == "25060-25061"]
    assert [rule["destinationAddresses"] for rule in inside] == [["10.20.0.0/20"]]
    assert any(rule["protocol"] == "icmp" and "portRange" not in rule for rule in rules), (
        "the provider refuses ports for icmp"
    )


def test_a_registrys_port_is_let_out_once() -> None:
    rules = _record(dataclasses.replace(ARGS, egress_ports=[5000, 5000]))
    ports = [r.get("portRange") for r in rules.one(":Firewall").inputs["outboundRules"]]
    assert ports.count("5000") == 1


def test_the_firewall_follows_the_tag() -> None:
    record = _record()
    firewall = record.one(":Firewall").inputs
    assert firewall["tags"] == [record.one(":Tag").outputs["name"]]
    assert "dropletIds" not in firewall, "a new droplet would boot uncovered"
