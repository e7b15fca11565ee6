"""The droplet's first boot, as text: what it opens, what it forbids, what it must not contain."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import cloud_init

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINF3CoT9JW2IQTazQNdBeXlBxnnJskTDr40AqgCUpFZy test"
IMAGES = ("debian-13-x64", "ubuntu-24-04-x64", "ubuntu-22-04-x64")


def _text(image: str = "debian-13-x64") -> str:
    return cloud_init.render(image=image, public_keys=[KEY], user="deploy")


def _document(image: str = "debian-13-x64") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_text(image))
    return document


def _file(path: str, image: str = "debian-13-x64") -> str:
    files = {file["path"]: file["content"] for file in _document(image)["write_files"]}
    return str(files[path])


@pytest.mark.parametrize("image", IMAGES)
def test_every_image_we_offer_has_a_first_boot(image: str) -> None:
    assert _text(image).startswith("#cloud-config\n"), "cloud-init ignores any other first line"
    assert "docker.io" in _file("/usr/local/lib/payments/packages", image).split()


def test_an_image_it_was_not_written_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image='fedora-42-x64': .*debian-13-x64"):
        _text("fedora-42-x64")


def test_debian_13_gets_the_docker_client_which_is_a_package_of_its_own_there() -> None:
    path = "/usr/local/lib/payments/packages"
    assert "docker-cli" in _file(path, "debian-13-x64").split(), "`docker system dial-stdio`"
    assert "docker-cli" not in _file(path, "ubuntu-22-04-x64").split(), "no such package there"


def test_the_text_is_the_same_every_time_because_a_change_replaces_the_droplet() -> None:
    assert _text() == _text()
    assert "Comments here" not in _text(), "a changed comment must not replace a droplet"


def test_the_text_stays_far_below_the_clouds_limit() -> None:
    assert len(_text().encode()) < cloud_init.LIMIT / 4


def test_a_text_past_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        cloud_init.render(image="debian-13-x64", public_keys=[KEY] * 1000, user="deploy")


def test_nobody_logs_in_with_a_password_or_as_root() -> None:
    sshd = _file("/etc/ssh/sshd_config.d/10-payments.conf").splitlines()
    for line in (
        "PermitRootLogin no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AuthenticationMethods publickey",
        "AllowUsers deploy",
        "AllowTcpForwarding no",
    ):
        assert line in sshd, f"{line}: SSH would be wider open than the design says"
    assert _document()["ssh_pwauth"] is False
    assert _document()["disable_root"] is True


def test_sshd_only_names_algorithms_that_every_image_knows() -> None:
    # OpenSSH 8.9 (Ubuntu 22.04) refuses to start on an algorithm that it does not know.
    sshd = _file("/etc/ssh/sshd_config.d/10-payments.conf")
    assert "mlkem768" not in sshd, "sshd of Ubuntu 22.04 would not start, and nobody could log in"
    ssh = shutil.which("ssh")
    if ssh is None:
        pytest.skip("no ssh client to ask")
    for option, query in (("KexAlgorithms", "kex"), ("Ciphers", "cipher"), ("MACs", "mac")):
        line = next(line for line in sshd.splitlines() if line.startswith(option))
        known = subprocess.run(
            [ssh, "-Q", query], check=True, capture_output=True, text=True
        ).stdout.split()
        wanted = line.partition(" ")[2].split(",")
        assert set(wanted) <= set(known), f"{option}: unknown names"
        assert not [name for name in wanted if "sha1" in name or "cbc" in name], "weak"


def test_the_user_deploys_but_has_no_sudo() -> None:
    (user,) = _document()["users"]
    assert user["name"] == "deploy"
    assert "docker" in user["groups"]
    assert "sudo" not in user, "nothing that a deployment does needs it"
    assert user["lock_passwd"] is True
    assert user["ssh_authorized_keys"] == [KEY]


def test_docker_is_hardened_and_leaves_names_and_mirrors_to_the_machine() -> None:
    daemon = json.loads(_file("/etc/docker/daemon.json"))
    assert daemon["live-restore"] is True, "an upgrade of Docker would stop the service"
    assert daemon["no-new-privileges"] is True
    assert daemon["icc"] is False
    assert daemon["userland-proxy"] is False
    assert daemon["log-opts"]["max-size"], "json-file logs grow without bound by default"
    assert not {"registry-mirrors", "dns", "hosts", "insecure-registries"} & daemon.keys()


def test_the_host_firewall_drops_what_is_not_named_and_survives_a_restart() -> None:
    rules = _file("/etc/payments/firewall.nft")
    assert "policy drop" in rules
    assert rules.count("dport") == 1, "SSH is the only port of the host itself"
    assert "flush ruleset" not in rules, "it would take Docker's rules with it"
    unit = _file("/etc/systemd/system/payments-firewall.service")
    assert "ExecStop" not in unit, "stopping must not open the host"


def test_a_published_port_is_closed_from_outside() -> None:
    rules = _file("/etc/payments/firewall.nft")
    assert 'iifname != "docker0" iifname != "br-*" drop' in rules


def test_the_host_firewall_is_valid_nftables(tmp_path: Path) -> None:
    nft = shutil.which("nft") or shutil.which("/usr/sbin/nft")
    if nft is None:
        pytest.skip("nft is not installed (apt-get install nftables)")
    file = tmp_path / "firewall.nft"
    file.write_text(_file("/etc/payments/firewall.nft"))
    checked = subprocess.run([nft, "-c", "-f", str(file)], capture_output=True, text=True)
    if "Operation not permitted" in checked.stderr:
        pytest.skip("checking nftables rules needs the right to manage networks")
    assert checked.returncode == 0, checked.stderr


def test_a_shared_kernel_keeps_its_settings_and_swap() -> None:
    setup = _file("/usr/local/sbin/payments-setup")
    guarded = setup.partition("systemd-detect-virt --quiet --container; then")[2]
    assert "kernel.conf" in guarded
    assert "swapon /swapfile" in guarded
    network = _file("/etc/sysctl.d/60-payments-network.conf")
    assert all(line.startswith("net.") for line in network.splitlines()), "not the machine's own"


def test_the_setup_script_is_sound(tmp_path: Path) -> None:
    script = tmp_path / "setup"
    script.write_text(_file("/usr/local/sbin/payments-setup"))
    assert "set -eu" in script.read_text(), "a failure in the middle must fail the boot"
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run(
        [str(shellcheck), str(script)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_cloud_init_accepts_the_text(tmp_path: Path) -> None:
    tool = shutil.which("cloud-init")
    if tool is None:
        pytest.skip("cloud-init is not installed; the end-to-end run boots the text for real")
    file = tmp_path / "user-data"
    for image in IMAGES:
        file.write_text(_text(image))
        checked = subprocess.run(
            [tool, "schema", "-c", str(file)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_published_port_is_open_only_where_it_is_named() -> None:
    closed = _file("/etc/payments/firewall.nft")
    assert "dnat" not in closed, "behind a tunnel no container offers anything"
    text = cloud_init.render(
        image="debian-13-x64", public_keys=[KEY], user="deploy", published=(8081, 443)
    )
    files = {file["path"]: file["content"] for file in yaml.safe_load(text)["write_files"]}
    opened = files["/etc/payments/firewall.nft"]
    assert "ct status dnat ct original proto-dst { 443, 8081 } accept" in opened
    rest = [line for line in opened.splitlines() if "ct status dnat" not in line]
    assert rest == closed.splitlines(), "nothing else differs"
