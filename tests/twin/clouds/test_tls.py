from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.twin.clouds.handlers import Handlers
from tests.twin.conftest import StartEngine
from twin.clouds import tls
from twin.protocol.resource import Context

PROGRAM = """
    import pulumi, pulumi_tls as tls
    key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256")
    authority = tls.SelfSignedCert(
        "authority",
        private_key_pem=key.private_key_pem,
        subject=tls.SelfSignedCertSubjectArgs(common_name="ours"),
        allowed_uses=["cert_signing", "crl_signing"],
        is_ca_certificate=True,
        validity_period_hours=24 * 3650,
    )
    own = tls.PrivateKey("own", algorithm="RSA")
    request = tls.CertRequest(
        "request",
        private_key_pem=own.private_key_pem,
        subject=tls.CertRequestSubjectArgs(common_name="edge"),
        dns_names=["edge.example.com"],
    )
    leaf = tls.LocallySignedCert(
        "leaf",
        cert_request_pem=request.cert_request_pem,
        ca_private_key_pem=key.private_key_pem,
        ca_cert_pem=authority.cert_pem,
        allowed_uses=["digital_signature", "client_auth"],
        validity_period_hours=24 * 90,
        early_renewal_hours=EARLY,
    )
    pulumi.export("authority", authority.cert_pem)
    pulumi.export("leaf", leaf.cert_pem)
"""


def _program(early: int) -> str:
    return PROGRAM.replace("EARLY", str(early))


def test_a_chain_verifies_and_stays_until_its_early_renewal_period(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(tls.package())
    engine.program(_program(24 * 30))
    first = engine.up()
    assert first.code == 0, first.output
    made = {n: entry["outputs"] for n, entry in engine.revealed().items() if "outputs" in entry}
    leaf = x509.load_pem_x509_certificate(made["leaf"]["certPem"].encode())
    authority = x509.load_pem_x509_certificate(made["authority"]["certPem"].encode())
    leaf.verify_directly_issued_by(authority)
    uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert PolicyBuilder().store(Store([authority])).build_client_verifier().verify(leaf, [])
    assert made["own"]["privateKeyPem"]["plaintext"].strip('"').startswith("-----BEGIN RSA")
    assert "PRIVATE KEY" not in engine.state(), "a private key must not be readable in the state"
    assert engine.up("--refresh").steps == {}, "nothing is due yet"

    engine.program(_program(24 * 60))
    assert engine.up().steps == {"leaf": "update"}, "the period alone replaces nothing"

    real = tls.now
    monkeypatch.setattr(tls, "now", lambda: real() + timedelta(days=31))
    renewed = engine.up()
    assert renewed.code == 0, renewed.output
    assert renewed.steps.keys() == {"leaf"}, renewed.steps
    after = {n: entry["outputs"] for n, entry in engine.revealed().items() if "outputs" in entry}
    assert after["leaf"]["certPem"] != made["leaf"]["certPem"]
    assert after["authority"]["certPem"] == made["authority"]["certPem"]
    assert engine.up().steps == {}, "once renewed it is not due any more"


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(tls.package(), paper_context)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("PrivateKey", {"algorithm": "DSA"}, "algorithm"),
        ("PrivateKey", {"algorithm": "ECDSA", "ecdsaCurve": "P-256"}, "ecdsaCurve"),
        ("CertRequest", {"subject": {}}, "needs one of"),
        ("CertRequest", {"privateKeyPemWo": "x", "privateKeyPemWoVersion": 1}, "privateKeyPemWo"),
        (
            "SelfSignedCert",
            {"privateKeyPem": "x", "allowedUses": ["sign"], "validityPeriodHours": 1},
            "allowedUses",
        ),
        (
            "SelfSignedCert",
            {"privateKeyPem": "x", "allowedUses": [], "validityPeriodHours": -1},
            "validityPeriodHours",
        ),
        (
            "SelfSignedCert",
            {
                "privateKeyPem": "x",
                "allowedUses": [],
                "validityPeriodHours": 1,
                "isCaCertificate": True,
            },
            "subject",
        ),
    ],
)
def test_what_the_provider_refuses_is_refused(
    handlers: Handlers, name: str, inputs: dict[str, Any], expected: str
) -> None:
    assert any(expected in failure for failure in handlers.failures(name, inputs))


@pytest.mark.parametrize("curve", [None, "P256", "P384", "P521"])
def test_a_key_without_a_curve_is_p224_which_openssh_does_not_know(
    handlers: Handlers, curve: str | None
) -> None:
    made = handlers.create("PrivateKey", {"algorithm": "ECDSA", "ecdsaCurve": curve} if curve else
                           {"algorithm": "ECDSA"}).outputs  # fmt: skip
    assert made["ecdsaCurve"] == (curve or "P224")
    assert bool(made["publicKeyOpenssh"]) == bool(curve)
    assert made["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----")


def test_a_certificate_lives_as_long_as_it_was_asked_for(handlers: Handlers) -> None:
    key = handlers.create("PrivateKey", {"algorithm": "ED25519"}).outputs["privateKeyPem"]
    made = handlers.create(
        "SelfSignedCert",
        {
            "privateKeyPem": key,
            "allowedUses": ["server_auth"],
            "validityPeriodHours": 48,
            "dnsNames": ["a.example.com"],
            "ipAddresses": ["192.0.2.1"],
        },
    )
    certificate = x509.load_pem_x509_certificate(made.outputs["certPem"].encode())
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == timedelta(hours=48)
    assert abs(certificate.not_valid_before_utc - datetime.now(UTC)) < timedelta(minutes=1)
    assert made.id == str(certificate.serial_number)
