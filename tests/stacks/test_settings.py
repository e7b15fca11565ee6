"""The settings: the real files are right, and each rule says what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from stacks import settings
from stacks.settings_problems import Problem, SettingsError
from tests.recorder import Recorder, is_secret
from tests.stacks import stackfiles
from tests.stacks.stackfiles import STACKS, StackConfig

TAG = "registry.example.com/acme/payments:1.2"
Load = Callable[[str, StackConfig], settings.Stack]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stackfiles.project(tmp_path)


@pytest.fixture
def load(folder: Path) -> Load:
    def run(stack: str, config: StackConfig) -> settings.Stack:
        recorder = Recorder(stack=stack)
        recorder.configure(config.values, config.secrets)
        return recorder.build(lambda: settings.load(folder))

    return run


def _problems(load: Load, stack: str, config: StackConfig) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        load(stack, config)
    return caught.value.problems


@pytest.mark.parametrize("stack", STACKS)
def test_the_real_files_are_right(load: Load, stack: str) -> None:
    loaded = load(stack, stackfiles.read(stack))
    assert loaded.name == f"payments-{stack}"
    assert loaded.settings.hostname.startswith("pay.")


def test_the_url_has_a_port_only_where_it_is_not_httpss_own(load: Load) -> None:
    assert load("prod", stackfiles.read("prod")).settings.url == "https://pay.example.com"
    local = load("local", stackfiles.read("local")).settings
    assert local.url == "https://pay.payments.localhost:8443"
    assert local.registry_ports == (5000,), "the firewall must let the droplet reach its registry"


@pytest.mark.parametrize("ingress", ["tunnel", "direct", "load-balancer"])
def test_ssh_behind_access_is_there_and_fits_whatever_way_visitors_take(
    load: Load, ingress: str
) -> None:
    local = stackfiles.read("local").changed("payments:ingress", ingress)
    settings = load("local", local.changed("payments:host.reserved-ip", True)).settings
    assert settings.ssh_hostnames == ("ssh.payments.localhost",)
    assert settings.ssh_shares_tunnel is (ingress == "tunnel")
    prod = load("prod", stackfiles.read("prod")).settings
    assert prod.ssh_hostnames == ("ssh-0.example.com", "ssh-1.example.com")


def test_relative_files_are_found_from_the_projects_folder(load: Load, folder: Path) -> None:
    local = load("local", stackfiles.read("local")).settings
    assert local.ssh.config_file == folder / ".local/ssh/config"
    assert local.ssh.keys() == (stackfiles.PUBLIC_KEY,)
    assert local.outgoing_ca == stackfiles.CERTIFICATE


def test_secrets_are_secret_outputs(load: Load) -> None:
    secrets = load("prod", stackfiles.read("prod")).secrets
    for name, output in vars(secrets).items():
        assert is_secret(output), f"{name} would be shown in the preview"


RULES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text())


@pytest.mark.parametrize("rule", RULES, ids=[f"{r['key']}={r['value']}"[:60] for r in RULES])
def test_what_is_wrong_is_named_with_its_remedy(load: Load, rule: dict[str, Any]) -> None:
    stack, key = rule["stack"], rule["key"]
    field = rule.get("field", key)
    found = _problems(load, stack, stackfiles.read(stack).changed(key, rule["value"]))
    about = [problem for problem in found if problem.field == field]
    assert about, f"nothing about {field} in {found}"
    assert any(
        rule["reason"] in problem.reason and rule["remedy"] in problem.remedy for problem in about
    ), about


ALLOWED: list[tuple[str, str, Any]] = [
    ("local", "payments:https-port", "9443"),
    ("local", "payments:https-port", 443),
    ("prod", "payments:https-port", "8443"),
    ("prod", "payments:hostname", "example.com"),
    ("prod", "payments:database.pool-size", 87),
    ("prod", "payments:database.version", 17),
    ("prod", "payments:cache.nodes", 3),
    ("prod", "payments:network.cidr", "192.168.0.0/16"),
    ("prod", "payments:network.cidr", "10.9.9.0/28"),
    ("prod", "payments:ssh.allow-from", ["198.51.0.0/16", "2001:db8::/32"]),
    ("prod", "payments:host.image", "ubuntu-22-04-x64"),
    ("prod", "payments:storage.region", "ams3"),
    ("local", "payments:app.image", TAG),
    ("staging", "payments:stripe-secret-key", "placeholder"),
    ("prod", "payments:stripe-webhook-secrets", None),
    ("prod", "payments:edge.redirect-from", ["example.com", "www.example.com", "ssh.example.com"]),
]


@pytest.mark.parametrize(
    ("stack", "key", "value"), ALLOWED, ids=[f"{a[1]}={a[2]}" for a in ALLOWED]
)
def test_what_the_cloud_offers_is_allowed(load: Load, stack: str, key: str, value: Any) -> None:
    load(stack, stackfiles.read(stack).changed(key, value))


@pytest.mark.parametrize("key", sorted({*stackfiles.SECRETS, "payments:stripe-secret-key"}))
def test_a_secret_in_plain_text_is_refused_and_not_shown(load: Load, key: str) -> None:
    config = stackfiles.read("prod").without_secrecy(key)
    with pytest.raises(SettingsError) as caught:
        load("prod", config)
    (problem,) = caught.value.problems
    assert problem.field == key
    assert "plain text" in problem.reason
    assert problem.remedy == f"pulumi config set --secret {key} --stack prod"
    assert config.values[key] not in str(caught.value), "the error itself would publish it"


@pytest.mark.parametrize("key", ["stripe-webhook-secrets", "razorpay-webhook-secrets"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("old;until=2026-12-31T00:00:00Z,new", None),
        ("old;until=2026-12-31,new", "no time with its zone"),
        ("new,s3cret;until=soon", "number 2 has an end"),
        ("s3cret;until=2026-12-31T00:00:00Z", "each of them has an end"),
    ],
)
def test_the_ends_of_webhook_secrets_can_be_read(
    load: Load, key: str, value: str, why: str | None
) -> None:
    config = stackfiles.read("staging").changed(f"payments:{key}", value)
    if why is None:
        load("staging", config)
        return
    with pytest.raises(SettingsError) as caught:
        load("staging", config)
    (problem,) = caught.value.problems
    assert (problem.field, why in problem.reason) == (f"payments:{key}", True)
    assert "s3cret" not in str(caught.value)


GATEWAYS = {
    "razorpay": {"key-id": "rzp_test_1"},
    "paypal": {"client-id": "A" * 80, "api-base": "https://api-m.sandbox.paypal.com"},
    "cryptomus": {
        "enabled": True,
        "merchant": "8b03432e-385b-4670-8d06-064591096795",
        "api-base": "https://api.cryptomus.test",
    },
    "routing": [{"gateways": ["razorpay", "stripe"], "currencies": ["INR"], "least": 100}],
}


@pytest.mark.parametrize(
    "key", ["razorpay-key-secret", "paypal-client-secret", "cryptomus-api-key"]
)
def test_a_gateway_with_settings_needs_its_secret(load: Load, key: str) -> None:
    config = stackfiles.read("staging").changed("payments:gateways", GATEWAYS)
    load("staging", config)
    found = _problems(load, "staging", config.changed(f"payments:{key}", None))
    (problem,) = found
    assert problem.field == f"payments:{key}"
    assert f"pulumi config set --secret payments:{key}" in problem.remedy


def test_a_gateway_that_is_off_needs_no_secret(load: Load) -> None:
    off = {"cryptomus": {"merchant": "8b03432e-385b-4670-8d06-064591096795"}}
    config = stackfiles.read("staging").changed("payments:gateways", off)
    load("staging", config.changed("payments:cryptomus-api-key", None))


def test_a_misspelt_secret_is_not_shown(load: Load) -> None:
    config = stackfiles.read("prod").changed("payments:stripe-secret-kye", "sk_live_real")
    with pytest.raises(SettingsError) as caught:
        load("prod", config)
    assert "sk_live_real" not in str(caught.value)


def test_every_error_is_told_at_once_before_any_resource(folder: Path) -> None:
    config = (
        stackfiles.read("prod")
        .changed("payments:region", "mars1")
        .changed("payments:database.version", "9")
        .changed("payments:database.nodes", 3)
        .changed("payments:database.size", "db-s-1vcpu-1gb")
        .changed("payments:cache.colour", "red")
        .changed("payments:app.image", TAG)
        .changed("payments:zone.name", "example.net")
        .changed("payments:network.cidr", "172.31.0.0/16")
        .without_secrecy("cloudflare:apiToken")
    )
    recorder = Recorder(stack="prod")
    recorder.configure(config.values, config.secrets)
    with pytest.raises(SettingsError) as caught:
        recorder.build(lambda: settings.load(folder))
    fields = {problem.field for problem in caught.value.problems}
    assert fields >= {
        "payments:region",
        "payments:database.version",
        "payments:database.nodes",
        "payments:database.pool-size",
        "payments:cache.colour",
        "payments:app.image",
        "payments:hostname",
        "payments:zone.name",
        "payments:network.cidr",
        "cloudflare:apiToken",
    }, "the user would have to run it once per mistake"
    assert not recorder.resources
    text = str(caught.value)
    assert text.startswith("Pulumi.prod.yaml: ")
    assert "nothing was changed" in text
    assert isinstance(caught.value, pulumi.RunError), "the engine would print a stack trace"


def test_one_mistake_is_told_once(load: Load) -> None:
    config = stackfiles.read("prod").changed("payments:ssh.allow-from", ["0.0.0.0/0"])
    (problem,) = _problems(load, "prod", config)
    assert problem.field == "payments:ssh.allow-from.0"


def test_a_stack_whose_name_is_no_host_name_is_refused(load: Load) -> None:
    config = stackfiles.read("prod").changed("payments:zone.id", "0" * 32)
    config = config.changed("payments:zone.name", "example.org")
    config = config.changed("payments:hostname", "pay.example.org")
    config = config.changed("payments:edge.redirect-from", None)
    config = config.changed("payments:access.organization", False)
    found = _problems(load, "Prod_1", config)
    assert [problem.field for problem in found] == ["stack"]


def test_another_stacks_broken_file_is_not_our_problem(load: Load, folder: Path) -> None:
    (folder / "Pulumi.broken.yaml").write_text("config: [")
    (folder / "Pulumi.empty.yaml").write_text("")
    load("prod", stackfiles.read("prod"))
