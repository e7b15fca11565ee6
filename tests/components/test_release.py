"""The release steps: once per image, secrets on standard input only, hardened like the service."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components import release
from components.edge import limits
from components.payment_gateways import Cryptomus, PaymentGateways, Paypal, Razorpay, Stripe
from components.release import Release, ReleaseArgs
from components.service import (
    Backends,
    Registry,
    Service,
    ServiceArgs,
    ServiceEnvironment,
)
from components.ssh import Ssh, assignments
from tests.components.fakes import IMAGE_ID, built, machine, program_on_path
from tests.recorder import Recorder, is_secret

URL = "postgresql://migrator:pass-word@db.test:25060/payments"
PEM = "-----BEGIN CERTIFICATE-----\nMI'IB\n-----END CERTIFICATE-----\n"


def _record() -> Recorder:
    def program() -> Release:
        environment = {"PAYMENTS_DATABASE_URL": URL, "PAYMENTS_DATABASE_CA": PEM}
        args = ReleaseArgs(
            machine=machine(),
            ssh=Ssh(),
            release="registry/payments@sha256:1",
            image=IMAGE_ID,
            network="net-1",
            prepare=environment,
            migrate=environment,
        )
        return Release("release", args)

    return built(program)[0]


def test_secrets_travel_on_standard_input_and_stay_secret() -> None:
    for step in ("prepare-database", "migrate"):
        inputs = _record().named(f"release-{step}")
        assert inputs.is_secret("stdin")
        assert "pass-word" in inputs.inputs["stdin"]
        assert "pass-word" not in inputs.inputs["create"], "`ps` would show it, on both machines"


def test_the_database_is_prepared_before_it_is_migrated() -> None:
    record = _record()
    migrate = record.named("release-migrate")
    assert "release-prepare-database" in {found.name for found in record.before(migrate)}


def test_a_step_runs_again_for_a_new_image_or_droplet() -> None:
    for step in ("prepare-database", "migrate"):
        triggers = _record().named(f"release-{step}").inputs["triggers"]
        assert triggers[0] == "registry/payments@sha256:1"
        assert len(triggers) == 2


def test_the_roles_are_told_to_the_step_that_makes_their_grants() -> None:
    create = _record().named("release-prepare-database").inputs["create"]
    assert "--env PAYMENTS_MIGRATOR_ROLE" in create
    assert "--env PAYMENTS_APP_ROLE" in create


def test_the_droplets_shell_hands_every_variable_to_docker_unharmed(tmp_path: Path) -> None:
    environment = program_on_path(
        tmp_path, "docker", f'printf "%s\\n" "$@" > {tmp_path}/args; env -0 > {tmp_path}/env'
    )
    values = {"PAYMENTS_DATABASE_URL": URL, "PAYMENTS_DATABASE_CA": PEM, "PAYMENTS_X": "$(id) `id`"}
    script = release.step_script("migrate", network="n", image=IMAGE_ID, names=sorted(values))
    subprocess.run(
        ["/bin/sh", "-c", script], env=environment, input=assignments(values), text=True, check=True
    )
    got = dict(
        entry.partition("=")[::2] for entry in (tmp_path / "env").read_text().split("\0") if entry
    )
    assert {name: got[name] for name in values} == values, "a certificate has line breaks"
    arguments = (tmp_path / "args").read_text()
    assert not [value for value in values.values() if value in arguments]
    assert arguments.split()[-2:] == [IMAGE_ID, "migrate"]
    for option in ("--rm", "--read-only", "--cap-drop", "no-new-privileges:true", "10001:10001"):
        assert option in arguments


def test_a_step_that_fails_fails_the_command(tmp_path: Path) -> None:
    environment = program_on_path(tmp_path, "docker", "echo 'lock timeout' >&2; exit 3")
    script = release.step_script("migrate", network="n", image=IMAGE_ID, names=[])
    done = subprocess.run(
        ["/bin/sh", "-c", script], env=environment, input="", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (3, "lock timeout\n")


def _environment() -> ServiceEnvironment:
    return ServiceEnvironment(
        label="staging",
        release="registry/payments@sha256:1",
        url="https://pay.example.net",
        backends=Backends(
            pool_url="postgresql://pool",
            direct_url="postgresql://direct",
            database_ca=PEM,
            cache_url="rediss://cache",
            cache_ca=PEM,
        ),
        session_key="key",
        gateways=PaymentGateways(stripe=Stripe(secret_key="sk_test_1", webhook_secrets="whsec_1")),
        rate_limits=limits.for_service(),
    )


def test_replicas_go_through_the_pool_and_the_worker_directly() -> None:
    api, worker = _environment().api(), _environment().worker()
    assert (api["PAYMENTS_DATABASE_URL"], api["PAYMENTS_DATABASE_POOLED"]) == (
        "postgresql://pool",
        "true",
    )
    assert (worker["PAYMENTS_DATABASE_URL"], worker["PAYMENTS_DATABASE_POOLED"]) == (
        "postgresql://direct",
        "false",
    ), "a transaction pool has no LISTEN"
    assert "PAYMENTS_STRIPE_API_BASE" not in api, "unset means Stripe itself"


def test_a_gateway_that_the_stack_has_not_leaves_no_variable() -> None:
    told = _environment().api()
    others = [name for name in told if "RAZORPAY" in name or "PAYPAL" in name or "CRYPT" in name]
    assert others == []


def test_every_gateway_is_told_its_keys_and_only_what_is_set() -> None:
    told = PaymentGateways(
        stripe=Stripe(secret_key="sk_test_1", webhook_secrets="whsec_1"),
        razorpay=Razorpay(
            key_id="rzp_test_1",
            key_secret="secret",
            webhook_secrets="a,b",
            webhook_sources=["198.51.100.7/32", "2001:db8::/64"],
        ),
        paypal=Paypal(client_id="client", client_secret="secret", webhook_id="WH1"),
        cryptomus=Cryptomus(merchant="merchant", api_key="key", api_base="https://c.test"),
        routing='[{"gateways": ["stripe"]}]',
    ).variables()
    assert {name.removeprefix("PAYMENTS_"): value for name, value in told.items()} == {
        "STRIPE_SECRET_KEY": "sk_test_1",
        "STRIPE_WEBHOOK_SECRETS": "whsec_1",
        "RAZORPAY_KEY_ID": "rzp_test_1",
        "RAZORPAY_KEY_SECRET": "secret",
        "RAZORPAY_WEBHOOK_SECRETS": "a,b",
        "RAZORPAY_WEBHOOK_SOURCES": "198.51.100.7/32,2001:db8::/64",
        "PAYPAL_CLIENT_ID": "client",
        "PAYPAL_CLIENT_SECRET": "secret",
        "PAYPAL_WEBHOOK_ID": "WH1",
        "CRYPTOMUS_ENABLED": "true",
        "CRYPTOMUS_MERCHANT": "merchant",
        "CRYPTOMUS_API_KEY": "key",
        "CRYPTOMUS_API_BASE": "https://c.test",
        "ROUTING": '[{"gateways": ["stripe"]}]',
    }


def test_a_release_step_is_told_nothing_it_does_not_need() -> None:
    step = _environment().release_step(URL)
    assert not [name for name in step if "STRIPE" in name or "SESSION" in name or "CACHE" in name]


def test_an_image_comes_from_somewhere() -> None:
    with pytest.raises(ValueError, match="image=None and registry=None"):
        ServiceArgs(image=None, registry=None, context="app", tag="x")


def test_a_finished_image_is_not_built() -> None:
    args = ServiceArgs(image="r/p@sha256:1", registry=None, context="app", tag="x")
    record, made = built(lambda: Service("service", args))
    assert not record.of_type("docker:index/image:Image")
    assert is_secret(made.session_key)
    assert record.one(":RandomBytes").inputs["length"] >= 32


def test_a_registrys_login_is_secret() -> None:
    import pulumi

    def program() -> Service:
        registry = Registry(
            server="registry.test/acme", username="ci", password=pulumi.Output.secret("hush")
        )
        return Service("s", ServiceArgs(image=None, registry=registry, context="app", tag="x"))

    build = built(program)[0].one("docker:index/image:Image")
    assert build.is_secret("registry")
    assert build.inputs["registry"]["server"] == "registry.test"
    assert build.inputs["imageName"] == "registry.test/acme/payments:x"
