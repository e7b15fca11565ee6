"""Settings of a zone: TLS, security level, HSTS and all the others, one resource each.

Source: cloudflare-docs and terraform-provider-cloudflare docs/resources/zone_setting.md for ids and
values, cloudflare-docs plans/index.json for what needs which plan. Deleting one changes nothing:
the provider's Delete is empty, and what was set stays set (`twin.kept`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twin.clouds.cloudflare.zones import addons_of, has, plan_of, require_zone
from twin.clouds.rules import known, listed, now, unset
from twin.kept import keep
from twin.protocol.check import suggestion
from twin.protocol.resource import Context, Created, Failure, Props, Resource

ZONE_SETTING: Final = "cloudflare:index/zoneSetting:ZoneSetting"

Problem = Callable[[Any], str | None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a setting may be: `problem` says what is wrong with a value; `plan` who may change it.

    `paid` are values that need a wider plan; `addon` is what must be bought whatever the plan.
    """

    problem: Problem
    plan: str = "free"
    paid: Mapping[str, str] | None = None
    addon: str = ""


def _one_of(*allowed: Any) -> Problem:
    def problem(value: Any) -> str | None:
        right = not isinstance(value, bool) and value in allowed
        return None if right else f"is not {listed(allowed)}"

    return problem


_SWITCH: Final = _one_of("on", "off")
_MAX_HSTS: Final = 31_536_000 * 2
_HSTS: Final = {
    "enabled": bool,
    "include_subdomains": bool,
    "preload": bool,
    "nosniff": bool,
    "max_age": int,
}
_CHALLENGE_TTLS: Final = (
    *(300, 900, 1800, 2700, 3600, 7200, 10800, 14400, 28800, 57600, 86400),
    *(604800, 2592000, 31536000),
)
_BROWSER_TTLS: Final = (
    *(0, 30, 60, 120, 300, 1200, 1800, 3600, 7200, 10800, 14400, 18000, 28800, 43200, 57600),
    *(72000, 86400, 172800, 259200, 345600, 432000, 691200, 1382400, 2073600, 2678400),
    *(5356800, 16070400, 31536000),
)
_UPLOADS: Final = {"free": 100, "pro": 100, "business": 200, "enterprise": 500}  # MB


def _hsts_problem(value: Any) -> str | None:
    inner = value.get("strict_transport_security") if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping) or set(value) != {"strict_transport_security"}:
        return "must be {strict_transport_security: {…}}"
    for name, given in inner.items():
        if name not in _HSTS:
            return f"has {name!r}, which is unknown{suggestion(name, _HSTS)}: keys are snake_case"
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if not (number if _HSTS[name] is int else isinstance(given, bool)):
            return f"has {name}={given!r}, which is no {_HSTS[name].__name__}"
    if not 0 <= inner.get("max_age", 0) <= _MAX_HSTS:
        return f"has max_age={inner['max_age']:g}, which is not from 0 to {_MAX_HSTS} s"
    return None


def _list_problem(value: Any) -> str | None:
    fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if fits else "must be a list of names"


def _number_problem(least: int, most: int) -> Problem:
    def problem(value: Any) -> str | None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if number and least <= value <= most else f"is not from {least} to {most}"

    return problem


def _switches(names: str, plan: str = "free") -> dict[str, Setting]:
    return {name: Setting(problem=_SWITCH, plan=plan) for name in names.split()}


