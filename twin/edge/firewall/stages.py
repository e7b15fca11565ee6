"""The firewall's stages of the pipeline.

Where the documentation leaves something open, the twin takes the safer reading: a visitor with a
clearance passes a challenge rule, and the rules after it are still evaluated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from multidict import CIMultiDict

from twin.edge.body import look
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.fields import Fields, FieldSource
from twin.edge.firewall import bots, interstitial, replies
from twin.edge.firewall.challenge import COOKIE, LEVELS, PASSAGE, SOLVED, Challenges, Refused
from twin.edge.firewall.counters import Counters, Key
from twin.edge.firewall.deployed import CUSTOM, RATE_LIMIT, SBFM, Deployed, Rule, ZoneRules
from twin.edge.firewall.limits import Limits, key_of
from twin.edge.journal import Journal
from twin.store import Store

SETTINGS: Final = "settings"
"""The journal's phase of decisions that a zone setting makes."""


class Firewall:
    """The stages of all zones, and what they remember."""

    def __init__(self, store: Store, journal: Journal, fields: FieldSource) -> None:
        self.deployed = Deployed(store)
        self.limits = Limits(self.deployed, journal.clock)
        self.challenges = Challenges(store, journal.clock)
        self.fields = fields
        self._journal = journal
        self._clock = journal.clock

    # --- outermost ------------------------------------------------------------------------------
    async def arrive(self, exchange: Exchange, following: Next) -> Result:
        """Look up where the visitor is, and take answers to challenges: no rule sees those."""
        exchange.country = self.fields.visitors.known(exchange.visitor).country
        if exchange.path.startswith(interstitial.PLATFORM):
            return await self._answer(exchange)
        return await following(exchange)

    # --- http_request_firewall_custom -----------------------------------------------------------
    async def custom(self, exchange: Exchange, following: Next) -> Result:
        """Apply the custom rules, first to last."""
        zone = self.deployed.zone(exchange.zone.id)
        if zone.needs_body:
            await look(exchange)
        rules = zone.rules.get(CUSTOM)
        refusal = self._custom(exchange, zone, rules) if rules else None
        return refusal or await following(exchange)

    def _custom(self, exchange: Exchange, zone: ZoneRules, rules: Iterable[Rule]) -> Reply | None:
        fields = self.fields.of(exchange)
        for rule in rules:
            if not rule.enabled or _skipped(exchange, rule) or not rule.condition(fields):
                continue
            if rule.action == "skip":
                self._note(exchange, rule)
                if _skip(exchange, rule.parameters):
                    return None
            elif rule.action == "block":
                self._note(exchange, rule)
                return replies.blocked(exchange, rule.parameters)
            elif rule.action in LEVELS:
                if not self.challenges.cleared(exchange, rule.action):
                    return self._challenge(exchange, rule.action, CUSTOM, rule)
            else:
                self._note(exchange, rule)
        return None

    # --- settings -------------------------------------------------------------------------------
    async def settings(self, exchange: Exchange, following: Next) -> Result:
        """Apply the browser integrity check and the security level, unless they are skipped."""
        zone = self.deployed.zone(exchange.zone.id)
        if zone.settings:
            refusal = self._settings(exchange, zone)
            if refusal is not None:
                return refusal
        return await following(exchange)

    def _settings(self, exchange: Exchange, zone: ZoneRules) -> Reply | None:
        if zone.on("browser_check") and "product:bic" not in exchange.skips:
            fields = self.fields.of(exchange)
            action = "" if fields.known.bot else bots.browser_check(str(fields["http.user_agent"]))
            if action == "block":
                self._record(exchange, SETTINGS, action, "browser_check")
                return replies.blocked(exchange, {}, code=replies.BROWSER)
            if action and not self.challenges.cleared(exchange, action):
                return self._challenge(exchange, action, SETTINGS, "browser_check")
        attacked = zone.settings.get("security_level") == "under_attack"
        if attacked and "product:securityLevel" not in exchange.skips:
            # The other levels go by cf.threat_score, which is not populated any more.
            action = "managed_challenge"
            if not self.challenges.cleared(exchange, action):
                return self._challenge(exchange, action, SETTINGS, "security_level")
        return None

    # --- http_ratelimit -------------------------------------------------------------------------
    async def rate_limits(self, exchange: Exchange, following: Next) -> Result:
        """Count the request and apply what its visitor brought upon himself."""
        rules = self._rate_rules(exchange)
        if not rules:
            return await following(exchange)
        fields = self.fields.of(exchange)
        for rule in rules:
            refusal = self._rate(exchange, fields, rule)
            if refusal is not None:
                return refusal
        result = await following(exchange)
        if isinstance(result, Reply):
            self._count_replies(exchange, rules, result)
        return result

    async def rate_limits_to_origin(self, exchange: Exchange, following: Next) -> Result:
        """Count what the cache did not answer, for rules that count nothing else."""
        rules = [rule for rule in self._rate_rules(exchange) if rule.limit and rule.limit.to_origin]
        fields = self.fields.of(exchange)
        for rule in rules:
            if rule.limit is None or rule.limit.counts_replies:
                continue
            refusal = self._count(exchange, fields, rule, matches=rule.condition(fields))
            if refusal is not None:
                return refusal
        return await following(exchange)

    def _rate_rules(self, exchange: Exchange) -> tuple[Rule, ...]:
        if f"phase:{RATE_LIMIT}" in exchange.skips:
            return ()
        rules = self.deployed.zone(exchange.zone.id).rules.get(RATE_LIMIT, ())
        return tuple(rule for rule in rules if rule.enabled and not _skipped(exchange, rule))

    def _rate(self, exchange: Exchange, fields: Fields, rule: Rule) -> Reply | None:
        limit = rule.limit
        assert limit is not None  # noqa: S101  (rate limiting rules have one)
        matches = rule.condition(fields)
        if not matches and limit.counting is None:
            return None
        counters, key = self.limits.counters(exchange.zone.id, rule), key_of(rule, fields)
        until = counters.until(key)
        if until is not None:
            return self._limited(exchange, rule, counters, key, until, "") if matches else None
        if limit.counts_replies:
            rate = counters.rate(key)
            if matches and counters.exceeded(rate):
                return self._exceed(exchange, rule, counters, key, rate)
            return None
        return None if limit.to_origin else self._count(exchange, fields, rule, matches=matches)

    def _count(
        self, exchange: Exchange, fields: Fields, rule: Rule, *, matches: bool
    ) -> Reply | None:
        limit = rule.limit
        assert limit is not None  # noqa: S101  (rate limiting rules have one)
        counts = matches if limit.counting is None else limit.counting(fields)
        if not counts:
            return None
        counters, key = self.limits.counters(exchange.zone.id, rule), key_of(rule, fields)
        rate = counters.add(key)
        if matches and counters.exceeded(rate):
            return self._exceed(exchange, rule, counters, key, rate)
        return None

    def _count_replies(self, exchange: Exchange, rules: Iterable[Rule], reply: Reply) -> None:
        fields: Fields | None = None
        for rule in rules:
            limit = rule.limit
            if limit is None or not limit.counts_replies:
                continue
            if limit.to_origin and reply.headers.get("CF-Cache-Status") == "HIT":
                continue
            fields = fields or self.fields.of(exchange).answered(reply)
            counting = limit.counting or rule.condition
            if counting(fields):
                weight = _score(reply, limit.score_header) if limit.score_header else 1
                counters = self.limits.counters(exchange.zone.id, rule)
                counters.add(key_of(rule, fields), weight)

    def _exceed(
        self, exchange: Exchange, rule: Rule, counters: Counters, key: Key, rate: float
    ) -> Reply | None:
        detail = f"{rate:.4g} of {counters.limit} in {counters.period} s"
        if not counters.timeout:
            return self._limited(exchange, rule, counters, key, None, detail)
        return self._limited(exchange, rule, counters, key, counters.mitigate(key), detail)

    def _limited(
        self,
        exchange: Exchange,
        rule: Rule,
        counters: Counters,
        key: Key,
        until: float | None,
        detail: str,
    ) -> Reply | None:
        """Apply the action: for the mitigation's time, or to this request where it throttles."""
        if rule.action in LEVELS:
            # A clearance does not count here: whoever exceeds the rate again is asked again, and
            # passing sets the counter to zero (waf/rate-limiting-rules/parameters, "For duration").
            return self._challenge(
                exchange,
                rule.action,
                RATE_LIMIT,
                rule,
                passed=lambda: counters.reset(key),
                until=until,
                detail=detail,
            )
        self._note(exchange, rule, detail=detail, until=until)
        if rule.action != "block":
            return None
        seconds = counters.room_in(key) if until is None else math.ceil(until - self._clock.now())
        return replies.blocked(
            exchange, rule.parameters, code=replies.TOO_MANY, retry_after=max(1, seconds)
        )

    # --- http_request_sbfm ----------------------------------------------------------------------
    async def bots(self, exchange: Exchange, following: Next) -> Result:
        """Apply (super) bot fight mode."""
        settings = self.deployed.zone(exchange.zone.id).bots
        if settings:
            fields = self.fields.of(exchange)
            found = bots.judge(settings, fields, skipped=f"phase:{SBFM}" in exchange.skips)
            if found is not None and found.action == "block":
                self._record(exchange, SBFM, found.action, found.setting)
                return replies.blocked(exchange, {})
            if found is not None and not self.challenges.cleared(exchange, found.action):
                return self._challenge(exchange, found.action, SBFM, found.setting)
        return await following(exchange)

    # --- innermost ------------------------------------------------------------------------------
    async def tell_country(self, exchange: Exchange, following: Next) -> Result:
        """Tell the origin the visitor's country, unless `ip_geolocation` was switched off."""
        settings = self.deployed.zone(exchange.zone.id).settings
        if settings.get("ip_geolocation") == "off":
            exchange.headers.popall("CF-IPCountry", None)
        else:
            exchange.headers["CF-IPCountry"] = exchange.country
        return await following(exchange)

    # --- challenges -----------------------------------------------------------------------------
    def _challenge(
        self,
        exchange: Exchange,
        action: str,
        phase: str,
        rule: Rule | str,
        *,
        passed: Callable[[], None] | None = None,
        until: float | None = None,
        detail: str = "",
    ) -> Reply:
        name, description = (rule, "") if isinstance(rule, str) else (rule.name, rule.description)
        self._record(exchange, phase, action, name, description, detail=detail, until=until)
        puzzle = self.challenges.put(
            exchange, action, phase=phase, rule=name, description=description, passed=passed
        )
        return interstitial.page(exchange, puzzle)

    async def _answer(self, exchange: Exchange) -> Reply:
        sent = parse_qs((await look(exchange)).decode(errors="replace"))
        if exchange.request.method != "POST":
            return _json(405, {"error": "answers are posted"})
        nonce, answer, pressed = (
            sent.get(name, [""])[0] for name in ("nonce", "answer", "pressed")
        )
        try:
            puzzle = self.challenges.solve(exchange, nonce, answer, pressed=pressed == "1")
        except Refused as refusal:
            self._record(exchange, "challenge", "challenge_failed", "", detail=str(refusal))
            return _json(403, {"error": str(refusal)})
        zone = self.deployed.zone(exchange.zone.id)
        seconds = int(zone.settings.get("challenge_ttl") or PASSAGE)
        solved = SOLVED[puzzle.action, puzzle.interactive]
        self._record(
            exchange,
            puzzle.phase,
            solved,
            puzzle.rule,
            puzzle.description,
            until=self._clock.now() + seconds,
        )
        value = self.challenges.clearance(exchange, puzzle.action, seconds)
        reply = _json(200, {"ok": True})
        reply.headers["Set-Cookie"] = (
            f"{COOKIE}={value}; Domain={exchange.zone.name}; Path=/; Max-Age={seconds}; "
            "HttpOnly; Secure; SameSite=None; Partitioned"
        )
        return reply

    # --- the journal ----------------------------------------------------------------------------
    def _note(
        self, exchange: Exchange, rule: Rule, *, detail: str = "", until: float | None = None
    ) -> None:
        self._record(
            exchange,
            rule.phase,
            rule.action,
            rule.name,
            rule.description,
            detail=detail,
            until=until,
        )

    def _record(
        self,
        exchange: Exchange,
        phase: str,
        action: str,
        rule: str,
        description: str = "",
        **more: Any,
    ) -> None:
        self._journal.record(
            exchange, phase=phase, action=action, rule=rule, description=description, **more
        )


