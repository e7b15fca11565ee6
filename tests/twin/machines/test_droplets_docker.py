"""Droplets that really boot: user-data, SSH, an engine inside, the cloud firewall, reserved IPs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.twin.machines.conftest import Login, Stage, connects, spec
from twin.world import DropletAddresses, FirewallRule, WorldError

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

_ANYWHERE = ("0.0.0.0/0", "::/0")
_LISTEN = (
    "  - [sh, -c, 'for port in 8080 8081; do systemd-run --unit=p$port socat "
    "TCP-LISTEN:$port,fork,reuseaddr SYSTEM:hostname; done']"
)


def _allow(direction: str, protocol: str, ports: str, *addresses: str) -> FirewallRule:
    return FirewallRule(
        direction=direction,  # type: ignore[arg-type]
        protocol=protocol,  # type: ignore[arg-type]
        ports=ports,
        addresses=addresses or _ANYWHERE,
    )


def _rules(twin: Stage) -> list[FirewallRule]:
    return [
        _allow("inbound", "tcp", "22", twin.internet),
        _allow("inbound", "tcp", "8080"),
        _allow("outbound", "tcp", "1-65535"),
        _allow("outbound", "udp", "53"),
    ]


@pytest.fixture(scope="module")
def droplet(twin: Stage, ssh_key: Path) -> tuple[DropletAddresses, Login]:
    world = twin.world
    world.create_vpc("v1", "main", "10.201.0.0/20")
    world.set_firewall("f1", _rules(twin), tags=["WEB"], droplet_ids=[])
    begun = time.monotonic()
    addresses = world.create_droplet(
        spec(
            1,
            ssh_key,
            _LISTEN,
            "  - [sysctl, --system]",
            "  - [touch, /var/tmp/booted]",
            "write_files:",
            "  - path: /etc/sysctl.d/90-test.conf",
            "    content: 'vm.overcommit_memory = 1'",
            "swap: {filename: /swapfile, size: 64M}",
        )
    )
    active = time.monotonic() - begun
    login = Login(ssh_key, addresses.public_ipv4)
    login.wait()
    assert active < 10, f"active after {active:.1f} s"
    return addresses, login


def test_user_data_was_run_without_errors(droplet: tuple[DropletAddresses, Login]) -> None:
    _, login = droplet
    assert "errors: []" in login.out("cloud-init status --long")
    login.out("test -e /var/tmp/booted")
    assert login.out("systemctl is-system-running --wait") == "running"
    assert login.out("hostname") == "web-1"
    assert "docker" in login.out("id -nG").split()


def test_kernel_settings_are_the_machines_own(droplet: tuple[DropletAddresses, Login]) -> None:
    _, login = droplet
    host = Path("/proc/sys/vm/overcommit_memory").read_text()
    # The setting read back proves the file was applied; the host's proves that nothing else was.
    assert login.out("cat /proc/sys/vm/overcommit_memory") == "1"
    assert Path("/proc/sys/vm/overcommit_memory").read_text() == host
    assert host.strip() != "1" or pytest.skip("the host has the tested value anyway")


def test_root_does_not_get_in(twin: Stage, droplet: tuple[DropletAddresses, Login]) -> None:
    addresses, login = droplet
    code, output = Login(login.key, addresses.public_ipv4).run("true")
    assert code == 0, output
    container = twin.engine.containers.get(f"{twin.instance}-droplet-1")
    _, keys = container.exec_run(["cat", "/root/.ssh/authorized_keys"])
    assert keys.decode().startswith("no-port-forwarding,"), "disable_root must disarm root's key"
    assert login.run("sudo -n true")[0] != 0


def test_the_engine_inside_pulls_by_real_names_from_the_twins_registry(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    _, login = droplet
    target = f"{twin.world.registry_push_address()}/library/debian"
    source = twin.engine.images.get("debian:trixie-slim")
    source.tag(target, "trixie-slim")
    try:
        said = list(twin.engine.api.push(target, "trixie-slim", stream=True, decode=True))
    finally:
        twin.engine.images.remove(f"{target}:trixie-slim")
    assert not [line for line in said if "error" in line], said
    login.out("docker pull -q debian:trixie-slim")
    login.out("docker pull -q registry.twin.test:5000/library/debian:trixie-slim")
    limits = "--memory 64m --cpus 0.5 --pids-limit 50"
    assert login.out(f"docker run --rm {limits} debian:trixie-slim echo inside") == "inside"
    assert login.out("docker info --format '{{.Driver}}'") == "overlay2"


def test_the_twins_names_resolve_inside_containers_of_the_droplet(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    _, login = droplet
    twin.world.add_name("late.twin.test", "10.201.0.99")
    login.out("docker network create apps")
    run = "docker run --rm --network apps debian:trixie-slim getent hosts"
    assert login.out(f"{run} late.twin.test").split()[0] == "10.201.0.99"
    pop = login.out(f"{run} region1.v2.argotunnel.com").split()[0]
    assert login.out(f"{run} api.stripe.test").split()[0] == pop
    code, _ = login.run(f"{run} nobody.twin.test")
    assert code != 0, "a name nobody has must not resolve"


def test_the_cloud_firewall_drops_what_it_does_not_admit(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    addresses, login = droplet
    for address in (addresses.public_ipv4, addresses.private_ipv4):
        assert connects(address, 8080) == "open"
        assert connects(address, 8081) == "silent", "8081 listens, and no rule names it"
    login.out("docker run -d --rm --name web -p 9000:9000 debian:trixie-slim sleep 60")
    assert connects(addresses.public_ipv4, 9000) == "silent", "published by Docker all the same"
    login.out("docker rm -f web")

    twin.world.set_firewall(
        "f1", [*_rules(twin), _allow("inbound", "tcp", "8081")], tags=["web"], droplet_ids=[]
    )
    assert connects(addresses.public_ipv4, 8081) == "open"
    twin.world.set_firewall("f1", _rules(twin), tags=["web"], droplet_ids=[])
    assert connects(addresses.public_ipv4, 8081) == "silent"


def test_the_guests_own_firewall_tools_do_not_lift_the_cloud_firewall(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    addresses, _ = droplet
    container = twin.engine.containers.get(f"{twin.instance}-droplet-1")
    for command in ("iptables -F", "systemctl restart nftables", "systemctl stop nftables"):
        code, output = container.exec_run(["sh", "-c", command])
        assert code == 0, output
        assert connects(addresses.public_ipv4, 8081) == "silent", f"after {command}"
    container.exec_run(["systemctl", "restart", "docker"])


def test_outbound_traffic_needs_a_rule_too(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    _, login = droplet
    probe = f"timeout 3 bash -c '</dev/tcp/{twin.dns}/53'"
    assert login.run(probe)[0] == 0
    narrow = [rule for rule in _rules(twin) if rule.direction == "inbound"]
    try:
        twin.world.set_firewall("f1", narrow, tags=["web"], droplet_ids=[])
        assert login.run(probe)[0] != 0, "no outbound rule means no egress"
    finally:
        twin.world.set_firewall("f1", _rules(twin), tags=["web"], droplet_ids=[])


def test_names_resolve_while_the_cloud_changes_the_firewall(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    _, login = droplet
    reading = (
        "bash -c 'end=$((SECONDS + 6)); while [ $SECONDS -lt $end ]; do cat /etc/resolv.conf; "
        "done' | sort -u"
    )
    with ThreadPoolExecutor(1) as beside:
        read = beside.submit(login.out, reading)
        changes = 0
        while not read.done():
            twin.world.set_firewall("f1", _rules(twin), tags=["web"], droplet_ids=[])
            changes += 1
    assert changes > 5
    assert read.result().splitlines() == [f"nameserver {twin.dns}", "options timeout:2"]


def test_a_droplet_whose_tag_is_taken_away_is_no_longer_covered(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    addresses, _ = droplet
    twin.world.tag_droplet("1", ["other"])
    assert connects(addresses.public_ipv4, 8081) == "open"
    twin.world.tag_droplet("1", ["web"])
    assert connects(addresses.public_ipv4, 8081) == "silent"


def test_a_reserved_address_moves_between_droplets(
    twin: Stage, droplet: tuple[DropletAddresses, Login], ssh_key: Path
) -> None:
    world = twin.world
    bare = spec(2, ssh_key, _LISTEN).user_data.replace("docker.io, docker-cli", "jq")
    second = world.create_droplet(spec(2, ssh_key, user_data=bare))
    login = Login(ssh_key, second.public_ipv4)
    login.wait(only_reachable=True)
    assert login.run("docker version")[0] == 127, "nobody installed it"
    address = world.allocate_reserved_ip()
    reserved = Login(ssh_key, address)
    world.assign_reserved_ip(address, "1")
    assert reserved.out("hostname") == "web-1"
    assert connects(address, 8081) == "silent", "the firewall covers it as well"
    world.assign_reserved_ip(address, "2")
    assert reserved.out("hostname") == "web-2"
    world.delete_droplet("2")
    assert world.droplet("2") is None
    assert connects(address, 22) != "open"
    world.release_reserved_ip(address)
    with pytest.raises(WorldError, match="no reserved address"):
        world.assign_reserved_ip(address, "1")


def test_a_resized_droplet_keeps_its_disk_its_addresses_and_its_firewall(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    addresses, login = droplet
    login.out("docker run -d --restart unless-stopped --name kept debian:trixie-slim sleep 600")
    twin.world.resize_droplet("1", 2, 1536)
    assert twin.world.droplet("1") == addresses
    login.wait()
    assert connects(addresses.public_ipv4, 8081) == "silent"
    until = time.monotonic() + 30
    while "kept" not in login.run("docker ps --format '{{.Names}}'")[1]:
        assert time.monotonic() < until, "the container must come back with the machine"
        time.sleep(0.5)
    limit = twin.engine.containers.get(f"{twin.instance}-droplet-1").attrs["HostConfig"]["Memory"]
    assert limit == 1536 * 1024 * 1024


def test_a_killed_twin_finds_its_droplet_and_starts_it(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    addresses, login = droplet
    twin.engine.containers.get(f"{twin.instance}-droplet-1").kill()
    twin.engine.containers.get(f"{twin.instance}-dns").remove(force=True)
    world = twin.again()
    assert world.droplet("1") == addresses
    login.wait()
    assert login.out("getent hosts registry.twin.test").split()[1] == "registry.twin.test"
    assert connects(addresses.public_ipv4, 8081) == "silent"


def test_creating_again_what_stands_changes_nothing(
    twin: Stage, droplet: tuple[DropletAddresses, Login], ssh_key: Path
) -> None:
    addresses, login = droplet
    before = login.out("cat /proc/sys/kernel/random/boot_id; uptime -s")
    assert twin.world.create_droplet(spec(1, ssh_key, _LISTEN)) == addresses
    twin.world.create_vpc("v1", "main", "10.201.0.0/20")
    assert login.out("cat /proc/sys/kernel/random/boot_id; uptime -s") == before


def test_a_vpc_with_members_stays_and_an_overlapping_one_is_refused(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    with pytest.raises(WorldError, match="droplet-1"):
        twin.world.delete_vpc("v1")
    with pytest.raises(WorldError, match=f"{twin.instance}-vpc-v1"):
        twin.world.create_vpc("v2", "other", "10.201.8.0/24")


def test_status_tells_health_memory_and_differences(
    twin: Stage, droplet: tuple[DropletAddresses, Login]
) -> None:
    status = twin.world.status()
    (machine,) = [found for found in status["machines"] if found["kind"] == "droplet"]
    assert machine["health"].split()[-1] == "done"
    assert 20_000_000 < machine["memory_bytes"] < 1536 * 1024 * 1024
    assert any("swap" in note for note in status["notes"])
    assert status["droplet_engine"]["engine"] == "nested"


def test_what_the_program_never_recorded_is_collected(twin: Stage, ssh_key: Path) -> None:
    twin.world.create_droplet(spec(3, ssh_key))
    assert twin.world.collect(droplets=["1"], databases=[]) == ["droplet 3"]
    assert twin.world.droplet("3") is None
    assert twin.world.droplet("1") is not None
