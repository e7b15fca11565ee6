"""Settings: every error at once, files as well as values, nothing secret in a message."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from payments.gateways.secrets import active
from payments.settings import (
    MigrateSettings,
    PrepareSettings,
    ServiceSettings,
    SettingsError,
    load,
)

CERTIFICATE = Path(__file__).with_name("authority.pem").read_text(encoding="utf-8")
GOOD = {
    "PAYMENTS_DATABASE_URL": "postgresql://app:s3cret%21@db.example.com:25061/payments",
    "PAYMENTS_DATABASE_POOLED": "true",
    "PAYMENTS_DATABASE_CA": CERTIFICATE,
    "PAYMENTS_CACHE_URL": "rediss://default:s3cret@kv.example.com:25061/0",
    "PAYMENTS_CACHE_CA": CERTIFICATE,
    "PAYMENTS_PUBLIC_URL": "https://pay.example.com:8443",
    "PAYMENTS_SESSION_KEY": base64.b64encode(bytes(32)).decode(),
    "PAYMENTS_RATE_LIMITS": '[{"name": "api", "prefixes": ["/api/"], "requests": 9, "period": 60}]',
    "PAYMENTS_STRIPE_SECRET_KEY": "sk_test_s3cret",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS": "whsec_a, whsec_b,",
    "PAYMENTS_STRIPE_API_BASE": "https://api.stripe.test:8443",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a container, complete."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_the_whole_environment_is_read() -> None:
    settings = load(ServiceSettings)
    assert settings.database.parts() == {
        "host": "db.example.com",
        "port": 25061,
        "user": "app",
        "password": "s3cret!",
        "database": "payments",
    }
    assert settings.database.pooled is True
    secrets = [secret.value.get_secret_value() for secret in settings.stripe.webhook_secrets]
    assert secrets == ["whsec_a", "whsec_b"]
    assert settings.stripe.api_base == "https://api.stripe.test:8443"
    assert "s3cret" not in repr(settings)


def test_a_value_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAYMENTS_STRIPE_SECRET_KEY")
    monkeypatch.delenv("PAYMENTS_DATABASE_CA")
    (tmp_path / "key").write_text("sk_test_from_file\n", encoding="utf-8")
    (tmp_path / "ca").write_text(CERTIFICATE, encoding="utf-8")
    monkeypatch.setenv("PAYMENTS_STRIPE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("PAYMENTS_DATABASE_CA_FILE", str(tmp_path / "ca"))
    settings = load(ServiceSettings)
    assert settings.stripe.secret_key is not None
    assert settings.stripe.secret_key.get_secret_value() == "sk_test_from_file"
    assert settings.database.ca == CERTIFICATE.rstrip("\n")


def test_a_value_given_twice_or_in_a_missing_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAYMENTS_SESSION_KEY_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PAYMENTS_OUTGOING_CA_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError) as refused:
        load(ServiceSettings)
    assert any("PAYMENTS_SESSION_KEY: set twice" in line for line in refused.value.problems)
    assert any("PAYMENTS_OUTGOING_CA_FILE: cannot read" in line for line in refused.value.problems)


def test_every_error_is_said_at_once_and_no_secret_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYMENTS_DATABASE_URL", "mysql://root:s3cret@db/payments")
    monkeypatch.setenv("PAYMENTS_CACHE_URL", "rediss://:s3cret@/0")
    monkeypatch.setenv("PAYMENTS_SESSION_KEY", base64.b64encode(b"s3cret").decode())
    monkeypatch.setenv("PAYMENTS_DATABASE_CA", "not a certificate")
    monkeypatch.setenv("PAYMENTS_STRIPE_API_BASE", "api.stripe.com")
    monkeypatch.delenv("PAYMENTS_PUBLIC_URL")
    monkeypatch.delenv("PAYMENTS_CACHE_CA")
    with pytest.raises(SettingsError) as refused:
        load(ServiceSettings)
    named = {line.split(":")[0] for line in refused.value.problems}
    assert named == {
        "PAYMENTS_DATABASE_URL",
        "PAYMENTS_DATABASE_CA",
        "PAYMENTS_CACHE_URL",
        "PAYMENTS_CACHE_CA",
        "PAYMENTS_SESSION_KEY",
        "PAYMENTS_STRIPE_API_BASE",
        "PAYMENTS_PUBLIC_URL",
    }
    assert "s3cret" not in str(refused.value)
    assert base64.b64encode(b"s3cret").decode() not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example.com/payments",
        "postgresql://app:x@db.example.com",
        "postgresql://app:x@/payments",
        "postgresql://app:x@db.example.com/payments?sslmode=disable",
    ],
)
def test_a_database_address_is_complete_and_cannot_switch_tls_off(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PAYMENTS_DATABASE_URL", url)
    with pytest.raises(SettingsError, match="PAYMENTS_DATABASE_URL"):
        load(MigrateSettings)


def test_backends_without_an_authority_are_refused_unless_tests_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYMENTS_DATABASE_CA", "")
    with pytest.raises(SettingsError, match="neither encrypted nor verified"):
        load(MigrateSettings)
    monkeypatch.setenv("PAYMENTS_ALLOW_PLAINTEXT_BACKENDS", "true")
    assert load(MigrateSettings).database.ca is None


def test_a_command_asks_only_for_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        if "DATABASE" not in name:
            monkeypatch.delenv(name)
    assert load(MigrateSettings).database.pooled
    with pytest.raises(SettingsError) as refused:
        load(PrepareSettings)
    assert {line.split(":")[0] for line in refused.value.problems} == {
        "PAYMENTS_MIGRATOR_ROLE",
        "PAYMENTS_APP_ROLE",
    }


def test_stripe_may_be_absent_and_then_nothing_of_it_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in GOOD:
        if "STRIPE" in name:
            monkeypatch.delenv(name)
    settings = load(ServiceSettings)
    assert settings.stripe.secret_key is None
    assert settings.stripe.webhook_secrets == ()


def test_a_name_may_not_smuggle_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_MIGRATOR_ROLE", 'm"; DROP SCHEMA payments; --')
    monkeypatch.setenv("PAYMENTS_APP_ROLE", "app")
    with pytest.raises(SettingsError, match="PAYMENTS_MIGRATOR_ROLE"):
        load(PrepareSettings)


def test_limits_are_required_and_a_wrong_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [limit.name for limit in load(ServiceSettings).rate_limits] == ["api"]
    monkeypatch.setenv(
        "PAYMENTS_RATE_LIMITS", '[{"name": "api", "prefixes": ["/api/"], "requests": 0}]'
    )
    with pytest.raises(SettingsError, match="PAYMENTS_RATE_LIMITS: row 1: requests: "):
        load(ServiceSettings)
    monkeypatch.delenv("PAYMENTS_RATE_LIMITS")
    with pytest.raises(SettingsError, match="PAYMENTS_RATE_LIMITS: missing"):
        load(ServiceSettings)


ACCESS = {
    "PAYMENTS_ACCESS_TEAM_DOMAIN": "acme.cloudflareaccess.com",
    "PAYMENTS_ACCESS_AUDIENCES": f"{'a' * 64},{'b' * 64}",
    "PAYMENTS_ACCESS_ADMINS": "Ada@example.com, bo@example.com",
    "PAYMENTS_ACCESS_ADMIN_CIDRS": "198.51.100.0/24,2001:db8::/32",
    "PAYMENTS_ACCESS_SERVICE_TOKENS": "",
}


def test_without_access_there_is_no_admin_and_with_it_all_of_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(ServiceSettings).access is None
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    access = load(ServiceSettings).access
    assert access is not None
    assert access.issuer == "https://acme.cloudflareaccess.com"
    assert access.admins == ("ada@example.com", "bo@example.com"), "addresses compare in lower case"
    assert access.service_tokens == {}
    assert access.may_call_api("198.51.100.7")
    assert access.may_call_api("2001:db8::1")
    assert not access.may_call_api("203.0.113.7")


def test_a_service_token_reads_and_does_what_it_is_granted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PAYMENTS_ACCESS_SERVICE_TOKENS", "a.access, b.access=write+money")
    access = load(ServiceSettings).access
    assert access is not None
    assert access.service_tokens == {"a.access": {"read"}, "b.access": {"read", "write", "money"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMENTS_ACCESS_TEAM_DOMAIN", "acme.example.com"),
        ("PAYMENTS_ACCESS_TEAM_DOMAIN", "evil.test/.cloudflareaccess.com"),
        ("PAYMENTS_ACCESS_AUDIENCES", "a" * 64),
        ("PAYMENTS_ACCESS_AUDIENCES", f"{'a' * 64},{'a' * 64}"),
        ("PAYMENTS_ACCESS_ADMINS", ""),
        ("PAYMENTS_ACCESS_ADMINS", "example.com"),
        ("PAYMENTS_ACCESS_ADMIN_CIDRS", "198.51.100.0/33"),
        ("PAYMENTS_ACCESS_SERVICE_TOKENS", "a.access=decide"),
        ("PAYMENTS_ACCESS_SERVICE_TOKENS", "a.access=admin"),
        ("PAYMENTS_ACCESS_SERVICE_TOKENS", "a.access,a.access=write"),
    ],
)
def test_access_is_set_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for variable, good in ACCESS.items():
        monkeypatch.setenv(variable, good)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load(ServiceSettings)


OTHERS = {
    "PAYMENTS_RAZORPAY_KEY_ID": "rzp_test_1",
    "PAYMENTS_RAZORPAY_KEY_SECRET": "s3cret",
    "PAYMENTS_RAZORPAY_WEBHOOK_SECRETS": "a, b",
    "PAYMENTS_RAZORPAY_WEBHOOK_SOURCES": "198.51.100.7/32, 2001:db8::/64",
    "PAYMENTS_PAYPAL_CLIENT_ID": "client",
    "PAYMENTS_PAYPAL_CLIENT_SECRET": "s3cret",
    "PAYMENTS_PAYPAL_WEBHOOK_ID": "8PT597110X687430L",
    "PAYMENTS_PAYPAL_API_BASE": "https://api-m.paypal.test",
    "PAYMENTS_CRYPTOMUS_ENABLED": "true",
    "PAYMENTS_CRYPTOMUS_MERCHANT": "8b03432e-385b-4670-8d06-064591096795",
    "PAYMENTS_CRYPTOMUS_API_KEY": "s3cret",
    "PAYMENTS_CRYPTOMUS_API_BASE": "https://api.cryptomus.test",
    "PAYMENTS_ROUTING": '[{"gateways": ["paypal"], "currencies": ["EUR"]}]',
}


def test_all_gateways_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    settings = load(ServiceSettings)
    assert len(settings.razorpay.webhook_secrets) == 2
    assert [str(n) for n in settings.razorpay.webhook_sources] == [
        "198.51.100.7/32",
        "2001:db8::/64",
    ]
    assert settings.razorpay.checkout_script == "https://checkout.razorpay.com/v1/checkout.js"
    assert settings.paypal.webhook_id == "8PT597110X687430L"
    assert settings.cryptomus.enabled is True
    assert settings.routing[0].gateways == ("paypal",)
    assert settings.is_live is False
    assert "s3cret" not in repr(settings)


def test_earlier_session_keys_are_read_and_checked_like_todays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [bytes([number]) * 32 for number in (1, 2)]
    name = "PAYMENTS_PREVIOUS_SESSION_KEYS"
    monkeypatch.setenv(name, ", ".join(base64.b64encode(key).decode() for key in keys))
    assert load(ServiceSettings).seal_keys == (bytes(32), *keys)
    monkeypatch.setenv(name, "c2hvcnQ=")
    with pytest.raises(SettingsError, match=f"{name}: must decode to at least 32 bytes"):
        load(ServiceSettings)


@pytest.mark.parametrize("gateway", ["STRIPE", "RAZORPAY"])
def test_a_webhook_secret_may_have_an_end(monkeypatch: pytest.MonkeyPatch, gateway: str) -> None:
    name = f"PAYMENTS_{gateway}_WEBHOOK_SECRETS"
    monkeypatch.setenv(name, "old;until=2026-12-31T01:00:00+01:00, new")
    settings = load(ServiceSettings)
    found = getattr(settings, gateway.lower()).webhook_secrets
    end = datetime(2026, 12, 31, tzinfo=UTC)
    assert [secret.until for secret in found] == [end, None]
    assert active(found, end - timedelta(seconds=1)) == ["old", "new"]
    assert active(found, end) == ["new"]
    for wrong, why in (
        ("s3cret;until=2026-13-31T00:00:00Z,new", "the end of number 1 must be a time"),
        ("new,s3cret;until=2026-12-31T00:00:00", "the end of number 2 must be a time"),
        ("new,s3cret;until=9999-12-31T23:59:59-12:00", "the end of number 2 must be a time"),
        ("new,;until=2026-12-31T00:00:00Z", "number 2 has an end and no secret"),
        ("s3cret;until=2026-12-31T00:00:00Z", "one must be without"),
    ):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(SettingsError) as refused:
            load(ServiceSettings)
        (problem,) = refused.value.problems
        assert problem.startswith(f"{name}: ")
        assert why in problem
        assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PAYMENTS_RAZORPAY_KEY_ID": "rzp_live_1"}, "PAYMENTS_*: real money (razorpay) and"),
        ({"PAYMENTS_PAYPAL_API_BASE": ""}, "PAYMENTS_*: real money (paypal) and"),
        ({"PAYMENTS_CRYPTOMUS_API_BASE": ""}, "PAYMENTS_*: real money (cryptomus) and"),
        ({"PAYMENTS_STRIPE_SECRET_KEY": "sk_live_1"}, "PAYMENTS_*: real money (stripe) and"),
        ({"PAYMENTS_RAZORPAY_KEY_SECRET": ""}, "PAYMENTS_RAZORPAY: needs key_id and key_secret"),
        ({"PAYMENTS_PAYPAL_CLIENT_ID": ""}, "PAYMENTS_PAYPAL: needs client_id and client_secret"),
        ({"PAYMENTS_CRYPTOMUS_API_KEY": ""}, "PAYMENTS_CRYPTOMUS: is enabled, and has no"),
        ({"PAYMENTS_ROUTING": '[{"gateways": ["square"]}]'}, "PAYMENTS_ROUTING: row 1: gateways.0"),
    ],
)
def test_accounts_that_do_not_go_together_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], problem: str
) -> None:
    for name, value in (OTHERS | changes).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(ServiceSettings)
    (found,) = caught.value.problems
    assert found.startswith(problem)
    assert "s3cret" not in found


def test_the_mode_is_what_all_accounts_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_STRIPE_SECRET_KEY", "sk_live_1")
    assert load(ServiceSettings).is_live is True
    monkeypatch.setenv("PAYMENTS_RAZORPAY_KEY_ID", "rzp_live_1")
    monkeypatch.setenv("PAYMENTS_RAZORPAY_KEY_SECRET", "s")
    monkeypatch.setenv("PAYMENTS_PAYPAL_CLIENT_ID", "client")
    monkeypatch.setenv("PAYMENTS_PAYPAL_CLIENT_SECRET", "s")
    assert load(ServiceSettings).is_live is True, "PayPal's own address is the live one"
