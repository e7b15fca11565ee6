"""The fields of the rule language: their types, and the phases and plans that have them.

Source: the field reference of cloudflare-docs (src/content/fields/index.yaml), where a plan is
named in `plan_info_label` and a phase in the description; the rate-limit fields by plan are the
table partials/waf/rate-limiting-availability-by-plan.mdx. Left out: what belongs to packet filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from twin.rules.types import (
    ADDRESS,
    BOOLEAN,
    INTEGER,
    INTEGER_LISTS,
    INTEGERS,
    STRING,
    STRING_LISTS,
    STRINGS,
    Type,
    array,
)

PLANS: Final = ("free", "pro", "business", "enterprise")

TRANSFORMS: Final = frozenset(
    {"http_request_transform", "http_request_late_transform", "http_response_headers_transform"}
)
RESPONSE_PHASES: Final = frozenset(
    {
        "http_response_headers_transform",
        "http_response_compression",
        "http_response_cache_settings",
        "http_response_firewall_managed",
        "http_custom_errors",
        "http_log_custom_fields",
    }
)
BODY_PHASES: Final = frozenset(
    {"http_request_firewall_custom", "http_ratelimit", "http_request_firewall_managed"}
)
"""Where the body has been read: the phases of the web application firewall."""
ERROR_PHASES: Final = frozenset({"http_response_headers_transform", "http_custom_errors"})


@dataclass(frozen=True)
class Field:
    """A field; `phases` None for all phases of requests."""

    name: str
    type: Type
    plan: str = "free"
    phases: frozenset[str] | None = None
    response: bool = False


class _Add(Protocol):
    def __call__(
        self,
        kind: Type,
        names: str,
        *,
        plan: str = "free",
        phases: frozenset[str] | None = None,
        response: bool = False,
    ) -> None: ...


def _table() -> dict[str, Field]:
    fields: dict[str, Field] = {}

    def add(
        kind: Type,
        names: str,
        *,
        plan: str = "free",
        phases: frozenset[str] | None = None,
        response: bool = False,
    ) -> None:
        for name in names.split():
            fields[name] = Field(name, kind, plan, phases, response)

    _add_request(add)
    _add_cloudflare(add)
    _add_bodies(add)
    add(INTEGER, "http.response.code", response=True)
    add(STRING, "http.response.content_type.media_type", response=True)
    for prefix in ("", "raw."):
        add(STRING_LISTS, f"{prefix}http.response.headers", response=True)
        names = f"{prefix}http.response.headers.names {prefix}http.response.headers.values"
        add(STRINGS, names, response=True)
    add(INTEGER, "cf.response.1xxx_code", phases=ERROR_PHASES, response=True)
    add(STRING, "cf.response.error_type", phases=ERROR_PHASES, response=True)
    add(INTEGER, "cf.timings.edge_msec cf.timings.origin_ttfb_msec", response=True)
    add(INTEGER, "cf.timings.worker_msec", response=True)
    return fields


def _add_request(add: _Add) -> None:
    add(
        STRING,
        "http.cookie http.host http.referer http.request.method http.user_agent"
        " http.request.version http.x_forwarded_for",
    )
    for prefix in ("", "raw."):
        uri = f"{prefix}http.request.uri"
        add(STRING, f"{prefix}http.request.full_uri {uri} {uri}.path {uri}.path.extension")
        add(STRING, f"{uri}.query")
        add(STRING_LISTS, f"{uri}.args")
        add(STRINGS, f"{uri}.args.names {uri}.args.values")
    add(STRING_LISTS, "http.request.cookies", plan="pro")
    add(STRING_LISTS, "http.request.headers")
    add(STRINGS, "http.request.headers.names http.request.headers.values")
    add(BOOLEAN, "http.request.headers.truncated ssl")
    add(STRINGS, "http.request.accepted_languages", phases=TRANSFORMS)
    add(INTEGER, "http.request.timestamp.sec http.request.timestamp.msec")
    add(ADDRESS, "ip.src")
    add(
        STRING,
        "ip.src.lat ip.src.lon ip.src.city ip.src.postal_code ip.src.metro_code ip.src.region"
        " ip.src.region_code ip.src.continent ip.src.country",
    )
    add(STRING, "ip.src.timezone.name", phases=TRANSFORMS)
    add(INTEGER, "ip.src.asnum")
    # The old names of the same values; documented as deprecated, and still accepted.
    add(STRING, "ip.geoip.continent ip.geoip.country")
    add(INTEGER, "ip.geoip.asnum")
    for prefix in ("ip.src", "ip.geoip"):
        codes = f"{prefix}.subdivision_1_iso_code {prefix}.subdivision_2_iso_code"
        add(STRING, codes, plan="business")
        add(BOOLEAN, f"{prefix}.is_in_european_union", plan="business")


def _add_cloudflare(add: _Add) -> None:
    add(BOOLEAN, "cf.client.bot cf.edge.client_tcp")
    add(STRING, "cf.verified_bot_category")
    add(INTEGER, "cf.threat_score cf.edge.server_port cf.edge.l4.delivery_rate")
    add(INTEGER, "cf.timings.client_tcp_rtt_msec cf.timings.client_quic_rtt_msec")
    add(ADDRESS, "cf.edge.server_ip")
    add(STRING, "cf.hostname.metadata cf.ray_id cf.worker.upstream_zone")
    add(STRING, "cf.random_seed", phases=TRANSFORMS)
    bots = "cf.bot_management"
    add(
        BOOLEAN,
        f"{bots}.verified_bot {bots}.static_resource {bots}.js_detection.passed"
        f" {bots}.corporate_proxy {bots}.signed_agent",
        plan="enterprise",
    )
    add(INTEGER, f"{bots}.score", plan="enterprise")
    add(STRING, f"{bots}.ja3_hash {bots}.ja4", plan="enterprise")
    add(INTEGERS, f"{bots}.detection_ids", plan="enterprise")
    waf = "cf.waf"
    add(INTEGER, f"{waf}.score {waf}.score.sqli {waf}.score.xss {waf}.score.rce", plan="enterprise")
    add(STRING, f"{waf}.score.class", plan="business")
    add(BOOLEAN, f"{waf}.auth_detected", plan="enterprise")
    check = f"{waf}.credential_check"
    add(BOOLEAN, f"{check}.password_leaked")
    add(BOOLEAN, f"{check}.username_and_password_leaked", plan="pro")
    similar = f"{check}.username_leaked {check}.username_password_similar"
    add(BOOLEAN, similar, plan="enterprise")
    scan = f"{waf}.content_scan"
    flags = f"{scan}.has_obj {scan}.has_malicious_obj {scan}.has_failed"
    add(BOOLEAN, flags, plan="enterprise")
    add(INTEGER, f"{scan}.num_malicious_obj {scan}.num_obj", plan="enterprise")
    add(INTEGERS, f"{scan}.obj_sizes", plan="enterprise")
    add(STRINGS, f"{scan}.obj_types {scan}.obj_results", plan="enterprise")
    shield = "cf.api_gateway"
    add(BOOLEAN, f"{shield}.auth_id_present", plan="enterprise")
    add(BOOLEAN, f"{shield}.request_violates_schema {shield}.fallthrough_detected")
    add(BOOLEAN, "cf.schema_validation.learned.violated cf.schema_validation.uploaded.violated")
    client = "cf.tls_client_auth.cert"
    add(BOOLEAN, f"{client}_revoked {client}_verified {client}_presented")
    add(BOOLEAN, f"{client}_rfc9440_too_large {client}_chain_rfc9440_too_large")
    for part in ("issuer", "subject"):
        add(STRING, " ".join(f"{client}_{part}_dn{form}" for form in ("", "_rfc2253", "_legacy")))
    rest = "serial issuer_serial fingerprint_sha256 fingerprint_sha1 not_before not_after ski"
    rest += " issuer_ski rfc9440 chain_rfc9440"
    add(STRING, " ".join(f"{client}_{name}" for name in rest.split()))
    add(
        STRING,
        "cf.tls_cipher cf.tls_version cf.tls_client_extensions_sha1 cf.tls_ciphers_sha1"
        " cf.tls_client_extensions_sha1_le cf.tls_client_random",
    )
    add(INTEGER, "cf.tls_client_hello_length")


def _add_bodies(add: _Add) -> None:
    body = "http.request.body"
    add(STRING, f"{body}.mime", phases=BODY_PHASES)
    paid = partial(add, plan="enterprise", phases=BODY_PHASES)
    paid(STRING, f"{body}.raw")
    paid(BOOLEAN, f"{body}.truncated")
    paid(INTEGER, f"{body}.size")
    paid(STRING_LISTS, f"{body}.form {body}.multipart")
    parts = f"{body}.multipart"
    paid(STRINGS, f"{body}.form.names {body}.form.values {parts}.values")
    headers = "names content_types content_dispositions content_transfer_encodings filenames"
    paid(array(STRINGS), " ".join(f"{parts}.{name}" for name in headers.split()))
    claims = "http.request.jwt.claims"
    for names, one, many in (
        ("aud iss jti sub", STRING_LISTS, STRINGS),
        ("iat.sec nbf.sec", INTEGER_LISTS, INTEGERS),
    ):
        for name in names.split():
            add(one, f"{claims}.{name}", plan="enterprise")
            add(STRINGS, f"{claims}.{name}.names", plan="enterprise")
            add(many, f"{claims}.{name}.values", plan="enterprise")


FIELDS: Final[Mapping[str, Field]] = _table()

_FREE_RATE: Final = frozenset(
    {"http.request.uri.path", "cf.bot_management.verified_bot", "cf.client.bot"}
)
_PRO_RATE: Final = _FREE_RATE | {
    "http.host",
    "http.request.uri",
    "http.request.full_uri",
    "http.request.uri.query",
}
RATE_LIMIT_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "free": _FREE_RATE,
    "pro": _PRO_RATE,
    "business": _PRO_RATE | {"http.request.method", "ip.src", "http.user_agent"},
}
"""What a rate limit's expression may look at; Enterprise has all fields of the request."""

_COUNTING: Final = frozenset({"http.response.code", "http.response.headers"})
COUNTING_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "business": RATE_LIMIT_FIELDS["business"] | _COUNTING
}
"""What a counting expression may look at below Enterprise; Free and Pro have none."""
