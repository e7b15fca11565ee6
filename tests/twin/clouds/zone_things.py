"""Zones of every plan, and the smallest resources that each of them takes."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.twin.clouds.handlers import Handlers
from twin.clouds import cloudflare
from twin.paper import PaperWorld
from twin.protocol.resource import Context
from twin.store import Store

ZONE, ACCOUNT = "a" * 32, "b" * 32
CUSTOM, LIMIT = "http_request_firewall_custom", "http_ratelimit"
MANAGED, REDIRECT = "http_request_firewall_managed", "http_request_dynamic_redirect"
REQUEST, REPLY = "http_request_late_transform", "http_response_headers_transform"
CACHE = "http_request_cache_settings"
OWASP = "4814384a9e5d4991b9815dcfc25d2f1f"
CLOUDFLARE = "efb7b8c949ac4650a09736fc376e9aee"


def handlers(plan: str = "pro", *addons: str) -> Handlers:
    zone: dict[str, Any] = {"id": ZONE, "name": "example.com", "plan": plan}
    zone |= {"account_id": ACCOUNT, "addons": list(addons)}
    account = {"cloudflare": {"accounts": [{"id": ACCOUNT}], "zones": [zone]}}
    store = Store(":memory:")
    ctx = Context(config={}, store=store, world=PaperWorld(store), account=account)
    return Handlers(cloudflare.package(), ctx)


def rule(expression: str = "true", action: str = "block", **more: Any) -> dict[str, Any]:
    return {"expression": expression, "action": action, **more}


def ruleset(phase: str, *rules: Any, **more: Any) -> dict[str, Any]:
    given = {"zoneId": ZONE, "kind": "zone", "name": "rules", "phase": phase}
    return {**given, "rules": list(rules), **more}


def custom(*rules: Any) -> dict[str, Any]:
    return ruleset(CUSTOM, *rules)


def limit(action: str = "block", **more: Any) -> dict[str, Any]:
    """A ruleset with one rate limit that Pro takes; `more` changes its `ratelimit`."""
    given = {
        "characteristics": ["cf.colo.id", "ip.src"],
        "period": 60,
        "requestsPerPeriod": 10,
        "mitigationTimeout": 600 if action == "block" else 0,
        **more,
    }
    given = {name: value for name, value in given.items() if value is not None}
    text = 'http.request.uri.path eq "/login"'
    return ruleset(LIMIT, rule(text, action, ratelimit=given))


def act(phase: str, action: str, **parameters: Any) -> dict[str, Any]:
    """A ruleset with one rule that does something everywhere."""
    return ruleset(phase, rule("true", action, actionParameters=parameters))


def header(name: str, operation: str = "set", phase: str = REPLY, **more: Any) -> dict[str, Any]:
    given = {"operation": operation, **({"value": "x"} if operation != "remove" else {}), **more}
    given = {key: value for key, value in given.items() if value is not None}
    return act(phase, "rewrite", headers={name: given})


def ip_list(*texts: str, **more: Any) -> dict[str, Any]:
    items = [{"ip": text} for text in texts]
    return {"accountId": ACCOUNT, "kind": "ip", "name": "office", "items": items, **more}


def setting(name: str, value: Any) -> dict[str, Any]:
    return {"zoneId": ZONE, "settingId": name, "value": value}


def certificate(*, authority: bool = False, days: int = 90) -> dict[str, str]:
    """A self-signed certificate and its key as the inputs of an upload."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return {
        "zoneId": ZONE,
        "certificate": made.public_bytes(serialization.Encoding.PEM).decode(),
        "privateKey": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    }
