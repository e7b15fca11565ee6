"""What a rule may say, by phase and plan: the fields and functions of the rule language.

An allow-list: a field that does not stand here would be refused in the middle of an update, or is
new and wants a look at its plan first. Sources are pages of developers.cloudflare.com:
ruleset-engine/rules-language, fields/reference and functions. Where a field needs something that is
bought beside the plan (Bot Management, API Shield, scans of uploads) no plan has it here. What a
rate limit may look at is another table of the plans (`plans`, rate_fields).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from components.edge.plans import MAX_EXPRESSION, Plan
from components.edge.rules import PHASES, Phase, Rule, fields, uses_regex, without_texts


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_URI: Final = " ".join(
    f"{prefix}http.request.uri{part}"
    for prefix in ("", "raw.")
    for part in ("", ".path", ".path.extension", ".query", ".args", ".args.names", ".args.values")
)
_CERTIFICATE: Final = " ".join(
    f"cf.tls_client_auth.cert_{part}"
    for part in sorted(
        _words(
            "revoked verified presented rfc9440_too_large chain_rfc9440_too_large issuer_dn "
            "issuer_dn_rfc2253 issuer_dn_legacy subject_dn subject_dn_rfc2253 subject_dn_legacy "
            "serial issuer_serial fingerprint_sha256 fingerprint_sha1 not_before not_after ski "
            "issuer_ski rfc9440 chain_rfc9440"
        )
    )
)
EVERY_PLAN: Final = _words(
    f"""
    {_URI} {_CERTIFICATE} http.request.full_uri raw.http.request.full_uri
    http.cookie http.host http.referer http.request.method http.user_agent http.request.version
    http.x_forwarded_for http.request.headers http.request.headers.names http.request.headers.values
    http.request.headers.truncated http.request.timestamp.sec http.request.timestamp.msec ssl
    ip.src ip.src.lat ip.src.lon ip.src.city ip.src.postal_code ip.src.metro_code ip.src.region
    ip.src.region_code ip.src.continent ip.src.country ip.src.asnum
    ip.geoip.continent ip.geoip.country ip.geoip.asnum
    cf.client.bot cf.verified_bot_category cf.threat_score cf.ray_id cf.worker.upstream_zone
    cf.hostname.metadata cf.edge.client_tcp cf.edge.server_port cf.edge.server_ip
    cf.edge.l4.delivery_rate cf.timings.client_tcp_rtt_msec cf.timings.client_quic_rtt_msec
    cf.tls_cipher cf.tls_version cf.tls_ciphers_sha1 cf.tls_client_extensions_sha1
    cf.tls_client_extensions_sha1_le cf.tls_client_random cf.tls_client_hello_length
    cf.waf.credential_check.password_leaked http.request.body.mime
    """
)
"""Fields of a request that every plan has."""
_BODIES: Final = "http.request.body."
_WITH_A_BODY: Final = _words("http_request_firewall_custom http_request_firewall_managed")
TRANSFORMS: Final = _words("http_request_late_transform http_response_headers_transform")
OF_TRANSFORMS: Final = _words("http.request.accepted_languages ip.src.timezone.name cf.random_seed")
OF_REPLIES: Final = _words(
    """
    http.response.code http.response.content_type.media_type http.response.headers
    http.response.headers.names http.response.headers.values raw.http.response.headers
    raw.http.response.headers.names raw.http.response.headers.values cf.response.1xxx_code
    cf.response.error_type cf.timings.edge_msec cf.timings.origin_ttfb_msec cf.timings.worker_msec
    """
)
"""Fields that there are once a reply is there."""

_ALL: Final = frozenset(PHASES)
_REDIRECT: Final = _words("http_request_dynamic_redirect")
_SECURITY: Final = _words("http_request_firewall_custom http_ratelimit")
FUNCTIONS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(
        _words(
            "any all concat ends_with starts_with has_key has_value len lookup_json_integer "
            "lookup_json_string lower upper remove_bytes substring url_decode"
        ),
        _ALL,
    ),
    **dict.fromkeys(_words("cidr cidr6"), _SECURITY),
    "decode_base64": TRANSFORMS | _SECURITY,
    "join": TRANSFORMS | {"http_request_firewall_custom"},
    "split": frozenset({"http_response_headers_transform"}),
    **dict.fromkeys(_words("encode_base64 remove_query_args uuidv4"), TRANSFORMS),
    **dict.fromkeys(_words("to_string regex_replace"), TRANSFORMS | _REDIRECT),
    "wildcard_replace": _REDIRECT,
    "is_timed_hmac_valid_v0": _ALL,
}
"""The phases that have a function."""
_OF_VALUES: Final = _words(
    "encode_base64 remove_query_args uuidv4 to_string regex_replace wildcard_replace"
)
"""Functions that make a target or a header, and cannot stand in a condition."""
_FROM_PRO: Final = frozenset({"is_timed_hmac_valid_v0"})
_CALL: Final = re.compile(r"([a-z_][a-z0-9_]*)\s*\(")
_WORDS: Final = frozenset({"and", "or", "not", "xor", "in", "eq", "ne"})
_MANAGED_LIST: Final = re.compile(r"\$cf\.[a-z_]+")


def refusal(rule: Rule, phase: Phase, plan: Plan) -> str:
    """Why a plan would refuse what a rule of a phase says; empty where it takes it."""
    for expression, is_value in expressions(rule):
        if why := _refused(expression, phase, plan, is_value=is_value):
            return why
    return ""


def expressions(rule: Rule) -> Iterator[tuple[str, bool]]:
    """The rule's condition, and what makes its values: the text, and whether it is a value."""
    yield rule.expression, False
    made = [*rule.parameters.get("headers", {}).values()]
    made.append(rule.parameters.get("from_value", {}).get("target_url", {}))
    for value in made:
        if "expression" in value:
            yield value["expression"], True


def _refused(expression: str, phase: Phase, plan: Plan, *, is_value: bool) -> str:
    if len(expression) > MAX_EXPRESSION:
        return f"an expression has at most {MAX_EXPRESSION} characters"
    if uses_regex(expression) and not plan.regex:
        return f"{plan.title} has no regular expressions"
    plain = without_texts(expression)
    called = set(_CALL.findall(plain)) - _WORDS
    named = fields(expression)
    closed = sorted(named - EVERY_PLAN - plan.paid_fields - OF_REPLIES - OF_TRANSFORMS)
    closed += sorted(called & _FROM_PRO) if plan.name == "free" else []
    closed += sorted(_MANAGED_LIST.findall(plain)) if plan.name != "enterprise" else []
    if closed:
        return f"{plan.title} does not have {', '.join(closed)}"
    misplaced = [it for it in sorted(named) if _of_phases(it) and phase not in _of_phases(it)]
    misplaced += [it for it in sorted(called) if phase not in FUNCTIONS.get(it, ())]
    misplaced += [] if is_value else sorted(called & _OF_VALUES)
    if misplaced:
        return f"{PHASES[phase]} does not have {', '.join(dict.fromkeys(misplaced))}"
    return ""


def _of_phases(name: str) -> frozenset[str]:
    """The only phases that have a field; empty where that does not depend on the phase."""
    if name in OF_REPLIES:
        return frozenset({"http_response_headers_transform"})
    if name in OF_TRANSFORMS:
        return TRANSFORMS
    return _WITH_A_BODY if name.startswith(_BODIES) else frozenset()
