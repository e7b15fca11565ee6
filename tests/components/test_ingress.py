"""The ways in: what each opens, whom it admits, and what edge and origin prove to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain, repeat
from types import SimpleNamespace

import pulumi
import pulumi_digitalocean as digitalocean
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import origin
from components.edge_ranges import checked
from components.ingress import Ingress, IngressArgs
from components.load_balancer import LoadBalancer, LoadBalancerArgs
from components.network import Network, NetworkArgs
from components.origin import Origin, OriginArgs
from tests.components.fakes import built
from tests.recorder import Recorder, is_secret

IPV4 = [f"198.41.{number}.0/24" for number in range(15)]
IPV6 = [f"2606:4700:{number}::/48" for number in range(7)]
NETWORK = NetworkArgs(region="fra1", cidr="10.20.0.0/20", ssh_sources=["198.51.100.7/32"])


# --- the edge's ranges ----------------------------------------------------------------------------
def test_ranges_come_sorted_and_complete() -> None:
    assert checked(IPV4[::-1], 4) == sorted(IPV4), "an order of its own would look like a change"
    assert len(checked(IPV6, 6)) == 7


@pytest.mark.parametrize(
    ("found", "version"),
    [
        (None, 4),
        ([], 4),
        (IPV4[:14], 4),
        ([*IPV4[:14], IPV4[0]], 4),
        ([*IPV4, "0.0.0.0/0"], 4),
        ([*IPV4, "8.0.0.0/8"], 4),
        ([*IPV4, "2606:4700::/32"], 4),
        (IPV6[:6], 6),
        ([*IPV6, "::/0"], 6),
    ],
)
def test_an_answer_that_would_close_or_open_the_origin_ends_the_update(
    found: list[str] | None, version: int
) -> None:
    with pytest.raises(ValueError, match="Nothing was changed"):
        checked(found, version)


# --- direct ---------------------------------------------------------------------------------------
def test_the_web_port_is_open_to_the_edge_and_to_nobody_else() -> None:
    args = dataclasses.replace(NETWORK, web_sources=[*IPV4, *IPV6], tunnel=False)
    firewall = built(lambda: Network("net", args))[0].one(":Firewall").inputs
    rules = {rule["portRange"]: rule["sourceAddresses"] for rule in firewall["inboundRules"]}
    assert rules == {"22": ["198.51.100.7/32"], "443": [*IPV4, *IPV6]}
    assert "7844" not in {rule.get("portRange") for rule in firewall["outboundRules"]}, (
        "nothing dials a tunnel"
    )


# --- load balancer --------------------------------------------------------------------------------
@pytest.fixture
def balanced() -> Recorder:
    args = LoadBalancerArgs(region="fra1", vpc_id="vpc-1", tag="hosts", nodes=2, sources=IPV4)
    return built(lambda: LoadBalancer("lb", args))[0]


def test_the_load_balancer_admits_the_edge_only(balanced: Recorder) -> None:
    balancer = balanced.one("digitalocean:index/loadBalancer:LoadBalancer").inputs
    assert balancer["firewall"] == {"allows": [f"cidr:{cidr}" for cidr in IPV4]}
    (rule,) = balancer["forwardingRules"]
    assert (rule["entryProtocol"], rule["entryPort"]) == ("https", 443), "no plain HTTP"


def test_the_handshake_passes_through_with_the_address_of_whoever_made_it(
    balanced: Recorder,
) -> None:
    balancer = balanced.one("digitalocean:index/loadBalancer:LoadBalancer").inputs
    (rule,) = balancer["forwardingRules"]
    assert rule["tlsPassthrough"] is True, "terminated here, no client certificate is ever checked"
    assert "certificateName" not in rule
    assert balancer["enableProxyProtocol"] is True
    assert "stickySessions" not in balancer, "the provider refuses them without termination"


def test_droplets_admit_the_load_balancer_by_its_id_and_nothing_else(balanced: Recorder) -> None:
    firewall = balanced.one(":Firewall").inputs
    assert firewall["tags"] == ["hosts"]
    assert "outboundRules" not in firewall, "what goes out is the network's affair"
    for rule in firewall["inboundRules"]:
        assert rule["sourceLoadBalancerUids"] == ["lb-balancer-id"]
        assert "sourceAddresses" not in rule
    ports = {rule["portRange"] for rule in firewall["inboundRules"]}
    health = balanced.one("digitalocean:index/loadBalancer:LoadBalancer").inputs["healthcheck"]
    assert ports == {"443", str(int(health["port"]))}, (
        "a check that is shut out finds every droplet ill"
    )


# --- edge and origin ------------------------------------------------------------------------------
def _origin(generation: int = 7) -> tuple[Recorder, Origin]:
    args = OriginArgs(zone_id="z" * 32, hostname="pay.example.com", generation=generation)
    return built(lambda: Origin("origin", args))


def test_the_edge_presents_a_certificate_of_our_own_before_anyone_asks() -> None:
    record, made = _origin()
    uploaded = record.one(":AuthenticatedOriginPullsCertificate")
    settings = record.one(":AuthenticatedOriginPullsSettings")
    assert settings.inputs["enabled"] is True
    assert uploaded.urn in settings.options.depends_on, (
        "switched on first, the edge presents the certificate that all customers share"
    )
    assert uploaded.is_secret("privateKey")
    leaf = record.one(":LocallySignedCert").inputs
    assert "client_auth" in leaf["allowedUses"]
    assert "server_auth" not in leaf["allowedUses"]
    authority = record.one(":SelfSignedCert").inputs
    assert authority["isCaCertificate"] is True
    assert is_secret(made.private_key)


def _says(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[str]:
    """Cloudflare's answers about the client certificate, the last one for ever; no waiting."""
    told = chain(answers, repeat(answers[-1]))

    def asked(**_: object) -> pulumi.Output[SimpleNamespace]:
        return pulumi.Output.from_input(SimpleNamespace(status=next(told)))

    name = "get_authenticated_origin_pulls_certificate_output"
    monkeypatch.setattr(origin.cloudflare, name, asked)
    monkeypatch.setattr(origin, "_ASK_EVERY_SECONDS", 0)
    return told


