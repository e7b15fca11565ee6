"""Droplets: replaced without a gap, covered from the first boot, awaited for real."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from components import host
from components.host import BackupPolicy, Host, HostArgs
from components.ssh import Ssh
from tests.components.fakes import KEY, built, program_on_path
from tests.recorder import Recorder

ARGS = HostArgs(
    count=2,
    size="s-2vcpu-4gb",
    image="debian-13-x64",
    backups=BackupPolicy(plan="daily", weekday="SUN", hour=4),
    reserved_ip=True,
    region="fra1",
    vpc_id="vpc-1",
    tag="tag-1",
    firewall_id="fw-1",
    public_keys=[KEY],
    ssh=Ssh(),
)


def _record(args: HostArgs = ARGS) -> Recorder:
    return built(lambda: Host("host", args))[0]


def test_a_platform_without_droplets_or_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="count=0"):
        dataclasses.replace(ARGS, count=0)
    with pytest.raises(ValueError, match="nobody could log in"):
        dataclasses.replace(ARGS, public_keys=[])


def test_a_droplet_is_made_before_the_old_one_goes() -> None:
    for droplet in _record().of_type(":Droplet"):
        assert "name" not in droplet.inputs, "a name of ours makes the provider delete first"
        assert droplet.options.delete_before_replace is None


def test_nothing_gets_into_a_droplet_beside_ssh() -> None:
    for droplet in _record().of_type(":Droplet"):
        assert droplet.inputs["dropletAgent"] is False, "the web console is a way in"
        assert droplet.inputs["ipv6"] is False, "the sources of SSH are IPv4"
        assert droplet.inputs["vpcUuid"] == "vpc-1"
        assert droplet.inputs["tags"] == ["tag-1"]


def test_the_first_boot_holds_no_secret() -> None:
    droplet = _record().of_type(":Droplet")[0]
    assert not droplet.is_secret("userData"), "if something in it is secret, it must not be in it"
    for word in ("password", "BEGIN", "TOKEN", "sk_"):
        assert word not in droplet.inputs["userData"].replace("PasswordAuthentication", "")


def test_the_firewall_stands_before_the_droplet() -> None:
    from components.network import Network, NetworkArgs

    def program() -> None:
        network = Network(
            "net", NetworkArgs(region="fra1", cidr="10.0.0.0/20", ssh_sources=["192.0.2.1/32"])
        )
        args = dataclasses.replace(ARGS, tag=network.tag, firewall_id=network.firewall_id)
        Host("host", args)

    record = built(program)[0]
    before = {found.token for found in record.before(record.of_type(":Droplet")[0])}
    assert "digitalocean:index/firewall:Firewall" in before, "it would boot open to everyone"


def test_backups_are_what_was_asked_for() -> None:
    policy = _record().of_type(":Droplet")[0].inputs
    assert policy["backups"] is True
    assert policy["backupPolicy"] == {"plan": "daily", "hour": 4}, "a weekday is for weekly ones"
    weekly = BackupPolicy(plan="weekly", weekday="MON", hour=0)
    inputs = _record(dataclasses.replace(ARGS, backups=weekly)).of_type(":Droplet")[0].inputs
    assert inputs["backupPolicy"] == {"plan": "weekly", "weekday": "MON", "hour": 0}
    none = _record(dataclasses.replace(ARGS, backups=None)).of_type(":Droplet")[0].inputs
    assert none["backups"] is False
    assert "backupPolicy" not in none


def test_a_reserved_address_moves_only_to_a_droplet_that_is_ready() -> None:
    record = _record()
    for assignment in record.of_type(":ReservedIpAssignment"):
        before = {found.name for found in record.before(assignment)}
        assert assignment.name.replace("-assignment", "-ready") in before
        assert assignment.options.deleted_with, "the provider crashes on an unassigned address"
        assert isinstance(assignment.inputs["dropletId"], float | int)


def test_the_gate_is_asked_again_for_every_new_droplet() -> None:
    for gate in _record().of_type(":Command"):
        assert gate.inputs["triggers"], "without the droplet's id the gate would not notice it"


def _wait(tmp_path: Path, ssh: str) -> subprocess.CompletedProcess[str]:
    environment = program_on_path(tmp_path, "ssh", f'[ "$1" != -G ] || exit 0; {ssh}')
    return subprocess.run(
        ["/bin/sh", "-c", host.wait_script(Ssh(), "203.0.113.7")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_gate_waits_until_the_droplet_answers(tmp_path: Path) -> None:
    count = tmp_path / "count"
    done = _wait(tmp_path, f'echo x >> "{count}"; [ $(wc -l < "{count}") -gt 2 ] || exit 255')
    assert (done.returncode, done.stdout) == (0, "ready\n")
    assert len(count.read_text().split()) == 3


def test_the_gate_fails_at_once_and_says_why_when_the_first_boot_failed(tmp_path: Path) -> None:
    done = _wait(tmp_path, "echo 'errors: payments-setup' >&2; exit 1")
    assert done.returncode == 1
    assert "droplet 203.0.113.7 is not ready" in done.stderr
    assert "errors: payments-setup" in done.stderr, "nobody should have to log in to learn why"


def test_the_gate_gives_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "READY_TIMEOUT_SECONDS", 1)
    done = _wait(tmp_path, "echo 'Connection refused' >&2; exit 255")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(("state", "code"), [(0, 0), (2, 0), (1, 1)])
def test_warnings_of_the_first_boot_do_not_stop_a_deployment(
    tmp_path: Path, state: int, code: int
) -> None:
    program_on_path(tmp_path, "docker", "exit 0")
    program_on_path(tmp_path, "tail", "exit 0")
    environment = program_on_path(tmp_path, "cloud-init", f"exit {state}")
    done = subprocess.run(
        ["/bin/sh", "-c", host._REMOTE_CHECK], env=environment, capture_output=True, check=False
    )
    assert done.returncode == code


def test_the_host_key_of_an_older_droplet_at_this_address_is_forgotten(tmp_path: Path) -> None:
    known = tmp_path / "known hosts"
    environment = program_on_path(
        tmp_path, "ssh", f'[ "$1" != -G ] || echo "userknownhostsfile {known}"; exit 0'
    )
    lines = [f"{address} {KEY}" for address in ("203.0.113.7", "203.0.113.8")]

    def gate(**variables: str) -> str:
        known.write_text("\n".join(lines) + "\n")
        subprocess.run(
            ["/bin/sh", "-c", host.wait_script(Ssh(), "203.0.113.7")],
            env={**environment, **variables},
            capture_output=True,
            check=True,
        )
        return known.read_text()

    after = gate()
    assert "203.0.113.7" not in after, "ssh would refuse the new droplet for ten minutes"
    assert "203.0.113.8" in after
    again = gate(PULUMI_COMMAND_STDOUT="ready")
    assert "203.0.113.7" in again, "a droplet that is known must keep its key"
