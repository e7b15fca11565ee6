"""Headers that the edge adds to replies, and takes off requests.

The service owns the policies for content, permissions and openers: it knows which page needs which
checkout script. The edge adds one that forbids everything only where a reply has none, such as one
that Cloudflare or the gateway made. HSTS is a setting of the zone (`zone`).

X-XSS-Protection is not set: browsers have dropped the filter that it switched, and where it lives
on it can be used to leak (OWASP secure headers project); the content security policy does its work.
"""

from __future__ import annotations

from typing import Any, Final

from components.edge.rules import Rule

ALWAYS: Final[dict[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "X-Permitted-Cross-Domain-Policies": "none",
}
"""On every reply. Not `no-referrer`: browsers then send `Origin: null` with our own forms."""

REMOVED: Final = ("X-Powered-By", "X-AspNet-Version")

WHERE_MISSING: Final[dict[str, tuple[str, str]]] = {
    "content-security-policy": (
        "csp",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    "permissions-policy": (
        "permissions",
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    ),
    # A checkout that opens its bank's page in a window needs `same-origin-allow-popups` there.
    "cross-origin-opener-policy": ("opener", "same-origin"),
}
"""What a reply gets that does not bring its own: the header, the rule's ref, the value."""

STRIPPED: Final = (
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-Forwarded-Host",
    "Forwarded",
)
"""What visitors may not tell the servers behind the edge about themselves or their request."""


def response_rules() -> tuple[Rule, ...]:
    """The wanted rules for replies."""
    always: dict[str, Any] = {
        name: {"operation": "set", "value": value} for name, value in ALWAYS.items()
    }
    always |= {name: {"operation": "remove"} for name in REMOVED}
    rules = [
        Rule(
            ref="security-headers",
            description="Security headers on every reply",
            expression="true",
            action="rewrite",
            parameters={"headers": always},
            rank=1,
            otherwise="the service sets the same headers",
        )
    ]
    for rank, (header, (ref, value)) in enumerate(WHERE_MISSING.items(), start=2):
        rules.append(
            Rule(
                ref=f"default-{ref}",
                description=f"{header} for replies that bring none",
                expression=f'not any(http.response.headers.names[*] eq "{header}")',
                action="rewrite",
                parameters={"headers": {header: {"operation": "set", "value": value}}},
                rank=rank,
                otherwise="the service sets its own on everything it answers",
            )
        )
    return tuple(rules)


def request_rules() -> tuple[Rule, ...]:
    """The wanted rules for requests on their way to the origin."""
    return (
        Rule(
            ref="forged-headers",
            description="Headers that would speak for the edge or rename the request",
            expression="true",
            action="rewrite",
            parameters={"headers": {name: {"operation": "remove"} for name in STRIPPED}},
            rank=1,
            otherwise="the gateway overwrites those that mean something to it",
        ),
    )
