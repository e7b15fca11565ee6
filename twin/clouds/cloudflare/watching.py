"""Log export and health checks.

Rules: terraform-provider-cloudflare docs/resources/{logpush_job,healthcheck}.md; how many a plan
has: cloudflare-docs plans/index.json. Logpush: plans/index.json says Enterprise, the newer
logs/logpush/pricing offers more; the narrower one holds here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare.account import require_account
from twin.clouds.cloudflare.zones import account_plan, has, plan_of, require_zone
from twin.clouds.rules import exclusive, items, known, listed, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

LOGPUSH: Final = "cloudflare:index/logpushJob:LogpushJob"
HEALTHCHECK: Final = "cloudflare:index/healthcheck:Healthcheck"

MAX_JOBS: Final = 4
"""Of a zone (cloudflare-docs logs/logpush)."""
_ZONE_DATASETS: Final = (
    *("dns_logs", "firewall_events", "http_requests", "nel_reports", "page_shield_events"),
    *("spectrum_events", "zaraz_events"),
)
_DESTINATIONS: Final = ("s3", "gs", "azure", "https", "r2", "splunk", "sumo", "datadog")
_NO_CHALLENGE: Final = ("r2", "https", "splunk", "sumo", "datadog")
"""Destinations whose ownership needs no proof beyond their own token."""
_LIMITS: Final = {
    "maxUploadBytes": (5_000_000, 1_000_000_000),
    "maxUploadIntervalSeconds": (30, 300),
    "maxUploadRecords": (1000, 1_000_000),
}
_CHECKS: Final = {"free": 0, "pro": 10, "business": 50, "enterprise": 1000}
_SHORTEST_INTERVAL: Final = {"free": 60, "pro": 60, "business": 15, "enterprise": 5}
_CODES: Final = re.compile(r"[1-5](\d\d|xx)")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]+")


class LogpushJob(Resource):
    """The export of one dataset of a zone or an account."""

    token = LOGPUSH

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        plan = plan_of(ctx, inputs)
        if account_id := known(inputs, "accountId"):
            plan = account_plan(ctx, account_id)
        if not has(plan, "enterprise"):
            where = "zoneId" if unset(inputs, "accountId") else "accountId"
            yield Failure(where, f"Logpush needs the plan enterprise, this is {plan}")
        dataset = known(inputs, "dataset")
        if dataset is not None and not unset(inputs, "zoneId") and dataset not in _ZONE_DATASETS:
            yield Failure("dataset", f'"{dataset}" is an account\'s: give accountId')
        if dataset in _ZONE_DATASETS and unset(inputs, "zoneId"):
            yield Failure("dataset", f'"{dataset}" is a zone\'s: give zoneId')
        for name, (least, most) in _LIMITS.items():
            value = known(inputs, name)
            if value is not None and value != 0 and not least <= value <= most:
                yield Failure(name, f"{value} is neither 0 nor between {least} and {most}")
        yield from _destination_failures(inputs)
        rate = known(known(inputs, "outputOptions") or {}, "sampleRate")
        if rate is not None and not 0 < rate <= 1:
            yield Failure("outputOptions.sampleRate", f"{rate} is not above 0 and at most 1")

    def create(self, ctx: Context, inputs: Props) -> Created:
        owner = inputs.get("zoneId") or inputs["accountId"]
        if inputs.get("zoneId"):
            require_zone(ctx, owner)
        else:
            require_account(ctx, owner)
        key = f"{owner} {inputs.get('dataset')} {inputs['destinationConf']}"
        with exclusive(f"logpush {owner}"), birth(ctx, self.token, key, _number) as id:
            others = [
                record
                for record in ctx.store.all(self.token)
                if owner in (record.outputs.get("zoneId"), record.outputs.get("accountId"))
            ]
            if len(others) >= MAX_JOBS:
                raise ApiError(400, f"creating a new job is not allowed: {MAX_JOBS} exist (1002)")
            made = {"enabled": False, "dataset": "http_requests", "kind": "", **inputs}
        return Created(id=id, outputs=made)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return {"enabled": False, "dataset": "http_requests", "kind": "", **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)


class Healthcheck(Resource):
    """Requests to an origin from Cloudflare's data centres."""

    token = HEALTHCHECK

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "zoneId"):
            yield Failure("zoneId", "is required")
        plan = plan_of(ctx, inputs)
        if not _CHECKS[plan]:
            yield Failure("zoneId", f"health checks need the plan pro, the zone has {plan}")
        address, interval = known(inputs, "address"), known(inputs, "interval")
        if address is not None and not _HOST.fullmatch(address):
            yield Failure("address", f'"{address}" is neither a host name nor an IP address')
        shortest = _SHORTEST_INTERVAL[plan]
        if interval is not None and not shortest <= interval <= 3600:
            yield Failure("interval", f"{interval} s is not from {shortest} to 3600 s on {plan}")
        for name, least, most in (
            ("timeout", 1, 10),
            ("retries", 0, 5),
            ("consecutiveFails", 1, 10),
            ("consecutiveSuccesses", 1, 10),
        ):
            value = known(inputs, name)
            if value is not None and not least <= value <= most:
                yield Failure(name, f"{value} is not from {least} to {most}")
        regions = known(inputs, "checkRegions") or ()
        if "ALL_REGIONS" in regions and not has(plan, "enterprise"):
            yield Failure("checkRegions", f'"ALL_REGIONS" needs the plan enterprise, not {plan}')
        yield from _probe_failures(inputs)

    def create(self, ctx: Context, inputs: Props) -> Created:
        zone = require_zone(ctx, inputs["zoneId"])
        key = f"{zone.id} {inputs['name']}"
        with (
            exclusive(f"healthchecks {zone.id}"),
            birth(ctx, self.token, key, lambda: secrets.token_hex(16)) as id,
        ):
            others = list(ctx.store.find(self.token, zoneId=zone.id))
            if any(other.outputs["name"] == inputs["name"] for other in others):
                raise ApiError(400, f'name "{inputs["name"]}": a health check has this name')
            if len(others) >= _CHECKS[zone.plan]:
                limit = _CHECKS[zone.plan]
                raise ApiError(400, f"the plan {zone.plan} has {limit} health checks, all in use")
            stamp = now()
        return Created(id=id, outputs=_completed(inputs, {"createdOn": stamp, "modifiedOn": stamp}))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return _completed(news, {"createdOn": outputs["createdOn"], "modifiedOn": now()})

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)


