"""The custom rules of the firewall, in their order: who is let by, who is refused, who is asked.

- Machines come first: a skip rule only spares what stands after it. Webhooks are spared by exact
  path and, where the gateway publishes them, by source; the service still verifies the signature.
- Then what is never legitimate is refused. These rules read the path as it came
  (`raw.http.request.uri.path`): after normalisation its tricks are gone.
- Challenges come last and never cover the API, webhooks, health checks or static files: whoever
  calls those cannot solve one.
- `cf.threat_score` is not populated any more (waf, threat score): no rule reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from components.edge import paths
from components.edge.rules import PATH, Rule, address_in, below, either, every, one_of, text

RAW_PATH: Final = "raw.http.request.uri.path"
SPARED: Final[dict[str, Any]] = {
    "ruleset": "current",
    "phases": ["http_ratelimit", "http_request_sbfm", "http_request_firewall_managed"],
    "products": ["bic", "hot", "securityLevel", "uaBlock", "zoneLockdown"],
}
"""What a machine's request skips: the rest of these rules, and whatever might challenge it."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

TRICKS: Final = ("//", "/./", "/../", ";", "\\", "%00", "%25", "%2e", "%2f", "%5c", "%3b")
"""Pieces of a path that mean one thing to the edge and may mean another to a server behind it."""

PROBES: Final = (
    "/.env",
    "/.git",
    "/.aws",
    "/.ssh",
    "/.svn",
    "/wp-",
    "/xmlrpc",
    "/phpmyadmin",
    "/cgi-bin",
    "/actuator",
    "/server-status",
    "/vendor/",
    ".php",
    ".asp",
    ".jsp",
)
"""Paths of other people's software. The service has none of them."""

TOOLS: Final = (
    "sqlmap",
    "nikto",
    "nmap",
    "masscan",
    "zgrab",
    "nuclei",
    "wpscan",
    "dirbuster",
    "gobuster",
)
"""What attack tools call themselves when nobody changes it."""

TOR: Final = "T1"
"""The country code that Cloudflare gives to Tor exits (ip.src.country)."""


def rules(
    *,
    hostname: str,
    access_hosts: Sequence[str] = (),
    redirected: Sequence[str] = (),
    webhooks: Sequence[paths.Webhook] = paths.WEBHOOKS,
    admin_list: str | None = None,
) -> tuple[Rule, ...]:
    """The wanted rules.

    `access_hosts` are names that Access alone guards (SSH), `redirected` names that only redirect,
    `admin_list` is the list of addresses that may call the admin API; without one nobody may.
    """
    let_by, refused = webhook_rules(webhooks)
    wanted = [*let_by, _health()]
    if access_hosts:
        wanted.append(_access_hosts(access_hosts))
    wanted += [
        *refused,
        _admin_api(admin_list),
        _hosts([hostname, *access_hosts, *redirected]),
        _methods(),
        _tricks(),
        _probes(),
        _api_clients(),
        _leaked_password(),
        _suspicious(),
    ]
    return tuple(wanted)


def webhook_rules(webhooks: Sequence[paths.Webhook]) -> tuple[list[Rule], list[Rule]]:
    """What lets deliveries by, and what refuses those from elsewhere."""
    return ([_webhooks(webhooks)] if webhooks else []), _webhooks_from_elsewhere(webhooks)


def _webhooks(webhooks: Sequence[paths.Webhook]) -> Rule:
    conditions = [
        f"({every(one_of(PATH, hook.paths), address_in(hook.sources))})"
        if hook.sources
        else one_of(PATH, hook.paths)
        for hook in webhooks
    ]
    return Rule(
        ref="webhooks",
        description="Payment gateways deliver: by exact path and published source",
        expression=every('http.request.method eq "POST"', either(conditions)),
        action="skip",
        parameters=SPARED,
        joins="machines",
        rank=1,
        otherwise="nobody: a challenged delivery is a payment that is not booked",
    )


def _health() -> Rule:
    return Rule(
        ref="health",
        description="Health checks: nothing slows them down",
        expression=every(
            one_of("http.request.method", ("GET", "HEAD")), one_of(PATH, paths.HEALTH)
        ),
        action="skip",
        parameters=SPARED,
        joins="machines",
        rank=2,
        otherwise="the tunnel's own health alert",
    )


