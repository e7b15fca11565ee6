from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import instance, stackfile
from tools.errors import ToolError
from tools.passphrase import Crypter, WrongPassphrase
from tools.paths import ROOT, STACK, Home
from tools.stackfile import StackFile

# Written by the real engine: `pulumi stack init` and `pulumi config set --secret` with the
# passphrase `pw`.
_SALT = "v1:9QQchSWWXkw=:v1:WpQzjk7ZjUcjO4ow:XqA5C1rbUvBR4Zv11FqmGRmvR9SlYA=="
_VALUE = "v1:a/L4VcyPe77AeDBf:716/QpRm4bdIv8N5BdJUYIU6QR3jUWvOZQ=="


def test_what_the_engine_encrypted_is_read() -> None:
    assert Crypter(_SALT, "pw").decrypt(_VALUE) == "abcsecret"


def test_another_passphrase_is_noticed_before_anything_is_read() -> None:
    with pytest.raises(WrongPassphrase):
        Crypter(_SALT, "not it")
    with pytest.raises(WrongPassphrase, match="unknown format"):
        Crypter("v9:x:y", "pw")


@given(st.text(max_size=200))
@settings(max_examples=30, deadline=None)  # the key takes a third of a second, once
def test_every_text_survives_encryption_and_looks_different_each_time(text: str) -> None:
    crypter = Crypter(_SALT, "pw")
    once, again = crypter.encrypt(text), crypter.encrypt(text)
    assert crypter.decrypt(once) == text
    assert once != again
    assert len(text) < 5 or text not in once


def _file() -> StackFile:
    return StackFile(
        config={
            "payments:environment": "production",
            "payments:stripe-secret-key": {"secure": _VALUE},
            "digitalocean:token": {"secure": _VALUE},
            "payments:deep": {"list": [{"secure": _VALUE}, "plain"]},
            "payments:region": "fra1",
        },
        salt=_SALT,
    )


def test_values_whose_passphrase_is_not_at_hand_become_placeholders_and_are_named() -> None:
    crypter = Crypter.new("throwaway")
    readable, invented = stackfile.reencrypted(_file(), crypter, None)
    assert invented == [
        "payments:stripe-secret-key", "digitalocean:token", "payments:deep.list[0]",
    ]  # fmt: skip
    value = stackfile.plain(readable.config, "payments:stripe-secret-key", crypter)
    assert value.startswith("sk_live_"), "production's checks refuse a test key"
    assert readable.config["payments:region"] == "fra1"
    assert _VALUE not in json.dumps(readable.config)


def test_two_revisions_do_not_differ_by_their_placeholders() -> None:
    values = []
    for passphrase in ("one", "two"):
        crypter = Crypter.new(passphrase)
        readable, _ = stackfile.reencrypted(_file(), crypter, None)
        values.append(stackfile.plain(readable.config, "digitalocean:token", crypter))
    assert values[0] == values[1]


@pytest.mark.parametrize("passphrase", ["wrong", ""])
def test_a_wrong_passphrase_is_as_good_as_none(passphrase: str) -> None:
    _, invented = stackfile.reencrypted(_file(), Crypter.new("x"), passphrase)
    assert len(invented) == 3


def test_with_the_passphrase_the_values_are_kept() -> None:
    crypter = Crypter.new("x")
    readable, invented = stackfile.reencrypted(_file(), crypter, "pw")
    assert invented == []
    assert stackfile.plain(readable.config, "digitalocean:token", crypter) == "abcsecret"


def test_a_missing_stack_names_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").touch()
    (tmp_path / "Pulumi.staging.yaml").touch()
    with pytest.raises(ToolError) as caught:
        stackfile.load(tmp_path, "production")
    assert caught.value.remedy == "Stacks of this project: prod, staging"


def test_a_damaged_stack_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text("config: [unclosed")
    with pytest.raises(ToolError, match=r"Pulumi\.prod\.yaml is not valid YAML"):
        stackfile.load(tmp_path, "prod")