SETTINGS: Final[Mapping[str, Setting]] = {
    **_switches(
        "0rtt always_online always_use_https automatic_https_rewrites brotli browser_check "
        "development_mode early_hints email_obfuscation hotlink_protection http3 ip_geolocation "
        "ipv6 opportunistic_encryption opportunistic_onion privacy_pass replace_insecure_js "
        "rocket_loader server_side_exclude tls_client_auth websockets speed_brain fonts nel"
    ),
    **_switches("http2 mirage waf webp h2_prioritization", "pro"),
    **_switches(
        "orange_to_orange origin_error_page_pass_thru prefetch_preload response_buffering "
        "sort_query_string_for_cache true_client_ip_header",
        "enterprise",
    ),
    "ssl": Setting(
        problem=_one_of("off", "flexible", "full", "strict", "origin_pull"),
        paid={"origin_pull": "enterprise"},
    ),
    "tls_1_3": Setting(problem=_one_of("on", "off", "zrt")),
    "min_tls_version": Setting(problem=_one_of("1.0", "1.1", "1.2", "1.3")),
    "security_level": Setting(
        problem=_one_of("off", "essentially_off", "low", "medium", "high", "under_attack"),
        paid={"off": "enterprise"},
    ),
    "security_header": Setting(problem=_hsts_problem),
    "challenge_ttl": Setting(problem=_one_of(*_CHALLENGE_TTLS)),
    "browser_cache_ttl": Setting(problem=_one_of(*_BROWSER_TTLS)),
    "cache_level": Setting(problem=_one_of("basic", "simplified", "aggressive")),
    "polish": Setting(problem=_one_of("off", "lossless", "lossy"), plan="pro"),
    "pseudo_ipv4": Setting(problem=_one_of("off", "add_header", "overwrite_header")),
    "cname_flattening": Setting(
        problem=_one_of("flatten_at_root", "flatten_all"), paid={"flatten_all": "pro"}
    ),
    "max_upload": Setting(problem=_number_problem(100, 500)),
    "proxy_read_timeout": Setting(problem=_number_problem(1, 6000), plan="enterprise"),
    "ciphers": Setting(problem=_list_problem, addon="Advanced Certificate Manager"),
    "image_resizing": Setting(problem=_one_of("on", "off", "open"), plan="pro"),
}
READ_ONLY: Final = frozenset({"advanced_ddos", "edge_cache_ttl"})


class ZoneSetting(Resource):
    """One setting. What is not set by the program is as Cloudflare or a person left it."""

    token = ZONE_SETTING

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "zoneId"):
            yield Failure("zoneId", "is required")
        name = known(inputs, "settingId")
        if name is None:
            return
        if name == "ssl_recommender":
            if unset(inputs, "enabled"):
                yield Failure("enabled", 'is required for "ssl_recommender"')
            return
        if name in READ_ONLY:
            yield Failure("settingId", f'"{name}" can be read, not set')
        elif name not in SETTINGS:
            near = suggestion(name, SETTINGS)
            yield Failure("settingId", f'"{name}": Undefined zone setting{near} (1003)')
        elif known(inputs, "value") is not None:
            yield from _value_failures(
                name, inputs["value"], plan_of(ctx, inputs), addons_of(ctx, inputs)
            )

    def create(self, ctx: Context, inputs: Props) -> Created:
        zone = require_zone(ctx, inputs["zoneId"])
        # The provider's id is the setting's alone; two zones' records must not be one.
        return Created(id=f"{zone.id}/{inputs['settingId']}", outputs=self._set(inputs, inputs))

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return self._set(outputs, news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        keep(ctx.store, self.token, id, outputs)

    def _set(self, outputs: Props, news: Props) -> Props:
        return {**outputs, **news, "editable": True, "modifiedOn": now()}


def _value_failures(name: str, value: Any, plan: str, addons: Collection[str]) -> Iterator[Failure]:
    setting = SETTINGS[name]
    shown = f'"{value}"' if isinstance(value, str) else f"{value}"
    if setting.addon and setting.addon not in addons:
        yield Failure("settingId", f'Not allowed to edit setting for "{name}": {setting.addon}')
    elif not has(plan, setting.plan):
        yield Failure(
            "settingId",
            f'Not allowed to edit setting for "{name}": it needs the plan {setting.plan}, the '
            f"zone has {plan}",
        )
    if problem := setting.problem(value):
        yield Failure("value", f'{shown} for "{name}" {problem}')
    elif isinstance(value, str) and (least := (setting.paid or {}).get(value)):
        if not has(plan, least):
            yield Failure("value", f"{shown} needs the plan {least}, the zone has {plan}")
    elif name == "max_upload" and value > _UPLOADS[plan]:
        yield Failure("value", f"{shown} MB: the plan {plan} takes up to {_UPLOADS[plan]} MB")
