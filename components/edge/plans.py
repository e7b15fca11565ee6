"""What each Cloudflare plan takes, in one table; every row with its source.

Read on 2026-11-21 from the sources of developers.cloudflare.com. Where two pages disagree the
narrower one holds: a rule that a plan would refuse fails in the middle of an update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

PlanName = Literal["free", "pro", "business", "enterprise"]
NAMES: Final[tuple[PlanName, ...]] = get_args(PlanName)

CLOUDFLARE_MANAGED: Final = "efb7b8c949ac4650a09736fc376e9aee"
OWASP: Final = "4814384a9e5d4991b9815dcfc25d2f1f"

MAX_EXPRESSION: Final = 4096
"""Characters of one expression (ruleset-engine/rules-language/expressions)."""

PERIODS: Final = (10, 60, 120, 300, 600, 3600)
"""Seconds that a rate limit may count for, before the plan's own maximum."""
TIMEOUTS: Final = (*PERIODS, 86400)
"""Seconds that it may mitigate for. Both are the API's parameters; a footnote of the availability
by plan has more of them (15, 20, … 900, 1200, …), and the narrower page holds. Enterprise names any
number of seconds."""
_QUARTER_OF_AN_HOUR: Final = 900

CHALLENGES: Final = frozenset({"managed_challenge", "js_challenge", "challenge"})