def test_overrides_merge_into_mappings_and_replace_the_rest() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    result = stackfile.merged(base, {"a": {"y": 9}, "b": [7], "d": 4})
    assert result == {"a": {"x": 1, "y": 9}, "b": [7], "c": 3, "d": 4}
    assert base["a"] == {"x": 1, "y": 2}, "the project's own values stay as they are"


def test_the_engine_s_folder_points_at_the_program(tmp_path: Path) -> None:
    program = tmp_path / "a program"
    program.mkdir()
    (program / "Pulumi.yaml").write_text("name: payments\nruntime: python\nmain: .\n")
    stackfile.write_project(tmp_path, program, Path("/venv"))
    written = yaml.safe_load((tmp_path / "Pulumi.yaml").read_text())
    assert written["main"] == str(program)
    assert written["runtime"]["options"]["virtualenv"] == "/venv"


# --- an instance's files --------------------------------------------------------------------------


def _place(port: int = 8443) -> instance.Place:
    return instance.Place(port=port, cidr="10.78.0.0/20", gateway="203.0.113.1")


def test_keys_and_tokens_are_made_once_and_kept(home: Home) -> None:
    config = stackfile.load(ROOT, STACK).config
    first = instance.account(home, config, 8443)
    assert instance.write_account(home, first) is True
    assert instance.account(home, config, 8443) == first
    assert instance.write_account(home, instance.account(home, config, 8443)) is False
    instance.prepare_ssh(home)
    key = (home.path / "ssh" / "id_ed25519").read_text()
    instance.prepare_ssh(home)
    assert (home.path / "ssh" / "id_ed25519").read_text() == key


def test_another_port_is_another_webhook_address(home: Home) -> None:
    config = stackfile.load(ROOT, STACK).config
    instance.write_account(home, instance.account(home, config, 8443))
    moved = instance.account(home, config, 9443)
    assert instance.write_account(home, moved) is True, "the twin has to learn of it"
    assert ":9443/webhooks/stripe" in moved["stripe"]["webhook_endpoints"][0]["url"]


def test_secrets_are_for_this_user_alone_and_never_in_clear(home: Home) -> None:
    config = stackfile.load(ROOT, STACK).config
    accounts = instance.account(home, config, 8443)
    instance.write_account(home, accounts)
    instance.prepare_ssh(home)
    instance.write_stack(home, accounts, _place())
    for name in ("account.json", "passphrase", "Pulumi.local.yaml", "ssh/id_ed25519"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600, name
    text = (home.path / "Pulumi.local.yaml").read_text()
    for secret in (accounts["digitalocean"]["token"], accounts["stripe"]["secret_key"]):
        assert secret not in text


def test_the_effective_file_holds_this_instance_s_place(home: Home) -> None:
    config = stackfile.load(ROOT, STACK).config
    accounts = instance.account(home, config, 9443)
    instance.write_stack(home, accounts, _place(9443))
    written = stackfile.load(home.path, STACK)
    assert written.config["payments:https-port"] == 9443
    assert written.config["payments:network"]["cidr"] == "10.78.0.0/20"
    assert written.config["payments:ssh"]["allow-from"] == ["203.0.113.1/32"]
    assert written.config["payments:ssh"]["config-file"] == str(home.path / "ssh" / "config")
    salt = written.salt
    instance.write_stack(home, accounts, _place(9443))
    assert stackfile.load(home.path, STACK).salt == salt, "the state is encrypted with it"


def test_ssh_is_told_everything_and_reads_nothing_else(home: Home) -> None:
    text = instance.ssh_config(home)
    assert "IdentitiesOnly yes" in text
    assert "BatchMode yes" in text, "a prompt would hang a provider"
    assert f'IdentityFile "{home.path}/ssh/id_ed25519"' in text, "a path may hold spaces"
    assert f"ControlPath {home.run_dir}/" in text
    assert "Host ssh.*.localhost ssh-*.*.localhost\n" in text, "one droplet, and several"
