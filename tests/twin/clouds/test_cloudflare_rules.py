"""What the Cloudflare double accepts and refuses before anything is made."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twin.clouds.accounts import ACCOUNT_ID, CF_CONFIG, FREE_ZONE_ID, ZONE_ID, known
from tests.twin.clouds.handlers import Handlers
from twin.clouds import cloudflare
from twin.clouds.cloudflare.account import Zone
from twin.clouds.cloudflare.dns import full_name
from twin.protocol.resource import UNKNOWN, Context

TUNNEL_ID = "11111111-2222-4333-8444-555555555555"
SITE = {
    "zoneId": ZONE_ID,
    "name": "pay.payments.localhost",
    "type": "CNAME",
    "content": f"{TUNNEL_ID}.cfargotunnel.com",
    "proxied": True,
    "ttl": 1,
}
ADDRESS = {"zoneId": ZONE_ID, "name": "a", "type": "A", "content": "192.0.2.1", "ttl": 300}
CAA = {
    "zoneId": ZONE_ID,
    "name": "@",
    "type": "CAA",
    "ttl": 1,
    "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"},
}
TUNNEL = {"accountId": ACCOUNT_ID, "name": "site", "configSrc": "cloudflare"}
CATCH_ALL = {"service": "http_status:404"}
HOST_RULE = {"hostname": "pay.payments.localhost", "service": "http://gateway:8080"}


def _config(*rules: Any, **more: Any) -> dict[str, Any]:
    config = {"ingresses": list(rules), **more}
    return {"accountId": ACCOUNT_ID, "tunnelId": TUNNEL_ID, "config": config}


def _record(**more: Any) -> dict[str, Any]:
    return {k: v for k, v in {**ADDRESS, **more}.items() if v is not None}


def _service(service: str) -> dict[str, Any]:
    return _config({**HOST_RULE, "service": service}, CATCH_ALL)


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("DnsRecord", SITE),
    ("DnsRecord", {**SITE, "content": UNKNOWN}),
    ("DnsRecord", ADDRESS),
    ("DnsRecord", _record(name="@", ttl=1)),
    ("DnsRecord", _record(ttl=60)),
    ("DnsRecord", _record(ttl=86400, comment="c" * 500, tags=["team:pay"])),
    ("DnsRecord", _record(zoneId=FREE_ZONE_ID, comment="c" * 100)),
    ("DnsRecord", _record(name="*", type="AAAA", content="2001:db8::1")),
    ("DnsRecord", _record(name="_dmarc", type="TXT", content="v=DMARC1; p=reject")),
    ("DnsRecord", _record(type="MX", content="mx.example.com", priority=10)),
    ("DnsRecord", _record(type="MX", content=".", priority=0)),
    ("DnsRecord", CAA),
    ("DnsRecord", _record(name="@", type="MX", content=".", priority=0)),
    ("ZeroTrustTunnelCloudflared", TUNNEL),
    ("ZeroTrustTunnelCloudflared", {"accountId": ACCOUNT_ID, "name": "local"}),
    (
        "ZeroTrustTunnelCloudflared",
        {**TUNNEL, "tunnelSecret": base64.b64encode(b"s" * 32).decode()},
    ),
    ("ZeroTrustTunnelCloudflaredConfig", _config(HOST_RULE, CATCH_ALL)),
    ("ZeroTrustTunnelCloudflaredConfig", _config(CATCH_ALL)),
    ("ZeroTrustTunnelCloudflaredConfig", _config(UNKNOWN, CATCH_ALL)),
    ("ZeroTrustTunnelCloudflaredConfig", {**_config(), "config": UNKNOWN}),
    ("ZeroTrustTunnelCloudflaredConfig", _service("https://10.0.0.2:8443")),
    ("ZeroTrustTunnelCloudflaredConfig", _service("unix:/run/app.sock")),
    ("ZeroTrustTunnelCloudflaredConfig", _service("ssh://localhost:22")),
    ("ZeroTrustTunnelCloudflaredConfig", _service("hello_world")),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "path": r"^/api/.*\.json$"}, CATCH_ALL),
    ),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "hostname": "*.payments.localhost"}, CATCH_ALL),
    ),
]

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("DnsRecord", {**CAA, "data": {"flags": 0, "tag": "issue"}}, "^data.value: is required"),
    ("DnsRecord", {**CAA, "data": {**CAA["data"], "tag": "all"}}, '^data.tag: "all" is not issue'),
    ("DnsRecord", {**CAA, "data": {**CAA["data"], "flags": 256}}, "^data.flags: 256 is not"),
    ("DnsRecord", {k: v for k, v in ADDRESS.items() if k != "ttl"}, "^ttl: "),
    ("DnsRecord", {k: v for k, v in ADDRESS.items() if k != "zoneId"}, "^zoneId: is required"),
    ("DnsRecord", {**SITE, "ttl": 300}, "^ttl: 300 must be 1 when proxied"),
    ("DnsRecord", _record(ttl=59), "^ttl: 59: TTL must be between 60 and 86400"),
    ("DnsRecord", _record(ttl=86401), "^ttl: 86401"),
    ("DnsRecord", _record(type="ANAME"), '^type: "ANAME" is not one of A, AAAA'),
    ("DnsRecord", _record(content=None), 'needs one of "content", "data"'),
    ("DnsRecord", _record(data={"value": "x"}), "conflicts with"),
    (
        "DnsRecord",
        {**{k: v for k, v in CAA.items() if k != "data"}, "content": "0 issue x"},
        '^content: .*type "CAA": give data',
    ),
    ("DnsRecord", _record(content=None, data={"value": "x"}), '^data: .*type "A": give content'),
    ("DnsRecord", _record(content="localhost"), '^content: "localhost" is no IPv4'),
    ("DnsRecord", _record(type="AAAA"), '^content: "192.0.2.1" is no IPv6'),
    ("DnsRecord", _record(type="CNAME"), '^content: "192.0.2.1" is no host name'),
    (
        "DnsRecord",
        _record(type="CNAME", content="a.payments.localhost"),
        "cannot reference itself",
    ),
    ("DnsRecord", _record(type="TXT", content="x", proxied=True, ttl=1), "^proxied: "),
    ("DnsRecord", _record(type="MX", content="mx.example.com"), "^priority: is required"),
    ("DnsRecord", _record(type="MX", content="m.x", priority=70000), "^priority: 70000"),
    ("DnsRecord", _record(name="pay ments"), '^name: "pay ments" is no host'),
    ("DnsRecord", _record(name="a.*.b"), '^name: "a.\\*.b"'),
    ("DnsRecord", _record(comment="c" * 501), "^comment: has 501 characters, 500"),
    (
        "DnsRecord",
        _record(zoneId=FREE_ZONE_ID, comment="c" * 101),
        "101 characters, 100 is the limit on free",
    ),
    ("DnsRecord", _record(zoneId=FREE_ZONE_ID, tags=["a"]), r"^tags\[0\]: .*free plan"),
    ("DnsRecord", _record(zoneId="payments"), "^zoneId: "),
    ("DnsRecord", _record(includeShadowMetadata=True), "^includeShadowMetadata: "),
    ("ZeroTrustTunnelCloudflared", {"name": "site"}, "^accountId: is required"),
    ("ZeroTrustTunnelCloudflared", {**TUNNEL, "configSrc": "remote"}, '^configSrc: "remote"'),
    ("ZeroTrustTunnelCloudflared", {**TUNNEL, "name": " "}, "^name: "),
    ("ZeroTrustTunnelCloudflared", {**TUNNEL, "tunnelSecret": "short"}, "at least 32 bytes"),
    (
        "ZeroTrustTunnelCloudflared",
        {**TUNNEL, "tunnelSecret": base64.b64encode(b"s" * 31).decode()},
        "^tunnelSecret: ",
    ),
    ("ZeroTrustTunnelCloudflaredConfig", _config(), "at least one rule"),
    ("ZeroTrustTunnelCloudflaredConfig", _config(HOST_RULE), r"ingresses\[0\]: is the last"),
    ("ZeroTrustTunnelCloudflaredConfig", _config(CATCH_ALL, CATCH_ALL), "never be triggered"),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "hostname": "pay.example.com"}, CATCH_ALL),
        r'^config.ingresses\[0\].hostname: "pay.example.com" is in no zone',
    ),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "hostname": "notpayments.localhost"}, CATCH_ALL),
        "is in no zone",
    ),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "hostname": "pay.payments.localhost:443"}, CATCH_ALL),
        "cannot contain a port",
    ),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "hostname": "a.*.payments.localhost"}, CATCH_ALL),
        'can have one "\\*"',
    ),
    ("ZeroTrustTunnelCloudflaredConfig", _service("gateway:8080"), "must be a URL with a host"),
    ("ZeroTrustTunnelCloudflaredConfig", _service("http://gateway:99999"), "is no URL"),
    ("ZeroTrustTunnelCloudflaredConfig", _service("ftp://gateway"), "must be a URL"),
    ("ZeroTrustTunnelCloudflaredConfig", _service("http://gateway:8080/x"), "not have a path"),
    ("ZeroTrustTunnelCloudflaredConfig", _service("http_status:99"), "100 to 599"),
    ("ZeroTrustTunnelCloudflaredConfig", _service("unix:"), "path of a socket"),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "path": "("}, CATCH_ALL),
        "invalid regular expression",
    ),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        {**_config(CATCH_ALL), "source": "local"},
        '^source: "local"',
    ),
    ("ZeroTrustTunnelCloudflaredConfig", _config(CATCH_ALL, warpRouting={}), "warpRouting"),
    (
        "ZeroTrustTunnelCloudflaredConfig",
        _config({**HOST_RULE, "originRequest": {"proxyType": "http"}}, CATCH_ALL),
        '"http"',
    ),
]


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))


@pytest.mark.parametrize(("name", "inputs"), ACCEPTED)
def test_what_the_api_takes_is_accepted(
    handlers: Handlers, name: str, inputs: dict[str, Any]
) -> None:
    assert handlers.failures(name, inputs) == []


@pytest.mark.parametrize(("name", "inputs", "message"), REFUSED)
def test_what_the_api_refuses_is_refused_and_says_what_and_why(
    handlers: Handlers, name: str, inputs: dict[str, Any], message: str
) -> None:
    found = handlers.failures(name, inputs)
    assert any(re.search(message, text) for text in found), found


_label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_zone = Zone(id="z", name="example.com", plan="pro", account_id="a")


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(_label, max_size=3))
def test_a_name_is_the_same_however_it_is_written(labels: list[str]) -> None:
    relative = ".".join(labels) or "@"
    full = ".".join([*labels, "example.com"])
    for written in (relative, full, full.upper(), f"{full}."):
        assert full_name(written, _zone) == full
    assert full_name(full_name(relative, _zone), _zone) == full, "normalising twice changes nothing"


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rules=st.lists(
        st.fixed_dictionaries(
            {"service": st.just("http://gateway")},
            optional={
                "hostname": st.sampled_from(["pay.payments.localhost", "*", ""]),
                "path": st.sampled_from(["/api", ""]),
            },
        ),
        max_size=4,
    )
)
def test_ingress_rules_are_accepted_exactly_when_only_the_last_one_takes_everything(
    handlers: Handlers, rules: list[dict[str, str]]
) -> None:
    def takes_all(rule: dict[str, str]) -> bool:
        return rule.get("hostname", "") in ("", "*") and not rule.get("path")

    fine = bool(rules) and [takes_all(rule) for rule in rules] == [False] * (len(rules) - 1) + [
        True
    ]
    found = handlers.failures("ZeroTrustTunnelCloudflaredConfig", _config(*rules))
    assert (found == []) is fine, found