_ACTIONS: Final = CHALLENGES | {"block", "skip"}
_RATE_PATH: Final = frozenset({"http.request.uri.path", "cf.bot_management.verified_bot"})
_RATE_PRO: Final = _RATE_PATH | {
    "http.host",
    "http.request.uri",
    "http.request.full_uri",
    "http.request.uri.query",
}
_RATE_BUSINESS: Final = _RATE_PRO | {"http.request.method", "ip.src", "http.user_agent"}
_RATE_ENTERPRISE: Final = _RATE_BUSINESS | {
    "http.cookie",
    "http.referer",
    "http.request.headers",
    "http.request.headers.names",
    "http.request.headers.values",
    "http.request.cookies",
    "http.request.uri.args",
    "http.request.version",
    "ip.src.country",
    "ip.src.asnum",
    "raw.http.request.uri.path",
    "ssl",
}
_SBFM_PRO: Final = (
    "sbfm_definitely_automated",
    "sbfm_verified_bots",
    "sbfm_static_resource_protection",
    "optimize_wordpress",
)
_ALERTS: Final = (
    "tunnel_health_event",
    "real_origin_monitoring",
    "universal_ssl_event_type",
    "zone_aop_custom_certificate_expiration_type",
    "expiring_service_token_alert",
    "dos_attack_l7",
    "incident_alert",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One plan's limits. Times are seconds; `ROWS` says what each field means and its source."""

    name: PlanName
    custom_rules: int
    custom_actions: frozenset[str]
    regex: bool
    paid_fields: frozenset[str]
    skippable_phases: tuple[str, ...]
    rate_rules: int
    rate_periods: tuple[int, ...]
    rate_timeouts: tuple[int, ...]
    rate_fields: frozenset[str]
    rate_characteristics: frozenset[str]
    counting_expression: bool
    throttle: bool
    custom_response: bool
    managed_rulesets: tuple[str, ...]
    sbfm: tuple[str, ...]
    lists: int
    cache_rules: int
    edge_ttl_minimum: int
    redirect_rules: int
    transform_rules: int
    log_export: bool
    alerts: tuple[str, ...]

    @property
    def title(self) -> str:
        """The plan's name as people write it."""
        return self.name.capitalize()


def _up_to(seconds: int, of: tuple[int, ...] = PERIODS) -> tuple[int, ...]:
    return tuple(value for value in of if value <= seconds)


_PRO_FIELDS: Final = frozenset(
    {"http.request.cookies", "cf.waf.credential_check.username_and_password_leaked"}
)
_BUSINESS_FIELDS: Final = _PRO_FIELDS | {
    "cf.waf.score.class",
    *(
        f"{address}.{part}"
        for address in ("ip.src", "ip.geoip")
        for part in ("subdivision_1_iso_code", "subdivision_2_iso_code", "is_in_european_union")
    ),
}
_ENTERPRISE_FIELDS: Final = _BUSINESS_FIELDS | {
    "cf.waf.score",
    "cf.waf.score.sqli",
    "cf.waf.score.xss",
    "cf.waf.score.rce",
    "cf.waf.auth_detected",
    "cf.waf.credential_check.username_leaked",
    "cf.waf.credential_check.username_password_similar",
    *(
        f"http.request.body.{part}"
        for part in (
            *("raw", "truncated", "size", "form", "form.names", "form.values", "multipart"),
            *("multipart.values", "multipart.names", "multipart.content_types"),
            *("multipart.content_dispositions", "multipart.content_transfer_encodings"),
            "multipart.filenames",
        )
    ),
}

FREE: Final = Plan(
    name="free",
    custom_rules=5,
    custom_actions=_ACTIONS,
    regex=False,
    paid_fields=frozenset(),
    skippable_phases=("http_ratelimit", "http_request_firewall_managed"),
    rate_rules=1,
    rate_periods=(10,),
    rate_timeouts=(10,),
    rate_fields=_RATE_PATH,
    rate_characteristics=frozenset({"cf.colo.id", "ip.src"}),
    counting_expression=False,
    throttle=False,
    custom_response=False,
    managed_rulesets=(),
    sbfm=(),
    lists=1,
    cache_rules=10,
    edge_ttl_minimum=7200,
    redirect_rules=10,
    transform_rules=10,
    log_export=False,
    alerts=_ALERTS,
)
PRO: Final = Plan(
    name="pro",
    custom_rules=20,
    custom_actions=_ACTIONS,
    regex=False,
    paid_fields=_PRO_FIELDS,
    skippable_phases=("http_ratelimit", "http_request_sbfm", "http_request_firewall_managed"),
    rate_rules=2,
    rate_periods=_up_to(60),
    rate_timeouts=_up_to(3600, TIMEOUTS),
    rate_fields=_RATE_PRO,
    rate_characteristics=frozenset({"cf.colo.id", "ip.src"}),
    counting_expression=False,
    throttle=False,
    custom_response=True,
    managed_rulesets=(CLOUDFLARE_MANAGED, OWASP),
    sbfm=_SBFM_PRO,
    lists=10,
    cache_rules=25,
    edge_ttl_minimum=3600,
    redirect_rules=25,
    transform_rules=25,
    log_export=False,
    alerts=_ALERTS,
)
BUSINESS: Final = Plan(
    name="business",
    custom_rules=100,
    custom_actions=_ACTIONS,
    regex=True,
    paid_fields=_BUSINESS_FIELDS,
    skippable_phases=PRO.skippable_phases,
    rate_rules=5,
    rate_periods=_up_to(600),
    rate_timeouts=TIMEOUTS,
    rate_fields=_RATE_BUSINESS,
    rate_characteristics=frozenset({"cf.colo.id", "ip.src", "cf.unique_visitor_id"}),
    counting_expression=True,
    throttle=False,
    custom_response=True,
    managed_rulesets=(CLOUDFLARE_MANAGED, OWASP),
    sbfm=(*_SBFM_PRO, "sbfm_likely_automated"),
    lists=10,
    cache_rules=50,
    edge_ttl_minimum=1,
    redirect_rules=50,
    transform_rules=50,
    log_export=False,
    alerts=(*_ALERTS, "clickhouse_alert_fw_anomaly"),
)
ENTERPRISE: Final = Plan(
    name="enterprise",
    custom_rules=1000,
    custom_actions=_ACTIONS | {"log"},
    regex=True,
    paid_fields=_ENTERPRISE_FIELDS,
    skippable_phases=PRO.skippable_phases,
    rate_rules=100,
    rate_periods=PERIODS,
    rate_timeouts=tuple(sorted({*TIMEOUTS, _QUARTER_OF_AN_HOUR})),
    rate_fields=_RATE_ENTERPRISE,
    rate_characteristics=BUSINESS.rate_characteristics,
    counting_expression=True,
    throttle=True,
    custom_response=True,
    managed_rulesets=(CLOUDFLARE_MANAGED, OWASP),
    sbfm=BUSINESS.sbfm,
    lists=1000,
    cache_rules=300,
    edge_ttl_minimum=1,
    redirect_rules=300,
    transform_rules=300,
    log_export=True,
    alerts=(
        *BUSINESS.alerts,
        "http_alert_origin_error",
        "traffic_anomalies_alert",
        "failing_logpush_job_disabled_alert",
    ),
)
PLANS: Final[dict[PlanName, Plan]] = {
    "free": FREE,
    "pro": PRO,
    "business": BUSINESS,
    "enterprise": ENTERPRISE,
}

_RATES: Final = "partials/waf/rate-limiting-availability-by-plan"
_PARAMETERS: Final = "waf/rate-limiting-rules/parameters"
_INDEX: Final = "plans/index.json"
ROWS: Final[dict[str, tuple[str, str]]] = {
    "custom_rules": ("WAF custom rules", "waf/custom-rules, availability"),
    "custom_actions": ("Actions of custom rules", "waf/custom-rules, availability"),
    "regex": ("Regular expressions (`matches`)", "waf/custom-rules, availability"),
    "paid_fields": (
        "Fields that not every plan has",
        "ruleset-engine/rules-language/fields/reference; without what is bought beside the plan",
    ),
    "skippable_phases": ("Phases that a rule can skip", "waf/custom-rules/skip/options"),
    "rate_rules": ("Rate limiting rules", _RATES),
    "rate_periods": ("Counting periods (s)", f"{_RATES}; {_PARAMETERS}"),
    "rate_timeouts": (
        "Mitigation timeouts of a block (s); a challenge has 0",
        f"{_RATES}; {_PARAMETERS}",
    ),
    "rate_fields": ("Fields of rate limits", _RATES),
    "rate_characteristics": (
        "What rate limits count by; always per data centre",
        f"{_RATES}; {_PARAMETERS}",
    ),
    "counting_expression": ("Expression of its own for counting", _RATES),
    "throttle": ("Refuse the excess only (a block with timeout 0)", _RATES),
    "custom_response": (
        "Own body for a refused request",
        "partials/waf/custom-response-blocked-requests; not shown on Free "
        "(cloudflare/cloudflare-docs issue 22900)",
    ),
    "managed_rulesets": ("Managed rulesets that can be deployed", "waf/managed-rules"),
    "sbfm": (
        "Super Bot Fight Mode settings",
        "bots/plans; bots/additional-configurations/custom-rules",
    ),
    "lists": ("Custom lists in the account", "waf/tools/lists, availability"),
    "cache_rules": ("Cache rules", _INDEX),
    "edge_ttl_minimum": ("Shortest edge cache TTL that a rule may set (s)", _INDEX),
    "redirect_rules": ("Single redirects", _INDEX),
    "transform_rules": ("Transform rules, all kinds together", _INDEX),
    "log_export": (
        "Log export (Logpush)",
        f"{_INDEX} (Enterprise); logs/logpush/pricing offers it more widely",
    ),
    "alerts": ("Notification types in use here", "notifications/index.yaml"),
}
"""Title and source of every field; sources are pages of developers.cloudflare.com."""


def plan(name: PlanName) -> Plan:
    """A plan by its name."""
    return PLANS[name]
