"""What the edge and an origin know each other by: rules, rotation, the published ranges."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509

from tests.twin.clouds.accounts import CF_CONFIG, FREE_ZONE_ID, ZONE_ID, known
from tests.twin.clouds.handlers import Handlers
from twin import authorities
from twin.clouds import cloudflare, tls
from twin.clouds.cloudflare.origin_tls import PULLS, GetClientCertificate, GetIpRanges
from twin.protocol.resource import ApiError, Context

HOST = "pay.payments.localhost"


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))


@pytest.fixture
def keys(paper_context: Context) -> Handlers:
    return Handlers(tls.package(), paper_context)


def _key(keys: Handlers, algorithm: str = "ECDSA") -> str:
    made = keys.create("PrivateKey", {"algorithm": algorithm, "ecdsaCurve": "P256"})
    return str(made.outputs["privateKeyPem"])


def _request(keys: Handlers, algorithm: str = "ECDSA") -> str:
    made = keys.create("CertRequest", {"privateKeyPem": _key(keys, algorithm)})
    return str(made.outputs["certRequestPem"])


def _client(keys: Handlers, hours: int = 24) -> dict[str, Any]:
    key = _key(keys)
    made = keys.create(
        "SelfSignedCert",
        {
            "privateKeyPem": key,
            "allowedUses": ["client_auth"],
            "validityPeriodHours": hours,
            "subject": {"commonName": "edge"},
        },
    )
    return {"zoneId": ZONE_ID, "certificate": made.outputs["certPem"], "privateKey": key}


def test_an_origin_certificate_is_signed_by_the_origin_ca_for_the_names_that_were_asked(
    handlers: Handlers, keys: Handlers
) -> None:
    inputs = {
        "csr": _request(keys),
        "hostnames": [HOST],
        "requestType": "origin-ecc",
        "requestedValidity": 365,
    }
    made = handlers.create("OriginCaCertificate", inputs)
    found = x509.load_pem_x509_certificate(made.outputs["certificate"].encode())
    authority = authorities.origin_ca(handlers.ctx.store).certificate
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    life = found.not_valid_after_utc - found.not_valid_before_utc
    assert timedelta(days=365) <= life <= timedelta(days=365, hours=1)
    assert handlers.table.resources[handlers.resource("OriginCaCertificate").token].inputs
    assert len(made.id) == 48


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"requestType": "origin-rsa"}, "requestType"),
        ({"requestType": "rsa"}, "requestType"),
        ({"requestedValidity": 60}, "requestedValidity"),
        ({"hostnames": []}, "hostnames"),
        ({"hostnames": ["*.*.payments.localhost"]}, "hostnames[0]"),
        ({"csr": "not a request"}, "csr"),
    ],
)
def test_a_request_that_the_origin_ca_would_refuse_is_refused(
    handlers: Handlers, keys: Handlers, change: dict[str, Any], path: str
) -> None:
    inputs = {"csr": _request(keys), "hostnames": [HOST], "requestType": "origin-ecc", **change}
    failures = handlers.failures("OriginCaCertificate", inputs)
    assert [f for f in failures if f.startswith(path)], failures


def test_a_name_of_somebody_elses_zone_gets_no_certificate(
    handlers: Handlers, keys: Handlers
) -> None:
    inputs = {
        "csr": _request(keys),
        "hostnames": ["pay.example.org"],
        "requestType": "origin-ecc",
    }
    with pytest.raises(ApiError, match="1010"):
        handlers.create("OriginCaCertificate", inputs)


def test_a_client_certificate_needs_its_own_key_and_time_left(
    handlers: Handlers, keys: Handlers
) -> None:
    good = _client(keys)
    handlers.create("AuthenticatedOriginPullsCertificate", good)
    name = "AuthenticatedOriginPullsCertificate"
    foreign = handlers.failures(name, {**good, "privateKey": _key(keys)})
    assert any("does not belong" in failure for failure in foreign)
    assert any("expired" in failure for failure in handlers.failures(name, _client(keys, 0)))


def test_an_uploaded_client_certificate_is_active_some_time_later(
    handlers: Handlers, keys: Handlers
) -> None:
    made = handlers.create("AuthenticatedOriginPullsCertificate", _client(keys))
    assert made.outputs["status"] == "pending_deployment"
    resource, clock = handlers.resource("AuthenticatedOriginPullsCertificate"), handlers.ctx.clock
    asked = {"zoneId": ZONE_ID, "certificateId": made.id}

    def seen() -> set[str]:
        read = resource.read(handlers.ctx, made.id, made.outputs)
        assert read is not None
        return {read["status"], GetClientCertificate().call(handlers.ctx, asked)["status"]}

    assert seen() == {"pending_deployment"}
    clock.advance(authorities.DEPLOYING_SECONDS)
    assert seen() == {"active"}
    assert "privateKey" not in GetClientCertificate().call(handlers.ctx, asked)
    with pytest.raises(ApiError, match="1413"):
        GetClientCertificate().call(handlers.ctx, {**asked, "zoneId": FREE_ZONE_ID})


def test_deleting_an_origin_certificate_revokes_it(handlers: Handlers, keys: Handlers) -> None:
    inputs = {"csr": _request(keys), "hostnames": [HOST], "requestType": "origin-ecc"}
    made = handlers.create("OriginCaCertificate", inputs)
    serial = x509.load_pem_x509_certificate(made.outputs["certificate"].encode()).serial_number
    assert not authorities.is_revoked(handlers.ctx.store, serial)
    handlers.delete("OriginCaCertificate", made.id)
    assert authorities.is_revoked(handlers.ctx.store, serial)


def test_origin_pulls_stay_on_when_their_resource_is_deleted(handlers: Handlers) -> None:
    inputs = {"zoneId": ZONE_ID, "enabled": True}
    made = handlers.create("AuthenticatedOriginPullsSettings", inputs)
    handlers.delete("AuthenticatedOriginPullsSettings", made.id)
    store = handlers.ctx.store
    assert store.load(PULLS, ZONE_ID) is True, "the provider's Delete is empty"
    assert store.load(PULLS, FREE_ZONE_ID) is None
    with pytest.raises(ApiError, match="10000"):
        handlers.create("AuthenticatedOriginPullsSettings", {**inputs, "zoneId": "f" * 32})


def test_the_shared_client_certificate_is_everybodys(handlers: Handlers) -> None:
    first, again = (authorities.shared_client(handlers.ctx.store) for _ in range(2))
    assert first == again
    leaf = x509.load_pem_x509_certificate(first.certificate.encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(first.authority.encode()))


def test_the_published_ranges_are_22_and_none_is_open(handlers: Handlers) -> None:
    answer = GetIpRanges().call(handlers.ctx, {})
    ranges = [ip_network(cidr) for cidr in (*answer["ipv4Cidrs"], *answer["ipv6Cidrs"])]
    assert len(set(ranges)) == 22
    assert all(each.prefixlen >= 13 for each in ranges)
