"""What a load balancer is told: whom it admits, which droplets it asks and how."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from twin.machines.addresses import EDGE_ADDRESS
from twin.machines.balancers import render
from twin.world import BalancerSpec, HealthCheck

SPEC = BalancerSpec(
    id="b",
    name="lb",
    vpc_id="v",
    ports=((443, 443),),
    health=HealthCheck(
        protocol="http", port=8081, path="/up", interval=10, timeout=5, healthy=2, unhealthy=3
    ),
    proxy_protocol=True,
    allow=["162.158.0.0/15", "192.0.2.1"],
    deny=[],
    tags=["hosts"],
    droplet_ids=[],
)
DROPLETS = {"2": "10.0.0.3", "1": "10.0.0.2"}


def test_only_the_listed_are_admitted() -> None:
    text = render(SPEC, DROPLETS)
    assert "reject unless { src 162.158.0.0/15 192.0.2.1 }" in text
    everyone = render(dataclasses.replace(SPEC, allow=[], deny=["192.0.2.9"]), DROPLETS)
    assert "reject unless" not in everyone
    assert "reject if { src 192.0.2.9 }" in everyone


def test_traffic_and_checks_come_with_the_proxy_protocol_or_without() -> None:
    with_it = render(SPEC, DROPLETS)
    assert "check-send-proxy" in with_it
    assert with_it.count("443 send-proxy") == 2
    assert "send-proxy" not in render(dataclasses.replace(SPEC, proxy_protocol=False), DROPLETS)


@pytest.mark.parametrize("members", [{}, DROPLETS])
def test_haproxy_takes_it(members: dict[str, str], tmp_path: Path) -> None:
    haproxy = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if haproxy is None:
        pytest.skip("haproxy is not installed (apt-get install haproxy)")
    file = tmp_path / "haproxy.cfg"
    file.write_text(render(SPEC, members))
    checked = subprocess.run([haproxy, "-c", "-f", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_edges_address_is_one_that_cloudflare_publishes() -> None:
    from ipaddress import ip_address, ip_network

    from twin.clouds.cloudflare.origin_tls import IPV4_RANGES

    assert any(ip_address(EDGE_ADDRESS) in ip_network(cidr) for cidr in IPV4_RANGES)