def _destination_failures(inputs: Props) -> Iterator[Failure]:
    text = known(inputs, "destinationConf")
    if text is None:
        return
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _DESTINATIONS or not parts.netloc:
        # Without the value: it holds credentials.
        yield Failure("destinationConf", f"is no URL of {listed(_DESTINATIONS)}")
        return
    if parts.scheme == "s3" and "region" not in parse_qs(parts.query):
        yield Failure("destinationConf", "is an s3 URL without a region: add ?region=…")
    if parts.scheme not in _NO_CHALLENGE and unset(inputs, "ownershipChallenge"):
        yield Failure(
            "ownershipChallenge",
            f"is required for {parts.scheme}: the token from the file that Cloudflare wrote there",
        )


def _probe_failures(inputs: Props) -> Iterator[Failure]:
    kind = known(inputs, "type") or ("HTTP" if unset(inputs, "type") else None)
    wrong = {"TCP": "httpConfig", "HTTP": "tcpConfig", "HTTPS": "tcpConfig"}.get(kind or "")
    if wrong and not unset(inputs, wrong):
        yield Failure(wrong, f'is not for the type "{kind}"')
    http = known(inputs, "httpConfig") or {}
    path = known(http, "path")
    if path is not None and not path.startswith("/"):
        yield Failure("httpConfig.path", f'"{path}" must start with /')
    for index, code in items(http, "expectedCodes"):
        if not _CODES.fullmatch(str(code)):
            yield Failure(f"httpConfig.expectedCodes[{index}]", f'"{code}" is neither 200 nor 2xx')
    for name in known(http, "header") or {}:
        if name.lower() == "user-agent":
            yield Failure("httpConfig.header", '"User-Agent" cannot be overridden')
    for config, given in (("httpConfig", http), ("tcpConfig", known(inputs, "tcpConfig") or {})):
        port = known(given, "port")
        if port is not None and not 1 <= port <= 65535:
            yield Failure(f"{config}.port", f"{port} is not between 1 and 65535")


def _completed(inputs: Props, times: Mapping[str, Any]) -> Props:
    defaults: Props = {
        "type": "HTTP",
        "interval": 60,
        "timeout": 5,
        "retries": 2,
        "consecutiveFails": 1,
        "consecutiveSuccesses": 1,
        "suspended": False,
    }
    return {**defaults, **inputs, **times, "status": "unknown", "failureReason": ""}


def _number() -> str:
    return str(100_000 + secrets.randbelow(900_000))
