"""What the wanted rules say about requests, read by the rule language of the twin's edge."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from components.edge import plans, whole
from components.edge.rules import Phase
from twin.rules import AddressSet, check

ADMIN = "198.51.100.7"
STRIPE = "3.18.12.63"
ANYONE = "192.0.2.9"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
WISHES = whole.Wishes(
    hostname="pay.example.com",
    access_hosts=("ssh.example.com",),
    redirected=("www.example.com", "example.com"),
    admin_cidrs=(f"{ADMIN}/32", "203.0.113.0/24"),
    log_export=True,
    has=frozenset({"tunnel", "access", "client certificate"}),
)
EVERY = [whole.fit(WISHES, plan) for plan in plans.PLANS.values()]


def _named(fitted: whole.Fitted) -> str:
    return fitted.plan.name


@pytest.fixture(params=EVERY, ids=_named)
def fitted(request: pytest.FixtureRequest) -> whole.Fitted:
    found: whole.Fitted = request.param
    return found


def _request(given: str = "GET /", **more: Any) -> dict[str, Any]:
    """The fields of a request such as `POST /login`, from a browser somewhere."""
    method, _, target = given.partition(" ")
    path = target.partition("?")[0]
    return {
        "http.request.method": method,
        "http.host": "pay.example.com",
        "http.request.uri.path": path,
        "raw.http.request.uri.path": path,
        "http.user_agent": BROWSER,
        "ip.src": ip_address(more.pop("source", ANYONE)),
        "ip.src.country": "DE",
        "cf.client.bot": False,
        "cf.waf.credential_check.password_leaked": False,
        "$payments_admins": AddressSet.of(WISHES.admin_cidrs),
        **more,
    }


def _meets(fitted: whole.Fitted, fields: dict[str, Any]) -> str:
    """The action that the firewall ends with; `pass` and what is spared on the way otherwise."""
    for rule in fitted.rules["http_request_firewall_custom"]:
        expression = check(
            rule.expression,
            phase="http_request_firewall_custom",
            plan=fitted.plan.name,
            lists=[WISHES.admin_list],
        )
        if not expression.compile()(fields):
            continue
        if rule.action != "skip":
            return rule.action
        if rule.parameters.get("ruleset") == "current":
            return "spared"
    return "pass"


def test_the_api_takes_every_expression(fitted: whole.Fitted) -> None:
    for phase, rules in fitted.rules.items():
        for rule in rules:
            check(rule.expression, phase=phase, plan=fitted.plan.name, lists=[WISHES.admin_list])
            target = rule.parameters.get("from_value", {}).get("target_url", {})
            if "expression" in target:
                check(target["expression"], phase=phase, plan=fitted.plan.name, value=True)


CASES: list[tuple[str, dict[str, Any], str]] = [
    # Machines are let by, each from where it may come.
    ("POST /webhooks/stripe", {"source": STRIPE}, "spared"),
    ("POST /webhooks/stripe", {"source": STRIPE, "http.user_agent": ""}, "spared"),
    ("POST /webhooks/stripe", {}, "block"),
    ("GET /webhooks/stripe", {"source": STRIPE}, "pass"),
    ("POST /webhooks/stripe/", {"source": STRIPE}, "pass"),
    ("POST /webhooks/razorpay", {"http.user_agent": ""}, "spared"),
    ("POST /api/payments/webhook/razorpay/", {"http.user_agent": ""}, "spared"),
    ("POST /webhooks/unknown", {"http.user_agent": ""}, "managed_challenge"),
    ("GET /webhooks/razorpay", {"http.user_agent": ""}, "pass"),
    ("GET /livez", {"http.user_agent": ""}, "spared"),
    ("HEAD /api/health", {"http.user_agent": ""}, "spared"),
    ("GET /api/healthx", {"http.user_agent": ""}, "pass"),
    ("POST /readyz", {}, "pass"),
    ("GET /anything", {"http.host": "ssh.example.com", "http.user_agent": ""}, "spared"),
    # People and programs pass.
    ("GET /", {}, "pass"),
    ("POST /login", {}, "pass"),
    ("GET /static/app.0123456789abcdef.js", {}, "pass"),
    ("POST /api/v1/orders", {"http.user_agent": ""}, "pass"),
    ("GET /api/v1/orders", {"http.user_agent": "sqlmap/1.9", "ip.src.country": "T1"}, "pass"),
    # The admin API.
    ("GET /api/admin/refunds", {"source": ADMIN}, "pass"),
    ("GET /api/admin/refunds", {"source": "203.0.113.200"}, "pass"),
    ("GET /api/admin/refunds", {}, "block"),
    ("GET /api/admin", {}, "block"),
    ("GET /API/Admin", {}, "block"),
    ("GET /api/admin;x", {"source": ADMIN}, "block"),
    ("GET /admin", {}, "pass"),  # Access guards it
    ("GET /Admin", {}, "block"),
    # What is never legitimate.
    ("GET /", {"http.host": "other.example.com"}, "block"),
    ("TRACE /", {}, "block"),
    ("CONNECT /", {}, "block"),
    ("GET //api/admin", {"source": ADMIN, "http.request.uri.path": "/api/admin"}, "block"),
    ("GET /static/../api/admin", {"source": ADMIN, "http.request.uri.path": "/api/admin"}, "block"),
    ("GET /api%2Fadmin", {}, "block"),
    ("GET /api/..%5Cadmin", {}, "block"),
    ("GET /api\\admin", {"http.request.uri.path": "/api/admin", "source": ADMIN}, "block"),
    ("GET /a/%2e%2e/b", {}, "block"),
    ("GET /x/..", {"http.request.uri.path": "/"}, "block"),
    ("GET /%252e", {}, "block"),
    ("GET /API/v1/orders", {}, "block"),
    ("GET /.env", {}, "block"),
    ("GET /wp-login.php", {}, "block"),
    ("GET /.well-known/security.txt", {}, "pass"),
    # Suspicious visitors are asked, verified bots are not.
    ("GET /", {"http.user_agent": ""}, "managed_challenge"),
    ("GET /", {"http.user_agent": "", "cf.client.bot": True}, "pass"),
    ("GET /login", {"ip.src.country": "T1"}, "managed_challenge"),
    ("GET /login", {"http.user_agent": "SQLMap/1.9"}, "managed_challenge"),
    ("POST /login", {"cf.waf.credential_check.password_leaked": True}, "managed_challenge"),
    ("POST /api/auth/login", {"cf.waf.credential_check.password_leaked": True}, "pass"),
]


@pytest.mark.parametrize(("given", "more", "action"), CASES, ids=[str(c[:2]) for c in CASES])
def test_what_a_request_meets_at_the_firewall(
    fitted: whole.Fitted, given: str, more: dict[str, Any], action: str
) -> None:
    assert _meets(fitted, _request(given, **more)) == action


def test_nobody_calls_the_admin_api_where_there_are_no_admins() -> None:
    none = whole.fit(whole.Wishes(hostname="pay.example.com"), plans.PRO)
    assert none.admin_list is None
    assert _meets(none, _request("GET /api/admin", source=ADMIN)) == "block"


def _matching(fitted: whole.Fitted, phase: Phase, fields: dict[str, Any]) -> list[str]:
    return [
        rule.ref
        for rule in fitted.rules[phase]
        if check(rule.expression, phase=phase, plan=fitted.plan.name).compile()(fields)
    ]


@pytest.mark.parametrize(
    ("given", "limited"),
    [
        ("POST /login", ["login"]),
        ("POST /api/auth/login", ["login", "api"]),
        ("POST /register", ["register"]),
        ("POST /api/v1/register", ["register", "api"]),
        ("GET /api/transactions/7", ["transactions", "api"]),
        ("DELETE /api/v1/transactions", ["transactions", "api"]),
        ("POST /api/v1/payments/create-subscription", ["create-subscription", "api"]),
        ("GET /api/v1/orders", ["api"]),
        ("GET /api/transactionsx", ["api"]),
        ("POST /api/payments/webhook/razorpay/", []),
        ("POST /api/payments/webhook/stripe", ["api"]),
        ("POST /webhooks/stripe", []),
        ("GET /livez", []),
        ("GET /api/health", []),
        ("GET /api/health/", ["api"]),
        ("GET /", []),
    ],
)
def test_which_limits_count_a_request(given: str, limited: list[str]) -> None:
    fitted = EVERY[-1]
    assert _matching(fitted, "http_ratelimit", _request(given)) == limited


def test_reading_a_login_form_counts_only_where_methods_cannot_be_told_apart() -> None:
    counted = {
        fitted.plan.name: _matching(fitted, "http_ratelimit", _request("GET /login"))
        for fitted in EVERY
    }
    assert counted == {"free": ["login"], "pro": ["login"], "business": [], "enterprise": []}


@pytest.mark.parametrize(
    "path",
    ["/", "/dashboard", "/api/v1/orders", "/admin", "/api/admin", "/webhooks/stripe", "/livez"],
)
def test_only_static_files_are_kept(fitted: whole.Fitted, path: str) -> None:
    phase: Phase = "http_request_cache_settings"
    assert _matching(fitted, phase, _request(f"GET {path}")) == ["never"]
    assert _matching(fitted, phase, _request("GET /static/app.0123456789abcdef.js")) == ["static"]
    never, static = fitted.rules[phase]
    assert never.parameters["cache"] is False
    assert static.parameters["edge_ttl"] == {"mode": "respect_origin"}


def test_a_reply_without_a_policy_gets_one_that_forbids_everything(fitted: whole.Fitted) -> None:
    phase: Phase = "http_response_headers_transform"
    names = "http.response.headers.names"
    bare = {**_request(), names: ["content-type"]}
    own = {**_request(), names: ["content-type", "content-security-policy"]}
    assert _matching(fitted, phase, bare) == [
        "security-headers",
        "default-csp",
        "default-permissions",
        "default-opener",
    ]
    assert "default-csp" not in _matching(fitted, phase, own)
    always = fitted.rules[phase][0].parameters["headers"]
    assert "content-security-policy" not in {name.lower() for name in always}, (
        "it would replace the page's own, and the checkout would not load"
    )


def test_other_names_lead_to_the_service_and_nothing_else_does(fitted: whole.Fitted) -> None:
    phase: Phase = "http_request_dynamic_redirect"
    (rule,) = fitted.rules[phase]
    for host, matches in (("www.example.com", True), ("pay.example.com", False)):
        found = _matching(fitted, phase, _request("GET /a", **{"http.host": host}))
        assert bool(found) is matches
    target = rule.parameters["from_value"]["target_url"]["expression"]
    value = check(target, phase=phase, plan=fitted.plan.name, value=True).compile_value()
    assert value(_request("GET /a/b")) == "https://pay.example.com/a/b"


def test_what_a_ruleset_excepts_stands_before_it(fitted: whole.Fitted) -> None:
    rules = fitted.rules["http_request_firewall_managed"]
    actions = [rule.action for rule in rules]
    assert actions == sorted(actions, key=lambda action: action == "execute")
    if fitted.plan.name == "free":
        assert not rules, "the plan would refuse them in the middle of an update"
        return
    executed = [rule.parameters["id"] for rule in rules if rule.action == "execute"]
    assert executed == [plans.CLOUDFLARE_MANAGED, plans.OWASP], "each at most once per zone"
    owasp = rules[-1].parameters["overrides"]
    assert [it["category"] for it in owasp["categories"]] == [
        f"paranoia-level-{level}" for level in (2, 3, 4)
    ]
    assert owasp["rules"][0]["action"] == "block"
    for path, excepted in (
        ("/webhooks/stripe", True),
        ("/api/payments/webhook/razorpay/", True),
        ("/api/payments/webhook/stripe", False),
    ):
        found = _matching(fitted, "http_request_firewall_managed", _request(f"POST {path}"))
        assert ("webhook-bodies" in found) is excepted, path


def test_bot_fight_mode_is_off_everywhere(fitted: whole.Fitted) -> None:
    assert fitted.bots["fight_mode"] is False, "no rule could exempt webhooks from it"
    sbfm = {name for name in fitted.bots if name.startswith("sbfm_")}
    assert bool(sbfm) is (fitted.plan.name != "free")
    assert ("sbfm_likely_automated" in sbfm) is (fitted.plan.name in {"business", "enterprise"})
    if sbfm:
        assert fitted.bots["sbfm_verified_bots"] == "allow"


def test_only_alerts_that_the_plan_has_are_made(fitted: whole.Fitted) -> None:
    kinds = {alert.kind for alert in fitted.alerts}
    assert {"tunnel_health_event", "universal_ssl_event_type", "expiring_service_token_alert",
            "zone_aop_custom_certificate_expiration_type", "real_origin_monitoring",
            "dos_attack_l7"} <= kinds  # fmt: skip
    assert ("http_alert_origin_error" in kinds) is (fitted.plan.name == "enterprise")
    assert ("clickhouse_alert_fw_anomaly" in kinds) is (
        fitted.plan.name in {"business", "enterprise"}
    )
    assert fitted.log_export is (fitted.plan.name == "enterprise")


def test_what_is_lost_is_told_with_who_makes_up_for_it(fitted: whole.Fitted) -> None:
    for finding in fitted.lost:
        assert finding.changes, f"{finding.ref}: why?"
        assert finding.otherwise, f"{finding.ref}: and who makes up for it?"


def test_a_list_without_a_proper_name_is_refused() -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        whole.Wishes(hostname="pay.example.com", admin_list="prod-admins")