def _access_hosts(hosts: Sequence[str]) -> Rule:
    return Rule(
        ref="access-hosts",
        description="Names that Access alone guards: cloudflared cannot solve a challenge",
        expression=one_of("http.host", hosts),
        action="skip",
        parameters=SPARED,
        joins="machines",
        rank=3,
        otherwise="nobody: SSH through Access would be challenged",
    )


def _webhooks_from_elsewhere(webhooks: Sequence[paths.Webhook]) -> list[Rule]:
    conditions = [
        f"({every(one_of(PATH, hook.paths), 'not ' + address_in(hook.sources))})"
        for hook in webhooks
        if hook.sources
    ]
    if not conditions:
        return []
    return [
        _refuse(
            "webhooks-from-elsewhere",
            "A webhook from an address that its gateway does not publish",
            either(conditions),
            rank=5,
            otherwise="the service refuses them as well, and verifies every signature",
        )
    ]


def _admin_api(admin_list: str | None) -> Rule:
    # Lower-case, and anything that begins with it: deny first, the service answers what is left.
    path = below(paths.ADMIN_API, f"lower({PATH})")
    return _refuse(
        "admin-api",
        "The admin API only from the addresses on the list",
        every(path, f"not ip.src in ${admin_list}") if admin_list else path,
        rank=4,
        otherwise="Access and the service check the address as well",
    )


def _hosts(hosts: Sequence[str]) -> Rule:
    return _refuse(
        "unknown-host",
        "A host name of the zone that is not served",
        f"not {one_of('http.host', dict.fromkeys(hosts))}",
        rank=8,
        otherwise="the gateway answers 421 to any other name",
    )


def _methods() -> Rule:
    return _refuse(
        "odd-method",
        "A method that the service does not know",
        f"not {one_of('http.request.method', METHODS)}",
        rank=9,
        otherwise="the service answers 405",
    )


def _tricks() -> Rule:
    conditions = [f"lower({RAW_PATH}) contains {text(piece)}" for piece in TRICKS]
    conditions.append(f'ends_with({RAW_PATH}, "/..")')
    for prefix in (paths.ADMIN, paths.API):
        other_case = below(prefix, f"lower({PATH})")
        conditions.append(f"({every(other_case, 'not ' + below(prefix))})")
    return _refuse(
        "path-tricks",
        "A path that two servers could read differently",
        either(conditions),
        rank=6,
        otherwise="the service refuses such paths itself",
    )


def _probes() -> Rule:
    return _refuse(
        "probes",
        "A path of software that is not here",
        either(f"lower({PATH}) contains {text(piece)}" for piece in PROBES),
        rank=10,
        otherwise="the service answers 404",
    )


def _api_clients() -> Rule:
    return Rule(
        ref="api-clients",
        description="API clients are programs: limited and inspected, never taken for bad bots",
        expression=below(paths.API),
        action="skip",
        parameters={"phases": ["http_request_sbfm"], "products": ["bic"]},
        rank=7,
        otherwise="nobody: the browser check may refuse API clients without a user agent",
    )


def _leaked_password() -> Rule:
    return Rule(
        ref="leaked-password",
        description="A login with a password that is in a published breach",
        expression=every(
            'http.request.method eq "POST"',
            f"{PATH} eq {text(paths.LOGIN_FORM)}",
            "cf.waf.credential_check.password_leaked",
        ),
        action="managed_challenge",
        joins="ask",
        rank=11,
        otherwise="the service refuses common passwords and locks accounts that are guessed at",
    )


def _suspicious() -> Rule:
    agents = [f"lower(http.user_agent) contains {text(tool)}" for tool in TOOLS]
    return Rule(
        ref="suspicious",
        description="Tor, no user agent, known attack tools; verified bots pass",
        expression=every(
            "not cf.client.bot",
            *(f"not {below(prefix)}" for prefix in (paths.API, paths.STATIC)),
            f"not {one_of(PATH, paths.MACHINES)}",
            either(['http.user_agent eq ""', f"ip.src.country eq {text(TOR)}", *agents]),
        ),
        action="managed_challenge",
        joins="ask",
        rank=12,
        otherwise="Cloudflare's browser check",
    )


def _refuse(ref: str, description: str, expression: str, *, rank: int, otherwise: str) -> Rule:
    return Rule(
        ref=ref,
        description=description,
        expression=expression,
        action="block",
        joins="refuse",
        rank=rank,
        otherwise=otherwise,
    )