def _skipped(exchange: Exchange, rule: Rule) -> bool:
    skips = exchange.skips
    return bool(skips) and (
        f"ruleset:{rule.ruleset}" in skips or f"rule:{rule.ruleset}/{rule.id}" in skips
    )


def _skip(exchange: Exchange, parameters: Any) -> bool:
    """Note what a skip rule takes out; True when it ends its own ruleset too.

    Names are case-sensitive (waf/custom-rules/skip/options).
    """
    exchange.skips.update(f"phase:{name}" for name in parameters.get("phases") or ())
    exchange.skips.update(f"product:{name}" for name in parameters.get("products") or ())
    exchange.skips.update(f"ruleset:{id}" for id in parameters.get("rulesets") or ())
    for ruleset, rules in (parameters.get("rules") or {}).items():
        exchange.skips.update(f"rule:{ruleset}/{rule}" for rule in rules)
    return "current" in (parameters.get("ruleset"), parameters.get("phase"))


def _score(reply: Reply, header: str) -> int:
    """Return what the origin says the request costs: 1 to 1,000,000, or it does not count."""
    text = reply.headers.get(header, "")
    return int(text) if text.isdigit() and 1 <= int(text) <= 1_000_000 else 0


def _json(status: int, content: dict[str, Any]) -> Reply:
    headers = CIMultiDict({"Content-Type": "application/json", "Cache-Control": replies.NO_STORE})
    return Reply(status=status, headers=headers, body=json.dumps(content).encode())
