"""Notifications: what an account is told about, and where to.

Source: cloudflare-docs src/content/notifications/index.yaml (which plan has which),
notifications/get-started/configure-webhooks.mdx; the types' ids: the provider's own list.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import require_account, zone
from twin.clouds.cloudflare.zones import account_plan, has
from twin.clouds.rules import items, known, listed, new_uuid, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

POLICY: Final = "cloudflare:index/notificationPolicy:NotificationPolicy"
WEBHOOK: Final = "cloudflare:index/notificationPolicyWebhooks:NotificationPolicyWebhooks"

_PLANS: Final = {
    **dict.fromkeys(
        ("billing_usage_alert", "brand_protection_alert", "brand_protection_digest"), "pro"
    ),
    "health_check_status_notification": "pro",
    **dict.fromkeys(
        (
            "clickhouse_alert_fw_anomaly",
            "scriptmonitor_alert_new_hosts",
            "scriptmonitor_alert_new_resources",
            "scriptmonitor_alert_new_max_length_resource_url",
        ),
        "business",
    ),
    **dict.fromkeys(
        (
            "advanced_ddos_attack_l4_alert",
            "advanced_ddos_attack_l7_alert",
            "advanced_http_alert_error",
            "bot_traffic_basic_alert",
            "clickhouse_alert_fw_ent_anomaly",
            "custom_analytics",
            "custom_bot_detection_alert",
            "failing_logpush_job_disabled_alert",
            "http_alert_edge_error",
            "http_alert_origin_error",
            "logo_match_alert",
            "scriptmonitor_alert_new_code_change_detections",
            "scriptmonitor_alert_new_malicious_hosts",
            "scriptmonitor_alert_new_malicious_scripts",
            "scriptmonitor_alert_new_malicious_url",
            "secondary_dns_zone_validation_warning",
            "traffic_anomalies_alert",
        ),
        "enterprise",
    ),
}
"""The narrowest plan among the account's zones that has a type; all others have it."""
_WITHOUT_FILTERS: Final = (
    "dos_attack_l7",
    "expiring_service_token_alert",
    "failing_logpush_job_disabled_alert",
    "hostname_aop_custom_certificate_expiration_type",
    "real_origin_monitoring",
    "universal_ssl_event_type",
    "zone_aop_custom_certificate_expiration_type",
)
_FILTERS: Final[Mapping[str, set[str]]] = {
    **{kind: set() for kind in _WITHOUT_FILTERS},
    "clickhouse_alert_fw_anomaly": {"zones", "services", "actions"},
    "clickhouse_alert_fw_ent_anomaly": {"zones", "services", "actions"},
    "health_check_status_notification": {"healthCheckIds", "statuses"},
    "http_alert_edge_error": {"zones", "slos", "alertTriggerPreferences"},
    "http_alert_origin_error": {"zones", "slos", "alertTriggerPreferences"},
    "incident_alert": {"incidentImpacts", "affectedComponents"},
    "traffic_anomalies_alert": {"zones", "trafficExclusions", "alertTriggerPreferences"},
    "tunnel_health_event": {"tunnelIds", "newStatuses"},
    "tunnel_update_event": {"tunnelIds", "eventTypes"},
}
"""The filters of the types that are used here; others' are not checked."""
_NEEDED_FILTERS: Final[Mapping[str, set[str]]] = {
    "clickhouse_alert_fw_anomaly": {"zones"},
    "clickhouse_alert_fw_ent_anomaly": {"zones", "services"},
    "http_alert_origin_error": {"zones"},
    "http_alert_edge_error": {"zones"},
    "traffic_anomalies_alert": {"zones"},
}
_STATUSES: Final = tuple(
    f"TUNNEL_STATUS_TYPE_{name}" for name in ("HEALTHY", "DEGRADED", "DOWN", "INACTIVE")
)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class NotificationPolicy(Resource):
    """Who is told about one kind of event."""

    token = POLICY

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        kind, account_id = known(inputs, "alertType"), known(inputs, "accountId")
        plan = account_plan(ctx, account_id) if account_id else "enterprise"
        least = _PLANS.get(kind or "", "free")
        if not has(plan, least):
            yield Failure(
                "alertType", f'"{kind}" needs a zone of the plan {least}, the account has {plan}'
            )
        mechanisms = known(inputs, "mechanisms")
        if mechanisms is not None:
            yield from _mechanism_failures(mechanisms, plan)
        yield from _filter_failures(ctx, kind, known(inputs, "filters") or {})

    def create(self, ctx: Context, inputs: Props) -> Created:
        require_account(ctx, inputs["accountId"])
        self._refuse(ctx, inputs)
        key = f"{inputs['accountId']} {inputs['name']} {inputs['alertType']}"
        with birth(ctx, self.token, key, lambda: secrets.token_hex(16)) as id:
            stamp = now()
            made = {"enabled": True, **inputs, "created": stamp, "modified": stamp}
        return Created(id=id, outputs=made)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self._refuse(ctx, news)
        return {"enabled": True, "created": outputs["created"], **news, "modified": now()}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)

    def _refuse(self, ctx: Context, inputs: Props) -> None:
        for entry in inputs["mechanisms"].get("webhooks") or ():
            if ctx.store.get(WEBHOOK, entry["id"]) is None:
                raise ApiError(400, f'mechanisms.webhooks: there is no webhook "{entry["id"]}"')