def test_nothing_goes_on_before_the_edge_presents_the_new_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = _says(monkeypatch, "pending_deployment", "pending_deployment", "active", "not asked")

    def program() -> None:
        args = OriginArgs(zone_id="z" * 32, hostname="pay.example.com", generation=7)
        digitalocean.Tag("gateway", name=Origin("origin", args).pulls)

    record = built(program)[0]
    assert record.one(":Tag").inputs["name"]
    assert next(told) == "not asked", "the gateway came before the edge could prove itself"


def test_a_certificate_that_is_never_deployed_ends_the_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _says(monkeypatch, "pending_deployment")
    monkeypatch.setattr(origin, "DEPLOYMENT_SECONDS", 0)
    with pytest.raises(TimeoutError, match="run `pulumi up` again"):
        _origin()


def test_a_preview_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, "pending_deployment")
    args = OriginArgs(zone_id="z" * 32, hostname="pay.example.com", generation=7)
    built(lambda: Origin("origin", args), preview=True)


def test_it_is_known_when_the_first_certificate_ends() -> None:
    found: list[str] = []

    def program() -> None:
        args = OriginArgs(zone_id="z" * 32, hostname="pay.example.com", generation=7)
        Origin("origin", args).expires.apply(found.append)

    built(program)
    assert found == ["2027-05-20"]


def test_an_origin_certificate_is_for_one_name_and_a_year() -> None:
    inputs = _origin()[0].one(":OriginCaCertificate").inputs
    assert inputs["hostnames"] == ["pay.example.com"]
    assert inputs["requestedValidity"] == 365
    assert inputs["requestType"] == "origin-ecc"


def test_a_new_generation_has_new_keys_and_certificates_under_new_names() -> None:
    before, after = (set(_origin(turn)[0].names()) for turn in (7, 8))
    renewed = after - before
    assert renewed == {
        f"origin-{what}-g8"
        for what in (
            "key",
            "request",
            "certificate",
            "client-key",
            "client-request",
            "client",
            "pulls",
        )
    }, "a new name is made before the old one is deleted, which revokes it"
    assert "origin-authority" in before & after, "gateways trust it, and meet old and new"
    assert "origin-pulls" in before & after, "presenting never pauses"


@given(st.dates(date(2026, 1, 1), date(2060, 1, 1)))
def test_a_certificate_is_replaced_by_an_update_in_its_last_half_year(issued: date) -> None:
    turn = origin.generation(issued)
    lives = (issued + timedelta(days=number) for number in range(origin.VALIDITY_DAYS))
    renewed = next(day for day in lives if origin.generation(day) != turn)
    assert origin.generation(renewed) == turn + 1
    left = issued + timedelta(days=origin.VALIDITY_DAYS) - renewed
    assert left >= timedelta(days=180), "until then somebody must have run an update"


def test_a_rotation_by_hand_is_a_generation_of_its_own() -> None:
    today = date(2027, 1, 1)
    assert origin.generation(today, extra=1) == origin.generation(today) + 1


# --- the public name ------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "target"), [("A", "192.0.2.1"), ("CNAME", "t.cfargotunnel.com")])
def test_the_name_is_proxied_whatever_it_leads_to(kind: str, target: str) -> None:
    args = IngressArgs(
        zone_id="z" * 32,
        hostname="pay.example.com",
        kind=kind,  # type: ignore[arg-type]
        target=target,
    )
    record = built(lambda: Ingress("ingress", args))[0].one(":DnsRecord")
    assert record.inputs["proxied"] is True, "unproxied, it tells everybody the origin's address"
    assert (record.inputs["type"], record.inputs["content"]) == (kind, target)
    assert record.inputs["ttl"] == 1
    assert record.options.delete_before_replace is True, (
        "Cloudflare refuses an A record beside a CNAME of the same name"
    )


def test_the_name_waits_for_the_edges_rules() -> None:
    def program() -> None:
        rules = digitalocean.Tag("rules")
        Ingress(
            "ingress",
            IngressArgs(
                zone_id="z" * 32,
                hostname="pay.example.com",
                kind="A",
                target="192.0.2.1",
                after=[rules],
            ),
        )

    record = built(program)[0]
    assert record.named("rules").urn in record.one(":DnsRecord").options.depends_on
