"""What is written into machines: hosts, user-data, database settings, image names, archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from twin.machines import image_sources
from twin.machines.engine import Engine, File, archive
from twin.machines.networks import render_hosts
from twin.machines.postgres import pool_rules, pool_settings, server_settings, server_value
from twin.machines.userdata import installs_docker, without_swap
from twin.machines.valkey import settings_file
from twin.world import WorldError


def _kept(**changes: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {
        "spec": {"name": "pay", "memory_mib": 2048},
        "private_host": "private-pay.test",
        "password": 'a"b\\c',
        "settings": {},
        "pools": [],
    }
    return kept | changes


def test_hosts_are_one_line_per_address() -> None:
    names = {"b.test": "10.0.0.1", "a.test": "10.0.0.1", "c.test": "10.0.0.2"}
    assert render_hosts(names) == "10.0.0.1 a.test b.test\n10.0.0.2 c.test\n"
    assert render_hosts({}) == ""


def test_swap_alone_is_taken_out_of_user_data() -> None:
    before = "#cloud-config\nlocale: C.UTF-8\n"
    swap = "swap:\n  filename: /swapfile\n  # big\n  size: 1G\n"
    after = "runcmd:\n- [swapoff, -a]\nwrite_files:\n- content: |\n    swap: no\n"
    kept, dropped = without_swap(before + swap + after)
    assert (kept, dropped) == (before + after, swap)
    assert "swap" not in yaml.safe_load(kept)


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nswap: x\n", "#cloud-config\npackages: [docker.io]\n", ""]
)
def test_other_user_data_passes_byte_for_byte(text: str) -> None:
    assert without_swap(text) == (text, "")


def test_only_user_data_that_installs_an_engine_gets_one() -> None:
    assert installs_docker("#cloud-config\npackages: [docker.io]\n")
    assert installs_docker("#!/bin/sh\ncurl -fsSL https://get.docker.com | sh\n")
    assert not installs_docker("#cloud-config\nusers:\n- {name: deploy, groups: [docker]}\n")


def test_a_plans_memory_decides_connections_as_the_service_does() -> None:
    for memory, connections in ((1024, 25), (2048, 50), (4096, 100)):
        text = server_settings(_kept(spec={"name": "pay", "memory_mib": memory}))
        assert f"max_connections = '{connections}'\n" in text
    assert "superuser_reserved_connections = '3'\n" in text
    assert "ssl = 'on'\n" in text


def test_the_buffers_share_follows_the_configuration() -> None:
    text = server_settings(_kept(settings={"shared_buffers_percentage": 40.0}))
    assert "shared_buffers = '819MB'\n" in text


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("work_mem", 8.0, "8MB"),
        ("jit", False, "off"),
        ("bgwriter_lru_multiplier", 2.5, "2.5"),
        ("timezone", "UTC", "UTC"),
        ("idle_in_transaction_session_timeout", 60000.0, "60000"),
    ],
)
def test_settings_have_the_servers_form(key: str, value: object, written: str) -> None:
    assert server_value(key, value) == written


def test_a_pool_is_its_users_alone_and_verifies_the_server() -> None:
    pool = {
        "name": "payments",
        "database": "pay",
        "user": "app",
        "mode": "transaction",
        "size": 5,
    }
    text = pool_settings(_kept(pools=[pool]))
    assert (
        "payments = host=private-pay.test port=25060 dbname='pay' pool_size=5 "
        "pool_mode=transaction\n"
    ) in text
    assert "server_tls_sslmode = verify-full\n" in text
    assert pool_rules([pool]) == 'hostssl "payments" "app" all scram-sha-256\n'
    assert pool_rules([pool | {"user": ""}]) == 'hostssl "payments" all all scram-sha-256\n'


@pytest.mark.parametrize("name", ["a b", "x = host=evil", 'q"', "n\nauth_type = any", ""])
def test_a_pools_name_cannot_write_configuration(name: str) -> None:
    pool = {"name": name, "database": "d", "user": "u", "mode": "session", "size": 1}
    with pytest.raises(WorldError, match="cannot be the name"):
        pool_settings(_kept(pools=[pool]))


def test_valkey_is_tls_only_and_its_password_is_quoted() -> None:
    lines = settings_file(_kept()).splitlines()
    assert "port 0" in lines
    assert "tls-port 25061" in lines
    assert 'requirepass "a\\"b\\\\c"' in lines
    assert "maxmemory-policy noeviction" in lines


def test_valkeys_configuration_survives_a_restart() -> None:
    settings = {"valkey_maxmemory_policy": "allkeys_lru", "timeout": 300.0, "persistence": "off"}
    lines = settings_file(_kept(settings=settings)).splitlines()
    assert 'maxmemory-policy "allkeys-lru"' in lines
    assert 'timeout "300"' in lines
    assert "appendonly no" in lines
    assert 'save ""' in lines


def test_images_are_named_after_their_sources() -> None:
    sources = image_sources()
    assert set(sources) == {"droplet", "support", "postgres", "valkey"}
    bases = {role: source.base for role, source in sources.items()}
    assert bases == {
        "droplet": "debian:trixie-slim",
        "support": "debian:trixie-slim",
        "postgres": "postgres:17",
        "valkey": "valkey/valkey:8",
    }
    assert len({source.name for source in sources.values()}) == 4


def test_a_changed_source_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("droplet", "support", "postgres", "valkey"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    monkeypatch.setattr("twin.machines.images._SOURCES", tmp_path)
    before = {role: source.name for role, source in image_sources().items()}
    (tmp_path / "droplet" / "init").write_text("#!/bin/sh\n")
    after = {role: source.name for role, source in image_sources().items()}
    assert [role for role in after if after[role] != before[role]] == ["droplet"]


def test_dockerfiles_keep_to_what_the_classic_builder_knows() -> None:
    for source in image_sources().values():
        text = (source.folder / "Dockerfile").read_text()
        for word in ("# syntax", "<<", "--link", "RUN --"):
            assert word not in text, f"{source.role}: {word!r} needs BuildKit"


def test_an_archive_holds_paths_modes_and_text() -> None:
    data = archive([File(path="/twin/tls/key", content="ü", mode=0o600)])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert (member.name, member.mode, member.uid) == ("twin/tls/key", 0o600, 0)
        assert content is not None
        assert content.read().decode() == "ü"


def test_an_engine_that_does_not_answer_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(WorldError, match=r"No Docker engine answers.*systemctl start docker"):
        Engine("pp-000000")