class NotificationPolicyWebhooks(Resource):
    """A place that notifications are posted to. Its URL cannot be changed."""

    token = WEBHOOK

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        account_id, url = known(inputs, "accountId"), known(inputs, "url")
        plan = account_plan(ctx, account_id) if account_id else "enterprise"
        if not has(plan, "pro"):
            yield Failure("accountId", f"webhooks need a zone of the plan pro, it has {plan}")
        if url is not None and (problem := _url_problem(url)):
            yield Failure("url", f'"{url}" {problem}')

    def create(self, ctx: Context, inputs: Props) -> Created:
        require_account(ctx, inputs["accountId"])
        key = f"{inputs['accountId']} {inputs['name']} {inputs['url']}"
        with birth(ctx, self.token, key, new_uuid) as id:
            made = {**inputs, "createdAt": now(), "type": "generic"}
        return Created(id=id, outputs=made)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        if news["url"] != outputs["url"]:
            raise ApiError(
                400, f'url "{news["url"]}": a webhook\'s URL cannot be changed: make another one'
            )
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        for policy in ctx.store.all(POLICY):
            used = policy.outputs["mechanisms"].get("webhooks") or ()
            if any(entry["id"] == id for entry in used):
                raise ApiError(400, f"{id} is in use by the policy {policy.outputs['name']!r}")
        forget(ctx, self.token, id)


def _mechanism_failures(mechanisms: Mapping[str, Any], plan: str) -> Iterator[Failure]:
    if not any(mechanisms.get(name) for name in ("emails", "webhooks", "pagerduties")):
        yield Failure("mechanisms", "needs at least one of emails, webhooks and pagerduties")
    for index, entry in items(mechanisms, "emails"):
        address = known(entry, "id")
        if address is not None and not _EMAIL.fullmatch(address):
            yield Failure(f"mechanisms.emails[{index}].id", f'"{address}" is no e-mail address')
    for name, least in (("webhooks", "pro"), ("pagerduties", "business")):
        if mechanisms.get(name) and not has(plan, least):
            yield Failure(
                f"mechanisms.{name}", f"need a zone of the plan {least}, the account has {plan}"
            )


def _filter_failures(
    ctx: Context, kind: str | None, filters: Mapping[str, Any]
) -> Iterator[Failure]:
    given = {name for name, value in filters.items() if value}
    allowed = _FILTERS.get(kind or "")
    for name in sorted(given - allowed if allowed is not None else ()):
        what = f"has {listed(sorted(allowed))}" if allowed else "has none"
        yield Failure(f"filters.{name}", f'is no filter of "{kind}", which {what}')
    for name in sorted(_NEEDED_FILTERS.get(kind or "", set()) - given):
        yield Failure(f"filters.{name}", f'is required for "{kind}"')
    for index, id in items(filters, "zones"):
        if zone(ctx, id) is None:
            yield Failure(f"filters.zones[{index}]", f'"{id}" is no zone of the account')
    for index, status in items(filters, "newStatuses"):
        if status not in _STATUSES:
            yield Failure(f"filters.newStatuses[{index}]", f'"{status}" is not {listed(_STATUSES)}')


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is no http(s) URL"
    return None if port in (None, 80, 443) else "must be on port 80 or 443"
